"""The runs that Explore shows, kept for a while, so that a moved price asks nobody."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from core.report.faults import faults as faults_of
from core.report.priced import Runs, runs_of, together
from core.schemas.catalog import Catalog
from core.schemas.run import RunState
from core.schemas.runs import RunPage
from frontend.client.connection import api
from frontend.pages.explore.address import ALL

KEPT_S = 30.0  # tags and sweeps may change without a new run
FRESH_S = 1.0  # less than any part of the page waits until it looks again


class Asked:
    """The lists of runs that one drawing of the page needs in several places, each asked for once."""

    def __init__(self) -> None:
        self._found: dict[tuple, tuple[float, RunPage]] = {}

    def runs(self, *, state: Sequence[str], limit: int, dataset: str | None = None) -> RunPage:
        """As `Client.runs`; an answer of less than a second ago is the answer."""
        key = (tuple(state), limit, dataset)
        asked, found = self._found.get(key, (-math.inf, None))
        if found is None or time.monotonic() - asked > FRESH_S:
            found = api().runs(state=list(state), limit=limit, dataset=dataset)
            self._found[key] = time.monotonic(), found
        return found

    def newest(self, dataset: str | None = None, *, limit: int = 1) -> RunPage:
        """Of the runs that succeeded, on a data set or on any."""
        return self.runs(state=[RunState.SUCCEEDED.value], limit=limit, dataset=dataset)


class Budget(NamedTuple):
    """The most that an inference may cost, and the prices that say what it does: where runs are stopped depends on them."""

    at_most_pj: float
    profile: str
    times: tuple[tuple[str, float], ...]  # of `ac`, `mac`, `memory`


class _Question(NamedTuple):
    """What the points of a data set depend on, beside its runs."""

    mode: str
    profile: str
    steps: int | None
    archived: bool
    budget: Budget | None


def load(
    catalog: Catalog, asked: Asked, *, dataset: str, mode: str, steps: int | None = None, archived: bool = False,
    budget: Budget | None = None,
) -> Runs:  # fmt: skip
    """All runs on a data set, or on ALL, in a mode; their points are priced at the default profile, or at the budget's prices."""
    profile = catalog.default_profile if budget is None else budget.profile
    question = _Question(mode, profile, steps, archived, budget)
    if dataset != ALL:
        return _load(dataset, question, _version(asked.newest(dataset)))
    return _load_all(tuple(catalog.plotted), question, _version(asked.newest()))


def _version(newest: RunPage) -> tuple[int, str]:
    """Changes when a run on the data set, or on any, succeeds, is deleted or comes back."""
    return newest.total, newest.items[0].id if newest.items else ""


@st.cache_resource(ttl=KEPT_S, max_entries=16, show_spinner=False)  # shared, not copied: nobody changes it
def _load(dataset: str, question: _Question, version: tuple[int, str]) -> Runs:
    budget, told = question.budget, question._asdict()
    del told["budget"]
    bounds = {} if budget is None else {"at_most_pj": budget.at_most_pj, **dict(budget.times)}
    return runs_of(api().pareto_columns(dataset=dataset, **told, **bounds))


@st.cache_resource(ttl=KEPT_S, max_entries=4, show_spinner=False)
def _load_all(datasets: tuple[str, ...], question: _Question, version: tuple[int, str]) -> Runs:
    parts = [_load(name, question, version) for name in datasets]
    return together(parts, dataset="all data sets")


@st.cache_data(ttl=600, max_entries=8, show_spinner=False)
def faults(dataset: str) -> dict[str, str]:
    """Printed table and model -> what the audit contradicts of it on this data set."""
    return faults_of(api().audit().findings, dataset)
