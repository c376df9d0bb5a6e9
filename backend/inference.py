"""The process that runs networks for the API, which itself never loads torch.

One child, `python -m core.cli infer`, started by the first request and kept: it answers one request at a time and is
ended when nobody asked for a while, when a request takes too long, or with the API. If the API dies without a word,
the child's standard input closes and it ends by itself. Pictures from outside are decoded there, not here.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from pydantic import ValidationError

from core import errors
from core.errors import InferenceFailed, SpikefrontError
from core.host.child_env import child_env
from core.host.processes import kill_group
from core.schemas.inference import INFER_ANSWER, Inferred, InferRequest, NotInferred
from core.schemas.results import RunError

log = logging.getLogger("spikefront.tryit")

ARGV = (sys.executable, "-m", "core.cli", "infer")
START_S = 120.0  # torch, and on a new machine the kernels' compilation
ANSWER_S = 30.0
IDLE_S = 300.0
GRACE_S = 2.0
#: What the child may refuse in the domain's own words: such a refusal stands, however often somebody asks.
REFUSALS = {
    error.code: error
    for error in vars(errors).values()
    if isinstance(error, type) and error is not SpikefrontError and issubclass(error, SpikefrontError)
}


class InferProcess:
    """Safe to call from any thread; requests wait for each other. Nothing is started before the first one."""

    def __init__(
        self,
        *,
        argv: Sequence[str] = ARGV,
        start_s: float = START_S,
        answer_s: float = ANSWER_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._argv = tuple(argv)
        self._start_s, self._answer_s, self._idle_s = start_s, answer_s, idle_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = 0.0
        self._clock: threading.Timer | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the running child; None when there is none."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def ask(self, request: InferRequest) -> Inferred:
        """Raises what the child refused in the domain's words, and InferenceFailed where it could not answer at all."""
        # waiting longer than one start and one answer means that many are ahead
        if not self._lock.acquire(timeout=self._start_s + self._answer_s):
            raise InferenceFailed(why="Other images are being worked on; try again in a moment.")
        try:
            answer = self._exchange(request.model_dump_json().encode() + b"\n")
        finally:
            self._rest()
            self._lock.release()
        if isinstance(answer, NotInferred):
            log.warning("tryit.refused", extra={"code": answer.code, "reason": answer.message})
            if answer.code in REFUSALS:
                raise made_anew(answer)
            raise InferenceFailed(why=answer.message)
        return answer

    def close(self) -> None:
        """End the child for good, also in the middle of an answer."""
        self._closed = True
        if (child := self._child) is not None:
            kill_group(child.pid)
        with self._lock:
            if self._clock is not None:
                self._clock.cancel()
            self._end(grace_s=0.0)

    def _exchange(self, line: bytes) -> Inferred | NotInferred:
        if self._child is not None and self._child.poll() is not None:
            log.warning("tryit.child_gone", extra={"status": self._child.returncode})
            self._end(grace_s=0.0)
        child = self._child if self._child is not None else self._start()
        answer = self._say(child, line, self._answer_s)
        try:
            return INFER_ANSWER.validate_json(answer)
        except ValidationError:
            self._end(grace_s=0.0)
            raise InferenceFailed(why="The process that runs networks gave no readable answer.") from None

    def _start(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise InferenceFailed(why="The API is stopping.")
        started = time.monotonic()
        try:
            self._child = child = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=child_env(threads=1, device=None),  # a single image needs no more, and both belong to training
                start_new_session=True,
            )
        except OSError as error:
            raise InferenceFailed(why=f"The process that runs networks did not start: {error.strerror}.") from None
        if self._closed:  # since the look above
            kill_group(child.pid)
        self._say(child, b"", self._start_s)  # its first line says that it is ready
        log.info("tryit.started", extra={"pid": child.pid, "wall_s": round(time.monotonic() - started, 2)})
        return child

    def _say(self, child: subprocess.Popen[bytes], line: bytes, limit_s: float) -> bytes:
        """Send `line`, if any, and wait for one line. A child that is too slow or ends is gone afterwards."""
        assert child.stdin is not None and child.stdout is not None, "it is started with pipes"
        # killing it is what ends a write or a read that waits for ever
        watch = threading.Timer(limit_s, kill_group, args=(child.pid,))
        watch.daemon = True
        started = time.monotonic()  # before the watch begins to count: what it ended took the whole limit
        watch.start()
        try:
            if line:
                child.stdin.write(line)
                child.stdin.flush()
            answer = child.stdout.readline()
        except OSError:
            answer = b""
        finally:
            watch.cancel()
        if answer.endswith(b"\n"):
            return answer
        slow = time.monotonic() - started >= limit_s
        self._end(grace_s=0.0)
        raise InferenceFailed(
            why=f"The network took longer than {limit_s:g} s." if slow else "The process that runs networks ended."
        )

    def _rest(self) -> None:
        """Called with the lock held: start the time after which an idle child is ended."""
        self._asked = time.monotonic()
        if self._clock is not None:
            self._clock.cancel()
        self._clock = None
        if self._child is not None and not self._closed:
            self._clock = threading.Timer(self._idle_s, self._end_if_idle)
            self._clock.daemon = True
            self._clock.start()

    def _end_if_idle(self) -> None:
        with self._lock:
            if self._child is not None and time.monotonic() - self._asked >= self._idle_s:
                log.info("tryit.idle", extra={"pid": self._child.pid})
                self._end(grace_s=GRACE_S)

    def _end(self, *, grace_s: float) -> None:
        """With the lock held: nothing of the child is left afterwards."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None and child.stdout is not None, "it is started with pipes"
        try:
            child.stdin.close()
        except OSError:  # what was buffered for a reader that is gone
            pass
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
        kill_group(child.pid)
        child.wait()
        child.stdout.close()


def made_anew(answer: RunError) -> SpikefrontError:
    """The child's error, here. Not by its constructor, which makes a message from more than the fields. `answer.code` is
    in REFUSALS."""
    kind = REFUSALS[answer.code]
    error = kind.__new__(kind)
    SpikefrontError.__init__(error, answer.message, **answer.fields)
    return error
