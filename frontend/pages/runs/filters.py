"""Which runs the list shows: kept in the session of this tab, and written in its address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st

from core.schemas.catalog import Catalog
from core.schemas.run import Kind, RunState
from core.schemas.sweep import Sweep
from frontend.client.connection import api
from frontend.keys import Key

GROUPS: dict[str, list[str]] = {
    "active": [item.value for item in RunState if item.is_active],
    "waiting": [RunState.QUEUED.value],
    "succeeded": [RunState.SUCCEEDED.value],
    "failed": [RunState.FAILED.value],
    "stopped": [RunState.CANCELLED.value],
}
RUNS, SWEEPS, BIN = "runs", "sweeps", "bin"
SHOWS = {RUNS: "Runs", SWEEPS: "Sweeps", BIN: "Deleted"}
MOST_SWEEPS = 100

#: Name in the address -> key of the session.
ADDRESS: dict[str, Key] = {
    "show": Key.RUNS_SHOW,
    "q": Key.RUNS_Q,
    "state": Key.RUNS_STATE,
    "dataset": Key.RUNS_DATASET,
    "kind": Key.RUNS_KIND,
    "backbone": Key.RUNS_BACKBONE,
    "recipe": Key.RUNS_RECIPE,
    "tag": Key.RUNS_TAG,
    "sweep": Key.RUNS_SWEEP,
}
FILTERS = tuple(name for name in ADDRESS if name != "show")
LONGEST = 100  # characters that the API takes for a word
LONGEST_TAG = 40


class Choices(NamedTuple):
    """What can be chosen: name -> title."""

    datasets: dict[str, str]
    backbones: dict[str, str]
    recipes: dict[str, str]
    sweeps: dict[str, str]


def choices(catalog: Catalog, sweeps: list[Sweep]) -> Choices:
    return Choices(
        catalog.plotted,
        {item.name: item.title for item in catalog.backbones},
        {item.name: item.title for item in catalog.recipes},
        {item.id: item.name for item in sweeps},
    )


def known(params: Mapping[str, str], allowed: Choices) -> dict[str, str]:
    """The filters in an address; what is in no list is left out, since an address may be old or mistyped.

    A sweep is kept as it is: it may be older than the list, and the API says when there is none.
    """
    tables = {
        "show": SHOWS,
        "state": GROUPS,
        "dataset": allowed.datasets,
        "kind": {kind.value: "" for kind in Kind},
        "backbone": allowed.backbones,
        "recipe": allowed.recipes,
    }
    found = {name: params[name] for name in ADDRESS if params.get(name)}
    return {
        name: value[: LONGEST_TAG if name == "tag" else LONGEST]
        for name, value in found.items()
        if name not in tables or value in tables[name]
    }


def chosen() -> dict[str, str]:
    """The filters of this tab, by their names in the address."""
    found = {name: st.session_state.get(key) for name, key in ADDRESS.items()}
    return {name: str(value) for name, value in found.items() if value and (name, value) != ("show", RUNS)}


def adopt(allowed: Choices) -> None:
    """Take over the filters of an address that somebody opened; before any widget is drawn.

    An address without filters, such as that of the menu, leaves them as they were.
    """
    given = {name: value for name, value in st.query_params.items() if name in ADDRESS}
    memory = st.session_state
    if given and given != memory.get(Key.RUNS_ADDRESS):
        asked = known(given, allowed)
        for name, key in ADDRESS.items():
            memory[key] = asked.get(name, RUNS if name == "show" else "" if name == "q" else None)
        memory.pop(Key.RUNS_CURSORS, None)
    memory.setdefault(Key.RUNS_SHOW, RUNS)


def write_address() -> None:
    """The address says what is shown, so that a reload and a copied address show the same."""
    wanted = chosen()
    if {name: value for name, value in st.query_params.items() if name in ADDRESS} != wanted:
        st.query_params.from_dict(wanted)
    st.session_state[Key.RUNS_ADDRESS] = wanted


def query() -> dict[str, Any]:
    """The filters as the API wants them."""
    now = {name: value for name, value in chosen().items() if name in FILTERS}
    if "state" in now:
        return {**now, "state": GROUPS[now["state"]]}
    return now


def draw(allowed: Choices, tags: list[str]) -> None:
    """Search and state in sight; the rest behind a button that says how many are set."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="runs_filters"):
        st.text_input(
            "Search", key=Key.RUNS_Q, type="search", placeholder="network, tag, note or id", max_chars=LONGEST,
            on_change=first_page, persist_state="session", width=260,
        )  # fmt: skip
        st.pills("State", list(GROUPS), key=Key.RUNS_STATE, on_change=first_page, persist_state="session")
        hidden = [name for name in chosen() if name in FILTERS and name not in ("q", "state")]
        with st.popover(f"Filters ({len(hidden)})" if hidden else "Filters", icon=":material/filter_list:"):
            _more(allowed, tags)
        if any(name in chosen() for name in FILTERS):
            st.button("Clear", on_click=clear, type="tertiary", icon=":material/close:", help="Show every run again")


def clear() -> None:
    for name in FILTERS:
        st.session_state[ADDRESS[name]] = "" if name == "q" else None
    first_page()


def first_page() -> None:
    """Another filter starts at the newest run, with nothing chosen that is out of sight."""
    for key in (Key.RUNS_CURSORS, Key.RUNS_CHOSEN):
        st.session_state.pop(key, None)


def _more(allowed: Choices, tags: list[str]) -> None:
    kinds = {kind.value: kind.value.upper() for kind in Kind}
    sweep = st.session_state.get(Key.RUNS_SWEEP)
    sweeps = allowed.sweeps if sweep is None or sweep in allowed.sweeps else {**allowed.sweeps, sweep: sweep}
    for label, key, titles in (
        ("Data set", Key.RUNS_DATASET, allowed.datasets),
        ("Network", Key.RUNS_KIND, kinds),
        ("Backbone", Key.RUNS_BACKBONE, allowed.backbones),
        ("Recipe", Key.RUNS_RECIPE, allowed.recipes),
        ("Sweep", Key.RUNS_SWEEP, sweeps),
    ):
        st.selectbox(
            label, [None, *titles], key=key, on_change=first_page, persist_state="session", placeholder="all",
            format_func=lambda name, titles=titles: titles.get(name, "all") if name else "all",
        )  # fmt: skip
    tag = st.session_state.get(Key.RUNS_TAG)
    st.selectbox(
        "Tag", [None, *dict.fromkeys([*tags, *([tag] if tag else [])])], key=Key.RUNS_TAG, on_change=first_page,
        format_func=lambda name: name or "all", accept_new_options=True, persist_state="session", placeholder="all",
        help="Those on this page; any other can be typed.",
    )  # fmt: skip


def recent_sweeps() -> list[Sweep]:
    return api().sweeps(limit=MOST_SWEEPS).items
