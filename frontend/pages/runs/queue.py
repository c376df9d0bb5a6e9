"""Who trains what, and what waits for how long."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.report.markup import piece
from core.schemas.workers import Activity, QueuedRun, WaitingRuns, WorkerInfo
from core.units import format_duration
from frontend.client.connection import plain
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts import run_state as state
from frontend.places import link_run

FIRST = 5
NO_WORKER = "No worker has given a sign of life lately, so nothing starts. `spikefront worker` starts one."


def draw(now: Activity) -> None:
    """One line when nothing happens; else each worker with its runs, and the head of the queue."""
    workers, waiting = now.workers, now.waiting
    with st.container(border=True, key="runs_queue"):
        st.html(piece("status", summary(workers, waiting)))
        if waiting.paused:
            st.warning(plain(waiting.paused))
        if not workers:
            (st.warning if waiting.total else st.caption)(NO_WORKER)
        trained = [worker for worker in workers if worker.runs]
        if not trained and not waiting.total:
            return
        if not (trained and waiting.total):  # a column of nothing would be a gap on a phone
            left = right = st.container()
        else:
            left, right = st.columns(2, gap="large")
        with left:
            for worker in trained:
                _worker(worker)
        with right:
            _waiting(waiting)


def summary(workers: Sequence[WorkerInfo], waiting: WaitingRuns) -> str:
    """Such as `2 workers · 3 of 8 slots busy · 12 runs wait, the last ends in about 1 h`."""
    count, slots = len(workers), sum(worker.slots for worker in workers)
    held = sum(len(worker.runs) for worker in workers)
    parts = [f"{count} worker{'' if count == 1 else 's'}" if count else "no worker"]
    if count:
        parts.append(f"{held} of {slots} slot{'' if slots == 1 else 's'} busy")
    if not waiting.total:
        parts.append("nothing waits")
    else:
        last = "the last that a worker can do" if any(item.waits for item in waiting.items) else "the last"
        ends = f", {last} ends in about {state.roughly(waiting.ends_in_s)}" if waiting.ends_in_s else ""
        parts.append(f"{waiting.total:,} run{' waits' if waiting.total == 1 else 's wait'}{ends}")
    return " · ".join(parts)


def times(item: QueuedRun) -> str:
    """How long one run has waited, and when it should start, or why no worker can do it."""
    parts = [f"has waited {format_duration(item.waiting_s)}"]
    if item.priority:
        parts.insert(0, f"priority {item.priority}")
    if item.submitter:
        parts.insert(0, item.submitter)
    if item.waits:
        return " · ".join([*parts, item.waits])
    if item.starts_in_s is not None:
        starts = "should start now" if item.starts_in_s < 1 else f"starts in about {state.roughly(item.starts_in_s)}"
        parts.append(starts)
    parts.append(f"takes about {state.roughly(max(item.run_s, 1))}")
    return " · ".join(parts)


def named(label: str, seed: int | None) -> str:
    """The label with the seed: the runs of a sweep often differ in nothing else."""
    return label if seed is None else f"{label}, seed {seed}"


def _worker(worker: WorkerInfo) -> None:
    st.caption(plain(f"{worker.name} · queue {worker.queue} · {len(worker.runs)} of {worker.slots} slots busy"))
    for held in worker.runs:
        with st.container(key=f"held_{held.id}", gap="xsmall"):
            link_run(held.id, named(held.label, held.seed))
            if held.progress is not None:
                state.bar(held)
            else:
                st.caption(state.words(held.state))


def _waiting(waiting: WaitingRuns) -> None:
    if not waiting.total:
        return
    st.caption(plain(f"Next in queue {waiting.queue}"))
    for item in waiting.items[:FIRST]:
        with st.container(key=f"waits_{item.id}", horizontal=True, vertical_alignment="center", gap="small"):
            with st.container(gap=None):
                link_run(item.id, f"{item.position}. {named(item.label, item.seed)}")
                st.caption(times(item))
            st.button(
                "Cancel", key=f"{Key.RUN_CANCEL}_waits_{item.id}", on_click=acts.cancel, args=(item.id,),
                type="tertiary", icon=":material/close:", help=f"Take {item.label} out of the queue",
            )  # fmt: skip
    if waiting.total > FIRST:
        key = Key.RUNS_BULK.of("waiting")
        st.button(f"and {waiting.total - FIRST:,} more", key=key, on_click=_show_waiting, type="tertiary")


def _show_waiting() -> None:
    st.session_state[Key.RUNS_STATE] = "waiting"
    st.session_state.pop(Key.RUNS_CURSORS, None)
