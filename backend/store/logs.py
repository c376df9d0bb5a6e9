"""How the API and the worker log: one line an event on stderr."""

from __future__ import annotations

import logging

from core.loglines import service_formatter, to_stderr
from core.request_ids import Marked


def configure(level: int = logging.INFO) -> None:
    """Send all logging of this process to stderr. uvicorn's access log stays off: it prints whole addresses."""
    to_stderr(service_formatter(), Marked(), level=level)
    for noisy in ("alembic", "kombu", "celery", "amqp", "uvicorn", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
