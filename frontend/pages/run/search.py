"""The section Search: how a search goes or went, what would be decoded now, and the way to train what it found."""

from __future__ import annotations

import streamlit as st

from core.backbones.litesnn import every_wiring
from core.recipes.build import found_overrides, override, request_of
from core.report import search_words as words
from core.report.charts import search as charts
from core.report.tables import html
from core.schemas.request import ForkRequest
from core.schemas.runs import Run
from core.schemas.search import RunSearch, SearchFound
from core.schemas.sweep import SweepRequest
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain, show_problem
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.parts import run_state as state
from frontend.parts.chart_box import show
from frontend.places import open_place, open_run


def draw(shown: Shown) -> None:
    """Of a finished run."""
    search = api().search(shown.run.id)
    _found(shown.run, search.found)
    if search.found.search.cell:
        _wirings(shown.run, search)
    _charts(search.found, run=shown.run, source=shown.source)


def live(run: Run) -> None:
    """While it trains, as far as it is."""
    found = api().search(run.id).found
    st.subheader("Search")
    if not found.epochs:
        st.caption("Nothing is decoded before the first epoch has ended.")
        return
    _found(run, found)
    _charts(found, run=run, source=state.source(run))


def _found(run: Run, found: SearchFound) -> None:
    with st.container(border=True):
        st.markdown("**What would be decoded now**" if run.state.is_active else "**What it found**")
        for sentence in words.decoded(found):
            st.markdown(plain(sentence))
        st.caption(plain(words.how(found)))
        label = "Train what it found"
        if st.button(label, key=Key.RUN_ACT.of("found"), icon=":material/play_arrow:", disabled=not found.epochs):
            _train(run, found)


def _train(run: Run, found: SearchFound) -> None:
    """A run of its own; a second click on the same finding gives the same run."""
    overrides = found_overrides(run.config, found.epochs[-1].decoded)
    key = f"found-{run.id}-{len(found.epochs)}"
    try:
        made = api().fork(run.id, ForkRequest(overrides=overrides), idempotency_key=key)
    except ApiProblem as problem:
        show_problem(problem)
    else:
        open_run(made.id)


def _wirings(run: Run, search: RunSearch) -> None:
    """All wirings of a cell are few: each trained by itself says how good the search was."""
    wirings = every_wiring()
    st.markdown(plain(words.rank(search, len(wirings))))
    if len(search.wirings) < len(wirings) and st.button(
        f"Train all {len(wirings)} wirings", key=Key.RUN_ACT.of("wirings"), icon=":material/grid_view:",
        help="As a sweep with this run's config; those that are there already are taken.",
    ):  # fmt: skip
        _train_all(run, search.found, wirings)
    if search.wirings:
        decoded = search.found.decoded
        table = [
            [str(at), one.cell + (" (found)" if decoded and one.cell == decoded.cell else ""),
             f"{100 * one.validation_accuracy:.2f} %", f"{100 * one.accuracy:.2f} %"]
            for at, one in enumerate(search.wirings, start=1)
        ]  # fmt: skip
        with st.expander("Wirings by themselves", icon=":material/leaderboard:"):
            st.html(html.cells(("#", "Wiring", "Validation", "Test"), table, kind="sf-groups", focus=True))


def _train_all(run: Run, found: SearchFound, wirings: tuple[str, ...]) -> None:
    config = override(run.config, found_overrides(run.config, found.epochs[-1].decoded))
    axes = {"architecture.cell": list(wirings)}
    request = SweepRequest(name=f"All wirings, {run.id}", base=request_of(config), axes=axes)
    try:
        made = api().launch_sweep(request, idempotency_key=f"wirings-{run.id}")
    except ApiProblem as problem:
        show_problem(problem)
    else:
        open_place("sweep", sweep=made.id)


def _charts(found: SearchFound, *, run: Run, source: str) -> None:
    for name, figure in charts.figures(found, source=source).items():
        show(
            figure,
            key=Key.RUN_CHART.of(name),
            data=lambda: charts.rows(found),
            file_name=f"spikefront-{run.id}-search.csv",
        )
