"""Independent counters against ours, on every backbone of the catalogue, to the unit.

NeuroBench and SpikingJelly judge by values, the plan by structure: where real values happen to be 0 or 1 in a whole
tensor they speak of ACs and the plan of MACs. Only the sum of both is compared for such layers.
"""

import itertools

import counted_macs
import pytest
import torch
from spikingjelly.activation_based.op_counter import (
    DispatchCounterMode,
    LemaireEnergyConfig,
    SynOpCounter,
    estimate_lemaire_energy,
)

from core.backbones.catalog import BACKBONES, plan_for
from core.backbones.plan import PlanBuilder
from core.energy.memory import traffic
from core.energy.modes import MODES
from core.energy.price import energy_pj, memory_pj, price
from core.energy.profiles import profiles
from core.engine.count import Counter
from core.engine.network import Network
from core.oracles import neurobench_counts as adapters_neurobench
from core.oracles.syops_counts import PlainNetwork, measure
from core.schemas.run import NeuronConfig, RunConfig

SIDE, N, T = 16, 2, 2
HOROWITZ = profiles()["horowitz-45nm"]


def images(n=N, shape=(3, SIDE, SIDE), seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 1.5


def network_of(plan, kind="snn", steps=T, model="lif"):
    neuron = NeuronConfig(model=model, tau=1.3, v_threshold=0.6)
    network = Network(plan, RunConfig(mask=plan.mask or ("F2",), kind=kind, time_steps=steps, neuron=neuron)).double()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # running statistics as after training, so that every layer fires in evaluation
    with torch.no_grad():
        network.train()(images(4, plan.input_shape, 100))
    return network.eval()


def every_kind():
    """A network with every kind of layer that a backbone may have: grouped, dilated and strided convolutions, branches
    that are split, shuffled and summed, a gate, and layers whose input is real although the network spikes."""
    b = PlanBuilder((3, SIDE, SIDE))

    def unit(name, x, channels, **shape):
        return b.act(f"{name}.act", b.bn(f"{name}.bn", b.conv(f"{name}.conv", x, channels, **shape)))

    x = b.maxpool("pool", unit("stem", "input", 16, kernel=3, stride=2, padding=1), kernel=3, stride=2, padding=1)
    left, right = (b.split(f"split{start}", x, start=start, channels=8) for start in (0, 8))
    right = unit("deep", right, 8, kernel=3, padding=2, dilation=2, groups=8)
    x = b.shuffle("shuffle", b.concat("concat", (left, right)), groups=2)
    linear = b.bn("linear.bn", b.conv("linear.conv", x, 16, kernel=1, bias=False))
    x = b.add("real sum", linear, x)
    y = unit("wide", x, 16, kernel=5, padding=2, groups=4)
    gate = b.sigmoid("gate", b.conv("gate.conv", b.global_avgpool("squeeze", y), 16, kernel=1))
    x = unit("gated", b.scale("scale", y, gate), 16, kernel=1)
    x = unit("summed", b.add("spike sum", x, y), 16, kernel=1)
    b.global_avgpool("mean", b.conv("classifier", b.dropout("drop", unit("last", x, 16, kernel=1), 0.5), 10, kernel=1))
    return b.finish(backbone="t", definition="small", blocks=(), mask=())


NETWORKS = [*BACKBONES, "every kind"]


def backbone(name, kind="snn", steps=T):
    if name == "every kind":
        return network_of(every_kind(), kind, steps)
    plan = plan_for(backbone=name, mask=BACKBONES[name].blocks, input_shape=(3, SIDE, SIDE), n_classes=10)
    return network_of(plan, kind, steps)


def counted(network, x):
    with torch.no_grad(), Counter(network) as counter:
        network(x)
    return counter.counts(len(x))


def synaptic(counts):
    return {layer.name: layer for layer in counts.layers if layer.kind == "conv"}


def plan_name(name):
    return name.removeprefix("layers.").replace("__", ".")


@pytest.mark.parametrize("name", NETWORKS)
def test_neurobench_and_spikingjelly_count_the_same_synaptic_operations(name):
    network, x = backbone(name), images()
    ours = synaptic(counted(network, x))
    plain = PlainNetwork(network).eval()
    with torch.no_grad():
        torch.testing.assert_close(plain(x), network(x))

    bench = adapters_neurobench.measure(plain, [x])
    theirs = {plan_name(layer): sum(operations) for layer, operations in bench.layers.items()}
    assert theirs == {layer.name: sum(layer.ac) + sum(layer.mac) for layer in ours.values()}
    of_spikes = [layer for layer in ours.values() if layer.input_is_spikes]
    assert sum(sum(layer.ac) > 0 for layer in of_spikes) > 3  # untrained, the deepest layers of some are silent
    assert bench.acs + bench.macs == sum(theirs.values())
    assert bench.acs >= sum(sum(layer.ac) for layer in of_spikes)

    tool = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([tool]):
        plain(x)
    by_scope = {scope.partition(".")[2]: sum(rules.values()) for scope, rules in tool.get_counts().items()}
    for layer in of_spikes:
        assert by_scope.get(f"layers.{layer.name.replace('.', '__')}", 0) == sum(layer.ac), layer.name


@pytest.mark.parametrize("name", NETWORKS)
def test_syops_gives_the_figure_of_the_mode_syops(name):
    network, x = backbone(name), images()
    counts = counted(network, x)
    ours = {layer.name: (layer.acs, layer.macs) for layer in MODES["syops"].tally(counts).layers}
    theirs = measure(PlainNetwork(network), [x])
    for layer, (acs, macs) in theirs.layers.items():
        expected_acs, expected_macs = ours[plan_name(layer)]
        assert macs == expected_macs, layer
        assert acs == pytest.approx(expected_acs, rel=1e-5), layer  # its rates are float32


@pytest.mark.parametrize("name", NETWORKS)
def test_fvcore_and_ptflops_count_the_cnns_dense_operations(name):
    network, x = backbone(name, "cnn"), images(1)
    plain = PlainNetwork(network).eval()
    nodes = {node.name: node for node in network.plan.nodes}
    convolutions = [node for node in network.plan.nodes if node.op == "conv"]
    by_fvcore = counted_macs.fvcore_macs(plain, x)
    assert {plan_name(layer): macs for layer, macs in by_fvcore.items()} == {
        node.name: node.dense_ops for node in convolutions
    }
    by_ptflops = {plan_name(layer): macs for layer, macs in counted_macs.ptflops_macs(plain, x).items()}
    paper = {layer.name: layer.macs for layer in MODES["paper"].tally(counted(network, x)).layers}
    for layer, macs in by_ptflops.items():
        compared = {"act": nodes[layer].numel, "maxpool": nodes[layer].in_numel}.get(nodes[layer].op, 0)
        assert macs == paper[layer] + compared, layer  # the printed figures leave comparisons out
    assert {node.name for node in convolutions} <= by_ptflops.keys()


def pointwise(kind, model="lif"):
    """Two 1x1 convolutions between neurons: no border and no stride, where L's formulas are exact too."""
    b = PlanBuilder((6, 5, 5))
    x = b.act("a1", b.conv("c1", b.act("a0", "input"), 40, kernel=1))
    b.conv("c2", x, 10, kernel=1)
    return network_of(b.finish(backbone="t", definition="small", blocks=(), mask=()), kind, 3, model)


def own_memory(network, x):
    """(accesses, address operations) of our model in pJ, and its counts."""
    counts = counted(network, x)
    found = [traffic(layer, counts) for layer in counts.layers]
    parts = []
    for sram in (True, False):
        pairs = itertools.chain.from_iterable(layer.items() for layer in found)
        parts.append(sum(energy_pj(0, 0, HOROWITZ, {k: n}) for k, n in pairs if k.startswith("sram") == sram))
    return *parts, counts


@pytest.mark.parametrize("model", ["lif", "if"])
def test_memory_traffic_of_spikes_is_that_of_spikingjellys_lemaire_model(model):
    network, x = pointwise("snn", model), images(1, (6, 5, 5))
    accesses, addresses, _ = own_memory(network, x)
    theirs = estimate_lemaire_energy(PlainNetwork(network).eval(), x, config=LemaireEnergyConfig(strict=False))
    assert theirs.counts["synop"] > 0 and not theirs.warnings
    assert accesses == pytest.approx(theirs.breakdown_pj["memory_pj"])
    assert addresses == pytest.approx(theirs.breakdown_pj["addressing_pj"])


def test_memory_traffic_of_a_cnn_is_theirs_without_the_zeros():
    """Theirs reads a weight and an input for each dense operation; with no zero anywhere ours does too."""
    network, x = pointwise("cnn"), images(1, (6, 5, 5)).abs()
    with torch.no_grad():
        network.get_submodule("c1").weight.abs_()
    accesses, addresses, counts = own_memory(network, x)
    assert [layer.mac[0] for layer in counts.layers if layer.kind == "conv"] == [6 * 40 * 25, 40 * 10 * 25]
    with pytest.warns(RuntimeWarning, match="ReLU"):
        theirs = estimate_lemaire_energy(PlainNetwork(network).eval(), x, config=LemaireEnergyConfig(strict=False))
    assert accesses == pytest.approx(theirs.breakdown_pj["memory_pj"])
    # ours steps through every weight (6 x 40 and 40 x 10), theirs through C_out K^2 of them (40 and 10)
    assert addresses == pytest.approx(theirs.breakdown_pj["addressing_pj"] + 0.1 * (5 * 40 + 39 * 10))


@pytest.mark.filterwarnings("ignore:Lemaire formulas do not support")
def test_with_memory_the_spiking_network_is_the_dearer_one_in_both_models():
    """`exact` says the opposite. Ours never exceeds theirs, which has no borders and skips no zero of the CNN."""
    energies = {}
    for kind in ("snn", "cnn"):
        network, x = backbone("squeezenet", kind, steps=4), images(1)
        counts = counted(network, x)
        report = estimate_lemaire_energy(PlainNetwork(network).eval(), x, config=LemaireEnergyConfig(strict=False))
        tallies = [MODES[mode].tally(counts) for mode in ("exact", "memory")]
        energies[kind] = [price(tally, HOROWITZ) for tally in tallies] + [
            memory_pj(tallies[1], HOROWITZ),
            report.breakdown_pj["memory_pj"] + report.breakdown_pj["addressing_pj"],
        ]
    snn, cnn = energies["snn"], energies["cnn"]
    assert snn[0] < cnn[0] and snn[1] > cnn[1] and snn[3] > cnn[3]
    assert snn[2] < snn[3] and cnn[2] < cnn[3]
