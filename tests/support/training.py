"""Whole runs of a tiny network on the digits, stopped where a test wants, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.bundle import Bundle
from core.engine.experiment import run
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.results import Event, Summary
from core.schemas.run import RunConfig


def configs(**base: Any) -> Callable[..., RunConfig]:
    """`config(kind, mask=, **overrides)` of a run with these overrides, unless others are given."""

    def config(kind: str = "snn", *, mask: str = "F9", **overrides: Any) -> RunConfig:
        return build_config(RunRequest(kind=kind, mask=mask, overrides={**base, **overrides}))

    return config


def go(wanted: RunConfig, out: Path, **changes: Any) -> tuple[Summary, list[Event]]:
    """Train it; what it came to, and what it said on the way."""
    events: list[Event] = []
    summary = run(wanted, **{"out": out, "data_dir": out.parent, "threads": 1, "emit": events.append, **changes})
    return summary, events


def stop_at(look: int) -> Callable[[], bool]:
    """A wish to stop that the trainer finds at its look of that number."""
    looks = iter(range(1, 10_000))
    return lambda: next(looks) >= look


def numbers(folder: Path) -> dict[str, Any]:
    """All of a bundle that must not depend on how often its run was stopped."""
    bundle = Bundle(folder)
    summary = bundle.summary()
    return {
        "metrics": bundle.metrics().model_dump(exclude={"wall_s"}),
        "gradients": bundle.gradients(),
        "diagnostics": bundle.diagnostics(),
        "counts": bundle.counts(),
        "outputs": bundle.predictions().outputs.tobytes(),
        "weights": {name: value.tobytes() for name, value in bundle.weights().items()},
        "kept": (summary.best_epoch, summary.best_validation_accuracy),
    }
