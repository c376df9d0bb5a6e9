"""To take away: the command that repeats the run, what made its numbers, its files, tables and citations."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.report import run_words as words
from core.report.markup import piece
from core.report.tables import csv_rows as tables
from core.report.tables import exports, html
from core.schemas.runs import Run
from frontend.client.connection import api
from frontend.keys import Key
from frontend.pages.run.section import Shown

WEIGHTS = "weights.safetensors"
ENERGY = "training_energy"  # of the environment: told in a sentence


def draw(shown: Shown) -> None:
    environment = api().environment(shown.run.id)
    left, right = st.columns(2, gap="large")
    with left:
        _repeat(shown, environment)
    with right:
        _downloads(shown)
        _cite(shown, environment)


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
    rows = [
        (name.replace("_", " "), "not known" if value is None else str(value))
        for name, value in _flat({name: value for name, value in environment.items() if name != ENERGY})
    ]
    st.html(html.cells((), rows, kind="sf-words"))
    if energy := words.training_energy(environment):
        st.caption(energy)
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


def _files(run: Run) -> str:
    listed = [
        {"url": api().absolute(item.url), "name": item.name, "size": _size(item.bytes), "digest": item.sha256[:12]}
        for item in run.artifacts
    ]
    return piece("downloads", listed)


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
