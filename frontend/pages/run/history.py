"""How it trained, step by step: the loss with validation's beside it, the machine meanwhile, and the trainer's log."""

from __future__ import annotations

import streamlit as st

from core.report import run_words as words
from core.report.charts import history as charts
from core.schemas.history import RunHistory
from core.schemas.results import Metrics, Part
from core.schemas.runs import Run
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.parts import run_state as state
from frontend.parts.chart_box import show

SMOOTHINGS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)


def draw(shown: Shown) -> None:
    """The section of a finished run."""
    noted(shown.run, api().metrics(shown.run.id), source=shown.source)
    energy = words.training_energy(api().environment(shown.run.id))
    if energy is not None:
        st.subheader("Machine")
        st.markdown(plain(energy))


def noted(run: Run, metrics: Metrics, *, source: str) -> None:
    """All of it, for a run that has ended, with results or without."""
    found = api().history(run.id)
    if not found.steps.loss and not found.usage.at_s:
        if run.summary is not None:  # else it ended before it took a step
            st.info(
                "The steps of this run were not noted: it was trained from a shell or elsewhere, or before that was done. "
                "Its epochs are under Summary."
            )
    else:
        left, right = st.columns(2, gap="large")
        with left:
            loss(found, metrics, part="run", source=source, run_id=run.id)
        with right:
            machine(found, source=state.source(run), run_id=run.id)
    log(run.id)


def loss(found: RunHistory, metrics: Metrics, *, part: Part, source: str, run_id: str) -> None:
    """The curve with its two controls below, so that both charts of the row begin at one height."""
    picture = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        smoothing = st.select_slider(
            "Smoothing", SMOOTHINGS, key=Key.RUN_SMOOTHING, width=220, persist_state="session",
            help="Share of the average that stays at each moment: 0 draws the losses as they were.",
        )  # fmt: skip
        log_y = st.toggle("Logarithmic", key=Key.RUN_LOG_Y, persist_state="session")
    with picture:
        show(
            charts.figure(found.steps, metrics, part=part, smoothing=smoothing, log=log_y, source=source),
            key=Key.RUN_CHART.of("history"),
            data=lambda: charts.rows(found.steps),
            file_name=f"spikefront-{run_id}-steps.csv",
        )


def machine(found: RunHistory, *, source: str, run_id: str) -> None:
    show(
        charts.usage(found.usage, source=source),
        key=Key.RUN_CHART.of("usage"),
        data=lambda: charts.usage_rows(found.usage),
        file_name=f"spikefront-{run_id}-machine.csv",
    )


def log(run_id: str) -> None:
    """Asked for only when it is opened."""
    with st.expander("Trainer's log", icon=":material/notes:", key=Key.RUN_LOG, on_change="rerun") as opened:
        if not opened.open:
            return
        found = api().log(run_id)
        if not found.lines:
            st.caption("There is no log of this run here.")
            return
        if found.cut:
            st.caption(f"Its last {len(found.lines):,} lines.")
        st.code("\n".join(found.lines), language=None, height=320)
