"""What a finished run comes to: what its figures rest on, its twin beside it, what stands out, curves, examples."""

from __future__ import annotations

import streamlit as st

from core.analysis.findings import chance_finding, diagnostic_headlines, gradient_findings
from core.datasets.catalog import title_of
from core.report.charts import curves
from core.report.tables import html as tables
from core.report.twin_words import twins
from core.schemas.run import KEPT, Kind, RunState
from core.schemas.runs import Run
from core.units import format_count, format_duration, format_energies
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
    matrix = api().confusion(shown.run.id).matrix
    if (chance := chance_finding(shown.summary.accuracy, [sum(row) for row in matrix])) is not None:
        found = [chance, *found]
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
    st.html(tables.facts(rows))


def _twin(shown: Shown) -> None:
    """The twin's figures beside this run's, priced alike."""
    run = shown.run
    if run.twin is None or run.twin.state is not RunState.SUCCEEDED:
        st.caption(plain(f"No comparison with a twin: {lonely(run)}."))
        return
    twin = api().run(run.twin.id)
    if twin.summary is None:
        return
    found = api().compare([run.id, twin.id], mode=shown.lens.mode, profile=shown.lens.profile)
    pairs = sorted(found.runs, key=lambda one: one.kind.value != "snn")
    rows = [
        ("Accuracy", [f"{100 * one.accuracy:.2f} %" for one in pairs]),
        ("Macro F1", [f"{one.f1_macro:.3f}" for one in pairs]),
        ("Energy per inference", format_energies([one.energy_pj for one in pairs])),
        ("ACs", [format_count(one.acs) for one in pairs]),
        ("MACs", [format_count(one.macs) for one in pairs]),
    ]
    head = ["", *(one.kind.value.upper() for one in pairs)]
    with st.container(border=True):
        st.html(tables.table(head, [(name, *values) for name, values in rows], label="This run and its twin"))
        for pair in found.twins:
            st.caption(plain(" ".join(twins(pair, mode=found.mode, steps=pairs[0].config.steps))))
        st.page_link(
            page("compare"),
            label="Compare the twins",
            icon=":material/balance:",
            query_params={"runs": f"{run.id},{twin.id}"},
        )


def _examples(run: Run) -> None:
    st.subheader("Confusion examples")
    found = api().examples(run.id, which="spread", limit=EXAMPLES)
    if not found.items:
        st.caption("No test image was kept with this run.")
        return
    st.html(examples.html(found))
    st.caption(examples.basis(found, beside=_beside(run, found.twin_run_id)))


def _beside(run: Run, twin_run_id: str | None) -> str:
    return "spiking network and CNN twin side by side" if twin_run_id else lonely(run)
