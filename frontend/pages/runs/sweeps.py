"""Sweeps: what they are, how far they are, and their groups as mean and deviation over seeds."""

from __future__ import annotations

import streamlit as st

from core.report.sweep_words import axes
from core.schemas.sweep import Sweep, SweepDetail
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts import run_state as state
from frontend.parts.chart_box import csv_button
from frontend.parts.lens import Lens
from frontend.parts.sweep_table import progress, rows, table
from frontend.places import link, link_sweep

PAGE_SIZE = 20


def listing() -> None:
    """A page of sweeps, newest first."""
    memory = st.session_state
    cursors: list[str] = memory.get(Key.RUNS_CURSORS, [])
    shown = api().sweeps(limit=PAGE_SIZE, cursor=cursors[-1] if cursors else None)
    if not shown.items:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(
                "No sweep yet. A sweep is several runs that are launched together, such as one mask over seeds."
            )
            link("launch", "Launch a sweep")
        return
    st.caption(f"{shown.total:,} sweep{'' if shown.total == 1 else 's'}, newest first")
    for sweep in shown.items:
        _row(sweep)
    pager(cursors, shown.next_cursor)


def pager(cursors: list[str], next_cursor: str | None) -> None:
    """Newer and older: the cursors of the pages before are kept, since a cursor only leads on."""
    with st.container(horizontal=True):
        if cursors:
            st.button("Newer", icon=":material/arrow_back:", on_click=_turn, args=(cursors[:-1],))
        if next_cursor:
            st.button("Older", icon=":material/arrow_forward:", on_click=_turn, args=([*cursors, next_cursor],))


def _turn(cursors: list[str]) -> None:
    st.session_state[Key.RUNS_CURSORS] = cursors


def groups(detail: SweepDetail) -> None:
    """The groups of one sweep as a table, with CSV."""
    with st.container(border=True, key="runs_sweep_groups"):
        head, act = st.columns([3, 1.4], vertical_alignment="center")
        with head:
            st.markdown(f"**{plain(detail.name)}** · {plain(progress(detail))}")
            st.caption(plain(axes(detail)))
            link_sweep(detail.id, "Plots of this sweep")
        with act:
            _acts(detail)
        st.html(table(detail.groups))
        st.caption(
            plain(
                f"Mean ± sample deviation over n seeds that have succeeded; energy in mode {detail.mode} at "
                f"{detail.profile}. One run has no deviation."
            )
        )
        csv_button(
            lambda: rows(detail),
            key=Key.RUNS_SWEEP_ACT.of("csv"),
            file_name=f"spikefront-sweep-{detail.id}.csv",
            what=detail.name,
        )


def detail_of(sweep_id: str, lens: Lens) -> SweepDetail:
    return api().sweep(sweep_id, mode=lens.mode, profile=lens.profile)


def _row(sweep: Sweep) -> None:
    with st.container(border=True, key=f"sweep_row_{sweep.id}"):
        first, second, third = st.columns([2, 1.6, 1.6], vertical_alignment="center")
        with first, st.container(gap="xsmall"):
            link_sweep(sweep.id, plain(sweep.name))
            st.caption(plain(f"{axes(sweep)} · {state.ago(sweep.created_at)}"))
        with second:
            ended = sum(count for one, count in sweep.states.items() if one.is_final)
            st.progress(ended / sweep.n_runs if sweep.n_runs else 1.0, text=plain(progress(sweep)))
        with third:
            _acts(sweep, listed=True)


def _acts(sweep: Sweep, *, listed: bool = False) -> None:
    with st.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
        if listed and st.button("Open", key=Key.RUNS_SWEEP_ACT.of(f"open_{sweep.id}")):
            st.query_params.from_dict({"sweep": sweep.id})  # the page takes its filters from a new address
            st.rerun()
        if any(one.is_active for one, count in sweep.states.items() if count):
            st.button(
                "Cancel", key=Key.RUNS_SWEEP_ACT.of(f"cancel_{sweep.id}"), on_click=acts.cancel_sweep, args=(sweep.id,)
            )
        st.button(
            "Forget",
            key=Key.RUNS_SWEEP_ACT.of(f"forget_{sweep.id}"),
            on_click=acts.forget_sweep,
            args=(sweep.id,),
            type="tertiary",
            help="Only the grouping is forgotten; the runs stay",
        )
