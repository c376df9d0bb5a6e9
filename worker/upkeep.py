"""What a worker does beside its runs: signs of life, stale leases, forgotten messages, deleted runs, its own hearing.

A worker can live and hear nothing after its broker has restarted (celery/celery#10302). The proof of
hearing is that messages do not pile up while a slot is free; a deaf worker ends, to be started anew.
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
from worker.room import Room
from worker.standby import Standby
from worker.supervisor import Supervisor

log = logging.getLogger("spikefront.upkeep")

TICK_S = 0.5
ROUND_S = 5.0
SENT_LATELY_S = 20.0
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
        room: Room | None = None,
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
        self._room = room
        self._standby = standby
        self._options = options
        self._name = name
        self._hearing = hearing  # set once the consumer is connected
        self._stopping = stopping
        self._on_deaf = on_deaf
        self._silent_rounds = 0
        self._messages_seen = 0
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
        self._safely("resend", self._resend)
        self._safely("purge", self._lifecycle.purge)

    def _seen(self) -> None:
        self._lifecycle.worker_seen(
            self._name,
            queue=self._options.queue,
            slots=self._options.slots,
            busy=self._supervisor.busy,
            paused=self._room.paused if self._room is not None else None,
        )

    def _reap(self) -> None:
        for run_id in self._lifecycle.reap().requeued:
            self._send(run_id)

    def _resend(self) -> None:
        """Send runs whose message was lost; only while the queue is empty, so that messages do not pile up.

        With a GPU worker about, that is its part: what waits for a GPU is not lost to a CPU.
        """
        waiting = self._queue_length()
        self._listen(waiting)
        if waiting == 0 and self._lifecycle.preferred_queue() == self._options.queue:
            for run_id in self._lifecycle.stranded(older_than_s=SENT_LATELY_S):
                self._send(run_id)

    def _send(self, run_id: str) -> None:
        self._queue.send(run_id, queue=self._lifecycle.preferred_queue())
        self._lifecycle.mark_sent(run_id)
        log.info("run.sent_again", extra={"run_id": run_id})

    def _listen(self, waiting: int) -> None:
        """Deaf is: messages wait, a slot is free, and not one was taken, round after round."""
        taken = self._supervisor.messages
        hears = waiting == 0 or taken != self._messages_seen or self._supervisor.busy >= self._options.slots
        self._messages_seen = taken
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
