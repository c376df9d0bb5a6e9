"""The controls of Explore: data set and lens, prices, axes and grouping, seeds, steps, certainty."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import streamlit as st

from core.report.charts.axes import GROUPINGS, X_AXES, Y_AXES
from core.report.priced import Runs
from core.schemas.catalog import Catalog
from core.schemas.pareto import ParetoPoint, View
from core.schemas.prices import Factors
from core.units import PJ_PER_UJ
from frontend.keys import Key
from frontend.pages.explore.address import ALL
from frontend.parts import lens

#: What runs are filtered by: name -> (title, what a run has of it).
FILTERS: dict[str, tuple[str, Callable[[ParetoPoint], Iterable[str]]]] = {
    "kind": ("Network", lambda point: [point.kind.value]),
    "backbone": ("Backbone", lambda point: [point.backbone]),
    "recipe": ("Recipe", lambda point: [point.recipe]),
    "mask": ("Mask", lambda point: [point.mask_name or ",".join(point.mask)]),
    "tag": ("Tag", lambda point: point.tags),
}


class Wanted(NamedTuple):
    """All that the page shows, as chosen."""

    dataset: str  # or ALL
    lens: lens.Lens
    factors: Factors
    view: View
    steps: int | None  # None: after all steps
    archived: bool = False  # archived runs too
    at_most_pj: float | None = None  # None: whatever it costs


def top_row(catalog: Catalog) -> None:
    """Data set, accounting mode, hardware profile."""
    titles = catalog.plotted | {ALL: "All data sets"}
    with st.container(key="lens_row"):
        first, second, third = st.columns([1, 1.3, 1.3], vertical_alignment="bottom")
        first.selectbox(
            "Data set", list(titles), format_func=titles.__getitem__, key=Key.EXPLORE_DATASET, persist_state="session"
        )
        lens.picker(catalog, second, third)


def view_row(most_steps: int) -> None:
    """Axes, colour and shape, seeds, steps, certainty. `most_steps`: the largest T of the runs that are there."""
    with st.expander("View: axes, colours, seeds, steps, certainty"):
        columns = st.columns(4, vertical_alignment="bottom")
        columns[0].selectbox(
            "Horizontal",
            list(X_AXES),
            key=Key.EXPLORE_X,
            persist_state="session",
            format_func=lambda name: (
                X_AXES[name].short[0].upper() + X_AXES[name].short[1:] if name != "synops" else "SynOps (AC + MAC)"
            ),
        )
        columns[1].selectbox("Vertical", list(Y_AXES), key=Key.EXPLORE_Y, persist_state="session",
                             format_func=lambda name: {"accuracy": "Accuracy", "f1_macro": "F1 (macro)"}[name])  # fmt: skip
        for column, words, key in (
            (columns[2], "Colour", Key.EXPLORE_COLOUR),
            (columns[3], "Shape", Key.EXPLORE_SHAPE),
        ):
            column.selectbox(words, list(GROUPINGS), key=key, format_func=lambda name: GROUPINGS[name].capitalize(),
                             persist_state="session")  # fmt: skip
        left, right = st.columns([1, 1], vertical_alignment="center")
        with left.container(horizontal=True, vertical_alignment="center"):
            st.toggle("Log axis", key=Key.EXPLORE_LOG, persist_state="session")
            st.toggle(
                "Mean over seeds",
                key=Key.EXPLORE_SEEDS,
                persist_state="session",
                help="Runs that differ in nothing but their seed become one mark, with bars of one standard deviation.",
            )
            st.toggle("How sure", key=Key.EXPLORE_SURE, persist_state="session", disabled=not _can_be_sure(),
                      help="Each run's probability of being on the front of accuracy against energy: 400 draws over the "
                      "spread of its seeds (one seed: the binomial error of its test images) and over the published "
                      "range of the profile's prices.")  # fmt: skip
        if most_steps > 1:
            st.session_state[Key.EXPLORE_STEPS] = min(st.session_state[Key.EXPLORE_STEPS], most_steps)
            right.select_slider(
                "Stop after T' steps",
                [*range(1, most_steps), 0],
                key=Key.EXPLORE_STEPS,
                persist_state="session",
                format_func=lambda steps: "all T" if steps == 0 else f"T' = {steps}",
                help="Every spiking run stopped early, from its stored answers and counts; a CNN makes one pass.",
            )
        st.number_input(
            "At most, µJ per inference",
            min_value=0.0,
            value=None,
            step=None,
            format="%g",
            key=Key.EXPLORE_AT_MOST,
            persist_state="session",
            placeholder="whatever it costs",
            help="Every run stopped after the T' <= T at which it is most accurate for no more energy than this, at the prices "
            "above, from its stored answers and counts. Runs that cost more after their first step are left out.",
        )


@lru_cache(maxsize=16)  # runs are read once and shown often
def _among(runs: Runs) -> dict[str, frozenset[str]]:
    """What the runs have of each of FILTERS."""
    return {name: frozenset(value for point in runs.points for value in of(point)) for name, (_, of) in FILTERS.items()}


def filter_row(runs: Runs) -> None:
    """Which of the runs are looked at: by what there is among them, and what the address asked for."""
    memory = st.session_state
    chosen = [name for name in FILTERS if memory.get(Key.EXPLORE_FILTER.of(name))]
    n = len(chosen) + bool(memory.get(Key.EXPLORE_ARCHIVED))
    with st.popover(f"Filter ({n})" if n else "Filter", icon=":material/filter_list:"):
        for name, (label, _) in FILTERS.items():
            key = Key.EXPLORE_FILTER.of(name)
            there = sorted(_among(runs)[name] | ({memory[key]} if memory.get(key) else set()))
            st.selectbox(
                label, [None, *there], key=key, persist_state="session", format_func=lambda value: value or "all"
            )
        st.toggle("Archived too", key=Key.EXPLORE_ARCHIVED, persist_state="session")


def wanted(catalog: Catalog) -> Wanted:
    """What is chosen for this session, without drawing anything."""
    memory = st.session_state
    view = View(x=memory[Key.EXPLORE_X], y=memory[Key.EXPLORE_Y], x_log=memory[Key.EXPLORE_LOG],
                colour=memory[Key.EXPLORE_COLOUR], shape=memory[Key.EXPLORE_SHAPE], seeds=memory[Key.EXPLORE_SEEDS],
                sure=memory[Key.EXPLORE_SURE] and _can_be_sure(), hidden=tuple(memory.get(Key.EXPLORE_HIDDEN) or ()),
                **{name: memory.get(Key.EXPLORE_FILTER.of(name)) or None for name in FILTERS})  # fmt: skip
    return Wanted(
        dataset=memory[Key.EXPLORE_DATASET],
        lens=lens.current(catalog),
        factors=lens.factors(),
        view=view,
        steps=memory[Key.EXPLORE_STEPS] or None,
        archived=bool(memory.get(Key.EXPLORE_ARCHIVED)),
        at_most_pj=PJ_PER_UJ * most if (most := memory.get(Key.EXPLORE_AT_MOST)) else None,
    )


def _can_be_sure() -> bool:
    return (
        st.session_state[Key.EXPLORE_X] == "energy"
        and st.session_state[Key.EXPLORE_Y] == "accuracy"
        and st.session_state[Key.EXPLORE_DATASET] != ALL
    )
