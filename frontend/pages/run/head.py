"""The head of a run's page: what it is, what was written about it, where it belongs, and what can be done with it."""

from __future__ import annotations

import streamlit as st

from core.datasets.catalog import title_of
from core.report.markup import piece
from core.schemas.request import ForkRequest
from core.schemas.run import RunState
from core.schemas.runs import Run
from core.units import format_duration
from frontend.client.api import ApiDown, ApiProblem
from frontend.client.connection import DOWN_TITLE, api, plain, show_problem
from frontend.keys import Key
from frontend.parts import lens, run_dialog
from frontend.parts import run_state as state
from frontend.places import link_launch, link_run, link_sweep, open_run

MOST_SWEEPS = 3  # named; a run may be in many


def draw(run: Run) -> None:
    st.title(plain(run.title))
    if run.name:
        st.caption(plain(run.described))
    words = [title_of(run.config.dataset), f"recipe {run.config.recipe}", f"seed {run.config.seed}"]
    if run.finished_at is not None:
        if run.started_at is not None:
            words.append(f"took {format_duration((run.finished_at - run.started_at).total_seconds())}")
        from_elsewhere = run.state is RunState.SUCCEEDED and run.started_at is None  # or from the gallery
        words.append(f"{'brought in' if from_elsewhere else 'ended'} {state.ago(run.finished_at)}")
    words += [f"by {run.submitter}"] if run.submitter else []
    words += [f"project {run.project}"] if run.project else []
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="run_head"):
        if not run.state.is_active:  # while it is active the live part shows a badge that moves
            st.html(state.badge(run.state), width="content")
        st.html(piece("dim", " · ".join(words)), width="content")
        if run.twin is not None:
            link_run(
                run.twin.id,
                f"{run.twin.kind.value.upper()} twin: {state.WORDS[run.twin.state]}",
                icon=":material/compare_arrows:",
            )
        for sweep_id in run.sweep_ids[:MOST_SWEEPS]:
            _sweep(sweep_id)
        if len(run.sweep_ids) > MOST_SWEEPS:
            st.caption(f"and {len(run.sweep_ids) - MOST_SWEEPS} more sweeps", width="content")
    if run.tags or run.note:
        st.html(piece("marks", run.tags, run.note))
    _acts(run)


def _sweep(sweep_id: str) -> None:
    try:
        name = _sweep_name(sweep_id, *lens.current(api().catalog()))
    except ApiProblem:  # forgotten a moment ago, or not to be priced in this mode: the list says more
        name = sweep_id
    link_sweep(sweep_id, f"Sweep: {name}")


@st.cache_data(ttl=30, max_entries=64, show_spinner=False)
def _sweep_name(sweep_id: str, mode: str, profile: str) -> str:
    """Kept a while: the answer about a large sweep is large."""
    return api().sweep(sweep_id, mode=mode, profile=profile).name


def _acts(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="run_acts"):
        _ask("Name, tags and note", run, icon=":material/sell:", tab=run_dialog.TABS[0])
        link_launch(run.id, "Edit and launch again", icon=":material/edit:")
        _train_twin(run)
        if run.state is RunState.SUCCEEDED:
            link_launch(run.id, "Go on from its weights", go_on=True, icon=":material/resume:")
        if not run.state.is_active:
            _ask("Delete", run, icon=":material/delete:", tab=run_dialog.TABS[-1])


def _ask(label: str, run: Run, *, icon: str, tab: str) -> None:
    key = Key.RUN_ACT.of(tab.split()[-1].lower())
    st.button(label, key=key, icon=icon, type="tertiary", on_click=run_dialog.ask, args=(run.id, tab))


def _train_twin(run: Run) -> None:
    """Offered while there is none that has succeeded or may still do so."""
    twin = run.config.kind.twin
    if run.twin is not None and (run.twin.state.is_active or run.twin.state is RunState.SUCCEEDED):
        return
    name = twin.value.upper()
    if not st.button(
        f"Train its {name} twin", key=Key.RUN_ACT.of("twin"), icon=":material/compare_arrows:", type="tertiary",
        help=f"The {name} of the same plan, with this run's config and seed, so that the two compare.",
    ):  # fmt: skip
        return
    before = "none" if run.twin is None else run.twin.id  # a second click makes no second twin
    try:
        made = api().fork(run.id, ForkRequest(kind=twin), idempotency_key=f"twin-{run.id}-{before}")
    except ApiProblem as problem:
        show_problem(problem)
    except ApiDown:
        st.error(DOWN_TITLE)
    else:
        open_run(made.id)


def dialog(run: Run) -> None:
    """The dialog that was asked for here; last on the page."""
    if st.session_state.get(Key.RUNS_OPEN) == run.id:
        run_dialog.draw(run.id, api().catalog())
