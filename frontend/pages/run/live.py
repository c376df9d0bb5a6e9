"""A run that is under way: where it is in its life, its progress, the loss of each step, and its curves so far."""

from __future__ import annotations

from html import escape

import streamlit as st

from core.report.charts import curves
from core.schemas.run import RunState
from core.schemas.runs import Run
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts import run_state as state
from frontend.parts.chart_box import show

POLL_S = 1.0
CURRENT = ' aria-current="step"'
MOST_SEEN = 2000  # moments kept of the loss, every second one dropped beyond


def draw(run_id: str) -> None:
    """One turn of the poll."""
    run = api().run(run_id)
    if not run.state.is_active:
        st.rerun()  # the whole page: results in place of progress, and no clock any more
    with st.container(border=True):
        st.html(phases(run))
        badge, doing, act = st.columns([1, 3.4, 0.9], vertical_alignment="center")
        badge.html(state.badge(run.state))
        with doing:
            state.bar(run)
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
        return
    left, right = st.columns(2, gap="large")
    with left:
        teacher = "the CNN twin, which trains first" if run.progress.part == "teacher" else ""
        show(curves.watched(_seen(run), of=teacher, source=state.source(run)), key=Key.RUN_CHART.of("watched"))
    with right:
        show(curves.figure(api().metrics(run_id), source=state.source(run)), key=Key.RUN_CHART.of("curves"))


def phases(run: Run) -> str:
    """The run's life as an ordered list; where it is now is marked, also for screen readers."""
    names = ["Waiting", *(["CNN twin"] if run.config.needs_teacher else []), "Training", "Testing"]
    at = names.index(_phase(run))
    looks = ["past"] * at + ["now"] + ["ahead"] * (len(names) - at - 1)
    items = "".join(
        f'<li class="{look}"{CURRENT if look == "now" else ""}>{escape(name)}</li>'
        for name, look in zip(names, looks, strict=True)
    )
    return f'<ol class="sf-phases" aria-label="Where the run is">{items}</ol>'


def _phase(run: Run) -> str:
    progress = run.progress
    if run.state is RunState.QUEUED or progress.phase in ("waiting", "starting"):
        return "Waiting"
    if progress.part == "teacher" and run.config.needs_teacher:
        return "CNN twin"
    return "Testing" if progress.phase == "testing" else "Training"


def _seen(run: Run) -> list[curves.Trained]:
    """The losses that this browser session has seen of this attempt and network, with the newest."""
    progress = run.progress
    name = (run.id, run.attempt, progress.part)
    kept = st.session_state.get(Key.RUN_TRACE)
    trace: list[curves.Trained] = kept[1] if kept is not None and kept[0] == name else []
    if progress.loss is not None and progress.phase == "training" and progress.steps:
        newest = curves.Trained(progress.epoch, progress.step, progress.steps, progress.loss)
        if not trace or trace[-1][:2] < newest[:2]:
            trace = [*trace, newest]
    if len(trace) > MOST_SEEN:
        trace = trace[::2]
    st.session_state[Key.RUN_TRACE] = (name, trace)
    return trace
