"""What trains and waits, above Explore's plot, or the way to the first run; and whether the plot still holds.

The plot is drawn once. A small look every two seconds moves the bars, and a number that rises with every change that
a plot shows tells when the page is to be drawn again: an open tab costs next to nothing, however many its points.
"""

from __future__ import annotations

import streamlit as st

from core.schemas.catalog import DatasetInfo
from core.schemas.run import RunState
from core.schemas.runs import Run, RunPage
from core.schemas.workers import Activity
from frontend.client.connection import api, part, plain
from frontend.parts import run_state as state
from frontend.parts.pace import POLL_S, Pace
from frontend.places import link, link_launch_on, link_run

ACTIVE = [item.value for item in RunState if item.is_active]
QUICK = "digits"  # the data set that the program comes with
FEW = 2  # active runs shown above a plot that is there already


def watch(now: Activity, active: RunPage, pace: Pace, *, first: bool, dataset: DatasetInfo | None) -> None:
    """`now`: what the page is drawn at; `active`: the newest runs that train or wait; `first`: no result is there yet.

    Only a page with something under way asks again by itself.
    """
    shown = active.items if first else _worked_on(active)
    every = POLL_S if active.items else None
    # an empty place where there is nothing to say: what stands below does not move up and is not drawn anew
    st.fragment(run_every=every)(part(_look))([now], now, shown, active.total, pace, first, dataset)


def _look(
    at_hand: list[Activity],
    drawn: Activity,
    shown: list[Run],
    total: int,
    pace: Pace,
    first: bool,
    dataset: DatasetInfo | None,
) -> None:
    now = at_hand.pop() if at_hand else api().activity()
    ended = bool(now.active) != bool(drawn.active)  # then the clock stops
    if ended or (shown and pace.due(changed=now.revision != drawn.revision)):
        st.rerun()
    with st.empty():
        _draw([_as_held(run, now) for run in shown], total, first=first, dataset=dataset)


def _as_held(run: Run, now: Activity) -> Run:
    """As its worker tells of it; one that no worker holds as it was read."""
    held = next((one for worker in now.workers for one in worker.runs if one.id == run.id), None)
    if held is None or held.progress is None:
        return run
    return run.model_copy(update={"state": held.state, "progress": held.progress})


def _worked_on(active: RunPage) -> list[Run]:
    """The newest of those that train, then of those that wait: the newest of all may be a long queue's end."""
    found = list(active.items)
    if active.total > len(found):
        working = [state for state in ACTIVE if state != RunState.QUEUED.value]
        found = [*api().runs(state=working, limit=FEW).items, *found]
    each = {run.id: run for run in found}.values()
    return sorted(each, key=lambda run: run.state is RunState.QUEUED)[:FEW]  # a stable sort: newest first


def _draw(shown: list[Run], total: int, *, first: bool, dataset: DatasetInfo | None) -> None:
    if not shown:
        if first:
            _begin(dataset)
        return
    with st.container(border=True, key="under_way"):
        if first:
            st.markdown("**Your first points are on their way.** They appear here by themselves.")
        for run in shown:
            left, right = st.columns([1, 2.4], vertical_alignment="center")
            with left:
                link_run(run.id, state.source(run))
            with right:
                state.bar(run)
        if hidden := total - len(shown):
            st.caption(f"and {hidden} more")


def _begin(dataset: DatasetInfo | None) -> None:
    """What is true of a data set without a result, and the way to the first one."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="explore_empty"):
        if dataset is None:
            st.markdown("No run of yours has finished yet. The first one, on Digits, takes about a minute.")
            link("launch", "Launch a run")
        elif dataset.ready:
            about = " The first one takes about a minute." if dataset.name == QUICK else ""
            st.markdown(f"No run of yours has finished on {plain(dataset.title)} yet.{about}")
            link_launch_on(dataset.name, f"Launch a run on {plain(dataset.title)}")
        elif dataset.trainable:
            st.markdown(f"{plain(dataset.title)} is not on this machine yet, so nothing has been trained on it.")
            link_launch_on(dataset.name, "See how to get it")
        else:
            st.markdown(
                f"Networks for {plain(dataset.title)} can be counted here, but not trained: no point of your own will "
                "appear. Launch shows their operations."
            )
            link_launch_on(dataset.name, "Count a network for it")
        link("settings", "Images of your own")
