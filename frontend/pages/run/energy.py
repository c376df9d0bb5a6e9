"""Where the energy goes: layer by layer, as a flow, as a table, beside the twin's, and counted again."""

from __future__ import annotations

import streamlit as st

from core.report import size_words
from core.report.charts import energy, flow
from core.report.tables import html
from core.schemas.bill import LayerBill, Layers
from core.schemas.compression import Size
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
    if layers.size is not None and size_words.is_compressed(layers.size):
        _size(layers.size, layers)
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
    compressed = shown.layers.size is not None and size_words.is_compressed(shown.layers.size)
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
            *(_compressed(bill) if compressed else ()),
        )
        for bill in shown.layers.layers
    ]
    head = ("Layer", "Kind", "Output", "Parameters", "Dense ops a step", "ACs", "MACs", "Energy", "Share")
    if compressed:
        head = (*head, "Weights kept", "Bits", "Bit-SynOps")
    return html.cells(head, rows, focus=True)


def _compressed(bill: LayerBill) -> tuple[str, str, str]:
    """Weights kept, their bits and Bit-SynOps of a layer; nothing for one without weights of its own."""
    if not bill.dense_ops:
        return "", "", ""
    kept = "all" if bill.kept_params is None else f"{bill.kept_params:,}"
    return kept, str(bill.weight_bits or 32), format_count(bill.bit_synops)


def _size(size: Size, layers: Layers) -> None:
    """Of compressed weights how large they are, and their Bit-SynOps beside the source's formula."""
    exactly, by_rate = (format_count(n) for n in (layers.total_bit_synops, layers.total_bit_synops_by_rate))
    rows = [
        *size_words.rows(size),
        ("Bit-SynOps per inference, counted", exactly),
        ("Bit-SynOps by the mean rate", by_rate),
    ]
    st.html(html.cells(("Compressed weights", ""), rows))
    st.caption(
        f"{size_words.NOTE} Bit-SynOps are the operations of mode exact times their weights' bits; the mean rate, LitE-SNN's "
        "formula, takes every tap for in bounds and leaves out layers that no spikes feed."
    )
