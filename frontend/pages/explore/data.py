"""The runs that Explore shows, kept for a while, so that a moved price asks nobody."""

from __future__ import annotations

import streamlit as st

from core.report.faults import faults as faults_of
from core.report.priced import Runs, runs_of, together
from core.schemas.catalog import Catalog
from core.schemas.run import RunState
from frontend.client.connection import api
from frontend.pages.explore.address import ALL

KEPT_S = 30.0  # tags and sweeps may change without a new run


def load(catalog: Catalog, *, dataset: str, mode: str, steps: int | None = None, archived: bool = False) -> Runs:
    """All runs on a data set, or on ALL, in a mode; their points are priced at the default profile."""
    if dataset != ALL:
        return _load(dataset, mode, catalog.default_profile, steps, archived, _version(dataset))
    return _load_all(tuple(catalog.plotted), mode, catalog.default_profile, steps, archived, _version(None))


def _version(dataset: str | None) -> tuple[int, str]:
    """Changes when a run on the data set, or on any, succeeds, is deleted or comes back."""
    newest = api().runs(state=[RunState.SUCCEEDED.value], dataset=dataset, limit=1)
    return newest.total, newest.items[0].id if newest.items else ""


@st.cache_resource(ttl=KEPT_S, max_entries=16, show_spinner=False)  # shared, not copied: nobody changes it
def _load(dataset: str, mode: str, profile: str, steps: int | None, archived: bool, version: tuple[int, str]) -> Runs:
    return runs_of(api().pareto_columns(dataset=dataset, mode=mode, profile=profile, steps=steps, archived=archived))


@st.cache_resource(ttl=KEPT_S, max_entries=4, show_spinner=False)
def _load_all(
    datasets: tuple[str, ...], mode: str, profile: str, steps: int | None, archived: bool, version: tuple[int, str]
) -> Runs:
    parts = [_load(name, mode, profile, steps, archived, version) for name in datasets]
    return together(parts, dataset="all data sets")


@st.cache_data(ttl=600, max_entries=8, show_spinner=False)
def faults(dataset: str) -> dict[str, str]:
    """Printed table and model -> what the audit contradicts of it on this data set."""
    return faults_of(api().audit().findings, dataset)
