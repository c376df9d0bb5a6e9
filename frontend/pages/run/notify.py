"""A browser's own notice that a run has ended, for whoever asks for it while the run is under way.

It needs the page open in some tab, since the page is what hears of the end; a webhook needs no page. The permission is the
browser's to give, and browsers offer it on https and on the machine itself only.
"""

from __future__ import annotations

import streamlit as st

from core.report.markup import render
from core.schemas.runs import Run
from core.units import format_energy
from frontend.keys import Key
from frontend.parts import run_state as state


def offer(run_id: str) -> None:
    """A switch, and behind it the browser's question."""
    wanted = st.toggle(
        "Notify me when it ends", key=Key.RUN_NOTIFY.of(run_id), persist_state="session",
        help="By this browser, while this page is open in some tab. A webhook needs no page: SPIKEFRONT_WEBHOOK_URL.",
    )  # fmt: skip
    if wanted:
        _asked().add(run_id)
        st.html(render("notify_ask.html"), unsafe_allow_javascript=True)
    else:
        _asked().discard(run_id)


def tell(run: Run) -> None:
    """Once, of a run that has ended and was asked for."""
    if run.id in _asked():
        _asked().discard(run.id)
        title, words = notice(run)
        st.html(render("notify_now.html", title=title, words=words, run_id=run.id), unsafe_allow_javascript=True)


def notice(run: Run) -> tuple[str, str]:
    """Title and text."""
    words = f"seed {run.config.seed}"
    if run.summary is not None:
        words += f", accuracy {100 * run.summary.accuracy:.1f} % (n = {run.summary.n_test:,})"
        words += f", {format_energy(run.summary.energy_pj)} in mode {run.summary.mode}"
    elif run.error is not None:
        words += f": {run.error.message}"
    return f"{run.title}: {state.WORDS[run.state]}", words


def _asked() -> set[str]:
    asked: set[str] = st.session_state.setdefault(Key.RUN_NOTIFIES, set())
    return asked
