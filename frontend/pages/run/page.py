"""Run: one training, live while it lasts, with all its results when it has succeeded."""

from __future__ import annotations

import streamlit as st

from core.report.charts import curves
from core.schemas.run import RunState
from core.schemas.runs import Run
from frontend.client.api import ApiProblem
from frontend.client.connection import api, part, plain, show_problem
from frontend.keys import Key
from frontend.pages.run import files as run_files
from frontend.pages.run import finished as results
from frontend.pages.run import head as run_head
from frontend.pages.run import history as run_history
from frontend.pages.run import live as run_live
from frontend.pages.run import notify
from frontend.parts import run_state as state
from frontend.parts.chart_box import show
from frontend.places import link, open_place, open_run


def render() -> None:
    run_id = st.query_params.get("run")
    if not run_id:
        st.title("Run")
        st.markdown("This address names no run. Choose one from the list.")
        link("runs")
        return
    try:
        run = api().run(run_id)
    except ApiProblem as problem:  # such as: deleted, or a mistyped address
        _back_to_the_list(run_id)
        st.title("Run")
        show_problem(problem)
        link("runs")
        return
    st.set_page_config(page_title=state.tab_title(run))
    run_head.draw(run)
    if run.state.is_active:
        notify.offer(run.id)
        st.fragment(run_every=run_live.POLL_S)(part(run_live.draw))(run_id)
    elif run.state is RunState.SUCCEEDED and run.summary is not None:
        results.wait_for_twin(run)
        results.draw(run, run.summary)
    else:
        _ended(run)
        run_files.unfinished(run)
    if not run.state.is_active:
        notify.tell(run)
    run_head.dialog(run)


def _back_to_the_list(run_id: str) -> None:
    """From a run that was deleted on its own page: to where the deletion can be undone."""
    notice = st.session_state.get(Key.RUNS_NOTICE)
    if notice is not None and run_id in notice.deleted:
        open_place("runs")


def _ended(run: Run) -> None:
    """Failed or stopped: what happened, and the way on."""
    with st.container(border=True):
        if run.state is RunState.FAILED and run.error is not None:
            st.markdown(f"**The run failed.** {plain(run.error.message)}")
        elif run.state is RunState.CANCELLED:
            rest = "Its trainer process is gone." if run.attempt else "No worker had taken it yet."
            st.markdown(f"**The run was stopped** before it ended. {rest}")
        else:
            st.markdown("**The run has ended without results.**")
        if st.button("Launch the same again", key=Key.RUN_RETRY, icon=":material/replay:"):
            try:
                again = api().retry(run.id)
            except ApiProblem as problem:
                show_problem(problem)
            else:
                open_run(again.id)
    try:
        metrics = api().metrics(run.id)
    except ApiProblem:  # it ended before its first epoch
        return
    if metrics.epoch:
        show(
            curves.figure(metrics, source=state.source(run)),
            key=Key.RUN_CHART.of("curves"),
            data=lambda: curves.rows(metrics),
        )
    if run.attempt:
        run_history.noted(run, metrics, source=state.source(run))
