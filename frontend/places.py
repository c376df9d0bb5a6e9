"""The table of pages, and the ways from one to another. A view never names another view's file."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import streamlit as st

from frontend.client.connection import page as resilient
from frontend.keys import Key


@dataclass(frozen=True, kw_only=True)
class Place:
    """One page: its address is `/name`, its code `frontend.pages.<name>.page.render`."""

    name: str
    title: str
    icon: str | None
    hidden: bool = False


PLACES: dict[str, Place] = {
    place.name: place
    for place in (
        Place(name="explore", title="Explore", icon=":material/scatter_plot:"),
        Place(name="launch", title="Launch", icon=":material/play_arrow:"),
        Place(name="runs", title="Runs", icon=":material/list:"),
        Place(name="run", title="Run", icon=None, hidden=True),
        Place(name="sweep", title="Sweep", icon=None, hidden=True),
        Place(name="compare", title="Compare", icon=":material/balance:"),
        Place(name="audit", title="Audit", icon=":material/fact_check:"),
        Place(name="tryit", title="Try it", icon=":material/animation:"),
        Place(name="shares", title="Shares", icon=":material/link:"),
        Place(name="settings", title="Settings", icon=":material/tune:"),
    )
}


PRODUCT = "Spikefront"


def entitle(name: str, subject: str = "") -> None:
    """The browser tab's title, the subject first since a tab shows little: `Digits · Explore · Spikefront`."""
    st.set_page_config(page_title=" · ".join(part for part in (subject, PLACES[name].title, PRODUCT) if part))


def page(name: str) -> st.Page:
    """The Streamlit page of a place; two calls give equal pages, since Streamlit knows them by address."""
    place = PLACES[name]
    return st.Page(
        _render(name),
        title=place.title,
        icon=place.icon,
        url_path=name,
        default=name == "explore",
        visibility="hidden" if place.hidden else "visible",
    )


def _render(name: str) -> Callable[[], None]:
    def render() -> None:
        memory = st.session_state
        memory[Key.STAYED], memory[Key.PAGE] = memory.get(Key.PAGE) == name, name
        entitle(name)
        # A view is imported when it is first opened, which keeps the start short.
        resilient(importlib.import_module(f"frontend.pages.{name}.page").render)()

    return render


def open_run(run_id: str) -> NoReturn:
    """Go to a run's page; the id stands in the address, so that a reload stays there."""
    st.switch_page(page("run"), query_params={"run": run_id})


def open_place(name: str, **query: str) -> NoReturn:
    """Go to a place, with query parameters such as `sweep` of the list of runs."""
    st.switch_page(page(name), query_params=query)


def link_run(run_id: str, label: str, *, icon: str | None = None) -> None:
    st.page_link(page("run"), label=label, icon=icon, query_params={"run": run_id})


def link_sweep(sweep_id: str, label: str) -> None:
    st.page_link(page("sweep"), label=label, icon=":material/grid_view:", query_params={"sweep": sweep_id})


def link_compare(run_ids: Sequence[str], label: str) -> None:
    """To the runs side by side; the first is what the others are held against."""
    st.page_link(page("compare"), label=label, icon=PLACES["compare"].icon, query_params={"runs": ",".join(run_ids)})


def link_row(row: str, label: str = "Reproduce this row") -> None:
    """To the launch form, filled in with a printed row such as `table1/cifar10/SqueezeNet-P`."""
    st.page_link(page("launch"), label=label, icon=PLACES["launch"].icon, query_params={"row": row})


def link_launch(run_id: str, label: str, *, go_on: bool = False, icon: str | None = None) -> None:
    """To the launch form, filled in as a run was launched; with `go_on` to start from that run's weights."""
    query = {"from": run_id} | ({"start": "bundle"} if go_on else {})
    st.page_link(page("launch"), label=label, icon=icon or PLACES["launch"].icon, query_params=query)


def link_launch_on(dataset: str, label: str) -> None:
    """To the launch form with that data set chosen."""
    st.page_link(page("launch"), label=label, icon=PLACES["launch"].icon, query_params={"dataset": dataset})


def link(name: str, label: str | None = None) -> None:
    st.page_link(page(name), label=label or PLACES[name].title, icon=PLACES[name].icon)
