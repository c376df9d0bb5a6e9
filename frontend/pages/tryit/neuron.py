"""The membrane of one neuron for the image at hand: charged, before and after the reset, step by step."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import streamlit as st

from core.report.charts import membrane, spikes
from core.schemas.inference import LayerActivity, Membrane, NeuronPlace, Tried
from core.schemas.run import Kind
from core.schemas.runs import Run
from frontend.client.api import ApiProblem
from frontend.client.connection import api, show_problem
from frontend.keys import Key
from frontend.pages.tryit import answer as tried
from frontend.parts.chart_box import show

INPUT = "input"  # under rate coding the first layer that is shown, and no neuron
AXES = ("channel", "y", "x")
TITLES = {"channel": "Channel", "y": "Row", "x": "Column"}


def draw(run: Run, asked: dict[str, Any], result: Tried, question: Hashable) -> None:
    """A switch, and behind it the neuron's place and its picture; nothing for a network without membranes."""
    layers = {layer.name: layer for layer in result.answer.layers if layer.name != INPUT}
    if run.config.kind is Kind.CNN or not layers:
        return
    if run.config.neuron.model == "count":
        st.caption("Its neurons are counts: they have no membrane that could be shown.")
        return
    if not st.toggle("Membrane of one neuron", key=Key.TRY_MEMBRANE):
        return
    place = _place(layers)
    found = _ask(run, asked, result, place, (question, place))
    if found is None:
        return
    chart = membrane.figure(found, source=f"{result.answer.label} · {tried.source(result)}")
    show(chart, key=Key.TRY_CHART.of("membrane"), data=lambda: membrane.rows(found.trace))


def busiest(layer: LayerActivity) -> tuple[int, int]:
    """Row and column where most fires over all steps; the middle of a folded map's square."""
    total = spikes.decode(layer).sum(0)
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    _, height, width = layer.output_shape
    side = -(-max(height, width) // max(layer.map_shape))
    return min(int(row) * side + side // 2, height - 1), min(int(column) * side + side // 2, width - 1)


def _place(layers: dict[str, LayerActivity]) -> NeuronPlace:
    first, *others = st.columns([2, 1, 1, 1])
    name = first.selectbox("Layer", list(layers), key=Key.TRY_NEURON.of("layer"))
    layer = layers[name]
    starts = dict(zip(AXES, (0, *busiest(layer)), strict=True))
    values = {}
    for column, axis, size in zip(others, AXES, layer.output_shape, strict=True):
        values[axis] = column.number_input(
            TITLES[axis], 0, size - 1, starts[axis], key=Key.TRY_NEURON.of(f"{axis}_{name}"), help=f"0 to {size - 1}"
        )
    st.caption("It begins where most of this layer's neurons fire.")
    return NeuronPlace(layer=name, **values)


def _ask(run: Run, asked: dict[str, Any], result: Tried, place: NeuronPlace, question: Hashable) -> Membrane | None:
    """The membrane, asked for once for each image, network and neuron."""
    kept = st.session_state.get(Key.TRY_TRACE)
    if kept is not None and kept[0] == question:
        return kept[1]
    try:
        answered = api().try_image(run.id, mode=result.mode, profile=result.profile, neuron=place, **asked)
    except ApiProblem as problem:
        show_problem(problem)
        return None
    st.session_state[Key.TRY_TRACE] = (question, answered.answer.membrane)
    return answered.answer.membrane
