"""How a trainer ended, in the words of a run's end."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.host.processes import exit_words, signal_name
from core.schemas.results import RunError, Summary

TRAINER_DIED = "trainer-died"
TRAINER_SILENT = "trainer-silent"
TRAINER_REFUSED = "trainer-refused"  # the system starts none: out of processes, memory or files
#: Sent by somebody or by the kernel, out of memory included; a crash of the trainer's own sends others.
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT)
LAST_LINES = 6

_URL_SECRET = re.compile(r"(\w+://)[^/\s@]*@")
_NAMED_SECRET = re.compile(r"(?i)\b(bearer\s+|(?:token|key|secret|password)\s*[:=]\s*)(['\"]?)[^\s'\",;]{6,}")
# The folders of an absolute path; the last part stays, because it tells which file it was.
_FOLDERS = re.compile(r"(?<![\w./])(?:~|[A-Za-z]:)?[\\/](?:[^\s'\"<>|:*?\\/]+[\\/])+")


class End(StrEnum):
    """What became of one attempt."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"  # back to the queue, to go on from its checkpoint
    LOST = "lost"  # the same, but it counts: ended from outside, and so perhaps again
    LEASE_LOST = "lease-lost"  # another attempt owns the run: its state is not ours to change


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The end of an attempt with what its state needs."""

    end: End
    summary: Summary | None = None
    error: RunError | None = None  # why, where it did not succeed and nobody asked it to stop
    pause_s: float = 0.0  # of a run that is released: before it is sent again

    @property
    def code(self) -> str:
        """Of its error; empty where it has none."""
        return "" if self.error is None else self.error.code


def failed(error: RunError) -> Ending:
    return Ending(end=End.FAILED, error=error)


def died(status: int, last_words: list[str], *, while_starting: bool) -> Ending:
    """The end of a trainer that said neither `finished` nor `failed`. Paths and secrets do not pass.

    One that was ended from outside did nothing wrong itself: its run is lost, and goes on while attempts are left.
    """
    lines = scrub("\n".join(last_words)).splitlines()[-LAST_LINES:]
    when = "before it could start training" if while_starting else "while it trained"
    message = f"The trainer ended with {exit_words(status)} {when}."
    if status == -signal.SIGKILL:
        message += " Often the machine ran out of memory: try a smaller training.batch_size."
    if lines:
        message += f" Its last words: {lines[-1]}"
    fields: dict[str, Any] = {"exit_status": status, "last_lines": lines}
    if status < 0:
        fields["signal"] = signal_name(-status)
    end = End.LOST if -status in FROM_OUTSIDE else End.FAILED
    return Ending(end=end, error=RunError(code=TRAINER_DIED, message=message, fields=fields))


def scrub(text: str) -> str:
    """Text of a process as everybody may read it: no folders, no passwords in addresses, no tokens."""
    text = _URL_SECRET.sub(r"\1***@", text)
    text = _NAMED_SECRET.sub(r"\1\2***", text)
    return _FOLDERS.sub("", text)
