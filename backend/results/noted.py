"""What a worker noted of a run beside its bundle: the history of its steps, and the end of its trainer's log."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from core.schemas.history import RunHistory, RunLog

LOG_SHOWN = 48 * 1024  # bytes
LINES_SHOWN = 400
MOST_BYTES = 4 << 20  # of a history; a worker's own has a tenth of that


def history_in(file: Path) -> RunHistory:
    """Empty where nothing was noted, or nothing that can be read."""
    try:
        with file.open("rb") as opened:
            return RunHistory.model_validate_json(opened.read(MOST_BYTES))
    except (OSError, ValidationError):
        return RunHistory()


def log_in(path: Path) -> RunLog:
    """Its last lines; none where there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - LOG_SHOWN, 0))
            text = file.read(LOG_SHOWN).decode(errors="replace")
    except OSError:
        return RunLog()
    lines = text.splitlines()[1 if size > LOG_SHOWN else 0 :]  # the first may be half a line
    return RunLog(lines=lines[-LINES_SHOWN:], cut=size > LOG_SHOWN or len(lines) > LINES_SHOWN)
