"""Shares: every link that was given away, what it opens and how often it was used; and a new one to anything."""

from __future__ import annotations

import math

import streamlit as st

from core.schemas.run import RunState
from core.schemas.share import Share, ShareTarget, ShareType, ShareView
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.parts import lens, sharing
from frontend.parts import run_state as state
from frontend.places import link, page

PAGE = 20
CHOICE = 100  # newest runs to choose from


def render() -> None:
    st.title("Shares")
    with st.expander("New link", icon=":material/add_link:", expanded=False):
        _new()
    shares = api().shares().items  # with the one that was just made
    if not shares:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown("Nothing is shared. Make a link here, or with *Share* on a finished run.")
            link("runs")
        return
    st.caption("Links are shown once, when they are made; only their hashes are kept. A withdrawn link leads nowhere.")
    living = [share for share in shares if sharing.is_open(share)]
    over = len(shares) - len(living)
    if over and st.toggle(f"Show {over} withdrawn or expired", value=not living, key=Key.SHARE_OVER):
        living = shares
    pages = math.ceil(len(living) / PAGE)
    here = st.pagination(pages, key=Key.SHARE_PAGE) if pages > 1 else 1
    for share in living[(here - 1) * PAGE : here * PAGE]:
        _card(share)


def _card(share: Share) -> None:
    with st.container(border=True, key=f"share_{share.id}"):
        first, second = st.columns([3, 1], vertical_alignment="center")
        with first.container(gap=None):
            _goal(share)
            st.markdown(sharing.badges(share))
            st.caption(plain(sharing.status(share)))
        with second.container(horizontal=True, horizontal_alignment="right"):
            sharing.withdraw(share)


def _goal(share: Share) -> None:
    """The label, leading to what the link shows."""
    target, twin = share.target, share.type == "run" and share.with_twin
    place, query, icon = {
        "run": ("run", {"run": target.run_id}, ":material/monitoring:"),
        "comparison": ("compare", {"runs": ",".join(target.runs or ())}, ":material/balance:"),
        "sweep": ("runs", {"sweep": target.sweep_id}, ":material/list:"),
        "view": ("explore", {"dataset": target.view.dataset if target.view else ""}, ":material/scatter_plot:"),
    }[share.type]
    label = plain(share.label + (", with its twin" if twin else ""))
    st.page_link(page(place), label=label, icon=icon, query_params=query)


def _new() -> None:
    """A form for a link to anything."""
    chosen: ShareType = st.segmented_control(
        "A link to",
        list(sharing.KINDS),
        default="run",
        required=True,
        format_func=sharing.KINDS.__getitem__,
        key=Key.SHARE_NEW_TYPE,
        wrap=True,
    )
    target = {"run": _one_run, "comparison": _several_runs, "sweep": _one_sweep, "view": _one_view}[chosen]()
    if target is not None:
        sharing.form(target, listed=False)


def _one_run() -> ShareTarget | None:
    runs = _finished()
    if not runs:
        st.caption("No run has finished yet.")
        return None
    run_id = st.selectbox("Run", list(runs), format_func=runs.__getitem__, key=Key.SHARE_NEW_RUN)
    return ShareTarget(run_id=run_id, **_lens())


def _several_runs() -> ShareTarget | None:
    runs = _finished()
    chosen = st.multiselect(
        "Two to ten runs, the first being what the others are held against",
        list(runs),
        format_func=runs.__getitem__,
        max_selections=10,
        key=Key.SHARE_NEW_RUNS,
    )
    return ShareTarget(runs=chosen, **_lens()) if len(chosen) >= 2 else None


def _one_sweep() -> ShareTarget | None:
    sweeps = {sweep.id: sweep.name for sweep in api().sweeps(limit=CHOICE).items}
    if not sweeps:
        st.caption("There is no sweep yet. Launch makes one from several masks, seeds or settings.")
        return None
    sweep_id = st.selectbox("Sweep", list(sweeps), format_func=sweeps.__getitem__, key=Key.SHARE_NEW_SWEEP)
    return ShareTarget(sweep_id=sweep_id, **_lens())


def _one_view() -> ShareTarget:
    datasets = {item.name: item.title for item in api().catalog().datasets}
    name = st.selectbox("Data set", list(datasets), format_func=datasets.__getitem__, key=Key.SHARE_NEW_DATASET)
    return ShareTarget(view=ShareView(dataset=name), **_lens())


def _lens() -> dict[str, str]:
    chosen = lens.current(api().catalog())
    return {"mode": chosen.mode, "profile": chosen.profile}


def _finished() -> dict[str, str]:
    """Run id -> words, newest first."""
    runs = api().runs(state=RunState.SUCCEEDED.value, limit=CHOICE).items
    return {run.id: f"{state.source(run)} · {run.id[:6]}" for run in runs}
