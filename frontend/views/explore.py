"""Explore: accuracy against energy, own runs beside the printed ones. A click on a mark opens its run."""

from __future__ import annotations

import streamlit as st

from core.schemas.api import Catalog, Pareto, RunPage
from core.schemas.run import RunState
from frontend.charts import pareto as pareto_chart
from frontend.connection import api, part, plain
from frontend.elements import lens, state, tables
from frontend.elements.figures import chosen_run, show
from frontend.keys import Key
from frontend.pages import link, link_run, open_run

ACTIVE = [item.value for item in RunState if item.is_active]
POLL_S = 2.0


def render() -> None:
    catalog = api().catalog()
    st.title("Explore")
    dataset = _pickers(catalog)
    active = api().runs(state=ACTIVE, limit=5)
    # Only a page with something under way asks again by itself.
    st.fragment(run_every=POLL_S if active.items else None)(part(_picture))(catalog, dataset, bool(active.items))


def _pickers(catalog: Catalog) -> str:
    infos = {info.name: info for info in catalog.datasets}
    with st.container(key="lens_row"):
        columns = st.columns([1.1, 1.4, 1.4, 0.8], vertical_alignment="bottom")
        with columns[0]:
            dataset = st.selectbox(
                "Data set",
                list(infos),
                index=list(infos).index(_first_dataset(list(infos))),
                format_func=lambda name: infos[name].title,
                key=Key.EXPLORE_DATASET,
                persist_state="session",
            )
        with columns[1]:
            mode_box = st.container()
        with columns[2]:
            profile_box = st.container()
        lens.picker(catalog, mode_box, profile_box)
        with columns[3]:
            st.toggle("Log energy axis", value=True, key=Key.EXPLORE_LOG, persist_state="session")
    return dataset


def _first_dataset(known: list[str]) -> str:
    """Where the newest result is; a choice that was made in this window goes before it."""
    chosen = st.session_state.get(Key.EXPLORE_DATASET)
    if chosen is None:
        newest = api().runs(state=[RunState.SUCCEEDED.value], limit=1).items
        chosen = newest[0].config.dataset if newest else known[0]
    return chosen if chosen in known else known[0]


def _picture(catalog: Catalog, dataset: str, polling: bool) -> None:
    chosen = lens.current(catalog)
    pareto = api().pareto(dataset=dataset, mode=chosen.mode, profile=chosen.profile)
    active = api().runs(state=ACTIVE, limit=5)
    if polling and not active.items:
        st.rerun()  # the last active run has ended: draw once more, without the clock
    _under_way(active, first=not pareto.points)
    if not pareto.points and not pareto.published:
        _meanwhile(catalog, dataset, chosen)
        return
    selection = show(
        pareto_chart.figure(pareto, x_log=_log()),
        key=Key.EXPLORE_CHART,
        selectable=True,
        alt=f"Accuracy against energy on {dataset}: {len(pareto.points)} own runs, {len(pareto.published)} printed",
    )
    run_id = chosen_run(selection)
    if run_id:
        open_run(run_id)
    _explain(catalog, pareto, chosen)
    _table(pareto)


def _log() -> bool:
    return st.session_state.get(Key.EXPLORE_LOG, True)


def _under_way(active: RunPage, *, first: bool) -> None:
    if not active.items:
        if first:
            with st.container(border=True, horizontal=True, vertical_alignment="center"):
                st.markdown("No run of yours has finished on this data set yet. The first one takes about a minute.")
                link("launch", "Launch a run")
        return
    with st.container(border=True, key="under_way"):
        if first:
            st.markdown("**Your first points are on their way.** They appear here by themselves.")
        for run in active.items:
            left, right = st.columns([1, 2.4], vertical_alignment="center")
            with left:
                link_run(run.id, f"{run.label} · {run.config.dataset} · seed {run.config.seed}")
            with right:
                state.bar(run)
        if active.total > len(active.items):
            st.caption(f"and {active.total - len(active.items)} more")


def _explain(catalog: Catalog, pareto: Pareto, chosen: lens.Lens) -> None:
    mode = next(item for item in catalog.modes if item.name == chosen.mode)
    profile = next(item for item in catalog.profiles if item.name == chosen.profile)
    prices = f"{profile.ac_pj:g} pJ per AC and {profile.mac_pj:g} pJ per MAC"
    words = f"Energy per inference: operations in the mode {plain(mode.title)}, at {prices} ({plain(profile.title)})."
    if pareto.published:
        words += " Printed energies are those of one time step, at the paper's own prices"
        words += "." if chosen.mode == "paper" else ": compare them in the mode `paper`, not in this one."
    st.caption(words)


def _meanwhile(catalog: Catalog, dataset: str, chosen: lens.Lens) -> None:
    """Nothing to draw on this data set yet: the printed points of one that the paper used, so that there is a scale."""
    for info in catalog.datasets:
        if info.name == dataset:
            continue
        other = api().pareto(dataset=info.name, mode=chosen.mode, profile=chosen.profile)
        if other.published:
            st.caption(
                f"No figures on {plain(dataset)} yet. Meanwhile, what the paper printed for {plain(info.title)}:"
            )
            show(pareto_chart.figure(other, x_log=_log()), key=Key.EXPLORE_CHART.value + "_meanwhile")
            return


def _table(pareto: Pareto) -> None:
    rows = tables.pareto_rows(pareto)
    if not rows:
        return
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.subheader("The same figures")
    right.download_button(
        "Download CSV",
        data=lambda: tables.as_csv(rows),
        file_name=f"spikefront-{pareto.dataset}-{pareto.mode}-{pareto.profile}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )
    number = st.column_config.NumberColumn
    event = st.dataframe(
        rows,
        key=Key.EXPLORE_TABLE,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_order=["network", "from", "accuracy_percent", "f1_macro", "energy_mj", "params", "acs", "macs",
                      "firing_rate", "on_front", "recipe", "seed", "n_test"],
        column_config={
            "network": st.column_config.TextColumn("Network", width="medium"),
            "from": st.column_config.TextColumn("From"),
            "accuracy_percent": number("Accuracy, %", format="%.2f"),
            "f1_macro": number("F1", format="%.3f"),
            "energy_mj": number("Energy, mJ", format="%.3g"),
            "params": number("Parameters", format="localized"),
            "acs": number("ACs", format="compact"),
            "macs": number("MACs", format="compact"),
            "firing_rate": number("Firing rate", format="%.3f"),
            "on_front": st.column_config.CheckboxColumn("On front"),
            "recipe": "Recipe",
            "seed": number("Seed", format="%d"),
            "n_test": number("Test images", format="localized"),
        },
    )  # fmt: skip
    picked = event.selection.rows if event else []
    if picked and rows[picked[0]]["run"]:
        open_run(rows[picked[0]]["run"])
    st.caption("Select a row, or a filled mark above, to open its run.")
