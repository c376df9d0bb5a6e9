"""Whether the neurons live and the gradient reaches them: findings in words, maps over epochs and steps, firing rates."""

from __future__ import annotations

import streamlit as st

from core.analysis.findings import diagnostic_headlines, gradient_findings
from core.report.charts import firing, gradients, probe
from core.schemas.diagnostics import Diagnostics
from core.schemas.run import Kind
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.parts.chart_box import show


def draw(shown: Shown) -> None:
    weights = api().gradients(shown.run.id)
    try:
        report = api().diagnostics(shown.run.id)
    except ApiProblem as problem:
        if problem.code != "not-ready":
            raise
        _say(gradient_findings(weights))
        st.caption(
            "This run is from before the neurons were probed: what time steps and single neurons do is not known."
        )
    else:
        _say(diagnostic_headlines(report.diagnostics) + gradient_findings(weights), each=report.findings)
        _probe(shown, report.diagnostics)
    left, right = st.columns(2, gap="large")
    if shown.summary.kind is Kind.SNN:  # in a CNN nothing fires
        with left:
            show(
                firing.figure(shown.layers, source=shown.source),
                key=Key.RUN_CHART.of("firing"),
                data=lambda: firing.rows(shown.layers),
                file_name=f"{shown.file_stem}-firing.csv",
            )
    with right if shown.summary.kind is Kind.SNN else left:
        show(
            gradients.figure(weights, source=shown.source),
            key=Key.RUN_CHART.of("gradients"),
            data=lambda: gradients.rows(weights),
            file_name=f"{shown.file_stem}-gradients.csv",
        )


def _say(findings: list[str], *, each: list[str] | None = None) -> None:
    """The findings; `each` has them layer by layer."""
    with st.container(border=True):
        st.markdown("**What the last epoch shows**")
        st.markdown(_bullets(findings) or "Nothing stands out.")
        if each:
            with st.expander("Layer by layer"):
                st.markdown(_bullets(each))


def _bullets(sentences: list[str]) -> str:
    return "\n".join(f"- {plain(sentence)}" for sentence in sentences)


def _probe(shown: Shown, diagnostics: Diagnostics) -> None:
    """One quantity at a time, over epochs and over the steps of one epoch; then dead and saturated neurons."""
    if not diagnostics.epochs:
        return
    titles = {name: probe.meaning_of(diagnostics, name).title for name in probe.offered(diagnostics)}
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        quantity = st.segmented_control(
            "What the maps show",
            list(titles),
            default=next(iter(titles)),
            required=True,
            format_func=titles.__getitem__,
            key=Key.RUN_QUANTITY,
            wrap=True,
        )
        epoch = _epoch(diagnostics)
    left, right = st.columns(2, gap="large")
    with left:
        show(
            probe.over_epochs(diagnostics, quantity, source=shown.source),
            key=Key.RUN_CHART.of("probe_epochs"),
            data=lambda: probe.rows(diagnostics),
            file_name=f"{shown.file_stem}-probe.csv",
        )
    with right:
        if diagnostics.time_steps > 1:
            show(
                probe.over_steps(diagnostics, quantity, epoch, source=shown.source), key=Key.RUN_CHART.of("probe_steps")
            )
        else:
            show(probe.health(diagnostics, source=shown.source), key=Key.RUN_CHART.of("health"))
    if diagnostics.time_steps > 1:
        show(probe.health(diagnostics, source=shown.source), key=Key.RUN_CHART.of("health"))


def _epoch(diagnostics: Diagnostics) -> int:
    """The epoch whose steps are shown; the last one unless another is chosen."""
    epochs = diagnostics.epochs
    if len(epochs) < 2 or diagnostics.time_steps < 2:
        return epochs[-1]
    if st.session_state.get(Key.RUN_EPOCH) not in epochs:
        st.session_state[Key.RUN_EPOCH] = epochs[-1]
    return st.select_slider("Epoch of the map over steps", epochs, key=Key.RUN_EPOCH, width=320)
