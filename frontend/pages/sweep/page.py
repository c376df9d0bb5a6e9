"""Sweep: the runs of one sweep as pictures, its best settings, how far it is, and what can be done with it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.datasets.catalog import title_of
from core.report.charts import pareto_of
from core.report.charts import sweep as charts
from core.report.sweep_words import axes, study_words
from core.schemas.catalog import Catalog
from core.schemas.compare import MOST
from core.schemas.share import ShareTarget
from core.schemas.sweep import SweepDetail, SweepGroup
from frontend.client.api import ApiProblem
from frontend.client.connection import api, part, plain, show_problem
from frontend.keys import Key
from frontend.pages.sweep import importance
from frontend.parts import actions as acts
from frontend.parts import address, lens, lens_address, sharing
from frontend.parts import run_state as state
from frontend.parts.chart_box import chosen_runs, csv_button, show
from frontend.parts.sweep_table import progress, rows, table
from frontend.places import link, link_compare, open_place

POLL_S = 5.0
QUANTITIES = {"accuracy": "Accuracy", "energy": "Energy"}
POINTS = Key.SWEEP_CHART.of("points")


def render() -> None:
    sweep_id = st.query_params.get("sweep")
    if not sweep_id:
        st.title("Sweep")
        st.markdown("This address names no sweep. Choose one from the list: Runs, then Sweeps.")
        link("runs")
        return
    catalog = api().catalog()
    known = lens_address.parts(catalog)
    address.adopt(known, last=Key.COMPARE_ADDRESS, kept=lens_address.KEPT)
    try:
        found = _detail(sweep_id, catalog)
    except ApiProblem as problem:  # such as: forgotten in another tab
        st.title("Sweep")
        show_problem(problem)
        link("runs")
        return
    st.title(plain(found.name))
    st.caption(plain(f"{_data(found)} · {axes(found)} · launched {state.ago(found.created_at)}"))
    lens.picker(catalog, *st.columns(2))
    address.write(known, last=Key.COMPARE_ADDRESS)
    st.fragment(run_every=POLL_S if _active(found) else None)(part(_body))(sweep_id, catalog, polling=_active(found))


def _detail(sweep_id: str, catalog: Catalog) -> SweepDetail:
    chosen = lens.current(catalog)
    return api().sweep(sweep_id, mode=chosen.mode, profile=chosen.profile)


def _active(found: SweepDetail) -> bool:
    study = found.request.study
    return any(one.is_active for one, count in found.states.items() if count) or (study is not None and study.is_open)


def _data(found: SweepDetail) -> str:
    return ", ".join(dict.fromkeys(title_of(group.config.dataset) for group in found.groups))


def _body(sweep_id: str, catalog: Catalog, *, polling: bool) -> None:
    found = _detail(sweep_id, catalog)
    if polling and not _active(found):
        st.rerun()  # its last run has ended: draw once more, without the clock
    ended = sum(count for one, count in found.states.items() if one.is_final)
    study = found.request.study
    due = study.trials if study is not None and study.is_open else found.n_runs
    st.progress(ended / due if due else 1.0, text=plain(progress(found)))
    if study is not None:
        st.caption(plain(study_words(study)))
    _acts(found)
    show(
        pareto_of.sweep(found),
        key=POINTS,
        on_select=_take,
        alt="Mean accuracy against mean energy of each group of seeds; the same numbers stand in the table below",
        data=lambda: rows(found),
        file_name=f"spikefront-sweep-{found.id}.csv",
    )
    if found.request.study is not None:
        _draw(charts.trials(found, source=f"study {found.name} on {_data(found)}"), "trials", found)
    _compare(found)
    _best(found)
    source = f"sweep {found.name} on {_data(found)}"
    _heat(found, source)
    _draw(charts.parallel(found, source=source), "parallel", found)
    importance.draw(found, source=source)


def _acts(found: SweepDetail) -> None:
    with st.container(horizontal=True, gap="small"):
        if _active(found):
            st.button(
                "Cancel what has not ended",
                key=Key.SWEEP_ACT.of("cancel"),
                on_click=acts.cancel_sweep,
                args=(found.id,),
                icon=":material/stop_circle:",
            )
        sharing.draw(ShareTarget(sweep_id=found.id, mode=found.mode, profile=found.profile))
        if st.button("Open on Explore", key=Key.SWEEP_ACT.of("explore"), icon=":material/scatter_plot:"):
            _explore(found)
        if st.button("Its runs", key=Key.SWEEP_ACT.of("runs"), icon=":material/list:"):
            open_place("runs", sweep=found.id)


def _explore(found: SweepDetail) -> None:
    """All runs on the data set, those of this sweep in a colour of their own."""
    datasets = list(dict.fromkeys(group.config.dataset for group in found.groups))
    words = {"mode": found.mode, "profile": found.profile, "colour": "sweep"}
    open_place("explore", dataset=datasets[0] if len(datasets) == 1 else "all", **words)


def _take() -> None:
    """Clicked, boxed or lassoed marks join the groups to compare; for the plot's `on_select`."""
    st.session_state[Key.SWEEP_ACT.of("taken")] = chosen_runs(st.session_state.get(POINTS))


def _compare(found: SweepDetail) -> None:
    """Groups to hold against each other, the first finished run of each."""
    ready = {place: group for place, group in enumerate(found.groups) if group.n}
    if len(ready) < 2:
        return
    taken = set(st.session_state.pop(Key.SWEEP_ACT.of("taken"), []))
    before = [place for place in st.session_state.get(Key.SWEEP_CHOSEN, []) if place in ready]
    joined = [place for place, group in ready.items() if taken & set(group.run_ids)]
    st.session_state[Key.SWEEP_CHOSEN] = list(dict.fromkeys([*before, *joined]))[:MOST]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    chosen = left.multiselect(
        "Compare", list(ready), key=Key.SWEEP_CHOSEN, format_func=lambda place: ready[place].label, max_selections=MOST,
        placeholder="Click marks above, or choose settings here",
    )  # fmt: skip
    if len(chosen) > 1:
        with right:
            link_compare([_first(ready[place]) for place in chosen], f"Compare {len(chosen)} runs")
        if any(len(ready[place].run_ids) > 1 for place in chosen):
            st.caption("Of each setting the run with its first finished seed is compared.")


def _first(group: SweepGroup) -> str:
    return next(run for run, accuracy in zip(group.run_ids, group.run_accuracy, strict=True) if accuracy is not None)


def _best(found: SweepDetail) -> None:
    st.subheader("Settings, the most accurate first")
    best = sorted(found.groups, key=lambda group: -group.accuracy.mean if group.accuracy else 1.0)
    st.html(table(best))
    st.caption(
        plain(
            f"Mean ± sample deviation over n seeds that have succeeded; energy in mode {found.mode} at {found.profile}. "
            "One run has no deviation, and equal runs do not say that others would be equal too."
        )
    )
    csv_button(
        lambda: rows(found), key=Key.SWEEP_ACT.of("csv"), file_name=f"spikefront-sweep-{found.id}.csv", what=found.name
    )


def _heat(found: SweepDetail, source: str) -> None:
    quantity = st.segmented_control(
        "Cells", list(QUANTITIES), default="accuracy", required=True, key=Key.SWEEP_QUANTITY,
        format_func=QUANTITIES.__getitem__, label_visibility="collapsed",
    )  # fmt: skip
    _draw(charts.heat_map(found, quantity, source=source), "heat", found)


def _draw(figure: Any, called: str, found: SweepDetail) -> None:
    show(
        figure,
        key=Key.SWEEP_CHART.of(called),
        data=lambda: charts.rows(found),
        file_name=f"spikefront-sweep-{found.id}-runs.csv",
    )
