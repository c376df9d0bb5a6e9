"""What moves on the page while nobody touches it: the queue, the bars of runs that train, and whether the rest still holds.

The list is drawn once. A small look every two seconds tells who trains what, and a number that rises with every change
that a list shows: only then is the page drawn again. So an open tab costs next to nothing, however long its list.
"""

from __future__ import annotations

import streamlit as st

from core.schemas.runs import Run
from core.schemas.workers import Activity
from frontend.client.connection import api, part
from frontend.keys import Key
from frontend.pages.runs import queue
from frontend.parts.pace import IDLE_S, POLL_S, Pace


class Rows:
    """The runs in sight, each as it was last told of."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._runs: dict[str, Run] = {}

    def begin(self) -> None:
        """The list is drawn anew. Runs that leave it stay known: their bars may be drawn once more before they are gone."""
        self._pace.begin()

    def add(self, run: Run) -> None:
        """Is about to be drawn."""
        self._runs[run.id] = run

    def drawn(self) -> None:
        """All that was added is."""
        self._pace.drawn()

    def due(self, *, changed: bool) -> bool:
        """Whether the list shall be drawn again."""
        return self._pace.due(changed=changed)

    def told(self, run_id: str) -> Run:
        """Of a run in sight."""
        return self._runs[run_id]

    def tell(self, now: Activity) -> None:
        """Take over what its worker says of each run in sight that one holds."""
        for brief in (brief for worker in now.workers for brief in worker.runs):
            if brief.progress is not None and (run := self._runs.get(brief.id)) is not None:
                self._runs[run.id] = run.model_copy(update={"state": brief.state, "progress": brief.progress})


def watch(now: Activity, *, panel: bool, redraws: bool, rows: Rows) -> None:
    """`now`: what the page is drawn at; `panel`: with workers and queue; `redraws`: whether the list follows changes."""
    every = POLL_S if now.active else IDLE_S
    st.fragment(run_every=every)(part(_look))([now], now, panel, redraws, rows)


def _look(at_hand: list[Activity], drawn: Activity, panel: bool, redraws: bool, rows: Rows) -> None:
    now = at_hand.pop() if at_hand else api().activity()
    began_or_ended = bool(now.active) != bool(drawn.active)  # then the clock runs faster or slower
    due = began_or_ended or (redraws and rows.due(changed=now.revision != drawn.revision))
    if due and not _dialog_open():
        st.rerun()
    if panel:
        with st.container():
            queue.draw(now)
    rows.tell(now)


def _dialog_open() -> bool:
    """What somebody is about to read or send there would be gone."""
    return bool(st.session_state.get(Key.RUNS_OPEN) or st.session_state.get(Key.RUNS_IMPORTING))
