"""What a finished run comes to: what its figures rest on, its twin beside it, what stands out, curves, examples."""

from __future__ import annotations

from html import escape

import streamlit as st

from core.analysis.findings import diagnostic_headlines, gradient_findings
from core.datasets.catalog import title_of
from core.report.charts import curves
from core.schemas.run import KEPT, Kind, RunState
from core.schemas.runs import Run
from core.units import format_count, format_duration, format_energy
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.pages.run.twin import lonely
from frontend.parts import examples
from frontend.parts.chart_box import show
from frontend.places import page

MOST_FINDINGS = 4
EXAMPLES = 6


def draw(shown: Shown) -> None:
    left, right = st.columns([1, 1.15], gap="large")
    with left:
        _basis(shown)
    with right:
        _twin(shown)
    _findings(shown)
    left, right = st.columns(2, gap="large")
    with left:
        metrics = api().metrics(shown.run.id)
        show(
            curves.figure(metrics, source=shown.source),
            key=Key.RUN_CHART.of("curves"),
            data=lambda: curves.rows(metrics),
            file_name=f"{shown.file_stem}-epochs.csv",
        )
    with right:
        _examples(shown.run)


def _findings(shown: Shown) -> None:
    """From the probe, or from the weights' gradients for a run without one."""
    try:
        found = diagnostic_headlines(api().diagnostics(shown.run.id).diagnostics)
    except ApiProblem as problem:
        if problem.code != "not-ready":
            raise
        found = gradient_findings(api().gradients(shown.run.id))
    if not found:
        return
    with st.container(border=True):
        st.markdown("**What stands out**")
        st.markdown("\n".join(f"- {plain(sentence)}" for sentence in found[:MOST_FINDINGS]))
        if len(found) > MOST_FINDINGS:
            st.caption(f"{len(found) - MOST_FINDINGS} more under Neurons.")


def _basis(shown: Shown) -> None:
    """What the figures rest on."""
    summary, layers = shown.summary, shown.layers
    data = "complete data set" if summary.dataset_complete else "a SUBSET of the published data set"
    validated = f"{100 * summary.best_validation_accuracy:.2f} %, n = {summary.n_validation:,}"
    steps = f", T = {layers.time_steps}" if summary.kind is Kind.SNN else ""
    speed = f"{summary.train_images_per_s:,.0f} images/s on {summary.device}"
    chosen = (
        f"epoch {summary.best_epoch} of {summary.epochs_run}, {KEPT[shown.run.config.training.select]} ({validated})"
    )
    rows = [
        ("Tested on", f"n = {summary.n_test:,} images, seed {summary.seed}"),
        (
            "Trained on",
            f"{summary.n_train:,} of {summary.n_train_available:,} images of {title_of(summary.dataset)}, {data}",
        ),
        ("Chosen", chosen if summary.epochs_run else f"as it came, without training ({validated})"),
        ("Energy", f"estimated, mode {layers.mode}, profile {layers.profile}{steps}"),
        ("Trained in", f"{format_duration(summary.train_wall_s)}, {speed}"),
    ]
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    st.html(f'<table class="sf-table sf-words">{body}</table>')


def _twin(shown: Shown) -> None:
    """The twin's figures beside this run's, priced alike."""
    run = shown.run
    if run.twin is None or run.twin.state is not RunState.SUCCEEDED:
        st.caption(plain(f"No comparison with a twin: {lonely(run)}."))
        return
    twin = api().run(run.twin.id)
    if twin.summary is None:
        return
    other = api().layers(twin.id, mode=shown.lens.mode, profile=shown.lens.profile)
    mine = (shown.summary, shown.layers)
    pairs = sorted((mine, (twin.summary, other)), key=lambda pair: pair[0].kind.value != "snn")
    rows = [
        ("Accuracy", [f"{100 * figures.accuracy:.2f} %" for figures, _ in pairs]),
        ("Macro F1", [f"{figures.f1_macro:.3f}" for figures, _ in pairs]),
        ("Energy per inference", [format_energy(bill.total_energy_pj) for _, bill in pairs]),
        ("ACs", [format_count(bill.total_acs) for _, bill in pairs]),
        ("MACs", [format_count(bill.total_macs) for _, bill in pairs]),
    ]
    head = "".join(f"<th>{figures.kind.value.upper()}</th>" for figures, _ in pairs)
    body = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    with st.container(border=True):
        st.html(f'<div class="sf-scroll"><table class="sf-table"><tr><th></th>{head}</tr>{body}</table></div>')
        (snn, snn_bill), (cnn, cnn_bill) = pairs
        if snn_bill.total_energy_pj > 0 and cnn_bill.total_energy_pj > 0:
            points = 100 * (snn.accuracy - cnn.accuracy)
            st.caption(
                f"{verdict(points, cnn_bill.total_energy_pj / snn_bill.total_energy_pj)} "
                f"(n = {snn.n_test:,} test images, one seed; energy in this mode and profile)."
            )
        st.page_link(
            page("compare"),
            label="Compare the twins",
            icon=":material/balance:",
            query_params={"runs": f"{run.id},{twin.id}"},
        )


def verdict(points: float, ratio: float) -> str:
    """The twins in words. points: of accuracy, the spiking network's minus the CNN's; ratio: CNN energy over SNN energy."""
    dearer, cheaper = ("CNN", "spiking network") if ratio >= 1 else ("spiking network", "CNN")
    lead = points if ratio < 1 else -points
    accuracy = f"{abs(lead):.2f} points {'more' if lead > 0 else 'less'} accurate" if round(lead, 2) else "as accurate"
    return f"The {dearer} takes {max(ratio, 1 / ratio):.2f} times the energy of the {cheaper} and is {accuracy}"


def _examples(run: Run) -> None:
    st.subheader("Confusion examples")
    found = api().examples(run.id, which="first", limit=EXAMPLES)
    if not found.items:
        st.caption("No test image was kept with this run.")
        return
    st.html(examples.html(found))
    st.caption(examples.basis(found, beside=_beside(run, found.twin_run_id)))


def _beside(run: Run, twin_run_id: str | None) -> str:
    return "spiking network and CNN twin side by side" if twin_run_id else lonely(run)
