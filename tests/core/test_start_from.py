"""The weights of one run as the start of another: what changes nothing, what stays exact, what is refused."""

import itertools

import pytest
import torch

from core.backbones.catalog import BACKBONES, plan_for
from core.backbones.plan import PlanBuilder
from core.engine import network as network_module
from core.engine import thermometer
from core.engine.network import Network, observe, passing_counts
from core.engine.start_from import adapt, adapted
from core.errors import BadValue
from core.recipes.build import plan_of
from core.schemas.run import NeuronConfig, RunConfig

D = 4
LIF = NeuronConfig(tau=2.0, v_threshold=0.5)
IF = NeuronConfig(model="if", reset="soft", v_start="half", v_threshold=0.7)
COUNT = NeuronConfig(model="count", v_threshold=0.5)


def make_plan(backbone="squeezenet", mask=None, side=16):
    blocks = mask or BACKBONES[backbone].blocks
    return plan_for(backbone=backbone, mask=blocks, input_shape=(3, side, side), n_classes=10)


def config(plan, neuron, **fields):
    return RunConfig(backbone=plan.backbone, mask=plan.mask, **{"time_steps": D, "neuron": neuron} | fields)


def images(plan, n=4):
    return torch.randn(n, *plan.input_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def trained_looking(plan, run, *, fused=True):
    """Weights, statistics and learned values of their own, as after training."""
    network = Network(plan, run, fused=fused).double()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("log_threshold", ".w")):
                parameter.add_(torch.rand((), generator=draw) - 0.5)
        for norm in (layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
            norm.momentum = 1.0
            norm.weight.uniform_(0.8, 1.6, generator=draw)
            norm.bias.uniform_(0.0, 0.6, generator=draw)
        network.train()(images(plan, 8))
    return network.eval()


def started(plan, network, target, *, fused=True):
    """The network of `target` with the adapted weights of another."""
    own = Network(plan, target, fused=fused).double()
    own.load_state_dict(adapted(plan, network.state_dict(), network.config, target))
    return own.eval()


def acts(network, x):
    seen = {}
    with torch.no_grad(), observe(network, lambda node, _, out: seen.__setitem__(node.name, out), every_node=True):
        out = network(x)
    return out, {node.name: seen[node.name] for node in network.act_nodes}


@pytest.mark.parametrize(
    "neuron",
    [LIF, IF, COUNT, NeuronConfig(model="plif", decay_input=False), LIF.model_copy(update={"learn_threshold": True})],
)
def test_a_run_that_goes_on_as_it_was_starts_with_the_very_bits(neuron):
    plan = make_plan(mask=("F4", "F9"))
    network = trained_looking(plan, config(plan, neuron))
    again = adapted(plan, network.state_dict(), network.config, network.config)
    assert again.keys() == network.state_dict().keys()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in again.items())


def test_more_steps_change_no_weight_of_a_network_of_steps_and_the_state_is_left_alone():
    plan = make_plan(mask=("F4", "F9"))
    network = trained_looking(plan, config(plan, LIF))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    again = adapted(plan, network.state_dict(), network.config, config(plan, LIF, time_steps=8))
    assert all(torch.equal(again[name], before[name]) for name in before)
    for value in again.values():
        value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


RATES = (
    LIF,
    LIF.model_copy(update={"v_threshold": 1.3}),
    LIF.model_copy(update={"decay_input": False}),
    LIF.model_copy(update={"learn_threshold": True}),
    LIF.model_copy(update={"learn_threshold": True, "decay_input": False, "v_threshold": 2.0}),
)


@pytest.mark.parametrize("before, after", list(itertools.permutations(RATES, 2)))
def test_another_threshold_or_gain_at_equal_leak_changes_no_spike(before, after):
    plan = make_plan(mask=("F4", "F9"))
    network = trained_looking(plan, config(plan, before))
    again = started(plan, network, config(plan, after))
    x = images(plan)
    (outputs, spikes), (others, same) = acts(network, x), acts(again, x)
    torch.testing.assert_close(others, outputs, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(same[name], value) for name, value in spikes.items())
    assert any(0.02 < value.mean() < 0.98 for value in spikes.values())


def test_a_plif_networks_time_constants_go_along_whatever_its_gain():
    plan = make_plan(mask=("F9",))
    network = trained_looking(plan, config(plan, NeuronConfig(model="plif", tau=1.5, v_threshold=0.5)))
    apart = NeuronConfig(model="plif", tau=3.0, decay_input=False, learn_threshold=True)
    x = images(plan)
    torch.testing.assert_close(
        acts(started(plan, network, config(plan, apart)), x)[0], acts(network, x)[0], rtol=1e-10, atol=1e-10
    )


def test_a_leaky_network_goes_on_with_learned_time_constants_that_start_at_its_own():
    plan = make_plan(mask=("F9",))
    network = trained_looking(plan, config(plan, LIF))
    x = images(plan)
    plif = config(plan, LIF.model_copy(update={"model": "plif"}))
    torch.testing.assert_close(acts(started(plan, network, plif), x)[0], acts(network, x)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("learns", [False, True])
def test_counts_as_integrators_give_the_same_number_of_spikes_behind_a_constant_input(learns):
    plan = make_plan(mask=("F4", "F9"))
    network = trained_looking(plan, config(plan, COUNT))
    target = config(plan, IF.model_copy(update={"learn_threshold": learns}))
    x = images(plan)
    spikes = acts(started(plan, network, target), x)[1]["stem.act"]
    counts = acts(network, x)[1]["stem.act"]
    assert torch.equal(spikes.unflatten(0, (D, -1)).sum(0), counts.unflatten(0, (D, -1)).sum(0))
    assert len(counts.unflatten(0, (D, -1)).sum(0).unique()) == D + 1


def ideal(monkeypatch):
    """Neurons that neither round nor saturate: a count is relu(X) / theta, a rate relu(X) over the unit."""

    def act(network, node, inputs):
        if network.levels > 1:
            return network.into_neurons(node, inputs[0]).relu()
        neuron = network.config.neuron
        unit = neuron.v_threshold * (neuron.tau if neuron.model == "lif" and neuron.decay_input else 1)
        x = network._every_step(network.plan.node(node.inputs[0]), network.into_neurons(node, inputs[0]))
        return x.relu() / unit

    monkeypatch.setitem(network_module._RULES, "act", act)
    for module in (network_module, thermometer):
        monkeypatch.setattr(module, "unrolled", lambda c, steps: (c / steps).repeat(steps, 1, 1, 1))


WAYS = [(neuron, to) for neuron in (IF, LIF.model_copy(update={"v_threshold": 1.2})) for to in (False, True)]


@pytest.mark.parametrize(
    ("backbone", "neuron", "to_counts"),
    [  # both directions of each backbone, one with each neuron, in turn
        pytest.param(name, *way, marks=[] if (place // 2 + place + n) % 2 == 0 else pytest.mark.exhaustive)
        for n, name in enumerate(BACKBONES)
        for place, way in enumerate(WAYS)
    ],
)
def test_with_ideal_neurons_counts_and_rates_give_the_same_answers_on_every_backbone(
    backbone, neuron, to_counts, monkeypatch
):
    plan = make_plan(backbone)
    rates = config(plan, neuron.model_copy(update={"learn_threshold": True}), time_steps=6)
    counts = config(plan, COUNT)
    first, second = (rates, counts) if to_counts else (counts, rates)
    network = trained_looking(plan, first, fused=False)
    again = started(plan, network, second, fused=False)
    ideal(monkeypatch)
    with torch.no_grad(), passing_counts(network), passing_counts(again):
        torch.testing.assert_close(again(images(plan)).mean(0), network(images(plan)).mean(0), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("backbone", ["squeezenet", "shufflenetv2"])
def test_fixed_thresholds_take_the_learned_ones_up_where_weights_stand_between_all_neurons(backbone, monkeypatch):
    plan = make_plan(backbone)
    network = trained_looking(plan, config(plan, COUNT), fused=False)
    again = started(plan, network, config(plan, IF), fused=False)
    ideal(monkeypatch)
    with torch.no_grad(), passing_counts(network):
        torch.testing.assert_close(again(images(plan)).mean(0), network(images(plan)).mean(0), rtol=1e-6, atol=1e-8)


def shortcut_of_currents():
    """A current that fires twice, through layers of different theta, with no weights in between."""
    b = PlanBuilder((3, 8, 8))
    x = b.bn("a.bn", b.conv("a.conv", "input", 8, kernel=3, padding=1))
    y = b.bn("b.bn", b.conv("b.conv", b.act("a.act", x), 8, kernel=3, padding=1))
    z = b.act("b.act", b.add("sum", x, y))
    b.global_avgpool("pool", b.conv("classifier", z, 10, kernel=1))
    return b.finish(backbone="t", definition="small", blocks=("F2",), mask=("F2",))


def test_thresholds_that_cannot_all_be_taken_up_are_met_in_the_middle_or_learned_on(monkeypatch):
    plan = shortcut_of_currents()
    run = RunConfig(mask=("F2",), time_steps=D, neuron=COUNT)
    network = trained_looking(plan, run, fused=False)
    learning = run.model_copy(update={"neuron": IF.model_copy(update={"learn_threshold": True})})
    fixed = run.model_copy(update={"neuron": IF})
    exact, near = (started(plan, network, target, fused=False) for target in (learning, fixed))
    ideal(monkeypatch)
    x = images(plan)
    with torch.no_grad(), passing_counts(network):
        wanted = network(x).mean(0)
        torch.testing.assert_close(exact(x).mean(0), wanted, rtol=1e-6, atol=1e-8)
        away = float((near(x).mean(0) - wanted).norm() / wanted.norm())
    assert 1e-3 < away < 0.5


def chain(pools=False):
    """Three layers of neurons one after the other."""
    b = PlanBuilder((3, 8, 8))
    x = "input"
    for name in "abc":
        x = b.act(f"{name}.act", b.bn(f"{name}.bn", b.conv(f"{name}.conv", x, 16, kernel=3, padding=1)))
        x = b.maxpool(f"{name}.pool", x, kernel=2, stride=2) if pools else x
    b.global_avgpool("pool", b.conv("classifier", x, 10, kernel=1))
    return b.finish(backbone="t", definition="small", blocks=("F2",), mask=("F2",))


def test_counts_go_on_as_steps_near_their_answers_but_for_what_an_or_of_unaligned_spikes_adds():
    errors = {}
    for pools in (False, True):
        plan = chain(pools)
        network = trained_looking(plan, RunConfig(mask=("F2",), time_steps=8, neuron=COUNT))
        target = RunConfig(mask=("F2",), time_steps=8, neuron=IF)
        copied = Network(plan, target).double()
        weights = {name: value for name, value in network.state_dict().items() if "log_threshold" not in name}
        copied.load_state_dict(weights)
        x = images(plan, 8)
        with torch.no_grad():
            wanted = network(x).mean(0)
            for name, other in (("adapted", started(plan, network, target)), ("copied", copied.eval())):
                errors[name, pools] = float((other(x).mean(0) - wanted).norm() / (wanted - wanted.mean(0)).norm())
    assert errors["adapted", False] < 0.3 * errors["copied", False]
    assert errors["adapted", False] < 0.5 * errors["adapted", True] < errors["copied", True]


def test_between_a_cnn_and_a_spiking_network_weights_are_copied_and_neurons_start_as_the_config_says():
    plan = make_plan(mask=("F9",))
    cnn = trained_looking(plan, config(plan, LIF, kind="cnn"))
    spiking = adapted(plan, cnn.state_dict(), cnn.config, config(plan, COUNT))
    assert all(torch.equal(spiking[name], value) for name, value in cnn.state_dict().items())
    assert spiking["stem.act.log_threshold"] == 0
    back = adapted(plan, spiking, config(plan, COUNT), cnn.config)
    assert back.keys() == cnn.state_dict().keys()


def test_by_configs_alone_and_only_for_the_same_plan():
    source, target = (RunConfig(mask=("F9",), neuron=neuron) for neuron in (COUNT, IF))
    network = trained_looking(plan_of(source), source)
    state = adapt(network.state_dict(), source, target)
    Network(plan_of(target), target).load_state_dict(state)
    with pytest.raises(BadValue, match="mask"):
        adapt(network.state_dict(), source, target.model_copy(update={"mask": ("F8", "F9")}))
    with pytest.raises(BadValue, match="dataset"):
        adapt(network.state_dict(), source, target.model_copy(update={"dataset": "cifar100"}))
    lacking = {name: value for name, value in network.state_dict().items() if name != "stem.conv.weight"}
    with pytest.raises(BadValue, match=r"stem\.conv\.weight"):
        adapt(lacking, source, target)
