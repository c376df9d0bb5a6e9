"""The runs that Explore shows, kept for a while, so that a moved price asks nobody."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from core.schemas.api import Catalog, ParetoColumns
from core.schemas.run import Kind, RunState
from frontend.connection import api
from frontend.elements.explore_address import ALL

KEPT_S = 30.0  # tags and sweeps may change without a new run


def load(catalog: Catalog, *, dataset: str, mode: str, steps: int | None = None) -> ParetoColumns:
    """Operations of all runs on a data set, or on ALL, in a mode; without a price of anybody's choice."""
    names = [info.name for info in catalog.datasets] if dataset == ALL else [dataset]
    found = [_load(name, mode, catalog.default_profile, steps, _version(name)) for name in names]
    if len(found) == 1:
        return found[0]
    return ParetoColumns(
        dataset="all data sets",
        mode=mode,
        profile=catalog.default_profile,
        n=sum(one.n for one in found),
        columns={name: [value for one in found for value in one.columns[name]] for name in found[0].columns},
        front=[],
        published=[point for one in found for point in one.published],
        steps=steps,
        missing=sum(one.missing for one in found),
    )


def _version(dataset: str) -> tuple[int, str]:
    """Changes when a run on the data set succeeds, is deleted or comes back."""
    newest = api().runs(state=[RunState.SUCCEEDED.value], dataset=dataset, limit=1)
    return newest.total, newest.items[0].id if newest.items else ""


@st.cache_resource(ttl=KEPT_S, max_entries=16, show_spinner=False)  # shared, not copied: nobody changes it
def _load(dataset: str, mode: str, profile: str, steps: int | None, version: tuple[int, str]) -> ParetoColumns:
    found = api().pareto_columns(dataset=dataset, mode=mode, profile=profile, steps=steps)
    columns = dict(found.columns)
    columns["kind"] = [Kind(kind) for kind in columns["kind"]]
    columns["mask"] = [tuple(mask) for mask in columns["mask"]]
    columns["finished_at"] = [datetime.fromisoformat(moment) for moment in columns["finished_at"]]
    return found.model_copy(update={"columns": columns})


@st.cache_data(ttl=600, max_entries=8, show_spinner=False)
def faults(dataset: str) -> dict[str, str]:
    """Printed table and model -> what the audit contradicts of it on this data set."""
    found: dict[str, list[str]] = {}
    for finding in api().audit().findings:
        if finding.verdict == "contradicted" and dataset in finding.datasets:
            found.setdefault(f"{finding.table}/{finding.model}", []).append(_words(finding.field))
    return {name: ", ".join(dict.fromkeys(fields)) for name, fields in found.items()}


def _words(field: str) -> str:
    return {"macs": "MACs", "acs": "ACs", "cnn_energy": "energy", "params": "parameters"}.get(
        field, field.replace("_", " ")
    )
