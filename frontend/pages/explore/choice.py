"""Runs chosen in Explore's plot: they gather for Compare, and the newest can be opened."""

from __future__ import annotations

import streamlit as st

from core.schemas.compare import FEWEST, MOST
from core.schemas.pareto import ParetoPoint
from frontend.client.connection import plain
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts.chart_box import chosen_runs
from frontend.places import link_run, open_place

NAMED = 3  # of the chosen runs, by name


def chosen() -> list[str]:
    return list(st.session_state.get(Key.COMPARE_RUNS, []))


def take() -> None:
    """A click, a box or a lasso adds its runs to those chosen before; for the plot's `on_select`."""
    found = chosen_runs(st.session_state.get(Key.EXPLORE_CHART))
    together = list(dict.fromkeys([*chosen(), *found]))
    st.session_state[Key.COMPARE_RUNS] = together[:MOST]
    if len(together) > MOST:
        st.toast(f"Compare takes {MOST} runs at most: the first {MOST} are kept.", icon=":material/info:")


def clear() -> None:
    st.session_state[Key.COMPARE_RUNS] = []


def _archive(ids: list[str]) -> None:
    acts.many("archive", ids)
    clear()


def bar(points: dict[str, ParetoPoint]) -> None:
    """`3 runs chosen`, with the ways on; nothing where none is. `points`: the runs that the plot knows."""
    ids = chosen()
    if not ids:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="explore_chosen"):
        st.markdown(f"**{len(ids)} run{'' if len(ids) == 1 else 's'} chosen**", width="content")
        for run_id in ids[-NAMED:]:
            point = points.get(run_id)
            with st.container(width="content"):
                link_run(run_id, plain(f"{point.title}, seed {point.seed}" if point else f"run {run_id[:8]}"))
        if len(ids) > NAMED:
            st.caption(f"and {len(ids) - NAMED} more", width="content")
        if st.button(
            "Compare",
            key=Key.EXPLORE_COMPARE,
            icon=":material/balance:",
            disabled=len(ids) < FEWEST,
            help=None if len(ids) >= FEWEST else "Choose one more: click, or draw a box or a lasso.",
        ):
            open_place("compare")
        st.button("Archive", key=Key.EXPLORE_ARCHIVE, on_click=_archive, args=(ids,), icon=":material/archive:",
                  help="Leave these runs out of Explore and Runs until archived ones are asked for")  # fmt: skip
        st.button("Clear", key=Key.EXPLORE_CLEAR, on_click=clear, type="tertiary", icon=":material/close:")
