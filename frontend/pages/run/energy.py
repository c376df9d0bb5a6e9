"""Where the energy goes: layer by layer, as a flow, as a table, beside the twin's, and counted again."""

from __future__ import annotations

import streamlit as st

from core.report.charts import energy, flow
from core.report.tables import html
from core.units import energy_in, energy_scale, format_count
from frontend.keys import Key
from frontend.pages.run import recount as run_recount
from frontend.pages.run import twin as run_twin
from frontend.pages.run.section import Shown
from frontend.parts.chart_box import show


def draw(shown: Shown) -> None:
    layers = shown.layers
    left, right = st.columns(2, gap="large")
    with left:
        show(
            energy.figure(layers, source=shown.source),
            key=Key.RUN_CHART.of("energy"),
            data=lambda: energy.rows(layers),
            file_name=f"{shown.file_stem}-layers.csv",
        )
    with right:
        show(
            flow.figure(layers, source=shown.source),
            key=Key.RUN_CHART.of("flow"),
            data=lambda: flow.rows(layers),
            file_name=f"{shown.file_stem}-flow.csv",
        )
    run_twin.draw(shown)
    with st.expander("Every operation", icon=":material/table_rows:"):
        st.html(_table(shown))
    run_recount.draw(shown)
    st.caption(
        "Estimated from counted operations times published prices, not measured on hardware. Leakage, routing and control "
        "are not modelled in any mode; memory traffic only in the mode memory."
    )


def _table(shown: Shown) -> str:
    total = shown.layers.total_energy_pj
    unit = energy_scale(total)
    rows = [
        (
            bill.name,
            bill.kind,
            " × ".join(map(str, bill.output_shape)),
            f"{bill.params:,}",
            format_count(bill.dense_ops),
            format_count(bill.acs),
            format_count(bill.macs),
            energy_in(bill.energy_pj, unit),
            f"{100 * bill.energy_pj / total if total else 0:.1f} %",
        )
        for bill in shown.layers.layers
    ]
    head = ("Layer", "Kind", "Output", "Parameters", "Dense ops a step", "ACs", "MACs", "Energy", "Share")
    return html.cells(head, rows, focus=True)
