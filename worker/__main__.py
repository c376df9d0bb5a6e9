"""`python -m worker`: claim runs and train them, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress

from celery.platforms import SecurityWarning
from celery.signals import worker_ready, worker_shutting_down

from backend.store.lifecycle import Lifecycle
from backend.store.logs import configure
from backend.store.queue import Queue
from core.errors import SpikefrontError
from core.host.child_env import child_env
from core.loglines import refuse
from core.settings import Settings, prepare_home
from worker.app import QueueLength, QuietWorker, build_app
from worker.measure import Measure
from worker.options import QUEUES, Options, choose, name_of
from worker.standby import Standby
from worker.supervisor import GRACE_S, Supervisor
from worker.trainer_process import Trainer
from worker.upkeep import Upkeep

log = logging.getLogger("spikefront.worker")

EXIT_DEAF = 76  # EX_PROTOCOL of sysexits.h: start me again
STOP_LIMIT_S = GRACE_S + 1.5  # then the process ends whatever it waits for, and its trainers with it


def main(args: Sequence[str] | None = None) -> int:
    """Run a worker in the foreground; the exit code."""
    configure()
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle: only JSON is taken here
    try:
        settings = Settings()
        options = _parse(args, settings)
        prepare_home(settings)
        return _serve(settings, options)
    except SpikefrontError as error:
        refuse("worker", code=error.code, sentence=f"spikefront worker: {error.message}")
        return 1


def _parse(args: Sequence[str] | None, settings: Settings) -> Options:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Trains the runs of the queue.")
    parser.add_argument(
        "-Q",
        "--queue",
        choices=QUEUES,
        default="auto",
        help="what to train on (default: the GPUs that are here, else the CPU)",
    )
    parser.add_argument("--slots", type=int, help="runs side by side (default: by the cores, or one a GPU)")
    parser.add_argument(
        "--lease", type=float, metavar="SECONDS", help="silence after which others may take a run over (default: 30)"
    )
    parser.add_argument("--no-standby", action="store_true", help="keep no trainer waiting: less memory, slower starts")
    parsed = parser.parse_args(args)
    slots = settings.slots if parsed.slots is None else parsed.slots
    lease_s = settings.lease_s if parsed.lease is None else parsed.lease
    return choose(queue=parsed.queue, slots=slots, lease_s=lease_s, standby=not parsed.no_standby)


def _serve(settings: Settings, options: Options) -> int:
    stopping, hearing, deaf = threading.Event(), threading.Event(), threading.Event()
    lifecycle = Lifecycle(settings)
    name = name_of(settings.worker_name, taken=lambda name: name in {row.name for row in lifecycle.workers()})
    standby = Standby(
        lambda device: Trainer(env=child_env(threads=options.threads, device=device)),
        devices=sorted(set(options.devices), key=str) if options.standby else (),
    )
    supervisor = Supervisor(
        lifecycle, name=name, options=options, standby=standby, data=settings.data, stopping=stopping
    )
    app = build_app(settings, ring=supervisor.ring)
    length = QueueLength(app, options.queue)

    def on_deaf() -> None:
        deaf.set()
        stopping.set()

    upkeep = Upkeep(
        lifecycle=lifecycle,
        queue=Queue(settings),
        queue_length=length,
        supervisor=supervisor,
        standby=standby,
        options=options,
        name=name,
        hearing=hearing,
        stopping=stopping,
        on_deaf=on_deaf,
    )

    def on_ready(**_: object) -> None:
        log.info("worker.ready", extra={"worker": name, "queue": options.queue, "slots": options.slots})
        log.info("worker.offer", extra={"worker": name, "can": supervisor.ability.offer().words})
        hearing.set()
        supervisor.start()
        if settings.measure == "on":
            Measure(supervisor, options=options, stopping=stopping).start()

    def on_stop(**_: object) -> None:
        stopping.set()

    worker_ready.connect(on_ready, weak=False)
    worker_shutting_down.connect(on_stop, weak=False)
    threading.Thread(target=_end_in_time, args=(stopping, deaf, supervisor), name="stop", daemon=True).start()
    upkeep.start()
    worker = QuietWorker(
        app=app,
        hostname=f"spikefront@{name}",
        pool="threads",
        concurrency=options.slots,
        queues=[options.queue],
        loglevel="WARNING",
        without_heartbeat=settings.events == "off",  # of Celery's events: the signs of life are in the database
        without_mingle=True,
        without_gossip=True,
    )
    try:
        worker.start()
        asked = stopping.is_set()
    finally:
        stopping.set()
        supervisor.join()
        upkeep.join()
        standby.close()
        length.close()
        with suppress(SpikefrontError):  # else it is not shown any more in half a minute
            lifecycle.worker_gone(name)
        lifecycle.close()
    log.info("worker.stopped", extra={"worker": name})
    if deaf.is_set():
        return EXIT_DEAF
    return 0 if asked else worker.exitcode or 0  # Celery calls Ctrl-C a failure; it is a wish


def _end_in_time(stopping: threading.Event, deaf: threading.Event, supervisor: Supervisor) -> None:
    """Celery waits for its broker and its threads without a limit; a stop shall not."""
    stopping.wait()
    until = time.monotonic() + STOP_LIMIT_S
    while supervisor.busy and time.monotonic() < until:
        time.sleep(0.1)
    if not deaf.is_set():  # a deaf consumer will not hear that it should stop either
        time.sleep(2.0)
    log.warning("worker.ended_by_force", extra={"busy": supervisor.busy})
    # The trainers' pipes close with this process, and they end themselves.
    os._exit(EXIT_DEAF if deaf.is_set() else 0)


if __name__ == "__main__":
    sys.exit(main())
