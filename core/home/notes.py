"""What the launcher has to say to those who look: which service will not stay up. One small file in the data folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress

from core.home.lock import running
from core.settings import Settings

FILE = "services.json"


def write_notes(settings: Settings, notes: Mapping[str, str]) -> None:
    """Replace the notes, service -> sentence. On a full disk they stay as they are: the terminal has them too."""
    path = settings.home / FILE
    with suppress(OSError):
        if not notes:
            path.unlink(missing_ok=True)
            return
        beside = path.with_name(f".{FILE}.tmp")
        beside.write_text(json.dumps(dict(notes)))
        os.replace(beside, path)


def read_notes(settings: Settings) -> dict[str, str]:
    """The notes of the launcher that runs on this data folder; none where none runs, whatever a killed one left."""
    try:
        notes = json.loads((settings.home / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(notes, dict) or running(settings) is None:
        return {}
    return {str(name): str(sentence) for name, sentence in notes.items()}
