"""Run: one training, live while it lasts, with all its results when it has succeeded."""

from __future__ import annotations

from html import escape

import streamlit as st

from core.datasets.catalog import title_of
from core.report.charts import curves
from core.schemas.run import RunState
from core.schemas.runs import Run
from core.units import format_duration
from frontend.client.api import ApiProblem
from frontend.client.connection import api, part, plain, show_problem
from frontend.keys import Key
from frontend.pages.run import files as run_files
from frontend.pages.run import finished as results
from frontend.pages.run import live as run_live
from frontend.parts import run_state as state
from frontend.parts.chart_box import show
from frontend.places import link, link_run, open_run


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
        st.title("Run")
        show_problem(problem)
        link("runs")
        return
    _head(run)
    if run.state.is_active:
        st.fragment(run_every=run_live.POLL_S)(part(run_live.draw))(run_id)
        return
    if run.state is RunState.SUCCEEDED and run.summary is not None:
        results.wait_for_twin(run)
        results.draw(run, run.summary)
    else:
        _ended(run)
        run_files.unfinished(run)


def _head(run: Run) -> None:
    config = run.config
    st.title(plain(run.label))
    words = [title_of(config.dataset), f"recipe {config.recipe}", f"seed {config.seed}"]
    if run.finished_at is not None:
        if run.started_at is not None:
            words.append(f"took {format_duration((run.finished_at - run.started_at).total_seconds())}")
        words.append(f"ended {state.ago(run.finished_at)}")
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="run_head"):
        if not run.state.is_active:  # while it is active the live part shows a badge that moves
            st.html(state.badge(run.state), width="content")
        st.html(f'<span class="sf-dim">{" · ".join(escape(word) for word in words)}</span>', width="content")
        if run.twin is not None:
            link_run(
                run.twin.id,
                f"{run.twin.kind.value.upper()} twin: {state.WORDS[run.twin.state]}",
                icon=":material/compare_arrows:",
            )


def _ended(run: Run) -> None:
    """Failed or stopped: what happened, and the way on."""
    with st.container(border=True):
        if run.state is RunState.FAILED and run.error is not None:
            st.markdown(f"**The run failed.** {plain(run.error.message)}")
        elif run.state is RunState.CANCELLED:
            st.markdown("**The run was stopped** before it ended. Its trainer process is gone.")
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
