"""One line an event on stderr: time, level, the event's name, then its ids as key=value."""

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
        parts = [when, record.levelname, _plain(record.getMessage())]
        parts += [f"{key}={_value(value)}" for key, value in vars(record).items() if key not in STANDARD]
        if record.exc_info:
            parts.append(f"traceback={json.dumps(self.formatException(record.exc_info))}")
        return " ".join(parts)


def configure(level: int = logging.INFO) -> None:
    """Send all logging of this process to stderr. uvicorn's access log stays off: it prints whole addresses."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("alembic", "kombu", "celery", "amqp", "uvicorn", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _plain(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _value(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and not set(' "=') & set(text) else json.dumps(text)
