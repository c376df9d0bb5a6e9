"""Which runs are compared: from the address, from other pages, or picked here."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.datasets.catalog import title_of
from core.schemas.compare import FEWEST, MOST
from core.schemas.run import Kind, RunState
from core.schemas.runs import LONGEST_PAGE, Run
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.parts import address
from frontend.parts.address import Part
from frontend.places import link


def _ids(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))[:MOST]


PARTS = {"runs": Part(key=Key.COMPARE_RUNS, default=[], read=_ids, say=",".join)}


def draw() -> dict[str, Run]:
    """The picker; returns the runs by id in order, the first being the base. Fewer than two are not enough."""
    memory = st.session_state
    address.adopt(PARTS, last=Key.COMPARE_ADDRESS_RUNS)
    chosen: list[str] = memory[Key.COMPARE_RUNS]
    first, second = st.columns([2.6, 1], vertical_alignment="bottom")
    words = second.text_input(
        "Find",
        key=Key.COMPARE_FIND,
        placeholder="label, note, tag, id",
        persist_state="session",
        help="Narrows the list of runs to add. Runs chosen already stay.",
    )
    # the newest; older ones are found by their words
    newest = api().runs(state=[RunState.SUCCEEDED.value], q=words.strip()[:100] or None, limit=LONGEST_PAGE)
    known = {run.id: run for run in newest.items}
    chosen = _existing(chosen, known)
    memory[Key.COMPARE_RUNS] = memory[Key.COMPARE_PICK] = chosen
    first.multiselect(
        "Runs to compare",
        [*chosen, *(run_id for run_id in known if run_id not in chosen)],
        format_func=lambda run_id: title(known[run_id]),
        key=Key.COMPARE_PICK,
        max_selections=MOST,
        placeholder=f"{FEWEST} to {MOST} succeeded runs",
        on_change=_take,
    )
    address.write(PARTS, last=Key.COMPARE_ADDRESS_RUNS)
    if len(chosen) < FEWEST:
        _help(chosen, known, searching=bool(words.strip()))
    return {run_id: known[run_id] for run_id in chosen}


def title(run: Run) -> str:
    """What tells a run from others in a list: network, data set, recipe, seed, accuracy."""
    accuracy = f", {100 * run.summary.accuracy:.1f} %" if run.summary else ""
    steps = f"T = {run.config.steps}, " if run.config.kind is Kind.SNN else ""
    return f"{run.title} · {title_of(run.config.dataset)}, {run.config.recipe}, {steps}seed {run.config.seed}{accuracy}"


def base(chosen: dict[str, Run], box: DeltaGenerator) -> None:
    """A select box for the run that the others are held against."""
    st.session_state[Key.COMPARE_BASE] = next(iter(chosen))
    box.selectbox(
        "Held against (A)",
        list(chosen),
        key=Key.COMPARE_BASE,
        format_func=lambda run_id: title(chosen[run_id]),
        on_change=_rebase,
        help="Differences and ratios are those of the other runs against this one.",
    )


def _existing(chosen: Sequence[str], known: dict[str, Run]) -> list[str]:
    """Those that can be compared; the others are named, once, and left out. Adds what it looked up to `known`."""
    kept, gone = [], []
    for run_id in chosen:
        try:
            run = known.get(run_id) or api().run(run_id)
        except ApiProblem:
            gone.append(f"{run_id[:64]} is not here")
            continue
        if run.state is not RunState.SUCCEEDED:
            gone.append(f"{run.title} has not succeeded")
            continue
        known[run_id] = run
        kept.append(run_id)
    if gone:
        st.warning(f"Left out: {plain('; '.join(gone))}.", icon=":material/info:")
    return kept


def _take() -> None:
    _choose(st.session_state[Key.COMPARE_PICK])


def _rebase() -> None:
    base = st.session_state[Key.COMPARE_BASE]
    _choose([base, *(run_id for run_id in st.session_state[Key.COMPARE_RUNS] if run_id != base)])


def _choose(run_ids: Sequence[str]) -> None:
    st.session_state[Key.COMPARE_RUNS] = list(run_ids)


def _help(chosen: list[str], known: dict[str, Run], *, searching: bool) -> None:
    """What to do while there is nothing to compare yet; twins are offered by a click."""
    with st.container(border=True):
        if not known and searching:
            st.markdown("No succeeded run fits these words.")
            return
        if not known:
            st.markdown("No run has succeeded yet, so there is nothing to compare.")
            link("launch", "Launch a run")
            return
        st.markdown(
            "Choose one more run." if chosen else f"Choose {FEWEST} to {MOST} succeeded runs above, or on Explore."
        )
        candidates = [known[run_id] for run_id in chosen] or list(known.values())
        pair = next((run for run in candidates if run.twin and run.twin.state is RunState.SUCCEEDED), None)
        if pair is not None:
            snn, cnn = (pair.id, pair.twin.id) if pair.config.kind is Kind.SNN else (pair.twin.id, pair.id)
            text = "Compare it with its twin" if chosen else "Compare the newest twins"
            st.button(text, on_click=_choose, args=([cnn, snn],), icon=":material/balance:", type="primary")
        link("explore", "Choose on Explore")
