"""What a run writes on this machine, on its way to the store while it trains, and all of it at its end.

A store that is away costs a run nothing: its trainer goes on, and what could not be sent is sent later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from backend.store.artifacts import Sends
from core.errors import ArtifactsDown, LeaseLost, SpikefrontError

log = logging.getLogger("spikefront.uploads")

EVERY_S = 0.5  # a look at the names and times in one folder
AGAIN_S = 5.0  # after the store did not answer
BEAT_S = 0.7
#: For the last checkpoint of a run that did not finish, and for all of a worker that stops, while the store is away.
LIMIT_S, LIMIT_STOPPING_S = 60.0, 5.0

Made = TypeVar("Made")


def meanwhile(work: Callable[[], Made], *, beat: Callable[[], object]) -> Made:
    """What may take long, in a thread of its own, with the lease kept. Raises what either raises."""
    done: Future[Made] = Future()

    def tell() -> None:
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001  raised again where it is waited for
            done.set_exception(error)

    threading.Thread(target=tell, name="bring", daemon=True).start()
    while True:
        try:
            return done.result(timeout=BEAT_S)
        except TimeoutError:
            if done.done():  # the work's own
                raise
            beat()


class Uploads:
    """One thread a run."""

    def __init__(self, sends: Sends, *, run_id: str) -> None:
        self._sends, self._run_id = sends, run_id
        self._last, self._over = threading.Event(), threading.Event()
        self._away = False
        self.done = threading.Event()  # all is sent
        self.lost: LeaseLost | None = None  # a later attempt owns the run
        self._thread = threading.Thread(target=self._work, name=f"uploads-{run_id}", daemon=True)
        self._thread.start()

    @property
    def away(self) -> bool:
        """Whether the store did not answer when it was asked last."""
        return self._away

    def finish(self, *, beat: Callable[[], object], stopping: threading.Event, patient: bool) -> bool:
        """The trainer is gone: send all that is there now, however long that takes; whether it was done.

        While the store is away it is waited for: without an end where `patient`, and not for long by a worker that stops.
        Raises LeaseLost.
        """
        self._last.set()
        until = float("inf") if patient else time.monotonic() + LIMIT_S
        while not self.done.wait(BEAT_S):
            if self.lost is not None:
                raise self.lost
            beat()
            if self.away and stopping.is_set():
                until = min(until, time.monotonic() + LIMIT_STOPPING_S)
                stopping = threading.Event()  # its time is set
            if self.away and time.monotonic() > until:
                log.warning("run.unsent", extra={"run_id": self._run_id})
                return False
        return True

    def stop(self) -> None:
        """Send nothing more."""
        self._over.set()
        self._last.set()

    def _work(self) -> None:
        while not self._over.is_set():
            everything = self._last.is_set()
            try:
                self._sends.look(everything=everything)
            except LeaseLost as error:
                self.lost = error
                return
            except ArtifactsDown as error:
                if not self._away:
                    log.warning("upload.waits", extra={"run_id": self._run_id, "why": error.message})
                self._away = True
                self._over.wait(AGAIN_S)
                continue
            except (SpikefrontError, OSError) as error:  # of this machine's disk
                log.warning("upload.failed", extra={"run_id": self._run_id, "why": str(error)})
                self._over.wait(AGAIN_S)
                continue
            if self._away:
                log.info("upload.goes_on", extra={"run_id": self._run_id})
            self._away = False
            if everything:
                self.done.set()
                return
            self._last.wait(EVERY_S)
