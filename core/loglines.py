"""One line an event: its name, then its ids and values as key=value, whatever characters they hold."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class LineFormatter(logging.Formatter):
    """`2030-01-31T12:00:00.123Z INFO run.created run_id=ab12`; a traceback follows as one JSON string."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        parts = [when, record.levelname, event(record)]
        if record.exc_info:
            parts.append(f"traceback={json.dumps(self.formatException(record.exc_info))}")
        return " ".join(parts)


class PersonFormatter(logging.Formatter):
    """`spikefront: warning: profile.skipped file=chip.toml`, for somebody at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return f"spikefront: {record.levelname.lower()}: {event(record)}"


class Once(logging.Filter):
    """Lets an event through once, however often it is met."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        told = event(record)
        if told in self._told:
            return False
        self._told.add(told)
        return True


def event(record: logging.LogRecord) -> str:
    """A record's event with its values."""
    parts = [_plain(record.getMessage())]
    parts += [f"{key}={_value(value)}" for key, value in vars(record).items() if key not in STANDARD]
    return " ".join(parts)


def to_stderr(formatter: logging.Formatter, *, level: int) -> None:
    """Send all logging of this process to standard error, in lines of that form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _plain(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _value(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and not set(' "=') & set(text) else json.dumps(text)
