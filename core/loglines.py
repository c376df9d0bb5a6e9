"""One line an event: its name, then its ids and values as key=value or as JSON, whatever characters they hold."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class LineFormatter(logging.Formatter):
    """`2030-01-31T12:00:00.123Z INFO run.created run_id=ab12`; a traceback follows as one JSON string."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [when(record), record.levelname, event(record)]
        if record.exc_info:
            parts.append(f"traceback={json.dumps(self.formatException(record.exc_info))}")
        return " ".join(parts)


class JsonFormatter(logging.Formatter):
    """`{"time": "2030-01-31T12:00:00.123Z", "level": "INFO", "event": "run.created", "run_id": "ab12"}`, one a line."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"time": when(record), "level": record.levelname, "event": record.getMessage()}
        values = {key: value for key, value in vars(record).items() if key not in STANDARD and key not in said}
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said | values, default=str)


def service_formatter() -> logging.Formatter:
    """What SPIKEFRONT_LOG_FORMAT asks for; read here, since a setting that is wrong is logged too."""
    return JsonFormatter() if os.environ.get("SPIKEFRONT_LOG_FORMAT", "").strip() == "json" else LineFormatter()


def refuse(part: str, *, code: str, sentence: str) -> None:
    """Say on standard error why a part of the installation does not start: the sentence, or a JSON line like its others."""
    formatter = service_formatter()
    if isinstance(formatter, JsonFormatter):
        to_stderr(formatter, level=logging.INFO)
        logging.getLogger("spikefront").error(f"{part}.not_started", extra={"code": code, "reason": sentence})
    else:
        print(_plain(sentence), file=sys.stderr)


def when(record: logging.LogRecord) -> str:
    """The record's time in UTC, to the millisecond."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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


def to_stderr(formatter: logging.Formatter, *filters: logging.Filter, level: int) -> None:
    """Send all logging of this process to standard error, in lines of that form, each seen by the filters before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    for one in filters:
        handler.addFilter(one)
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _plain(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _value(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and not set(' "=') & set(text) else json.dumps(text)
