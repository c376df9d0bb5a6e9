"""The figures behind Explore's plot as a table, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from core.report.charts.axes import energy_unit
from core.report.charts.pareto_marks import Spread
from core.report.tables import csv_rows as tables
from core.schemas.pareto import Pareto
from core.units import mj_to_pj
from frontend.keys import Key
from frontend.places import open_run

PAGE = 200  # rows
ORDER = ("network", "name", "kind", "from", "accuracy_percent", "accuracy_percent_deviation", "f1_macro", "energy", "on_front",
         "front_probability", "params", "acs", "macs", "firing_rate", "time_steps", "recipe", "seed", "n_seeds",
         "n_test")  # fmt: skip


def draw(pareto: Pareto, spreads: Mapping[str, Spread], sure: Mapping[str, float] | None) -> None:
    n = len(pareto.points) + len(pareto.published)
    if not n:
        return
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.subheader("The same figures")
    pages = -(-n // PAGE)
    page = right.number_input(f"Page of {pages}", 1, pages, key=Key.EXPLORE_PAGE) if pages > 1 else 1
    shown = tables.pareto_rows(pareto, spreads=spreads, sure=sure, part=slice((page - 1) * PAGE, page * PAGE))
    factor, unit = energy_unit([*pareto.points, *pareto.published])  # as on the plot's axis
    for row in shown:
        row["energy"] = mj_to_pj(row["energy_mj"]) / factor
        row["kind"] = row["kind"].upper()
    number = st.column_config.NumberColumn
    event = st.dataframe(
        tables.inert_rows(shown),  # its own button saves what it holds as CSV
        key=Key.EXPLORE_TABLE,
        hide_index=True,
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row",
        column_order=[name for name in ORDER if any(row[name] is not None for row in shown)],
        column_config={
            "network": st.column_config.TextColumn("Network", width=300),
            "from": st.column_config.TextColumn("From"),
            "accuracy_percent": number("Accuracy, %", format="%.2f"),
            "accuracy_percent_deviation": number("± over seeds", format="%.2f"),
            "f1_macro": number("F1", format="%.3f"),
            "energy": number(f"Energy, {unit}", format="%.3g"),
            "kind": "Kind",
            "name": "Name",
            "params": number("Parameters", format="localized"),
            "acs": number("ACs", format="compact"),
            "macs": number("MACs", format="compact"),
            "firing_rate": number("Firing rate", format="%.3f"),
            "on_front": st.column_config.CheckboxColumn("On front"),
            "front_probability": st.column_config.ProgressColumn(
                "Sure", min_value=0, max_value=1, format="percent", help="Probability of being on the front"
            ),
            "time_steps": number("T", format="%d"),
            "recipe": "Recipe",
            "seed": number("Seed", format="%d"),
            "n_seeds": number("Seeds", format="%d"),
            "n_test": number("Test images", format="localized"),
        },
    )
    picked = event.selection.rows if event else []
    if picked and shown[picked[0]]["run"]:
        open_run(shown[picked[0]]["run"])
    st.caption("Select a row to open its run. Click marks above, or draw a box or a lasso, to gather runs for Compare.")
