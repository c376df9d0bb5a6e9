"""One trainer process: started on standby, given one run, watched, ended with its whole group.

The process is `python -m core.cli trainer`: it loads the engine, says `{"type": "ready"}`, reads one
JSON line and trains with events as JSON lines on standard output. Its standard input stays open for
as long as this worker lives; when the worker dies the pipe closes, and the trainer ends itself.
"""

from __future__ import annotations

import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from core.host.processes import kill_group, wait_group_gone
from core.request_ids import of_run
from core.schemas.results import EVENTS, Event, Ready
from core.schemas.training import TrainRequest
from worker.diary import RunLog

log = logging.getLogger("spikefront.trainer")

TRAINER_ARGV = (sys.executable, "-m", "core.cli", "trainer")
STDERR_LINES = 40
LINE_LIMIT = 1 << 20


class Trainer:
    """A child in a session and group of its own. All methods but the readers' belong to one thread."""

    def __init__(self, *, env: Mapping[str, str], argv: Sequence[str] = TRAINER_ARGV) -> None:
        """Start it; raises OSError when it cannot be executed."""
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            start_new_session=True,
        )
        self.started = time.monotonic()
        self._ended: int | None = None
        self._events: queue.Queue[Event] = queue.Queue()
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._log: RunLog | None = None
        self._ready = threading.Event()
        self._readers = [
            threading.Thread(target=self._read_stdout, name=f"trainer-{self.pid}-events", daemon=True),
            threading.Thread(target=self._read_stderr, name=f"trainer-{self.pid}-errors", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it has the engine loaded and waits for its run."""
        return self._ready.is_set()

    @property
    def exit_status(self) -> int | None:
        """None while it runs; below zero is a signal, as in `subprocess`."""
        return self._process.poll()

    def begin(self, request: TrainRequest) -> None:
        """Hand it its run. A trainer that is already gone shows in `exit_status`, not here."""
        self._log = RunLog(request.out)
        request = request.model_copy(update={"request_id": of_run(request.out.name)})
        try:
            self._process.stdin.write(request.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass

    def next_event(self, *, timeout_s: float) -> Event | None:
        """The next event, or None when none came in time."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def remaining_events(self) -> list[Event]:
        """What an ended trainer said last and nobody has read yet."""
        for reader in self._readers:
            reader.join(timeout=2.0)
        events = []
        while True:
            try:
                events.append(self._events.get_nowait())
            except queue.Empty:
                return events

    def last_words(self) -> list[str]:
        """The end of its standard error."""
        return list(self._stderr)

    def ask_to_stop(self) -> None:
        """SIGTERM: it finishes the step, writes a checkpoint and ends with 75."""
        if self.exit_status is None:
            self._process.send_signal(signal.SIGTERM)

    def end(self, *, grace_s: float) -> int:
        """Wait `grace_s` for its own end, then SIGKILL to the group; its exit status, with nothing of it left."""
        if self._ended is not None:
            return self._ended
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
        kill_group(self.pid)  # also what it started and left behind
        status = self._process.wait()
        if not wait_group_gone(self.pid, timeout_s=5.0):
            log.error("trainer.group_remains", extra={"pid": self.pid})
        self._ended = status
        self._close()
        return status

    def _close(self) -> None:
        try:
            self._process.stdin.close()
        except OSError:  # what was buffered for a reader that is gone
            pass
        for reader, stream in zip(self._readers, (self._process.stdout, self._process.stderr), strict=True):
            reader.join(timeout=2.0)
            if not reader.is_alive():  # else a process outside the group holds the pipe, and closing would wait for it
                stream.close()

    def _read_stdout(self) -> None:
        for line in _lines(self._process.stdout):
            try:
                event = EVENTS.validate_json(line)
            except ValidationError as error:
                # A library that prints must not end a run; what is missing shows when the process ends.
                log.warning("trainer.line_unreadable", extra={"pid": self.pid, "error": type(error).__name__})
                self._stderr.append(line.decode(errors="replace").rstrip()[:500])
                continue
            if isinstance(event, Ready):
                self._ready.set()
            else:
                self._events.put(event)

    def _read_stderr(self) -> None:
        for line in _lines(self._process.stderr):
            text = line.decode(errors="replace").rstrip()[:500]
            if text:
                self._stderr.append(text)
                if self._log is not None:
                    self._log.write(text)
                log.debug("trainer.stderr", extra={"pid": self.pid, "line": text})


def _lines(stream: Any) -> Any:
    """Lines until the end of a pipe. An endless line comes in pieces, so that memory stays bounded."""
    while line := stream.readline(LINE_LIMIT):
        yield line
