"""To take away: the command that repeats the run, what made its numbers, its files, tables, citations and figures."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from core.analysis.exits import IMAGE_MODES
from core.report.charts import (
    calibration,
    confusion,
    curves,
    energy,
    exits,
    firing,
    flow,
    gradients,
    steps,
    theme,
    twin,
)
from core.report.tables import csv_rows as tables
from core.report.tables import exports
from core.schemas.run import Kind, RunState
from core.schemas.runs import Run
from frontend.client.connection import api
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.parts.chart_box import image_options

FORMATS = {"svg": "SVG", "png": "PNG"}
WEIGHTS = "weights.safetensors"


def draw(shown: Shown) -> None:
    environment = api().environment(shown.run.id)
    left, right = st.columns(2, gap="large")
    with left:
        _repeat(shown, environment)
    with right:
        _downloads(shown)
        _cite(shown, environment)
    _figures(shown)


def unfinished(run: Run) -> None:
    """Of a run without results: what there is."""
    with st.expander("Repeat it, config", icon=":material/folder_open:"):
        st.markdown("**Repeat this run from a shell**")
        st.code(run.command, language="bash", wrap_lines=True)
        _config(run)


def _repeat(shown: Shown, environment: dict[str, Any]) -> None:
    st.subheader("Repeat this run from a shell")
    st.code(shown.run.command, language="bash", wrap_lines=True)
    st.subheader("What the numbers were made with")
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape('not known' if value is None else str(value))}</td></tr>"
        for name, value in _flat(environment)
    )
    st.html(f'<div class="sf-scroll"><table class="sf-table sf-words">{rows}</table></div>')
    if str(environment.get("git_commit") or "").endswith("+"):
        st.caption("The + says that files differed from that commit.")
    with st.expander("Config", icon=":material/settings:"):
        _config(shown.run)


def _flat(environment: dict[str, Any]) -> list[tuple[str, Any]]:
    """Names as in `environment.json`, those of an object within it after the object's: `teacher accuracy`."""
    found: list[tuple[str, Any]] = []
    for name, value in environment.items():
        inner = [(f"{name} {key}", part) for key, part in value.items()] if isinstance(value, dict) else [(name, value)]
        found += inner
    return found


def _config(run: Run) -> None:
    st.code(run.config.model_dump_json(indent=2), language="json")
    st.caption(f"run `{run.id}` · config hash `{run.config_hash[:16]}` · attempt {run.attempt}")


def _downloads(shown: Shown) -> None:
    run = shown.run
    st.subheader("Download")
    with st.container(horizontal=True, gap="small"):
        if run.bundle_url is not None:
            st.link_button(
                "Bundle (zip)",
                api().absolute(run.bundle_url),
                icon=":material/folder_zip:",
                help="Every file of the run with its SHA-256; another installation can import it",
            )
        weights = next((item for item in run.artifacts if item.name == WEIGHTS), None)
        if weights is not None:
            st.link_button(
                f"Weights ({_size(weights.bytes)})",
                api().absolute(weights.url),
                icon=":material/grid_on:",
                help="safetensors: parameters and running statistics of the best epoch",
            )
        st.download_button(
            "All figures (CSV)",
            data=lambda: tables.as_csv([exports.summary_row(run, shown.summary, shown.layers)]),
            file_name=f"{shown.file_stem}.csv",
            mime="text/csv",
            icon=":material/table:",
            on_click="ignore",
            key=Key.RUN_FILE.of("summary"),
            help="This run in one row, in the mode and profile chosen above",
        )
    with st.expander("Single files", icon=":material/description:"):
        st.html(_files(run))
        st.caption("The links are signed and short-lived; reload the page for fresh ones.")


def _cite(shown: Shown, environment: dict[str, Any]) -> None:
    run, summary = shown.run, shown.summary
    st.subheader("LaTeX row")
    st.code(exports.latex_row(run, summary, shown.layers), language="latex", wrap_lines=True)
    st.subheader("BibTeX")
    catalog = api().catalog()
    citation = next((item.citation for item in catalog.datasets if item.name == summary.dataset), summary.dataset)
    version = str(environment.get("spikefront") or catalog.version)
    entry = exports.bibtex(run, summary, version=version, commit=environment.get("git_commit"), citation=citation)
    st.code(entry, language="latex", wrap_lines=True)


def _figures(shown: Shown) -> None:
    """One figure on white ground as wide as its picture, to be saved by the camera above it."""
    st.subheader("A figure for print")
    figures = _offered(shown)
    first, second, _ = st.columns([1.4, 1, 1.6], vertical_alignment="bottom")
    name = first.selectbox("Figure", list(figures), key=Key.RUN_FIGURE)
    wanted = second.segmented_control(
        "Saved as", list(FORMATS), default="svg", required=True, format_func=FORMATS.__getitem__, key=Key.FIGURE_FORMAT,
        persist_state="session",
    )  # fmt: skip
    figure = figures[name]()
    theme.worded(figure)  # its words as in the other figures' pictures
    theme.dress(figure, "light").update_layout(paper_bgcolor="#ffffff", plot_bgcolor="#ffffff")
    options = image_options(f"{shown.run.id}-{name.lower().replace(' ', '-')}")
    config = {**theme.CONFIG, "displayModeBar": True, "modeBarButtons": [["toImage"]], "toImageButtonOptions": options}
    with st.container(key="print_figure"):
        st.plotly_chart(
            figure, key=Key.RUN_CHART.of("print"), theme=None, config=config, alt=f"{name}, on white ground"
        )
    st.caption(
        f"The camera at the figure's upper right saves it as {FORMATS[wanted]}; those of the other charts now do so too."
    )


def _offered(shown: Shown) -> dict[str, Callable[[], go.Figure]]:
    """Name -> what makes the figure; only the chosen one is made."""
    run, layers, source = shown.run, shown.layers, shown.source
    lens = {"mode": shown.lens.mode, "profile": shown.lens.profile}
    offered: dict[str, Callable[[], go.Figure]] = {
        "Training curves": lambda: curves.figure(api().metrics(run.id), source=source),
        "Confusion matrix": lambda: confusion.figure(api().confusion(run.id), source=source),
        "Energy per layer": lambda: energy.figure(layers, source=source),
        "Energy flow": lambda: flow.figure(layers, source=source),
        "Calibration": lambda: calibration.figure(api().calibration(run.id), source=source),
        "Gradient flow": lambda: gradients.figure(api().gradients(run.id), source=source),
    }
    if shown.summary.kind is Kind.SNN:
        offered["Firing rate"] = lambda: firing.figure(layers, source=source)
        offered["Time steps"] = lambda: steps.figure(api().steps(run.id, **lens), source=source)
        if lens["mode"] in IMAGE_MODES:
            offered["Early exit"] = lambda: exits.figure(api().exits(run.id, **lens), source=source)
    if run.twin is not None and run.twin.state is RunState.SUCCEEDED:
        offered[twin.TITLE] = lambda: twin.figure(api().twin(run.id, **lens), source=source)
    return offered


def _files(run: Run) -> str:
    rows = "".join(
        f'<tr><td><a href="{escape(api().absolute(item.url))}" target="_blank" rel="noreferrer" download>{escape(item.name)}</a></td>'
        f"<td>{_size(item.bytes)}</td><td><code>{escape(item.sha256[:12])}</code></td></tr>"
        for item in run.artifacts
    )
    return f'<div class="sf-scroll"><table class="sf-table"><tr><th>File</th><th>Size</th><th>SHA-256</th></tr>{rows}</table></div>'


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
