"""What an installation is doing, as numbers for Prometheus. No label holds anything that a user typed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import accumulate
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.context import Context
from backend.metrics.exposition import Family, Sample, exposition
from backend.store.db import utc_now
from backend.store.models import RunRow, WorkerRow
from backend.store.signs import alive
from backend.traffic import BOUNDS_S, Traffic
from core.errors import SpikefrontError
from core.host.usage import children_of, resident_bytes
from core.host.versions import program_version
from core.schemas.run import RunState

QUEUES = ("cpu", "gpu")


def metrics(context: Context) -> str:
    """The whole answer to a scrape. What does not answer is told as such, and the rest all the same."""
    return exposition([*_program(), *_stored(context), *_broker(context), *_disk(context), *_traffic(context.traffic)])


def _program() -> Iterator[Family]:
    yield _gauge(
        "spikefront_build_info", "The version that answers.", Sample(value=1, labels={"version": program_version()})
    )
    own, below = resident_bytes(os.getpid()), [resident_bytes(pid) for pid in children_of(os.getpid())]
    told = {"api": own, "api_children": sum(size for size in below if size is not None)}
    yield Family(
        name="spikefront_process_memory_bytes",
        kind="gauge",
        help="Resident memory of the API, and of the processes that it keeps to run networks.",
        samples=[Sample(value=size, labels={"process": name}) for name, size in told.items() if size is not None],
    )


def _stored(context: Context) -> Iterator[Family]:
    """All that the database tells, as one moment saw it."""
    now = utc_now()
    began = time.perf_counter()
    try:
        with context.database.read() as session:
            session.execute(select(1))
            answer_s = time.perf_counter() - began
            told = [*_runs(session, now), *_workers(session, now)]
    except SpikefrontError:
        yield _gauge("spikefront_database_up", "Whether the database answers.", Sample(value=0))
        return
    yield _gauge("spikefront_database_up", "Whether the database answers.", Sample(value=1))
    yield _gauge("spikefront_database_answer_seconds", "How long its answer to nothing took.", Sample(value=answer_s))
    yield from told


def _runs(session: Session, now: datetime) -> Iterator[Family]:
    shown = RunRow.deleted_at.is_(None)
    counted = session.execute(select(RunRow.state, func.count()).where(shown).group_by(RunRow.state)).all()
    states = dict.fromkeys((str(state) for state in RunState), 0) | {str(row[0]): row[1] for row in counted}
    yield Family(
        name="spikefront_runs",
        kind="gauge",
        help="Runs by state, without those in the bin.",
        samples=[Sample(value=n, labels={"state": state}) for state, n in states.items()],
    )
    queued = select(RunRow.created_at).where(shown, RunRow.state == RunState.QUEUED)
    waits = [max(0.0, (now - at).total_seconds()) for at in session.scalars(queued)]
    yield _gauge("spikefront_queue_length", "Runs that wait for a worker.", Sample(value=len(waits)))
    yield _gauge(
        "spikefront_queue_oldest_wait_seconds",
        "How long the longest of them has waited since it was asked for.",
        Sample(value=max(waits, default=0.0)),
    )
    yield _gauge(
        "spikefront_queue_mean_wait_seconds",
        "How long they have waited on average.",
        Sample(value=sum(waits) / len(waits) if waits else 0.0),
    )
    running = select(RunRow.progress).where(RunRow.state == RunState.RUNNING, shown)
    rates = [progress.get("images_per_s") or 0.0 for progress in session.scalars(running)]
    yield _gauge(
        "spikefront_training_images_per_second",
        "Images a second of all running runs together, as they last told.",
        Sample(value=sum(rates)),
    )


def _workers(session: Session, now: datetime) -> Iterator[Family]:
    """By the kind of their queue: a worker's name is somebody's text."""
    rows = alive(session, now)
    figures: tuple[tuple[str, str, Callable[[WorkerRow], int]], ...] = (
        ("spikefront_workers", "Workers that gave a sign of life lately.", lambda row: 1),
        ("spikefront_workers_paused", "Those that start no run just now.", lambda row: row.paused is not None),
        ("spikefront_worker_slots", "Runs that they train side by side.", lambda row: row.slots),
        ("spikefront_worker_busy_slots", "Slots in use.", lambda row: row.busy),
    )
    for name, words, figure in figures:
        sums = dict.fromkeys(QUEUES, 0)
        for row in rows:
            queue = "gpu" if row.queue == "gpu" else "cpu"
            sums[queue] += figure(row)
        samples = [Sample(value=n, labels={"queue": queue}) for queue, n in sums.items()]
        yield Family(name=name, kind="gauge", help=words, samples=samples)


def _broker(context: Context) -> Iterator[Family]:
    began = time.perf_counter()
    try:
        context.queue.check()
    except SpikefrontError:
        yield _gauge("spikefront_broker_up", "Whether the broker answers.", Sample(value=0))
        return
    yield _gauge("spikefront_broker_up", "Whether the broker answers.", Sample(value=1))
    took_s = time.perf_counter() - began
    yield _gauge("spikefront_broker_answer_seconds", "How long its answer to a ping took.", Sample(value=took_s))


def _disk(context: Context) -> Iterator[Family]:
    places = {"home": context.settings.home, "artifacts": context.artifacts.root, "data": context.settings.data}
    found = {name: usage for name, place in places.items() if (usage := _usage(place)) is not None}
    for part, words in (("free", "Free bytes of the disk under a folder."), ("total", "Its size.")):
        samples = [Sample(value=getattr(usage, part), labels={"place": name}) for name, usage in found.items()]
        yield Family(name=f"spikefront_disk_{part}_bytes", kind="gauge", help=words, samples=samples)


def _usage(place: Path) -> shutil._ntuple_diskusage | None:
    try:
        return shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists()))
    except OSError:
        return None


def _traffic(traffic: Traffic) -> Iterator[Family]:
    yield Family(
        name="spikefront_http_requests_total",
        kind="counter",
        help="Requests to this process by the pattern of their route and the status of their answer.",
        samples=[
            Sample(value=n, labels={"method": method, "route": route, "status": str(status)})
            for (method, route, status), n in sorted(traffic.ended().items())
        ],
    )
    samples = []
    for (method, route), found in sorted(traffic.latencies().items()):
        labels = {"method": method, "route": route}
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        for bound, n in zip(bounds, accumulate(found.counts), strict=True):
            samples.append(Sample(value=n, labels=labels | {"le": bound}, suffix="_bucket"))
        samples.append(Sample(value=found.total_s, labels=labels, suffix="_sum"))
        samples.append(Sample(value=sum(found.counts), labels=labels, suffix="_count"))
    yield Family(
        name="spikefront_http_request_duration_seconds",
        kind="histogram",
        help="Seconds from a request to the beginning of its answer.",
        samples=samples,
    )


def _gauge(name: str, words: str, sample: Sample) -> Family:
    return Family(name=name, kind="gauge", help=words, samples=[sample])
