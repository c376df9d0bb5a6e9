"""Fewer steps and early exits: from one evaluation, what running fewer steps would really give."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.analysis import exits, steps
from core.analysis.exits import IMAGE_MODES, THRESHOLDS, exit_steps, image_energy
from core.analysis.steps import PER_STEP, truncated
from core.backbones.catalog import plan_for
from core.bundle import Predictions
from core.energy import price
from core.energy.modes import MODES
from core.energy.price import firing_rate
from core.energy.profiles import profiles
from core.engine.count import Counter
from core.engine.network import Network
from core.errors import BadValue
from core.schemas.diagnostics import StepPoint
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import NeuronConfig, RunConfig

N, T = 7, 4
PROFILE = profiles()["horowitz-45nm"]


def evaluated(kind="snn", time_steps=T, encoding="direct"):
    """A network with the same weights for any number of steps, and what it gives and counts on N images."""
    mask = ("F2", "F9")
    plan = plan_for(backbone="squeezenet", mask=mask, input_shape=(3, 16, 16), n_classes=10)
    neuron = NeuronConfig(tau=1.3, v_threshold=0.6)
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(N, 3, 16, 16, generator=draw) * 1.5
    warm = torch.randn(8, 3, 16, 16, generator=draw) * 1.5
    config = RunConfig(mask=mask, kind=kind, time_steps=T, neuron=neuron, encoding=encoding)
    trained = Network(plan, config)
    for module in trained.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # running statistics as after training
    with torch.no_grad():
        trained.train()(warm)
    network = Network(plan, config.model_copy(update={"time_steps": time_steps}))
    network.load_state_dict(trained.state_dict())
    with torch.no_grad(), Counter(network.eval()) as counter:
        outputs = network(x).transpose(0, 1).numpy()
    labels = np.arange(N) % 10
    predictions = Predictions(index=np.arange(N), label=labels, outputs=outputs, classes=[str(k) for k in range(10)])
    return predictions, counter.counts(N), counter.per_sample()


@pytest.fixture(scope="module")
def whole():
    return evaluated()


@pytest.fixture(scope="module")
def surer(whole):
    """With outputs so large that some images are sure after a step or two, and some never.

    Step 1 says something else of every second image, and is always right.
    """
    predictions, counts, per_sample = whole
    outputs = predictions.outputs * 12
    outputs[::2, 0] = outputs[::2, 0, ::-1]
    return dataclasses.replace(predictions, outputs=outputs, label=outputs[:, 0].argmax(1)), counts, per_sample


@pytest.mark.parametrize("mode", ["exact", "paper", "memory"])
def test_the_best_stop_under_a_price_is_what_every_prefix_one_by_one_gives(surer, mode):
    """From the stored answers and counts themselves, without the curve."""
    predictions, counts, _ = surer
    right, costs = [], []
    for t in range(1, T + 1):
        answers = predictions.outputs[:, :t].mean(axis=1).argmax(axis=1)
        right.append(int((answers == predictions.label).sum()))
        costs.append(price.layers(truncated(counts, t), {}, MODES[mode], PROFILE).total_energy_pj)
    found = steps.curve(predictions, counts, mode=MODES[mode], profile=PROFILE).points
    for most in (*costs, costs[0] / 2, sum(costs)):
        best = 0
        for t in range(1, T + 1):  # of equals the earlier
            if costs[t - 1] <= most and (best == 0 or right[t - 1] > right[best - 1]):
                best = t
        stop = steps.best_within(found, most)
        assert (stop.steps if stop else 0) == best
    for images in range(N + 1):
        enough = next(t for t in range(1, T + 1) if right[t - 1] >= max(right) - images)
        assert steps.fewest_within(found, images / N).steps == enough


def test_of_stops_that_are_as_good_the_earlier_is_taken_and_none_where_all_cost_more():
    points = [StepPoint(steps=t, accuracy=a, f1_macro=0, confidence=0, ece=0, firing_rate=0, energy_pj=10 * t)
              for t, a in enumerate((0.5, 0.9, 0.8, 0.9), 1)]  # fmt: skip
    assert [steps.best_within(points, most) and steps.best_within(points, most).steps for most in (9, 10, 35, 40)] == [
        None, 1, 2, 2,
    ]  # fmt: skip
    assert [steps.fewest_within(points, loss).steps for loss in (0.4, 0.1, 0.0)] == [1, 2, 2]


@pytest.mark.parametrize("fewer", [1, 2, 3, 4])
def test_a_network_run_over_fewer_steps_gives_the_first_outputs_and_counts(whole, fewer):
    predictions, counts, per_sample = whole
    outputs, run, run_per_sample = evaluated(time_steps=fewer)
    # a convolution over fewer rows adds up in another order, so the last digits may differ; the spikes are the same
    assert np.allclose(outputs.outputs, predictions.outputs[:, :fewer], rtol=0, atol=1e-6)
    assert run == truncated(counts, fewer)
    for name in ("ac", "mac", "spikes"):
        assert np.array_equal(run_per_sample[name], per_sample[name][:, :, :fewer])
    assert sum(run_per_sample["spikes"].sum((0, 1)) > 0) == fewer  # the network is alive at every step


def test_every_field_with_an_entry_a_step_is_cut():
    per_step = {name for name, field in LayerCounts.model_fields.items() if field.annotation == tuple[int, ...]} - {
        "output_shape"
    }
    assert per_step == set(PER_STEP)


@pytest.mark.parametrize("mode", list(MODES))
def test_all_steps_are_the_whole_and_energy_rises_with_each(whole, mode):
    predictions, counts, _ = whole
    curve = steps.curve(predictions, counts, mode=MODES[mode], profile=PROFILE)
    assert [point.steps for point in curve.points] == [1, 2, 3, 4] and curve.n == N
    assert truncated(counts, T) == counts
    bill = price.layers(counts, {}, MODES[mode], PROFILE)
    assert curve.points[-1].energy_pj == bill.total_energy_pj
    if mode != "paper":  # which bills one step whatever T' is
        energies = [point.energy_pj for point in curve.points]
        assert all(a < b for a, b in itertools.pairwise(energies))
    answers = predictions.outputs.mean(1).argmax(1)
    assert curve.points[-1].accuracy == (answers == predictions.label).mean()
    assert curve.points[-1].firing_rate == firing_rate(counts)


def test_the_first_layer_of_a_constant_image_is_charged_once_at_any_number_of_steps(whole):
    _, counts, _ = whole
    stem = {t: MODES["exact"].tally(truncated(counts, t)).layers[0] for t in (1, 4)}
    assert stem[1].name == "stem.conv" and stem[1].macs == stem[4].macs > 0


def test_a_step_is_judged_by_the_mean_of_the_outputs_so_far():
    # class b leads after step 1; the mean of both steps, (1.5, 0.5), is for class a
    predictions = Predictions(
        index=np.array([0]),
        label=np.array([0]),
        classes=["a", "b"],
        outputs=np.array([[[0.0, 1.0], [3.0, 0.0]]], np.float32),
    )
    layer = LayerCounts(
        name="n", kind="neuron", output_shape=(2, 1, 1), output_numel=2, ac=(0, 0), mac=(0, 0), spikes=(2, 1)
    )
    counts = Counts(kind="snn", time_steps=2, n_samples=1, layers=(layer,))
    first, both = steps.curve(predictions, counts, mode=MODES["exact"], profile=PROFILE).points
    assert (first.accuracy, both.accuracy) == (0.0, 1.0)
    assert (first.firing_rate, both.firing_rate) == (2 / 2, 3 / 4)


# Image by image.


@pytest.mark.parametrize("kind", ["snn", "cnn"])
@pytest.mark.parametrize("mode", IMAGE_MODES)
@pytest.mark.parametrize("profile", list(profiles()))
def test_the_energies_of_the_images_add_up_to_every_truncated_bill(whole, kind, mode, profile):
    _, counts, per_sample = whole if kind == "snn" else evaluated("cnn")
    found = image_energy(counts, per_sample, mode=MODES[mode], profile=profiles()[profile])
    assert found.energy_pj.shape == (N, len(found.layers), counts.time_steps)
    for t in range(1, counts.time_steps + 1):
        bill = price.layers(truncated(counts, t), {}, MODES[mode], profiles()[profile])
        by_layer = {layer.name: layer.energy_pj for layer in bill.layers if layer.energy_pj}
        ours = found.energy_pj[:, :, :t].sum(2).mean(0)
        assert dict(zip(found.layers, ours.tolist(), strict=True)) == pytest.approx(by_layer, rel=1e-9)


def test_the_energy_of_an_image_is_that_of_the_network_that_saw_it_alone(whole):
    _, counts, per_sample = whole
    alone = {name: value[:1] if value.ndim == 3 else value for name, value in per_sample.items()}
    prices = PROFILE
    found = image_energy(counts, per_sample, mode=MODES["exact"], profile=PROFILE).energy_pj[0].sum()
    constant = {layer.name for layer in counts.layers if layer.constant_input}
    by_hand = 0.0
    for place, name in enumerate(alone["layers"].tolist()):
        last = 1 if name in constant else T
        by_hand += (
            alone["ac"][0, place, :last].sum() * prices.ac_pj + alone["mac"][0, place, :last].sum() * prices.mac_pj
        )
    assert found == pytest.approx(by_hand)


@pytest.mark.parametrize("mode", sorted(set(MODES) - set(IMAGE_MODES)))
def test_modes_without_an_energy_of_one_image_are_refused(whole, mode):
    _, counts, per_sample = whole
    with pytest.raises(BadValue, match="image by image"):
        image_energy(counts, per_sample, mode=MODES[mode], profile=PROFILE)


def test_an_image_stops_at_the_first_step_that_is_sure():
    # softmax of (a, 0) is >= 0.9 from a = ln 9 = 2.197 on; running means 1, 2.5 and 2
    outputs = np.array([[[1.0, 0.0], [4.0, 0.0], [1.0, 0.0]]], np.float32)
    assert exit_steps(outputs, 0.9).tolist() == [2]
    assert exit_steps(outputs, 0.95).tolist() == [3]  # ln 19 = 2.94 is never reached: T
    assert exit_steps(outputs, 0.7).tolist() == [1]


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_never_stops_earlier(seed, one, other):
    outputs = np.random.default_rng(seed).normal(size=(5, 4, 3)).astype(np.float32)
    low, high = sorted((one, other))
    early, late = exit_steps(outputs, low), exit_steps(outputs, high)
    assert (early <= late).all() and early.min() >= 1 and late.max() <= 4


@pytest.mark.parametrize("mode", IMAGE_MODES)
def test_exits_run_from_one_step_to_all(surer, mode):
    predictions, counts, per_sample = surer
    found = exits.curve(predictions, counts, per_sample, mode=MODES[mode], profile=PROFILE, threshold=0.0)
    every = steps.curve(predictions, counts, mode=MODES[mode], profile=PROFILE).points
    first, last = found.points[0], found.points[-1]
    assert (first.threshold, last.threshold) == (0.0, 1.0) == (THRESHOLDS[0], THRESHOLDS[-1])
    assert first.images == [N, 0, 0, 0] and last.images == [0, 0, 0, N]  # no confidence here is 1
    for point, steps_run in ((first, every[0]), (last, every[-1])):
        assert point.accuracy == steps_run.accuracy and point.mean_steps == steps_run.steps
        assert point.energy_pj == pytest.approx(steps_run.energy_pj, rel=1e-9)
    assert first.accuracy == 1 > last.accuracy
    between = [point.energy_pj for point in found.points]
    assert between == sorted(between)
    assert len({tuple(point.images) for point in found.points}) > 2  # some images stop in between
    assert found.images.index == list(range(N)) and found.images.step == [1] * N


def test_an_exits_energy_and_accuracy_are_those_of_the_images_own_steps(surer):
    predictions, counts, per_sample = surer
    theta = 0.6
    found = next(
        point
        for point in exits.curve(predictions, counts, per_sample, mode=MODES["exact"], profile=PROFILE).points
        if point.threshold == theta
    )
    spent = image_energy(counts, per_sample, mode=MODES["exact"], profile=PROFILE).energy_pj
    energy, right, steps_used = 0.0, 0, 0
    for i in range(N):
        for t in range(1, T + 1):
            mean = predictions.outputs[i, :t].mean(0, dtype=np.float64)
            shares = np.exp(mean) / np.exp(mean).sum()
            if shares.max() >= theta or t == T:
                break
        energy, steps_used = energy + spent[i, :, :t].sum(), steps_used + t
        right += mean.argmax() == predictions.label[i]
    assert found.energy_pj == pytest.approx(energy / N) and found.mean_steps == steps_used / N
    assert found.accuracy == right / N
