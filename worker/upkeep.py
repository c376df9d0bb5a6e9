"""What a worker does beside its runs: signs of life, stale leases, bells that nobody heard, deleted runs, its own hearing.

A worker can live and hear nothing after its broker has restarted (celery/celery#10302). The proof of
hearing is that bells do not pile up, since each is taken at once; a deaf worker ends, to be started anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from backend.store.lifecycle import Lifecycle
from backend.store.queue import Queue
from core.errors import SpikefrontError
from worker.options import Options
from worker.standby import Standby
from worker.supervisor import Supervisor

log = logging.getLogger("spikefront.upkeep")

TICK_S = 0.5
ROUND_S = 5.0
DEAF_ROUNDS = 5


class Upkeep:
    """One thread. Nothing that fails in a round ends it: the next round tries again."""

    def __init__(
        self,
        *,
        lifecycle: Lifecycle,
        queue: Queue,
        queue_length: Callable[[], int],
        supervisor: Supervisor,
        standby: Standby,
        options: Options,
        name: str,
        hearing: threading.Event,
        stopping: threading.Event,
        on_deaf: Callable[[], None],
    ) -> None:
        self._lifecycle = lifecycle
        self._queue = queue
        self._queue_length = queue_length
        self._supervisor = supervisor
        self._standby = standby
        self._options = options
        self._name = name
        self._hearing = hearing  # set once the consumer is connected
        self._stopping = stopping
        self._on_deaf = on_deaf
        self._silent_rounds = 0
        self._bells_seen = 0
        self._thread = threading.Thread(target=self._work, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join(timeout=ROUND_S)

    def _work(self) -> None:
        next_round, reported = 0.0, False
        while not self._stopping.wait(TICK_S):
            if self._options.standby:
                self._safely("standby", self._standby.keep)
            hears = self._hearing.is_set()
            if time.monotonic() >= next_round or hears != reported:  # the first sign of life comes at once
                next_round, reported = time.monotonic() + ROUND_S, hears
                self.round()

    def round(self) -> None:
        """One look at everything."""
        if self._hearing.is_set() and not self._safely("seen", self._seen):
            self._lifecycle.silence.forget()  # what we cannot write, an owner could not write either
        self._safely("reap", self._reap)
        self._supervisor.wake()  # what was asked for while the broker was away, or rung for another worker
        self._safely("listen", self._listen)
        self._safely("purge", self._lifecycle.purge)

    def _seen(self) -> None:
        self._lifecycle.worker_seen(
            self._name,
            queue=self._options.queue,
            slots=self._options.slots,
            busy=self._supervisor.busy,
            paused=self._supervisor.room.paused,
            offer=self._supervisor.ability.offer(),
        )

    def _reap(self) -> None:
        """What is queued again this worker hears of by the ring of the same round, others by theirs or by the bell."""
        if found := self._lifecycle.reap().requeued:
            for queue, slots in self._lifecycle.queues().items():
                self._queue.ring(queue, times=min(len(found), slots))

    def _listen(self) -> None:
        """Deaf is: bells wait, and not one was taken, round after round."""
        waiting, taken = self._queue_length(), self._supervisor.bells
        hears = waiting == 0 or taken != self._bells_seen
        self._bells_seen = taken
        self._silent_rounds = 0 if hears else self._silent_rounds + 1
        if self._silent_rounds >= DEAF_ROUNDS:
            log.error("worker.deaf", extra={"waiting": waiting})
            self._on_deaf()

    @staticmethod
    def _safely(what: str, act: Callable[[], object]) -> bool:
        """Whether it went well."""
        try:
            act()
            return True
        except SpikefrontError as error:
            log.warning("upkeep.failed", extra={"what": what, "why": error.message})
        except Exception:  # the thread must live; the log has the cause
            log.exception("upkeep.failed", extra={"what": what})
        return False
