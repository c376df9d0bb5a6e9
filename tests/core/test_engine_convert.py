"""Conversion: scales by arithmetic on every backbone, percentiles, and a converted network that answers as its CNN."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.backbones.catalog import BACKBONES, plan_for
from core.backbones.plan import PlanBuilder
from core.datasets.load import load
from core.engine import network as network_module
from core.engine import thermometer
from core.engine.convert import activation_percentiles, channel_scales, convert, require_convertible
from core.engine.count import Counter
from core.engine.data import Normaliser, TrainBatches, evaluation_batches, split
from core.engine.network import Network, observe, passing_counts
from core.errors import BadValue
from core.schemas.run import NeuronConfig, RunConfig, TrainingConfig

IF = NeuronConfig(model="if", reset="soft")
AS_IT_COMES = TrainingConfig(max_epochs=0, teacher_epochs=1)
CPU = torch.device("cpu")


def spiking(plan, *, neuron=IF, steps=8, training=AS_IT_COMES, **changes):
    mask = plan.mask or ("F2",)
    return RunConfig(mask=mask, time_steps=steps, start="converted", neuron=neuron, training=training, **changes)


def trained_looking(plan, *, seed=0, dtype=torch.float64):
    """A CNN whose normalisations have statistics and slopes of their own, as after training."""
    cnn = Network(plan, RunConfig(mask=plan.mask or ("F2",), kind="cnn", seed=seed)).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    norms = [layer for layer in cnn.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.uniform_(0.5, 2.0, generator=generator)
            norm.bias.uniform_(-0.5, 1.0, generator=generator)
        cnn.train()(images(plan, 6, dtype=dtype))
    return cnn.eval()


def images(plan, n, *, seed=7, dtype=torch.float64):
    return torch.randn(n, *plan.input_shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def crossroads():
    """Every operation: a gated residual block, a sum of two activations, a sum that is activated, split and shuffle."""
    b = PlanBuilder((3, 16, 16))

    def unit(name, x, channels, **options):
        return b.act(f"{name}.act", b.bn(f"{name}.bn", b.conv(f"{name}.conv", x, channels, **options)))

    stem = b.maxpool("pool1", unit("stem", "input", 16, kernel=3, padding=1), kernel=3, stride=2, padding=1)
    left, right = (b.split(name, stem, start=start, channels=8) for name, start in (("left", 0), ("right", 8)))
    right = unit("deep", right, 8, kernel=3, padding=1, groups=4, bias=False)
    mixed = b.shuffle("shuffle", b.concat("join", (left, right)), groups=2)
    wide = b.add("sum", unit("a", mixed, 16, kernel=1), unit("b", mixed, 16, kernel=3, padding=1))  # both activated
    gate = unit("se1", b.global_avgpool("squeeze", wide), 4, kernel=1)
    gate = b.sigmoid("gate", b.conv("se2", gate, 16, kernel=1))
    narrow = b.bn("narrow.bn", b.conv("narrow", b.scale("gated", wide, gate), 16, kernel=1, bias=False))
    x = b.act("out.act", b.add("residual", mixed, narrow))  # spikes and a current, activated
    x = b.act("late.act", b.bn("late.bn", x))  # a normalisation straight after spikes
    b.global_avgpool("pool", b.conv("classifier", b.dropout("dropout", x, 0.2), 10, kernel=1))
    return b.finish(backbone="t", definition="small", blocks=(), mask=())


def shortcuts():
    """A small network with a split, a shuffle and two kinds of sums that learns in seconds."""
    b = PlanBuilder((3, 16, 16))

    def unit(name, x, channels, kernel):
        x = b.bn(f"{name}.bn", b.conv(f"{name}.conv", x, channels, kernel=kernel, padding=kernel // 2))
        return b.act(f"{name}.act", x)

    x = b.maxpool("pool1", unit("stem", "input", 16, 3), kernel=2, stride=2)
    half = unit("deep", b.split("half", x, start=8, channels=8), 24, 3)
    x = b.shuffle("shuffle", b.concat("join", (b.split("kept", x, start=0, channels=8), half)), groups=2)
    x = b.add("sum", x, unit("wide", x, 32, 3))
    x = b.act("act", b.add("residual", x, b.bn("flat.bn", b.conv("flat.conv", x, 32, kernel=1))))
    b.global_avgpool("pool", b.conv("classifier", x, 10, kernel=1))
    return b.finish(backbone="t", definition="small", blocks=(), mask=())


def plan_of(backbone):
    if backbone == "crossroads":
        return crossroads()
    entry = BACKBONES[backbone]
    return plan_for(backbone=backbone, mask=entry.blocks, input_shape=(3, 32, 32), n_classes=10)


def values(network, x):
    seen = {}
    with torch.no_grad(), observe(network, lambda node, _, out: seen.__setitem__(node.name, out), every_node=True):
        network(x)
    return seen


@pytest.mark.parametrize("backbone", ["crossroads", *BACKBONES])
def test_with_ideal_neurons_every_value_is_the_cnns_in_its_own_scale(backbone, monkeypatch):
    # an ideal neuron gives the rate relu(z) / v_threshold; then s x_snn = x_cnn holds exactly, node by node
    plan = plan_of(backbone)
    cnn = trained_looking(plan)
    x = images(plan, 3)
    neuron = NeuronConfig(model="if", reset="soft", v_threshold=0.4)
    config = spiking(plan, neuron=neuron)
    lambdas = activation_percentiles(cnn, [x], 99.0)
    scales = channel_scales(plan, config, lambdas)
    converted = Network(plan, cnn.config).double().eval()
    converted.load_state_dict(convert(cnn, plan, config, [x], 99.0).state_dict())
    expected = values(cnn, x)
    ideal = lambda network, node, inputs: F.relu(inputs[0]) / neuron.v_threshold
    monkeypatch.setitem(network_module._RULES, "act", ideal)
    found = values(converted, x)
    for node in plan.nodes:
        restored = found[node.name] * scales[node.name].view(-1, 1, 1)
        torch.testing.assert_close(restored, expected[node.name], rtol=1e-8, atol=1e-8, msg=node.name)
    assert torch.equal(scales[plan.nodes[-1].name], torch.ones(10, dtype=torch.float64))  # the logits are the CNN's
    for name, value in lambdas.items():
        assert bool((scales[name] >= value * (1 - 1e-9)).all()), name  # so that no more saturate than were asked for


def test_a_sum_of_activations_has_the_larger_of_their_scales():
    plan = crossroads()
    lambdas = {node.name: 1.0 for node in plan.nodes if node.op == "act"} | {"a.act": 2.0, "b.act": 5.0}
    scales = channel_scales(plan, spiking(plan), lambdas)
    assert scales["a.act"].unique().tolist() == scales["b.act"].unique().tolist() == [5.0]
    assert scales["a.bn"].unique().tolist() == [5.0]  # v_threshold = 1: the current at which it fires at every step
    half = channel_scales(plan, spiking(plan, neuron=NeuronConfig(model="if", reset="soft", v_threshold=0.5)), lambdas)
    assert half["a.act"].unique().tolist() == [5.0] and half["a.bn"].unique().tolist() == [10.0]


@pytest.mark.parametrize("percentile", [100.0, 99.9, 97.3, 60.0])
@pytest.mark.parametrize("batches", [1, 3])
def test_percentiles_over_batches_equal_numpys_over_all_values(percentile, batches):
    plan = crossroads()
    cnn = trained_looking(plan)
    x = images(plan, 6)
    found = activation_percentiles(cnn, x.chunk(batches), percentile)
    expected = values(cnn, x)
    assert set(found) == {node.name for node in plan.nodes if node.op == "act"}
    for name, value in found.items():
        assert value == pytest.approx(float(np.percentile(expected[name].numpy(), percentile)), rel=1e-9), name


def test_a_silent_layer_and_a_percentile_of_zero_have_a_scale_all_the_same():
    plan = crossroads()
    cnn = trained_looking(plan)
    with torch.no_grad():
        cnn.get_parameter("a.bn.bias").fill_(-1e6)
        cnn.get_parameter("b.bn.bias").fill_(-1e6)
        cnn.get_parameter("b.bn.bias")[0] = 0.0  # one channel of 16: the 60th percentile is 0
    x = images(plan, 2)
    found = activation_percentiles(cnn, [x], 60.0)
    assert found["a.act"] == 1.0
    assert found["b.act"] == pytest.approx(float(values(cnn, x)["b.act"].max())) and found["b.act"] > 0.1


def test_conversion_leaves_the_cnn_as_it_was():
    plan = crossroads()
    cnn = trained_looking(plan).train()
    before = {name: value.clone() for name, value in cnn.state_dict().items()}
    convert(cnn, plan, spiking(plan), [images(plan, 2)], 99.9)
    assert cnn.training and not cnn._observers
    assert all(torch.equal(value, before[name]) for name, value in cnn.state_dict().items())


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"neuron": NeuronConfig(model="lif", reset="soft")}, "neuron.model"),
        ({"neuron": NeuronConfig(model="if", reset="hard")}, "neuron.reset"),
        ({"encoding": "rate"}, "encoding"),
        ({"encoding": "latency", "training": TrainingConfig()}, "encoding"),
    ],
)
def test_what_would_not_stand_for_its_cnn_is_refused_with_the_field(changes, field):
    plan = crossroads()
    with pytest.raises(BadValue) as caught:
        convert(trained_looking(plan), plan, spiking(plan, **changes), [images(plan, 2)], 99.9)
    assert caught.value.fields["field"] == field


def test_any_neuron_may_be_the_start_of_training():
    for neuron in (NeuronConfig(), NeuronConfig(model="plif", reset="soft", surrogate="exponential")):
        trained = spiking(crossroads(), neuron=neuron, training=TrainingConfig(max_epochs=1))
        require_convertible(trained)
        untrained = trained.model_copy(update={"training": trained.training.model_copy(update={"max_epochs": 0})})
        with pytest.raises(BadValue, match="neuron.model"):  # the epoch alone makes the difference
            require_convertible(untrained)


@pytest.mark.parametrize("model", ["lif", "plif"])
@pytest.mark.parametrize("tau", [1.3, 4.0])
def test_as_a_start_a_leaky_neuron_fires_at_every_step_where_the_relu_reaches_its_percentile(model, tau):
    # from V = 0 and with a hard reset every step has H = X / tau, and X = tau v_threshold y / lambda
    plan = crossroads()
    cnn = trained_looking(plan)
    x = images(plan, 4)
    config = spiking(plan, neuron=NeuronConfig(model=model, tau=tau, v_threshold=0.7), training=TrainingConfig())
    snn = convert(cnn, plan, config, [x], 90.0)
    rates = values(snn, x)["stem.act"].unflatten(0, (8, -1)).mean(0)
    scale = channel_scales(plan, config, activation_percentiles(cnn, [x], 90.0))["stem.act"].view(-1, 1, 1)
    reached = values(cnn, x)["stem.act"] >= scale
    assert 0.01 < reached.double().mean() < 0.15
    assert torch.equal(rates == 1, reached)
    assert snn.v_start == 0 and not snn.is_converted


@pytest.mark.parametrize("backbone", ["crossroads", *BACKBONES])
def test_with_ideal_counts_a_network_of_counts_starts_with_the_answers_of_its_cnn(backbone, monkeypatch):
    # an ideal count is relu(X) / theta, neither rounded nor cut; spread evenly over the steps of the readout
    plan = plan_of(backbone)
    cnn = trained_looking(plan)
    cnn.fused = False
    x = images(plan, 3)
    config = spiking(plan, neuron=NeuronConfig(model="count", v_threshold=0.4), steps=5, training=TrainingConfig())
    network = convert(cnn, plan, config, [x], 99.0)
    for module in (network_module, thermometer):
        monkeypatch.setattr(module, "counted", lambda u, levels: u.relu())
        monkeypatch.setattr(module, "unrolled", lambda c, steps: (c / steps).repeat(steps, 1, 1, 1))
    with torch.no_grad(), passing_counts(network):
        torch.testing.assert_close(network(x).mean(0), cnn(x)[0], rtol=1e-6, atol=1e-8)


def test_a_converted_start_of_counts_uses_its_whole_range():
    plan = plan_of("squeezenet")
    cnn = trained_looking(plan)
    x = images(plan, 3)
    config = spiking(plan, neuron=NeuronConfig(model="count", v_threshold=0.4), steps=4, training=TrainingConfig())
    network = convert(cnn, plan, config, [x], 100.0)
    with passing_counts(network):
        top = {name: value.max().item() for name, value in values(network, x).items() if name.endswith(".act")}
    assert top["stem.act"] == 4 and set(top.values()) <= {3, 4}  # lambda is the largest output of each layer


def test_a_sum_of_spikes_and_their_own_current_is_refused_unless_both_have_one_scale():
    b = PlanBuilder((3, 8, 8))
    current = b.bn("bn", b.conv("conv", "input", 4, kernel=1))
    x = b.add("sum", current, b.act("act", current))
    b.global_avgpool("pool", b.conv("out", x, 2, kernel=1))
    plan = b.finish(backbone="t", definition="small", blocks=(), mask=())
    cnn, x = trained_looking(plan), images(plan, 4)
    convert(cnn, plan, spiking(plan), [x], 99.9)
    with pytest.raises(BadValue, match="v_threshold") as caught:
        neuron = NeuronConfig(model="if", reset="soft", v_threshold=0.5)
        convert(cnn, plan, spiking(plan, neuron=neuron), [x], 99.9)
    assert caught.value.fields["expected"].startswith("1:")


def test_rates_of_the_first_layer_are_the_scaled_relus_rounded_to_the_steps():
    plan = crossroads()
    cnn, x = trained_looking(plan), images(plan, 4)
    lambdas = activation_percentiles(cnn, [x], 99.0)
    scale = channel_scales(plan, spiking(plan), lambdas)["stem.act"].view(-1, 1, 1)
    wanted = (values(cnn, x)["stem.act"] / scale).clamp(max=1)
    for steps in (4, 20):
        snn = convert(cnn, plan, spiking(plan, steps=steps), [x], 99.0)
        rates = values(snn, x)["stem.act"].unflatten(0, (steps, -1)).mean(0)
        # T z + v_threshold / 2 = n v_threshold + V, and V is in [0, v_threshold)
        assert (rates - wanted).abs().max() <= 1 / (2 * steps) + 1e-12


def test_the_pool_of_a_converted_network_gives_spikes_at_the_largest_rate_that_goes_in():
    plan = crossroads()
    cnn, x = trained_looking(plan), images(plan, 4)
    snn = convert(cnn, plan, spiking(plan, steps=16), [x], 99.0)
    seen = values(snn, x)
    assert bool(((seen["pool1"] == 0) | (seen["pool1"] == 1)).all())
    into, out = (seen[name].unflatten(0, (16, -1)).mean(0) for name in ("stem.act", "pool1"))
    assert torch.equal(out, F.max_pool2d(into, 3, 2, 1))
    with torch.no_grad(), Counter(snn) as counter:
        snn(x)
    counted = {layer.name: layer for layer in counter.counts(4).layers}
    assert sum(counted["deep.conv"].input_nonzero) == int(seen["right"].sum())


def test_the_gate_of_a_converted_network_is_that_of_the_mean_so_far_and_of_a_trained_one_that_of_the_step():
    plan = crossroads()
    cnn, x = trained_looking(plan), images(plan, 4)
    for training, converted in ((AS_IT_COMES, True), (TrainingConfig(), False)):
        seen = values(convert(cnn, plan, spiking(plan, training=training), [x], 99.0), x)
        current, gate = (seen[name].unflatten(0, (8, -1)) for name in ("se2", "gate"))
        wanted = torch.stack([current[: t + 1].mean(0) for t in range(8)]) if converted else current
        assert not torch.equal(current[0], current[7])
        torch.testing.assert_close(gate, wanted.sigmoid(), rtol=1e-9, atol=0)


@functools.cache
def digits():
    training = TrainingConfig(batch_size=64)
    return split(load("digits", Path()), training, CPU)


@functools.cache
def taught(backbone):
    """A CNN after a few epochs of digits, its answers on the test images, and calibration batches.

    The last bits of float32 differ between processors, and after some hundred steps so do answers: leave room.
    """
    splits, normalise = digits(), Normaliser(digits().spec, CPU)
    plan = shortcuts() if backbone == "shortcuts" else _squeezenet()
    config = RunConfig(mask=plan.mask or ("F2",), kind="cnn", training=TrainingConfig(batch_size=32))
    cnn, batches = Network(plan, config), TrainBatches(splits.train, config, normalise)
    optimizer = torch.optim.Adam(cnn.parameters(), lr=5e-3)
    for epoch in range(1, 5):
        for step in range(batches.steps):
            x, labels = batches.get(epoch, step)
            optimizer.zero_grad()
            F.cross_entropy(cnn(x)[0], labels).backward()
            optimizer.step()
    # the large network has 64 steps of a third of the images
    x, labels = next(evaluation_batches(splits.test, normalise, 360 if backbone == "shortcuts" else 120))
    with torch.no_grad():
        answers = cnn.eval()(x)[0]
    return cnn, plan, [batches.get(1, step)[0] for step in range(8)], x, labels, answers


def _squeezenet():
    return plan_for(backbone="squeezenet", mask=("F4", "F9"), input_shape=(3, 16, 16), n_classes=10)


def outputs(backbone, percentile, steps):
    """[T, N, C] of the converted network on its test images, and its firing rate."""
    cnn, plan, calibration, x, _, _ = taught(backbone)
    snn = convert(cnn, plan, spiking(plan, steps=steps), calibration, percentile).eval()
    rates = []
    with torch.no_grad(), observe(snn, lambda node, _, out: rates.append(out.mean()) if node.op == "act" else None):
        out_TNC = torch.cat([snn(part) for part in x.split(60)], 1)
    return out_TNC, float(torch.stack(rates).mean())


def accuracy(out_TNC, labels, steps):
    return float((out_TNC[:steps].mean(0).argmax(1) == labels).double().mean())


# the small one has every operation of the large one, and as much to learn
@pytest.mark.parametrize("backbone", [pytest.param("squeezenet", marks=pytest.mark.exhaustive), "shortcuts"])
def test_a_converted_network_comes_within_four_points_of_its_cnn_and_nearer_with_more_steps(backbone):
    steps = 64
    *_, labels, answers = taught(backbone)
    out_TNC, _ = outputs(backbone, 99.9, steps)
    twin = accuracy(answers[None], labels, 1)
    assert twin > 0.8
    found = {count: accuracy(out_TNC, labels, count) for count in (1, 4, 16, steps)}
    assert found[1] < found[4] < found[steps] and found[4] < found[16]
    assert found[steps] > twin - 0.04, (twin, found)
    errors = [float((out_TNC[:count].mean(0) - answers).abs().mean()) for count in (2, 8, steps)]
    assert errors[0] > 1.5 * errors[1] > 1.5 * 1.2 * errors[2]


def test_the_maximum_as_threshold_fires_less_and_needs_more_steps_than_a_percentile():
    *_, labels, answers = taught("shortcuts")
    (by_percentile, rate), (by_maximum, lower_rate) = (outputs("shortcuts", p, 32) for p in (99.0, 100.0))
    assert lower_rate < 0.8 * rate
    assert accuracy(by_maximum, labels, 8) < accuracy(by_percentile, labels, 8)
    assert (by_maximum.mean(0).argmax(1) == answers.argmax(1)).double().mean() > 0.9
