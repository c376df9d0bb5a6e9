"""Explore: accuracy against energy, own runs beside the printed ones, under any prices, axes and number of steps."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.datasets.catalog import title_of
from core.errors import SpikefrontError
from core.report import priced as explored
from core.report.charts import hypervolume
from core.report.charts import pareto as pareto_chart
from core.report.charts.axes import X_AXES, Y_AXES
from core.report.tables import csv_rows as tables
from core.schemas.catalog import Catalog, DatasetInfo
from core.schemas.pareto import Pareto, ParetoPoint
from core.schemas.prices import Profile
from core.schemas.share import ShareTarget, ShareView
from core.units import format_energy
from frontend.client.connection import api, part, plain
from frontend.keys import Key
from frontend.pages.explore import address as explore_address
from frontend.pages.explore import choice as explore_choice
from frontend.pages.explore import controls as explore_controls
from frontend.pages.explore import data as explore_data
from frontend.pages.explore import saved as saved_views
from frontend.pages.explore import table as explore_table
from frontend.pages.explore import under_way
from frontend.pages.explore.address import ALL
from frontend.pages.explore.controls import Wanted
from frontend.pages.explore.data import Asked, Budget
from frontend.pages.explore.under_way import ACTIVE
from frontend.parts import changes, first_visit, lens, sharing
from frontend.parts.chart_box import show
from frontend.parts.pace import Pace
from frontend.places import entitle

NAMED = 4  # runs that enter or leave, by name; the others are counted


def render() -> None:
    pace, now = Pace(), api().activity()  # first: what is read after it is at least as new
    catalog, asked = api().catalog(), Asked()
    st.title("Explore")
    first_visit.draw(lambda limit: asked.newest(limit=limit))
    first = _first_dataset(catalog, asked)
    explore_address.adopt(catalog, first)
    explore_controls.top_row(catalog)
    chosen = explore_controls.wanted(catalog).dataset
    entitle("explore", catalog.plotted.get(chosen, "All data sets"))
    lens.price_row(catalog)
    loaded = _loaded(catalog, asked)
    explore_controls.view_row(_most_steps(loaded))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        explore_controls.filter_row(loaded)
        saved_views.draw(explore_address.parts(catalog, first))
    explore_address.write(catalog, first)
    active = asked.runs(state=ACTIVE, limit=5)
    if not active.items:
        dataset = st.session_state[Key.EXPLORE_DATASET]
        where = {} if dataset == ALL else {"dataset": dataset}
        changes.watch(api().run_counts(**where), now.revision, key=Key.EXPLORE_CHANGED, **where)
    chosen_set = _info(catalog, explore_controls.wanted(catalog).dataset)
    under_way.watch(now, active, pace, first=not loaded.points, dataset=chosen_set)
    st.fragment(part(_picture))(catalog, asked)
    pace.drawn()
    _share(explore_controls.wanted(catalog))


def _share(wanted: Wanted) -> None:
    """A link to what is in sight, at the prices that are; marks of all data sets at once stay here."""
    if wanted.dataset == ALL:
        return
    view = wanted.view
    shown = ShareView(dataset=wanted.dataset, steps=wanted.steps, at_most_pj=wanted.at_most_pj, **view.model_dump())
    sharing.draw(
        ShareTarget(view=shown, mode=wanted.lens.mode, profile=wanted.lens.profile, **wanted.factors.model_dump())
    )


def _first_dataset(catalog: Catalog, asked: Asked) -> str:
    """Where the newest result is."""
    known = list(catalog.plotted)
    newest = asked.newest().items
    return newest[0].config.dataset if newest and newest[0].config.dataset in known else known[0]


def _loaded(catalog: Catalog, asked: Asked) -> explored.Runs:
    """The runs of the data set after all their steps, those too that a filter leaves out."""
    chosen = explore_controls.wanted(catalog)
    return explore_data.load(catalog, asked, dataset=chosen.dataset, mode=chosen.lens.mode, archived=chosen.archived)


def _most_steps(loaded: explored.Runs) -> int:
    return min(max((point.time_steps for point in loaded.points), default=1), explore_address.MOST_STEPS)


def _picture(catalog: Catalog, asked: Asked) -> None:
    wanted = explore_controls.wanted(catalog)
    runs = explore_data.load(
        catalog, asked, dataset=wanted.dataset, mode=wanted.lens.mode, steps=wanted.steps, archived=wanted.archived,
        budget=_budget(wanted),
    )  # fmt: skip
    # A place for a box, there also when it is not: a plot that moves down a place is drawn anew by the browser.
    changed = st.empty()
    if not runs.points and wanted.at_most_pj is not None:
        st.info(
            f"No run answers for {format_energy(wanted.at_most_pj)} or less at these prices.",
            icon=":material/price_change:",
        )
        if not runs.published:
            return
    if not runs.points and not runs.published:
        _meanwhile(catalog, wanted)
        return
    profile = next(item for item in catalog.profiles if item.name == wanted.lens.profile)
    priced = explored.Lens(runs=runs, profile=profile, factors=wanted.factors)
    try:
        seen = explored.seen(priced, wanted.view)
    except SpikefrontError as error:  # a profile of the user's own may lack a price
        st.warning(plain(error.message), icon=":material/price_change:")
        return
    pareto = seen.pareto
    with changed:
        _changes(catalog, asked, wanted, pareto.points)
    if wanted.view.narrowed:
        st.caption(f"{len(seen.every):,} of {len(runs.points):,} runs fit the filter; the front is theirs.")
    _plot(seen, wanted)
    names = pareto_chart.legend_names(seen.marks, wanted.view)
    if len(names) > 1:
        names = list(dict.fromkeys([*names, *wanted.view.hidden]))
        st.pills("Hide from the plot", names, selection_mode="multi", key=Key.EXPLORE_HIDDEN, persist_state="session")
    explore_choice.bar({point.run_id: point for point in seen.every})  # below: the next mark stays under the pointer
    _explain(catalog, pareto, wanted, profile)
    explore_table.draw(pareto, seen.spreads, seen.sure)
    if wanted.dataset != ALL and len(pareto.points) > 1:
        show(
            hypervolume.figure(pareto, x=wanted.view.x, y=wanted.view.y, shown=seen.marks),
            key=Key.EXPLORE_HYPERVOLUME,
            data=lambda: hypervolume.steps(pareto, x=wanted.view.x, y=wanted.view.y, shown=seen.marks),
            file_name=f"spikefront-{pareto.dataset}-hypervolume.csv",
        )


def _budget(wanted: Wanted) -> Budget | None:
    if wanted.at_most_pj is None:
        return None
    times = tuple(wanted.factors.model_dump().items())
    return Budget(at_most_pj=wanted.at_most_pj, profile=wanted.lens.profile, times=times)


def _plot(seen: explored.Seen, wanted: Wanted) -> None:
    pareto = seen.pareto
    axes = f"{Y_AXES[wanted.view.y].short} against {X_AXES[wanted.view.x].short}"
    show(
        pareto_chart.figure(
            pareto,
            view=wanted.view,
            chosen=explore_choice.chosen(),
            shown=seen.marks,
            sure=seen.sure,
            faults=explore_data.faults(pareto.dataset) if pareto.published and wanted.dataset != ALL else None,
        ),
        key=Key.EXPLORE_CHART,
        on_select=explore_choice.take,
        alt=f"{axes[0].upper()}{axes[1:]} on {title_of(pareto.dataset)}: {len(pareto.points)} own runs, {len(pareto.front)} of them "
        f"on the front, {len(pareto.published)} printed",
        data=lambda: tables.pareto_rows(pareto, spreads=seen.spreads, sure=seen.sure),
        file_name=f"spikefront-{pareto.dataset}-{pareto.mode}-{pareto.profile}.csv".replace(" ", "-"),
    )


def _changes(catalog: Catalog, asked: Asked, wanted: Wanted, points: Sequence[ParetoPoint]) -> None:
    """What this lens does to the front, against the default mode and profile; nothing where it is that lens."""
    why = lens.why(catalog, wanted.lens, wanted.factors)
    if not why or wanted.at_most_pj is not None or wanted.view.x != "energy" or wanted.dataset == ALL or not points:
        return
    default = next(item for item in catalog.profiles if item.name == catalog.default_profile)
    held = explore_data.load(catalog, asked, dataset=wanted.dataset, mode=catalog.default_mode, steps=wanted.steps)
    before = held.points  # at the default profile's prices
    if wanted.view.seeds:
        before, _ = explored.merged(before)
    found = explored.told(before, points, why, y=wanted.view.y)
    mode = next(item.title for item in catalog.modes if item.name == catalog.default_mode)
    with st.container(border=True, key="lens_says"):
        st.markdown(f"**{plain(found.sentence)}**")
        for sign, verb, changes in (("▲", "Enter", found.changes.entered), ("▼", "Leave", found.changes.left)):
            if changes:
                names = [found.names[change.run] for change in changes]
                more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
                st.markdown(f"{sign} {verb} ({len(names)}): {plain(', '.join(names[:NAMED]))}{more}")
        st.caption(f"Against the front of {plain(mode)}, {plain(default.title)}, at that profile's own prices.")


def _info(catalog: Catalog, name: str) -> DatasetInfo | None:
    return next((info for info in catalog.datasets if info.name == name), None)


def _explain(catalog: Catalog, pareto: Pareto, wanted: Wanted, profile: Profile) -> None:
    mode = next(item for item in catalog.modes if item.name == wanted.lens.mode)
    ac_pj, mac_pj = profile.ac_pj * wanted.factors.ac, profile.mac_pj * wanted.factors.mac
    prices = f"{ac_pj:.3g} pJ per AC and {mac_pj:.3g} pJ per MAC"
    words = f"Energy per inference: operations in the mode {plain(mode.title)}, at {plain(prices)} ({plain(profile.title)})."
    if any(point.is_of_the_paper for point in pareto.published):
        words += " Printed energies are those of one time step, at the paper's own prices"
        words += "." if wanted.lens.mode == "paper" else ": compare them in the mode `paper`, not in this one."
    for source, energy_is in {
        point.source: point.energy_is for point in pareto.published if not point.is_of_the_paper
    }.items():
        words += f" {plain(source)}: energy is {plain(energy_is)}. Compare it in the mode `exact`."
    if pareto.missing and pareto.at_most_pj is not None:
        words += f" {pareto.missing} runs are left out: they cost more than {format_energy(pareto.at_most_pj)} after their first step."
    elif pareto.missing:
        words += f" {pareto.missing} runs are left out: what they are after {pareto.steps} steps is not known yet."
    if n := pareto.exchanged:
        who = "1 run is" if n == 1 else f"{n} runs are"
        words += f" {who} left out: the data set was replaced since, and other images give other figures."
    st.caption(words)


def _meanwhile(catalog: Catalog, wanted: Wanted) -> None:
    """Nothing to draw on this data set yet: the printed points of one that the paper used, so that there is a scale."""
    for info in catalog.datasets:
        if info.name == wanted.dataset:
            continue
        other = api().pareto(dataset=info.name, mode=wanted.lens.mode, profile=wanted.lens.profile)
        if other.published:
            st.caption(
                f"No figures on {plain(title_of(wanted.dataset))} yet. Meanwhile, what the paper printed for {plain(info.title)}:"
            )
            show(
                pareto_chart.figure(other, view=wanted.view, faults=explore_data.faults(info.name)),
                key=Key.EXPLORE_CHART.value + "_meanwhile",
                data=tables.pareto_rows(other),
            )
            return
