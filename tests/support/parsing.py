"""How often a config is built or parsed."""

from __future__ import annotations

import pytest

from core.schemas import run
from core.schemas.run import RunConfig


def watched(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Every RunConfig that is made from fields from now on."""
    made: list[RunConfig] = []
    conflicts = run.conflicts

    def seen(config: RunConfig):
        # a model that takes up one, or a copy of one, looks at it again and parses nothing
        if not any(config.training is one.training for one in made):
            made.append(config)
        return conflicts(config)

    monkeypatch.setattr(run, "conflicts", seen)
    return made
