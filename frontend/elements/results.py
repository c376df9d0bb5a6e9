"""A finished run's figures and charts, in the order in which one asks for them."""

from __future__ import annotations

from html import escape
from typing import Literal

import streamlit as st

from core.schemas.api import Layers, Run
from core.schemas.results import Summary
from core.schemas.run import Kind, RunState
from core.units import format_count, format_duration, format_energy
from frontend.charts import confusion, curves, energy, firing, gradients, theme
from frontend.connection import api, part
from frontend.elements import examples, lens, state
from frontend.elements.figures import show
from frontend.keys import Key

TWIN_POLL_S = 3.0
WHICH: dict[str, str] = {"first": "First images", "wrong": "Wrong answers", "disagree": "Twins disagree"}


def draw(run: Run, summary: Summary) -> None:
    """Headline, twin comparison, curves, confusion, examples, gradients, firing and energy."""
    first, second, _ = st.columns([1.2, 1.4, 1.4])
    chosen = lens.picker(api().catalog(), first, second)
    layers = api().layers(run.id, mode=chosen.mode, profile=chosen.profile)
    _headline(summary, layers)
    left, right = st.columns([1, 1.15], gap="large")
    with left:
        _basis(summary, layers)
    with right:
        _twin(run, summary, layers, chosen)
    source = theme.source(run.label, summary)
    left, right = st.columns(2, gap="large")
    with left:
        show(curves.figure(api().metrics(run.id), source=source), key=Key.RUN_CHART.of("curves"))
    with right:
        show(confusion.figure(api().confusion(run.id), source=source), key=Key.RUN_CHART.of("confusion"))
    _examples(run)
    left, right = st.columns(2, gap="large")
    with left:
        show(energy.figure(layers, source=source), key=Key.RUN_CHART.of("energy"))
    with right:
        show(firing.figure(layers, source=source), key=Key.RUN_CHART.of("firing"))
    show(gradients.figure(api().gradients(run.id), source=source), key=Key.RUN_CHART.of("gradients"))


def _headline(summary: Summary, layers: Layers) -> None:
    figures = [
        ("Accuracy", f"{100 * summary.accuracy:.2f} %", "top-1 on the test set, of the epoch with the best validation accuracy"),
        ("Macro F1", f"{summary.f1_macro:.3f}", "mean over the classes"),
        ("Energy", format_energy(layers.total_energy_pj), "estimated, per inference, in the mode and profile chosen above"),
        ("ACs", format_count(layers.total_acs), "accumulates per inference in this mode"),
        ("MACs", format_count(layers.total_macs), "multiply-accumulates per inference in this mode"),
        ("Parameters", f"{summary.params:,}", "trainable"),
        ("Firing rate", "none" if summary.firing_rate is None else f"{summary.firing_rate:.3f}",
         "spikes / (neurons × T) on the test set; a CNN has no spikes"),
    ]  # fmt: skip
    with st.container(horizontal=True, key="headline", gap="small"):
        for name, value, meaning in figures:
            st.metric(name, value, help=meaning, width="content", border=True)


def _twin(run: Run, summary: Summary, layers: Layers, chosen: lens.Lens) -> None:
    """The twin's figures beside this run's, priced alike."""
    if run.twin is None or run.twin.state is not RunState.SUCCEEDED:
        return
    twin = api().run(run.twin.id)
    if twin.summary is None:
        return
    other = api().layers(twin.id, mode=chosen.mode, profile=chosen.profile)
    pairs = sorted(((summary, layers), (twin.summary, other)), key=lambda pair: pair[0].kind.value != "snn")
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
            ratio = cnn_bill.total_energy_pj / snn_bill.total_energy_pj
            verdict = f"{ratio:.2f} times less" if ratio >= 1 else f"{1 / ratio:.2f} times more"
            st.caption(
                f"In this mode and profile the spiking network takes {verdict} energy than its CNN twin, with "
                f"{100 * (snn.accuracy - cnn.accuracy):+.2f} points of accuracy (n = {snn.n_test:,} test images, one seed)."
            )


def _basis(summary: Summary, layers: Layers) -> None:
    """What the figures rest on."""
    data = "complete data set" if summary.dataset_complete else "a SUBSET of the published data set"
    validated = f"{100 * summary.best_validation_accuracy:.2f} %, n = {summary.n_validation:,}"
    steps = f", T = {layers.time_steps}" if summary.kind is Kind.SNN else ""
    speed = f"{summary.train_images_per_s:,.0f} images/s on {summary.device}"
    rows = [
        ("Tested on", f"n = {summary.n_test:,} images, seed {summary.seed}"),
        ("Trained on", f"{summary.n_train:,} of {summary.n_train_available:,} images of {summary.dataset}, {data}"),
        ("Chosen", f"epoch {summary.best_epoch} of {summary.epochs_run}, by the validation accuracy ({validated})"),
        ("Energy", f"estimated, mode {layers.mode}, profile {layers.profile}{steps}"),
        ("Trained in", f"{format_duration(summary.train_wall_s)}, {speed}"),
    ]
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    st.html(f'<table class="sf-table sf-words">{body}</table>')


def _examples(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader("Confusion examples", width="content")
        which = st.segmented_control(
            "Which images", list(WHICH), default="first", required=True, format_func=WHICH.__getitem__,
            key=Key.RUN_EXAMPLES, label_visibility="collapsed",
        )  # fmt: skip
    found = api().examples(run.id, which=which, limit=12)
    if not found.items:
        st.caption(_nothing(which, twin=found.twin_run_id is not None))
        return
    st.html(examples.html(found))
    beside = "spiking network and CNN twin side by side" if found.twin_run_id else _lonely(run)
    st.caption(f"{len(found.items)} of {found.n_test:,} test images, {beside}; ✗ marks an error. "
               "Small bars: confidence after each time step.")  # fmt: skip


def _lonely(run: Run) -> str:
    if run.twin is None:
        return "its twin has not been trained yet"
    return f"its {run.twin.kind.value.upper()} twin: {state.WORDS[run.twin.state]}"


def wait_for_twin(run: Run) -> None:
    """While the twin is under way, look after it: its answers join the page when it has ended."""
    if run.twin is not None and run.twin.state.is_active:
        st.fragment(run_every=TWIN_POLL_S)(part(_look_for_twin))(run.twin.id)


def _look_for_twin(twin_id: str) -> None:
    if not api().run(twin_id).state.is_active:
        st.rerun()


def _nothing(which: Literal["first", "wrong", "disagree"] | str, *, twin: bool) -> str:
    if which == "disagree" and not twin:
        return "There is no finished twin to disagree with. Launch it with the same settings."
    return "No stored test image fits: nothing wrong among them." if which == "wrong" else "No stored test image fits."


def details(run: Run) -> None:
    """How to repeat the run, its files and its config."""
    with st.expander("Repeat it, files, config", icon=":material/folder_open:"):
        st.markdown("**Repeat this run from a shell**")
        st.code(run.command, language="bash", wrap_lines=True)
        if run.artifacts:
            st.markdown("**Files of the bundle**")
            st.html(_files(run))
            st.caption("The links are signed and short-lived; reload the page for fresh ones.")
        st.markdown("**Config**")
        st.code(run.config.model_dump_json(indent=2), language="json")
        st.caption(f"run `{run.id}` · config hash `{run.config_hash[:16]}` · attempt {run.attempt}")


def _files(run: Run) -> str:
    rows = "".join(
        f'<tr><td><a href="{escape(api().absolute(item.url))}" target="_blank" rel="noreferrer" download>{escape(item.name)}</a></td>'
        f"<td>{_size(item.bytes)}</td><td><code>{escape(item.sha256[:12])}</code></td></tr>"
        for item in run.artifacts
    )
    return f'<div class="sf-scroll"><table class="sf-table"><tr><th>File</th><th>Size</th><th>SHA-256</th></tr>{rows}</table></div>'


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
