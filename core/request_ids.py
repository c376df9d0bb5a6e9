"""One id from a click to the trainer's log lines, so that a user can quote it and an operator finds all that it did.

The dashboard makes one for each call to the API, or whoever calls it gives their own in `X-Request-ID`. It is kept with a run
in its `queued` event; the worker that claims the run, and its trainer, write it in their lines.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Request-ID"
#: What goes into logs, headers and answers as it is.
GOOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
MOST = 4_096  # runs whose request a process remembers

_now: ContextVar[str | None] = ContextVar("request_id", default=None)
_of_runs: OrderedDict[str, str] = OrderedDict()


def made() -> str:
    """A new one."""
    return secrets.token_hex(8)


def accepted(given: str | None) -> str:
    """The id that a caller gave, or a new one where it gave none or one that is not GOOD."""
    return given if given is not None and GOOD.fullmatch(given) else made()


def current() -> str | None:
    """Of the request that is being answered; None outside one."""
    return _now.get()


@contextmanager
def answering(request_id: str) -> Iterator[None]:
    """What is done in here is done for that request."""
    before = _now.set(request_id)
    try:
        yield
    finally:
        _now.reset(before)


def remember(run_id: str, request_id: str | None) -> None:
    """What this process logs of a run from now on is of the request that made it."""
    if request_id is None:
        _of_runs.pop(run_id, None)
        return
    _of_runs[run_id] = request_id
    _of_runs.move_to_end(run_id)
    while len(_of_runs) > MOST:
        _of_runs.popitem(last=False)


def of_run(run_id: str) -> str | None:
    """What `remember` was told."""
    return _of_runs.get(run_id)


class Marked(logging.Filter):
    """Adds `request_id` to each line of a request, or of a run that one made, and these `values` to every line."""

    def __init__(self, **values: str | None) -> None:
        super().__init__()
        self._values = {name: value for name, value in values.items() if value is not None}

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in self._values.items():
            vars(record).setdefault(name, value)
        request_id = current() or of_run(str(getattr(record, "run_id", "")))
        if request_id is not None:
            vars(record).setdefault("request_id", request_id)
        return True
