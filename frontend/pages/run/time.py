"""What time buys: accuracy and energy after each step, early exit, and whether the confidence can be believed."""

from __future__ import annotations

import streamlit as st

from core.analysis.exits import IMAGE_MODES
from core.analysis.steps import best_within, fewest_within
from core.report.charts import calibration, exits, steps
from core.schemas.diagnostics import Calibration, StepPoint, Steps
from core.schemas.run import Kind, RunState
from core.units import PJ_PER_UJ, format_energy
from frontend.client.connection import api
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.parts.chart_box import show

CLOSE = 0.005  # half a point, within which confidence and accuracy are alike


def draw(shown: Shown) -> None:
    run, chosen = shown.run, shown.lens
    left, right = st.columns(2, gap="large")
    if shown.summary.kind is Kind.SNN:
        found = api().steps(run.id, mode=chosen.mode, profile=chosen.profile)
        with left:
            show(
                steps.figure(found, twin=_twin(shown), source=shown.source),
                key=Key.RUN_CHART.of("steps"),
                data=lambda: steps.rows(found),
                file_name=f"{shown.file_stem}-steps.csv",
            )
            _stops(found)
            st.caption(
                "This network stopped early, from one evaluation: not a network trained with T' steps, which is usually "
                "better at T'."
            )
        with right:
            _exits(shown, found)
    else:
        left.info("A CNN answers in one pass: it has no time steps to spare. See its spiking twin.")
    left, right = st.columns(2, gap="large")
    scores = api().calibration(run.id)
    with left:
        show(
            calibration.figure(scores, source=shown.source),
            key=Key.RUN_CHART.of("calibration"),
            data=lambda: calibration.rows(scores),
            file_name=f"{shown.file_stem}-calibration.csv",
        )
    with right:
        _believed(scores)


def _stops(found: Steps) -> None:
    """Where to stop: the best T' under a price, or the fewest steps within a loss."""
    if found.time_steps == 1:
        return
    left, right = st.columns(2)
    most = left.number_input(
        "At most, µJ per inference", min_value=0.0, value=None, step=None, format="%g", key=Key.RUN_AT_MOST,
        placeholder="whatever it costs",
    )  # fmt: skip
    loss = right.number_input("Within points of the best", 0.0, 100.0, 1.0, step=0.5, format="%g", key=Key.RUN_WITHIN)
    if most:
        best = best_within(found.points, PJ_PER_UJ * most)
        said = _stop(best) if best else "it costs more after its first step"
        st.markdown(f"Best at no more than {format_energy(PJ_PER_UJ * most)}: **{said}**")
    st.markdown(f"Soonest within {loss:g} points of the best: **{_stop(fewest_within(found.points, loss / 100))}**")


def _stop(point: StepPoint) -> str:
    return f"T' = {point.steps}, {100 * point.accuracy:.1f} %, {format_energy(point.energy_pj)}"


def _believed(scores: Calibration) -> None:
    """The calibration's figures, and in words which way the network errs."""
    st.subheader("Can the confidence be believed?")
    gap = scores.confidence - scores.accuracy
    way = "over-confident" if gap > 0 else "too modest"
    st.markdown(
        f"It is right in {100 * scores.accuracy:.1f} % of its answers and on average {100 * scores.confidence:.1f} % sure of "
        f"them: {f'{way} by {100 * abs(gap):.1f} points' if abs(gap) >= CLOSE else 'neither over-confident nor too modest'}."
    )
    with st.container(horizontal=True, gap="small"):
        for name, value, meaning in (
            (
                "ECE",
                f"{scores.ece:.3f}",
                "expected calibration error: mean distance of accuracy from confidence; 0 is perfect",
            ),
            ("Brier", f"{scores.brier:.3f}", "squared distance of the softmax from the truth, 0 to 2"),
            ("NLL", f"{scores.nll:.3f}", "negative logarithm of the true class's softmax, in nats per image"),
        ):
            st.metric(name, value, help=meaning, width="content", border=True)


def _exits(shown: Shown, fixed: Steps) -> None:
    if shown.lens.mode not in IMAGE_MODES:
        st.info(
            f"Early exit needs the energy of each image, which the mode {shown.lens.mode} does not have: it charges pooling "
            f"by sums over the test set. Choose one of {', '.join(IMAGE_MODES)}."
        )
        return
    found = api().exits(shown.run.id, mode=shown.lens.mode, profile=shown.lens.profile)
    show(
        exits.figure(found, fixed=fixed, source=shown.source),
        key=Key.RUN_CHART.of("exits"),
        data=lambda: exits.rows(found),
        file_name=f"{shown.file_stem}-exits.csv",
    )
    st.caption("Each image stops at the first step at which the confidence reaches the threshold (Li et al., 2023).")


def _twin(shown: Shown) -> Steps | None:
    twin = shown.run.twin
    if twin is None or twin.state is not RunState.SUCCEEDED:
        return None
    return api().steps(twin.id, mode=shown.lens.mode, profile=shown.lens.profile)
