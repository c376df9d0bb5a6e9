"""Counts and the spikes that they stand for: one code in two forms, held together on every backbone."""

import math

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import neuron as sj_neuron
from spikingjelly.activation_based import surrogate as sj_surrogate
from torch.nn import functional as F

from core.analysis import exits, steps
from core.backbones.catalog import BACKBONES, plan_for
from core.backbones.plan import PlanBuilder
from core.backbones.readout import readout
from core.bundle import Bundle
from core.energy.modes import MODES, static_macs
from core.energy.planned import planned_layers
from core.energy.price import layers as priced
from core.energy.profiles import profiles
from core.energy.rules import in_bounds_ops
from core.engine.count import Counter, reached_outputs
from core.engine.diagnose import FiringRate
from core.engine.experiment import run
from core.engine.infer import run as try_one
from core.engine.network import Network, observe, passing_counts
from core.engine.neurons import run_steps
from core.engine.objective import Objective
from core.engine.probe import Probe
from core.engine.thermometer import counted, summed, unrolled
from core.errors import BadValue
from core.forecast import forward_ops, training_memory_bytes
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.run import NeuronConfig, RunConfig

D = 4
COUNT = NeuronConfig(model="count", v_threshold=0.5)
PROFILE = profiles()["horowitz-45nm"]
every_backbone = pytest.mark.parametrize("backbone", list(BACKBONES))


def make(backbone="squeezenet", *, mask=None, definition="small", side=16, fused=True, dtype=torch.float32, **fields):
    blocks = mask or BACKBONES[backbone].blocks
    plan = plan_for(backbone=backbone, mask=blocks, input_shape=(3, side, side), n_classes=10, definition=definition)
    config = RunConfig(
        backbone=backbone, definition=definition, mask=blocks, **{"time_steps": D, "neuron": COUNT} | fields
    )
    return Network(plan, config, fused=fused).to(dtype)


def images(n=4, side=16, dtype=torch.float32, seed=0):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def lively(network):
    """Random normalisations, steps and statistics, so that every count from 0 to D occurs in every layer."""
    draw = torch.Generator().manual_seed(1)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("log_threshold"):
                parameter.uniform_(-0.3, 0.3, generator=draw)
            elif name.endswith("conv.bias"):
                parameter.uniform_(0.5, 1.5, generator=draw)
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.uniform_(0.8, 1.6, generator=draw)
            norm.bias.uniform_(0.0, 0.6, generator=draw)
        side = network.plan.input_shape[1]
        network.train()(images(8, side, network.get_parameter(f"{network.plan.nodes[1].name}.weight").dtype))
    return network.eval()


def seen(network, x):
    """The outputs and what every activation gives."""
    acts = {}
    with torch.no_grad(), observe(network, lambda node, inputs, output: acts.update({node.name: output})):
        outputs = network(x)
    return outputs, {node.name: acts[node.name] for node in network.act_nodes}


# The code itself


def test_a_count_is_the_rounded_input_within_its_range():
    # in steps theta: halves go up, and what is below 0 or above D stays there
    u = torch.tensor([-3.0, -0.1, 0.0, 0.49, 0.5, 1.49, 1.5, 2.5, 3.5, 4.0, 9.0, torch.nan])
    expected = [0, 0, 0, 0, 1, 1, 2, 3, 4, 4, 4]
    assert counted(u, D)[:-1].tolist() == expected and counted(u, D)[-1].isnan()


def test_a_counts_gradient_passes_straight_through_inside_its_range_alone():
    u = torch.tensor([-0.1, 0.0, 0.3, 2.0, 4.0, 4.1], dtype=torch.float64, requires_grad=True)
    weights = torch.arange(1.0, 7.0, dtype=torch.float64)
    (counted(u, D) * weights).sum().backward()
    assert u.grad.tolist() == [0, 2, 3, 4, 5, 0]


def test_counts_and_their_gradients_are_those_of_spikingjellys_integer_neuron():
    theta = 0.75
    x = (images(dtype=torch.float64) * 2).requires_grad_()
    theirs_in = x.detach().clone().requires_grad_()
    node = sj_neuron.ILIFNode(v_threshold=theta, surrogate_function=sj_surrogate.MultiLevelSpikeCount(D))
    ours, theirs = counted(x / theta, D), node(theirs_in)
    assert set(ours.unique().tolist()) == {0, 1, 2, 3, 4}
    assert torch.equal(ours, theirs)  # no exact halves here, which theirs rounds to even
    upstream = images(dtype=torch.float64, seed=2)
    ours.backward(upstream)
    theirs.backward(upstream)
    torch.testing.assert_close(x.grad, theirs_in.grad, rtol=1e-12, atol=0)


def test_the_spikes_are_those_of_an_integrator_that_has_all_its_input_before_it_fires():
    """Independent of the code: the step functions, with the whole input at the first of D steps."""
    x = torch.arange(-64, 320, dtype=torch.float64).reshape(1, 1, 16, 24) / 64  # dyadic: every sum is exact
    theta = 0.5
    current = torch.cat((x, *[torch.zeros_like(x)] * (D - 1)))
    spikes = run_steps(current, D, NeuronConfig(model="if", reset="soft", v_start="half", v_threshold=theta))
    assert torch.equal(unrolled(counted(x / theta, D), D), spikes)


def test_a_thermometer_has_its_ones_on_the_left_and_sums_to_the_count():
    counts = torch.tensor([0.0, 1, 3, 4]).reshape(4, 1, 1, 1)
    spikes = unrolled(counts, D).reshape(D, 4)
    assert spikes.T.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert torch.equal(summed(unrolled(counts, D), D), counts)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_largest_count_is_the_or_of_the_spikes(layout):
    counts = counted(images() * 2, D).contiguous(memory_format=layout)
    spikes = unrolled(counts, D)
    assert spikes.is_contiguous(memory_format=layout)
    assert torch.equal(unrolled(F.max_pool2d(counts, 2), D), F.max_pool2d(spikes, 2))


def test_gradients_of_the_spikes_are_averaged_into_that_of_the_count():
    counts = torch.tensor([[2.0]], requires_grad=True)
    (unrolled(counts, D) * torch.tensor([[1.0], [2.0], [3.0], [6.0]])).sum().backward()
    assert counts.grad.item() == 3.0


# Both forms of a network


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    "backbone, definition, side, mask",
    [(name, "small", 16, None) for name in BACKBONES] + [("squeezenet", "imagenet", 64, ("F2", "F4", "F9"))],
)
def test_counts_and_spikes_give_the_same_outputs_and_the_same_integers_to_the_bit(
    backbone, definition, side, mask, fused
):
    network = lively(make(backbone, definition=definition, side=side, mask=mask, fused=fused))
    x = images(3, side)
    outputs, spikes = seen(network, x)
    with passing_counts(network):
        same, counts = seen(network, x)
    assert outputs.shape == (D, 3, 10) and outputs.std() > 0
    assert torch.equal(outputs, same)
    levels = set()
    for name, count in counts.items():
        levels |= set(count.unique().tolist())
        assert count.shape[0] == 3 and spikes[name].shape[0] == D * 3
        assert torch.equal(unrolled(count, D), spikes[name]), name
    assert levels == {0, 1, 2, 3, 4}


def binary_steps(network, x):
    """The same network run as hardware would: one binary step after the other, layer by layer, nothing folded.

    A convolution of spikes adds up what each step brings by itself, and its bias at the end; max-pools are ORs; the
    neurons fire step by step. Values that are not spikes are there once. Returns the outputs [D, N, classes].
    """
    values, plan = {}, network.plan
    tail, state = readout(plan), network.state_dict()
    for node in plan.nodes:
        inputs = [values[name] for name in node.inputs]
        stepped = [isinstance(value, list) for value in inputs]
        if node.op == "act":
            theta = network.config.neuron.v_threshold * state[f"{node.name}.log_threshold"].exp()
            v, fired = inputs[0] / theta + 0.5, []
            for _ in range(D):
                s = (v >= 1).to(x.dtype)
                v = v - s
                fired.append(s)
            values[node.name] = fired
        elif node.op == "conv" and stepped[0] and node.name not in tail:
            total = 0
            for s in inputs[0]:
                total = total + conv(network, node, s, bias=False)
            layer = network.get_submodule(node.name)
            values[node.name] = total if layer.bias is None else total + layer.bias.view(1, -1, 1, 1)
        elif any(stepped) and (node.name in tail or (node.spikes and all(stepped))):
            rows = [value if isinstance(value, list) else [value] * D for value in inputs]
            values[node.name] = [apply(network, node, [row[t] for row in rows]) for t in range(D)]
        else:  # once: what is spikes comes as the number of them
            once = [sum(value) if isinstance(value, list) else value for value in inputs]
            values[node.name] = x if node.op == "input" else apply(network, node, once)
    return torch.stack([value.flatten(1) for value in values[plan.nodes[-1].name]])


def conv(network, node, x, *, bias):
    layer = network.get_submodule(node.name)
    given = layer.bias if bias else None
    return F.conv2d(x, layer.weight, given, node.stride, node.padding, node.dilation, node.groups)


def apply(network, node, xs):
    match node.op:
        case "conv":
            return conv(network, node, xs[0], bias=True)
        case "bn":
            m = network.get_submodule(node.name)
            return F.batch_norm(xs[0], m.running_mean, m.running_var, m.weight, m.bias, False, 0.0, m.eps)
        case "maxpool":
            return F.max_pool2d(xs[0], node.kernel, node.stride, node.padding, ceil_mode=node.ceil_mode)
        case "global_avgpool":
            return xs[0].mean((2, 3), keepdim=True)
        case "concat":
            return torch.cat(xs, 1)
        case "add":
            return xs[0] + xs[1]
        case "scale":
            return xs[0] * xs[1]
        case "sigmoid":
            return xs[0].sigmoid()
        case "split":
            return xs[0][:, node.start : node.start + node.shape[0]]
        case "shuffle":
            return F.channel_shuffle(xs[0], node.groups)
        case "dropout":
            return xs[0]


@every_backbone
def test_binary_steps_one_by_one_give_the_answers_of_the_counts(backbone):
    network = lively(make(backbone, dtype=torch.float64, fused=False))
    with torch.no_grad():  # weights of few bits: then float64 adds them up exactly, in whatever order
        for name, parameter in network.named_parameters():
            if ".conv." in name:
                parameter.copy_((parameter * 2**10).round() / 2**10)
    x = images(3, dtype=torch.float64)
    with torch.no_grad():
        expected = binary_steps(network, (x * 2**10).round() / 2**10)
        torch.testing.assert_close(network((x * 2**10).round() / 2**10), expected, rtol=1e-12, atol=1e-12)
    assert expected.std() > 0


@every_backbone
def test_acs_of_the_spikes_are_the_counts_times_their_fan_out_and_real_values_cost_once(backbone):
    network = lively(make(backbone))
    x = images(3)
    with torch.no_grad(), Counter(network) as counter:
        network(x)
    counts = counter.counts(3)
    inputs = {}
    with torch.no_grad(), passing_counts(network), observe(network, lambda n, i, o: inputs.update({n.name: i})):
        network(x)
    kinds = set()
    for layer in counts.layers:
        node = network.plan.node(layer.name)
        if node.op != "conv":
            continue
        (value,) = inputs[node.name]
        pixels = value.double().sum(1).flatten(1) if layer.input_is_spikes else (value != 0).double().sum(1).flatten(1)
        ops = int((pixels @ reached_outputs(node)).sum())
        if layer.input_is_spikes:
            kinds.add("spikes")
            assert sum(layer.ac) == ops and not any(layer.mac)
            assert layer.ac[0] >= layer.ac[-1]  # on the left of the thermometer
        elif node.name in readout(network.plan):
            kinds.add("readout")
            assert len(set(layer.mac)) > 1 and not layer.constant_input
        else:
            kinds.add("once")
            assert set(layer.mac) == {ops} and layer.constant_input and layer.one_output
        assert layer.one_output == (node.name not in readout(network.plan))
    assert kinds >= {"spikes", "once"}  # "once": the stem, everywhere, and projections, gated values and sums


@every_backbone
def test_static_macs_are_those_that_are_counted_where_no_real_value_is_zero(backbone):
    network = lively(make(backbone))
    with torch.no_grad(), Counter(network) as counter:
        network(images(2))
    counts = counter.counts()
    every_input = tuple(  # as if no real value had been zero
        layer.model_copy(update={"mac": tuple(int(any(layer.mac)) * 2 * in_bounds_ops(node) for _ in layer.mac)})
        for layer, node in zip(counts.layers, network.plan.nodes[1:], strict=True)
    )
    bound = MODES["exact"].tally(counts.model_copy(update={"layers": every_input})).macs
    assert static_macs(network.plan, network.config.kind, MODES["exact"], D, "count") == bound
    assert MODES["exact"].tally(counts).macs <= bound


def test_training_passes_each_image_once_and_gives_an_output_for_every_step():
    network = make(mask=("F4", "F9"))
    rows = {}
    with observe(network, lambda node, inputs, output: rows.update({node.name: [len(x) for x in inputs]})):
        outputs = network.train()(images(4))
    assert outputs.shape == (D, 4, 10) and network.levels == D
    tail = readout(network.plan)
    assert tail == {"F9.concat", "classifier.conv", "pool"} | (tail & {"pool8"})
    convs = [node.name for node in network.plan.nodes if node.op == "conv"]
    assert {name: rows[name] for name in convs} == {name: [4 * D if name in tail else 4] for name in convs}


@every_backbone
def test_a_training_step_moves_every_weight_and_every_step_of_the_counts(backbone):
    network = make(backbone).train()
    F.cross_entropy(network(images(8)).mean(0), torch.arange(8)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
    assert all(network.get_parameter(f"{node.name}.log_threshold").grad != 0 for node in network.act_nodes[:1])


@pytest.mark.parametrize("fused", [True, False])
def test_gradients_in_training_are_those_of_the_equation_written_out(fused):
    network = make(mask=("F9",), side=8, dtype=torch.float64, fused=fused)
    w = {name: value.clone().requires_grad_(value.is_floating_point()) for name, value in network.state_dict().items()}

    def unit(x, name, padding=0):
        x = F.conv2d(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], padding=padding)
        x = F.batch_norm(x, None, None, w[f"{name}.bn.weight"], w[f"{name}.bn.bias"], training=True)
        u = (x / (0.5 * w[f"{name}.act.log_threshold"].exp())).clamp(0, D)
        return u + ((u + 0.5).floor() - u).detach()

    x, labels = images(side=8, dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    y = F.max_pool2d(F.max_pool2d(F.max_pool2d(unit(x, "stem", 1), 2), 2), 2)
    y = unit(y, "F9.squeeze")
    y = torch.cat((unit(y, "F9.expand1"), unit(y, "F9.expand3", 1)), 1)
    # the mean over D binary steps of the readout is the readout of C / D
    mean = F.conv2d(y / D, w["classifier.conv.weight"], w["classifier.conv.bias"]).mean((2, 3))
    F.cross_entropy(mean, labels).backward()
    outputs = network(x)
    torch.testing.assert_close(outputs.mean(0), mean, rtol=1e-12, atol=1e-12)
    F.cross_entropy(outputs.mean(0), labels).backward()
    for name, parameter in network.named_parameters():
        share = 1.0
        if name.endswith("log_threshold"):  # scaled, so that the step of the weights suits it
            share = (network.plan.node(name.rpartition(".")[0]).numel * D) ** -0.5
        if not name.endswith("conv.bias") or name.startswith("classifier"):
            torch.testing.assert_close(parameter.grad, share * w[name].grad, rtol=1e-8, atol=1e-12, msg=name)


def test_a_network_of_counts_can_be_differentiated_twice_in_plain_torch():
    network = make(mask=("F9",), side=8, fused=False)
    loss = F.cross_entropy(network(images(side=8)).mean(0), torch.tensor([0, 1, 2, 3]))
    weights = [network.get_parameter("stem.conv.weight"), network.get_parameter("F9.expand3.conv.weight")]
    first = torch.autograd.grad(loss, weights, create_graph=True)
    second = torch.autograd.grad(sum(part.square().sum() for part in first), weights)
    assert all(bool(part.isfinite().all()) and bool(part.any()) for part in (*first, *second))


def test_the_firing_rate_of_counts_is_that_of_their_spikes():
    network, rates = lively(make(mask=("F4", "F9"))), []
    for counts in (False, True):
        firing = FiringRate(network)
        with torch.no_grad(), firing.watch():
            if counts:
                with passing_counts(network):
                    network(images())
            else:
                network(images())
        rates.append(firing.read())
    assert rates[0] == rates[1] and 0 < rates[0] < 1


def test_passing_counts_leaves_the_network_as_it_was_and_other_networks_alone():
    network = lively(make(mask=("F9",)))
    with pytest.raises(KeyError), passing_counts(network):
        assert network.levels == D
        raise KeyError
    assert network.levels == 1
    other = make(mask=("F9",), neuron=NeuronConfig()).eval()
    with torch.no_grad(), passing_counts(other):
        assert other.levels == 1 and other.train().levels == 1


def test_counts_that_are_not_unrolled_are_not_counted():
    network = lively(make(mask=("F9",)))
    with torch.no_grad(), passing_counts(network), Counter(network), pytest.raises(AssertionError, match="counts"):
        network(images())


@pytest.mark.parametrize("encoding", ["rate", "latency"])
def test_an_input_of_spikes_is_summed_too(encoding):
    network = lively_input(make(mask=("F4", "F9"), encoding=encoding), encoding)
    x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    results = []
    for counts in (False, True):
        network.seed_encoding("test")
        with torch.no_grad():
            if counts:
                with passing_counts(network):
                    results.append(network(x))
            else:
                with Counter(network) as counter:
                    results.append(network(x))
    assert torch.equal(*results)
    stem = next(layer for layer in counter.counts().layers if layer.name == "stem.conv")
    assert stem.input_is_spikes and sum(stem.ac) > 0 and not any(stem.mac)


def lively_input(network, encoding):
    with torch.no_grad():
        network.train()(torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(4)))
    return network.eval()


def test_a_readout_of_real_values_has_no_share_of_a_step_and_is_refused():
    b = PlanBuilder((3, 8, 8))
    x = b.act("a.act", b.bn("a.bn", b.conv("a.conv", "input", 4, kernel=1)))
    y = b.bn("b.bn", b.conv("b.conv", x, 4, kernel=1))
    z = b.act("b.act", y)
    b.global_avgpool("pool", b.add("sum", y, z))
    plan = b.finish(backbone="t", definition="small", blocks=("F2",), mask=("F2",))
    with pytest.raises(BadValue, match=r"sum reads b\.bn"):
        Network(plan, RunConfig(mask=("F2",), neuron=COUNT))


@every_backbone
def test_the_readout_is_what_lies_behind_the_last_neurons(backbone):
    plan = make(backbone).plan
    tail = readout(plan)
    assert plan.nodes[-1].name in tail and not any(plan.node(name).op == "act" for name in tail)
    last = max(i for i, node in enumerate(plan.nodes) if node.op == "act")
    assert tail == {node.name for node in plan.nodes[last + 1 :]}


def test_one_level_is_the_binary_network_of_one_step():
    network = lively(make(mask=("F4", "F9"), time_steps=1))
    outputs, spikes = seen(network, images())
    assert outputs.shape[0] == 1
    assert all(set(value.unique().tolist()) <= {0, 1} for value in spikes.values())


# What is made of them


def test_an_early_answer_costs_what_the_last_one_does():
    network = lively(make(mask=("F4", "F9")))
    with torch.no_grad(), Counter(network) as counter:
        network(images(5))
    counts, per_sample = counter.counts(5), counter.per_sample()
    assert counts.layer_synchronous
    whole = priced(counts, {}, MODES["exact"], PROFILE).total_energy_pj
    assert [priced(steps.spent(counts, t), {}, MODES["exact"], PROFILE).total_energy_pj for t in (1, D)] == [
        whole,
        whole,
    ]
    energy = exits.image_energy(counts, per_sample, mode=MODES["exact"], profile=PROFILE).energy_pj
    assert not energy[..., 1:].any() and energy.sum((1, 2)).mean() == pytest.approx(whole)


def test_a_bias_is_added_once_and_a_membrane_is_held_for_each_neuron():
    network = lively(make(mask=("F9",)))
    with torch.no_grad(), Counter(network) as counter:
        network(images(2))
    counts = counter.counts()
    tally = {layer.name: layer for layer in MODES["exact+neuron"].tally(counts).layers}
    by_name = {layer.name: layer for layer in counts.layers}
    for name, times in (("F9.squeeze.conv", 1), ("classifier.conv", D)):
        layer = by_name[name]
        assert tally[name].acs == pytest.approx(sum(layer.ac) / 2 + times * layer.bias_ops)
    stem = network.plan.node("stem.act")
    assert by_name["stem.act"].kind == "if_neuron"
    assert tally["stem.act"].acs == 2 * stem.numel * D  # add and compare at each step


def test_a_forecast_knows_that_counts_take_one_pass():
    plan = make().plan
    count, spiking = (RunConfig(mask=plan.mask, neuron=neuron) for neuron in (COUNT, NeuronConfig()))
    ratio = forward_ops(plan, spiking) / forward_ops(plan, count)
    stem = plan.node("stem.conv")
    rest = plan.dense_ops - stem.dense_ops
    assert ratio == pytest.approx((D * rest + stem.dense_ops) / plan.dense_ops, rel=0.01)
    assert training_memory_bytes(plan, count) < 0.6 * training_memory_bytes(plan, spiking)  # weights are in both


def test_the_probe_sees_a_gradient_at_every_step_and_how_many_counts_pass_theirs_on():
    config = build_config(RunRequest(mask="F9", overrides={"neuron.model": "count", "batch_size": 16}))
    network = lively(make(mask=("F9",), side=8))

    class Split:
        images, labels = images(16, 8), torch.arange(16) % 10

    probe = Probe(network, Split, lambda x: x)
    probe.measure(1)
    found = probe.diagnostics
    assert config.layer_synchronous and found.time_steps == D
    assert all(norm > 0 for layer in found.gradient_norm[0] for norm in layer)
    assert all(0 < share < 1 and len(set(layer)) == 1 for layer in found.active[0] for share in layer)
    assert all(layer[0] >= layer[-1] for layer in found.firing_rate[0])


def test_one_image_tried_shows_the_thermometers_of_every_layer():
    network = lively(make(mask=("F4", "F9")))
    passed = try_one(network, images(1))
    assert len(passed.outputs) == D and [layer.name for layer in passed.layers] == [n.name for n in network.act_nodes]
    assert all(layer.spikes == sorted(layer.spikes, reverse=True) for layer in passed.layers)
    assert passed.layers[0].spikes[0] > passed.layers[0].spikes[-1] > 0


@pytest.mark.parametrize("term", [{"gradient_aware": 0.1}, {"grad_cam_aware": 0.2}, {"loss": "tet"}])
def test_the_terms_of_the_loss_take_counts(term):
    config = build_config(RunRequest(mask="F9", overrides={"neuron.model": "count", "batch_size": 16, **term}))
    network = make(mask=("F9",), fused=not config.training.differentiates_twice).train()
    done = Objective(network, config)(images(8), torch.arange(8))
    done.loss.backward()
    assert done.outputs_TNC.shape == (D, 8, 10) and len(done.terms) == 1 + (term != {"loss": "tet"})
    assert all(bool(value.isfinite()) for value in done.terms.values())
    assert bool(network.get_parameter("stem.conv.weight").grad.any())


def test_a_run_of_counts_learns_and_says_that_it_is_layer_synchronous(tmp_path):
    config = build_config(
        RunRequest(
            mask="F9",
            overrides={
                "train_limit": 300, "batch_size": 32, "max_epochs": 4, "neuron.model": "count", "neuron.v_threshold": 0.5,
                "rate_penalty": 0.1, "rate_target": 0.05,
            },
        )
    )  # fmt: skip
    summary = run(config, out=tmp_path / "run", data_dir=tmp_path, threads=1, emit=lambda event: None)
    bundle = Bundle(tmp_path / "run")
    assert summary.layer_synchronous and bundle.counts().layer_synchronous
    assert summary.accuracy > 0.5 and 0 < summary.firing_rate < 1
    assert bundle.predictions().outputs.shape[1] == config.time_steps
    metrics = bundle.metrics()
    assert math.isclose(metrics.firing_rate[-1], summary.firing_rate, rel_tol=0.3)
    assert metrics.train_loss[-1] < metrics.train_loss[0]
    assert np.isfinite(summary.energy_pj) and summary.acs > 0


@every_backbone
def test_what_is_planned_of_the_counts_is_what_the_network_does(backbone):
    network = make(backbone).eval()  # in which counts are taken
    for layer in planned_layers(network.plan, network.config.kind, "count"):
        node = network.plan.node(layer.name)
        constant = all(network.is_constant(network.plan.node(name)) for name in node.inputs)
        assert (layer.constant_input, layer.one_output) == (constant, network.gives_one_output(node)), layer.name
