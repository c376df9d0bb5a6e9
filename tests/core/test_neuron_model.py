"""The neuron in numbers is the engine's: surrogate slopes, and membranes step by step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from core.analysis.neuron_model import DERIVATIVES, surrogate, trace
from core.engine.neurons import Learned, run_steps, trace_steps
from core.engine.surrogates import SURROGATES
from core.report.charts import membrane
from core.schemas.inference import Membrane
from core.schemas.run import NeuronConfig


def test_both_know_the_same_surrogates():
    assert list(DERIVATIVES) == list(SURROGATES)


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("alpha", [0.5, 2.0, 10.0, 100.0])
def test_a_slope_is_the_engines(name, alpha):
    u = np.linspace(-3, 3, 1001)
    expected = SURROGATES[name](torch.from_numpy(u), alpha).numpy()
    np.testing.assert_allclose(
        surrogate(u, NeuronConfig(surrogate=name, alpha=alpha)), expected, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(
    ("model", "reset", "start", "decays"),
    list(itertools.product(("lif", "if", "plif"), ("hard", "soft"), ("zero", "half"), (True, False))),
)
def test_a_trace_is_the_engines(model, reset, start, decays):
    neuron = NeuronConfig(model=model, reset=reset, v_start=start, decay_input=decays, tau=3.0, v_threshold=0.7)
    drive = torch.tensor(np.random.default_rng(0).normal(0.6, 0.8, 20), dtype=torch.float64)
    learned = Learned(neuron).double()
    learned.start(neuron)
    before, after, spikes = trace_steps(drive, 20, neuron, learned.w)
    found = trace(drive.tolist(), neuron)
    np.testing.assert_allclose(found.before, before.detach(), rtol=1e-9)
    np.testing.assert_allclose(found.after, after.detach(), rtol=1e-9, atol=1e-12)
    assert found.spikes == spikes.tolist() == run_steps(drive, 20, neuron, learned.w).tolist()
    assert 0 < sum(found.spikes) < 20


def test_by_hand_lif_at_tau_2_with_input_1_5_fires_every_second_step():
    # H: 0.75; 0.75 + (1.5 - 0.75) / 2 = 1.125 >= 1, so V' = 0; then again
    found = trace([1.5] * 4, NeuronConfig())
    assert found.before == [0.75, 1.125, 0.75, 1.125]
    assert found.after == [0.75, 0.0, 0.75, 0.0]
    assert found.spikes == [0, 1, 0, 1]


def test_a_neuron_of_counts_has_no_membrane_and_says_so():
    with pytest.raises(ValueError, match="counts"):
        trace([1.0], NeuronConfig(model="count"))
    assert "no membrane" in membrane.neuron_figure(NeuronConfig(model="count")).to_json()
    assert membrane.neuron_rows(NeuronConfig(model="count")) == []


def test_the_picture_falls_where_the_neuron_fires():
    found = trace([1.5] * 4, NeuronConfig())
    chart = membrane.figure(Membrane(layer="F9 squeeze", channel=0, y=1, x=2, trace=found), source="a run")
    line = chart.data[0]
    assert list(line.x) == [0, 1, 2, 2, 3, 4, 4]
    assert list(line.y) == [0.0, 0.75, 1.125, 0.0, 0.75, 1.125, 0.0]
    assert list(chart.data[1].x) == [2, 4]
    assert "row 1, column 2" in chart.layout.meta["caption"]
    assert [row["spike"] for row in membrane.rows(found)] == [0, 1, 0, 1]


def test_a_steeper_surrogate_is_higher_and_its_caption_says_so():
    gentle, steep = (membrane.neuron_figure(NeuronConfig(alpha=alpha)) for alpha in (2.0, 4.0))
    top = [max(next(line.y for line in chart.data if line.name == "surrogate derivative")) for chart in (gentle, steep)]
    assert top == [1.0, 2.0]
    assert "alpha = 4: at most 2, area 1" in steep.layout.meta["caption"]
