"""Runs: who trains and what waits; all runs, found, marked, repeated, removed; sweeps as groups; imports."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.schemas.catalog import Catalog
from core.schemas.runs import Run
from core.schemas.share import ShareTarget
from frontend.client.api import ApiProblem
from frontend.client.connection import api, part, show_problem
from frontend.keys import Key
from frontend.pages.runs import bulk, import_bundle, live, sweeps, table
from frontend.pages.runs import filters as run_filters
from frontend.pages.runs import row as run_row
from frontend.parts import lens, run_dialog, sharing
from frontend.places import link

PAGE_SIZE = 25


def render() -> None:
    now = api().activity()  # first: what is read after it is at least as new
    catalog = api().catalog()
    allowed = run_filters.choices(catalog, run_filters.recent_sweeps())
    run_filters.adopt(allowed)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Runs")
        asked = st.button("Import", icon=":material/upload_file:", help="A finished run from elsewhere, as a zip")
        st.session_state[Key.RUNS_IMPORTING] = asked
        if asked:
            import_bundle.draw()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control(
            "Show", list(run_filters.SHOWS), key=Key.RUNS_SHOW, required=True, persist_state="session",
            format_func=run_filters.SHOWS.__getitem__, on_change=run_filters.first_page, label_visibility="collapsed",
        )  # fmt: skip
        if st.session_state[Key.RUNS_SHOW] == run_filters.RUNS:
            st.segmented_control(
                "As", list(run_filters.FORMS), key=Key.RUNS_AS, required=True, persist_state="session",
                format_func=run_filters.FORMS.__getitem__, on_change=run_filters.first_page, label_visibility="collapsed",
            )  # fmt: skip
    runs = st.session_state[Key.RUNS_SHOW] == run_filters.RUNS
    tabled = runs and st.session_state[Key.RUNS_AS] == run_filters.TABLE
    rows = live.Rows()
    live.watch(now, panel=runs, redraws=not tabled, rows=rows)
    if tabled:
        part(_tabled)(catalog, allowed)
    else:
        st.fragment(part(_body))(catalog, allowed, rows)
    if opened := st.session_state.get(Key.RUNS_OPEN):
        run_dialog.draw(opened, catalog)


def _tabled(catalog: Catalog, allowed: run_filters.Choices) -> None:
    """The table: what changes elsewhere is said above it, and moves nothing."""
    run_filters.draw(allowed, st.session_state.get(Key.RUNS_TAGS, []))
    with st.container():
        _sweep(catalog)
    filters = run_filters.query()
    if not table.draw(filters, lens.current(catalog), sweeps=allowed.sweeps):
        _empty(filters)
    bulk.notice()
    run_filters.write_address()


def _body(catalog: Catalog, allowed: run_filters.Choices, rows: live.Rows) -> None:
    rows.begin()
    show = st.session_state[Key.RUNS_SHOW]
    if show == run_filters.SWEEPS:
        sweeps.listing()
    elif show == run_filters.BIN:
        _list({"deleted": True}, rows)
    else:
        run_filters.draw(allowed, st.session_state.get(Key.RUNS_TAGS, []))
        with st.container():  # a place of its own, also when it is empty: rows do not move when it fills
            _sweep(catalog)
        _list(run_filters.query(), rows)
    bulk.notice()
    run_filters.write_address()


def _sweep(catalog: Catalog) -> None:
    """The groups of the sweep that the list is narrowed to."""
    sweep_id = st.session_state.get(Key.RUNS_SWEEP)
    if not sweep_id:
        return
    chosen = lens.current(catalog)
    try:
        sweeps.groups(sweeps.detail_of(sweep_id, chosen))
    except ApiProblem as problem:  # such as: forgotten in another tab
        show_problem(problem)
        return
    sharing.draw(ShareTarget(sweep_id=sweep_id, mode=chosen.mode, profile=chosen.profile))


def _list(filters: dict, rows: live.Rows) -> None:
    memory = st.session_state
    cursors: list[str] = memory.get(Key.RUNS_CURSORS, [])
    shown = api().runs(**filters, limit=PAGE_SIZE, cursor=cursors[-1] if cursors else None)
    deleted = bool(filters.get("deleted"))
    if not shown.items:
        _empty(filters)
        return
    count = f"{shown.total:,} run{'' if shown.total == 1 else 's'}, newest first"
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        bulk.box_of_page(shown.items)
        st.caption(count, width="content")
    with st.container():
        bulk.bar(deleted=deleted)
    for run in shown.items:
        rows.add(run)
        run_row.draw(run, partial(rows.told, run.id))
        rows.drawn()
    sweeps.pager(cursors, shown.next_cursor)
    memory[Key.RUNS_TAGS] = tags_of(shown.items)


def tags_of(runs: list[Run]) -> list[str]:
    """The tags in sight, each once, by name."""
    return sorted({tag for run in runs for tag in run.tags})


def _empty(filters: dict) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if filters.get("deleted"):
            st.markdown("Nothing is deleted.")
        elif filters:
            st.markdown("No run fits these filters.")
            st.button("Show every run", on_click=run_filters.clear)
        else:
            st.markdown("No run yet.")
            link("launch", "Launch a run")
