"""A run that is under way: where it is in its life, its progress, its curves so far, the machine, the trainer's log."""

from __future__ import annotations

import streamlit as st

from core.report.charts import curves
from core.report.markup import piece
from core.schemas.request import LEAST_PRIORITY, MOST_PRIORITY
from core.schemas.run import RunState
from core.schemas.runs import Run
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.pages.run import history, search
from frontend.parts import actions as acts
from frontend.parts import run_state as state
from frontend.parts.chart_box import show

POLL_S = 1.0


def draw(run_id: str) -> None:
    """One turn of the poll."""
    run = api().run(run_id)
    if not run.state.is_active:
        st.rerun()  # the whole page: results in place of progress, and no clock any more
    st.set_page_config(page_title=state.tab_title(run))
    with st.container(border=True):
        st.html(phases(run))
        badge, doing, act = st.columns([1, 3.4, 0.9], vertical_alignment="center")
        badge.html(state.badge(run.state))
        with doing:
            state.bar(run)
            state.phase_bar(run)
        act.button(
            "Cancel" if run.state is not RunState.CANCELLING else "Asked to stop",
            key=Key.RUN_CANCEL,
            on_click=acts.cancel,
            args=(run_id,),
            disabled=run.state is RunState.CANCELLING,
            width="stretch",
        )
        facts = [f"attempt {run.attempt}" if run.attempt > 1 else "", f"worker {run.worker}" if run.worker else ""]
        if run.progress.loss is not None:
            facts.append(f"loss {run.progress.loss:.4g}")
        if any(facts):
            st.caption(plain(" · ".join(fact for fact in facts if fact)))
    if run.state is RunState.QUEUED:
        if (why := api().ready().training) != "ok":
            st.warning(plain(why))
        elif run.waits:
            st.warning(plain(f"{run.waits} It starts as soon as one can."))
        _priority(run)
        return
    if run.config.seeks.is_on:
        search.live(run)
    found, metrics, source = api().history(run_id), api().metrics(run_id), state.source(run)
    left, right = st.columns(2, gap="large")
    with left:
        history.loss(found, metrics, part=run.progress.part, source=source, run_id=run_id)
    with right:
        show(
            curves.figure(metrics, source=source),
            key=Key.RUN_CHART.of("curves"),
            data=(lambda: curves.rows(metrics)) if metrics.epoch else None,
            file_name=f"spikefront-{run_id}-epochs.csv",
        )
    left, right = st.columns(2, gap="large")
    with left:
        history.machine(found, source=source, run_id=run_id)
    with right:
        history.log(run_id)


def _priority(run: Run) -> None:
    key = Key.RUN_PRIORITY.of(run.id)
    st.number_input(
        "Priority", LEAST_PRIORITY, MOST_PRIORITY, run.priority, key=key, width=160, on_change=acts.set_priority,
        args=(run.id, key), help="The higher, the sooner it starts; 0 is usual. It changes no result.",
    )  # fmt: skip


def phases(run: Run) -> str:
    """The run's life as an ordered list; where it is now is marked, also for screen readers."""
    names = ["Waiting", *(["CNN twin"] if run.config.needs_teacher else []), "Training", "Testing"]
    at = names.index(_phase(run))
    return piece("phases", names[:at], names[at], names[at + 1 :])


def _phase(run: Run) -> str:
    progress = run.progress
    if run.state is RunState.QUEUED or progress.phase in ("waiting", "starting"):
        return "Waiting"
    if progress.part == "teacher" and run.config.needs_teacher:
        return "CNN twin"
    return "Testing" if progress.phase in state.AFTER else "Training"
