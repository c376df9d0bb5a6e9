"""Which runs the list shows: kept in the session of this tab, and written in its address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st

from core.report.tables.run_rows import GROUPED
from core.schemas.catalog import Catalog
from core.schemas.run import Kind, RunState
from core.schemas.sweep import Sweep
from frontend.client.connection import api
from frontend.keys import Key
from frontend.parts import address
from frontend.parts.address import Part, flag, one_of

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

TABLE, CARDS = "table", "cards"
FORMS = {TABLE: "Table", CARDS: "Cards"}

LONGEST = 100  # characters that the API takes for a word
LONGEST_TAG = 40
LONGEST_OWNER = 64  # of a person's name and of a project's


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


NOTHING = Choices({}, {}, {}, {})


def parts(allowed: Choices = NOTHING) -> dict[str, Part]:
    """Name in the address -> the filter that it stands for; what is in no list is none, since an address may be old or
    mistyped.

    A sweep is kept as it is: it may be older than the list, and the API says when there is none.
    """
    return {
        "show": Part(key=Key.RUNS_SHOW, default=RUNS, read=one_of(SHOWS)),
        "q": Part(key=Key.RUNS_Q, default="", read=lambda text: text[:LONGEST]),
        "state": Part(key=Key.RUNS_STATE, default=None, read=one_of(GROUPS)),
        "dataset": Part(key=Key.RUNS_DATASET, default=None, read=one_of(allowed.datasets)),
        "kind": Part(key=Key.RUNS_KIND, default=None, read=one_of([kind.value for kind in Kind])),
        "backbone": Part(key=Key.RUNS_BACKBONE, default=None, read=one_of(allowed.backbones)),
        "recipe": Part(key=Key.RUNS_RECIPE, default=None, read=one_of(allowed.recipes)),
        "tag": Part(key=Key.RUNS_TAG, default=None, read=lambda text: text[:LONGEST_TAG]),
        "sweep": Part(key=Key.RUNS_SWEEP, default=None, read=lambda text: text[:LONGEST]),
        "submitter": Part(key=Key.RUNS_SUBMITTER, default=None, read=lambda text: text[:LONGEST_OWNER]),
        "project": Part(key=Key.RUNS_PROJECT, default=None, read=lambda text: text[:LONGEST_OWNER]),
        "archived": Part(key=Key.RUNS_ARCHIVED, default=False, read=flag),
        "as": Part(key=Key.RUNS_AS, default=usual_form(), read=one_of(FORMS)),
        "group": Part(key=Key.RUNS_GROUP, default=None, read=one_of(GROUPED)),
    }


def usual_form() -> str:
    """Cards on a phone: there a table of twelve columns would have to be pushed aside for each figure."""
    return CARDS if "Mobi" in (st.context.headers.get("User-Agent") or "") else TABLE


def filters() -> dict[str, Part]:
    """All of the address but how and which list is shown."""
    return {name: part for name, part in parts().items() if name not in ("show", "as", "group")}


def adopt(allowed: Choices) -> None:
    """Take over the filters of an address that somebody opened; before any widget is drawn.

    An address without filters, such as that of the menu, leaves them as they were.
    """
    if address.adopt(parts(allowed), last=Key.RUNS_ADDRESS, kept=("as", "group")):
        st.session_state.pop(Key.RUNS_CURSORS, None)


def write_address() -> None:
    """The address says what is shown, so that a reload and a copied address show the same."""
    address.write(parts(), last=Key.RUNS_ADDRESS, alone=True)


def query() -> dict[str, Any]:
    """The filters as the API wants them."""
    now = address.said(filters())
    return {**now, "state": GROUPS[now["state"]]} if "state" in now else now


def draw(allowed: Choices, tags: list[str]) -> None:
    """Search and state in sight; the rest behind a button that says how many are set."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="runs_filters"):
        st.text_input(
            "Search", key=Key.RUNS_Q, type="search", placeholder="network, tag, note or id", max_chars=LONGEST,
            on_change=first_page, persist_state="session", width=260,
        )  # fmt: skip
        st.pills("State", list(GROUPS), key=Key.RUNS_STATE, on_change=first_page, persist_state="session")
        chosen = address.said(filters())
        hidden = [name for name in chosen if name not in ("q", "state")]
        with st.popover(f"Filters ({len(hidden)})" if hidden else "Filters", icon=":material/filter_list:"):
            _more(allowed, tags)
        if chosen:
            st.button("Clear", on_click=clear, type="tertiary", icon=":material/close:", help="Show every run again")


def clear() -> None:
    for part in filters().values():
        st.session_state[part.key] = part.default
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
    st.toggle("Archived too", key=Key.RUNS_ARCHIVED, on_change=first_page, persist_state="session")
    _word("Tag", Key.RUNS_TAG, tags, help="Those on this page; any other can be typed.")
    _word("Project", Key.RUNS_PROJECT, (), help="As it is written on a run.")
    _word("Whose", Key.RUNS_SUBMITTER, (), help="The name of an account.")


def _word(label: str, key: Key, known: Sequence[str], *, help: str) -> None:
    """One of some words, or any other."""
    chosen = st.session_state.get(key)
    st.selectbox(
        label, [None, *dict.fromkeys([*known, *([chosen] if chosen else [])])], key=key, on_change=first_page,
        format_func=lambda name: name or "all", accept_new_options=True, persist_state="session", placeholder="all",
        help=help,
    )  # fmt: skip


def recent_sweeps() -> list[Sweep]:
    return api().sweeps(limit=MOST_SWEEPS).items
