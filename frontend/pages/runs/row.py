"""One run in a list: what it is, what it does, what came out, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import streamlit as st

from core.datasets.catalog import title_of
from core.report.markup import piece
from core.schemas.run import RunState
from core.schemas.runs import Run
from core.units import format_energy
from frontend.client.connection import part, plain
from frontend.keys import Key
from frontend.pages.runs import bulk
from frontend.parts import actions as acts
from frontend.parts import run_state as state
from frontend.parts.pace import POLL_S
from frontend.places import link_run

KEPT = timedelta(days=1)  # in the bin
NOTE_SHOWN = 160  # characters
RETRIABLE = (RunState.FAILED, RunState.CANCELLED, RunState.LOST)


def draw(run: Run, told: Callable[[], Run]) -> None:
    """`told`: the run as it was last told of. While it moves, what it does is drawn anew by itself."""
    with st.container(border=True, key=f"run_row_{run.id}"):
        name, middle, figures, act = st.columns([1.9, 1.9, 1.3, 1], vertical_alignment="center")
        with name, st.container(gap="xsmall"):
            _name(run)
        moves = run.state in (RunState.RUNNING, RunState.CANCELLING)
        with middle:
            # of its own: what another part of the page draws into this place does not reach the browser
            st.fragment(run_every=POLL_S if moves else None)(part(doing))(told)
        with figures, st.container(gap="xsmall"):
            if run.summary is not None:
                st.markdown(f"**{100 * run.summary.accuracy:.1f} %** · {format_energy(run.summary.energy_pj)}")
                st.caption(f"mode {run.summary.mode}, n = {run.summary.n_test:,}")
        with act, st.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
            _acts(run)


def doing(told: Callable[[], Run]) -> None:
    """Its state, and how far it is."""
    with st.container(gap="xsmall"):
        _doing(told())


def _name(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        bulk.box(run)
        if run.deleted_at is None:
            link_run(run.id, run.title)
        else:
            st.markdown(f"**{plain(run.title)}**", width="content")
    config = run.config
    if run.name:
        st.caption(plain(run.described))
    words = [title_of(config.dataset), config.recipe, f"seed {config.seed}", state.ago(run.created_at)]
    if run.imported:
        words.append("imported")
    words += [run.submitter] if run.submitter else []
    words += [f"project {run.project}"] if run.project else []
    st.caption(plain(" · ".join(words)))
    if run.tags or run.note:
        note = run.note if len(run.note) <= NOTE_SHOWN else f"{run.note[:NOTE_SHOWN].rstrip()}…"
        st.html(piece("marks", run.tags, " ".join(note.split())))


def _doing(run: Run) -> None:
    if run.deleted_at is not None:
        left = KEPT.total_seconds() - state.age_s(run.deleted_at)
        gone = f"gone for good in about {state.roughly(left)}" if left > 60 else "about to be removed"
        st.html(state.badge(run.state))
        st.caption(f"Deleted {state.ago(run.deleted_at)}, {gone}; sooner if the disk is full.")
        return
    st.html(state.badge(run.state))
    if run.state in (RunState.RUNNING, RunState.CANCELLING):
        state.bar(run)
    elif run.state is RunState.FAILED and run.error:
        st.caption(plain(run.error.message))
    elif run.state.is_active:
        st.caption(state.sentence(run))


def _acts(run: Run) -> None:
    if run.deleted_at is not None:
        st.button("Bring back", key=Key.RUNS_RESTORE.of(run.id), on_click=acts.restore, args=(run.id,))
        return
    if run.state.is_active:
        st.button(
            "Cancel" if run.state is not RunState.CANCELLING else "Asked to stop",
            key=f"{Key.RUN_CANCEL}_{run.id}",
            on_click=acts.cancel,
            args=(run.id,),
            disabled=run.state is RunState.CANCELLING,
        )
    elif run.state in RETRIABLE:
        st.button("Launch again", key=f"{Key.RUN_RETRY}_{run.id}", on_click=acts.retry, args=(run.id,))
    if st.button(
        "More",
        key=Key.RUNS_MORE.of(run.id),
        type="tertiary",
        icon=":material/more_horiz:",
        help="Tags, note, edit and launch again, delete",
    ):
        st.session_state[Key.RUNS_OPEN] = run.id
        st.rerun()  # a dialog belongs to the page, not to the part of it that polls
