"""Runs: all of them, newest first, with state and progress; filter, open, cancel."""

from __future__ import annotations

import streamlit as st

from core.schemas.api import Catalog, Run
from core.schemas.run import Kind, RunState
from core.units import format_energy
from frontend.connection import api, part, plain
from frontend.elements import acts, state
from frontend.keys import Key
from frontend.pages import link, link_run

PAGE_SIZE = 25
POLL_S = 2.0
GROUPS: dict[str, list[str]] = {
    "active": [item.value for item in RunState if item.is_active],
    "succeeded": [RunState.SUCCEEDED.value],
    "failed": [RunState.FAILED.value],
    "stopped": [RunState.CANCELLED.value],
}


def render() -> None:
    catalog = api().catalog()
    st.title("Runs")
    _filters(catalog)
    active = api().runs(state=GROUPS["active"], limit=1)
    st.fragment(run_every=POLL_S if active.items else None)(part(_list))(bool(active.items))


def _filters(catalog: Catalog) -> None:
    first, second, third = st.columns([1.6, 1, 1])
    titles = {item.name: item.title for item in catalog.datasets}
    first.pills("State", list(GROUPS), key=Key.RUNS_STATE, on_change=_first_page, persist_state="session")
    second.selectbox(
        "Data set", [None, *titles], format_func=lambda name: titles.get(name, "all"), key=Key.RUNS_DATASET,
        on_change=_first_page, persist_state="session",
    )  # fmt: skip
    third.selectbox(
        "Network", [None, *Kind], format_func=lambda kind: kind.value.upper() if kind else "all", key=Key.RUNS_KIND,
        on_change=_first_page, persist_state="session",
    )  # fmt: skip


def _list(polling: bool) -> None:
    if polling and not api().runs(state=GROUPS["active"], limit=1).items:
        st.rerun()
    memory = st.session_state
    cursors: list[str] = memory.get(Key.RUNS_CURSORS, [])
    kind = memory.get(Key.RUNS_KIND)
    shown = api().runs(
        state=GROUPS.get(memory.get(Key.RUNS_STATE)),
        dataset=memory.get(Key.RUNS_DATASET),
        kind=kind.value if kind else None,
        limit=PAGE_SIZE,
        cursor=cursors[-1] if cursors else None,
    )
    if not shown.items:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            chosen = any(memory.get(key) for key in (Key.RUNS_STATE, Key.RUNS_DATASET, Key.RUNS_KIND))
            st.markdown("No run fits these filters." if chosen else "No run yet.")
            link("launch", "Launch a run")
        return
    st.caption(f"{shown.total:,} run{'' if shown.total == 1 else 's'}, newest first")
    for run in shown.items:
        _row(run)
    with st.container(horizontal=True):
        if cursors and st.button("Newer", icon=":material/arrow_back:"):
            memory[Key.RUNS_CURSORS] = cursors[:-1]
            st.rerun(scope="fragment")
        if shown.next_cursor and st.button("Older", icon=":material/arrow_forward:"):
            memory[Key.RUNS_CURSORS] = [*cursors, shown.next_cursor]
            st.rerun(scope="fragment")


def _row(run: Run) -> None:
    with st.container(border=True, key=f"run_row_{run.id}"):
        name, doing, figures, act = st.columns([1.7, 2, 1.5, 0.7], vertical_alignment="center")
        with name:
            link_run(run.id, run.label)
            words = [run.config.dataset, run.config.recipe, f"seed {run.config.seed}", state.ago(run.created_at)]
            st.caption(plain(" · ".join(words)))
        with doing:
            st.html(state.badge(run.state))
            if run.state in (RunState.RUNNING, RunState.CANCELLING):
                state.bar(run)
            elif run.state is RunState.FAILED and run.error:
                st.caption(plain(run.error.message))
            elif run.state.is_active:
                st.caption(state.sentence(run))
        with figures:
            if run.summary is not None:
                st.markdown(f"**{100 * run.summary.accuracy:.1f} %** · {format_energy(run.summary.energy_pj)}")
                st.caption(f"mode {run.summary.mode}, n = {run.summary.n_test:,}")
        with act:
            if run.state.is_active:
                st.button(
                    "Cancel",
                    key=f"{Key.RUN_CANCEL}_{run.id}",
                    on_click=acts.cancel,
                    args=(run.id,),
                    disabled=run.state is RunState.CANCELLING,
                    width="stretch",
                )


def _first_page() -> None:
    st.session_state.pop(Key.RUNS_CURSORS, None)
