"""Evaluation by what fires against the plain path.

Weights are whole multiples of 1/256 here, so that float32 holds every sum exactly: then both ways must give the same bits on
any processor, whatever the order in which its convolutions add.
"""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.backbones.catalog import BACKBONES, layout_of, plan_for
from core.backbones.plan import PlanBuilder
from core.engine.count import Counter
from core.engine.events import Bits, Convolution, laid_out, padded
from core.engine.fast import kernels_events as kernels
from core.engine.fast import vector
from core.engine.network import Network, observe
from core.engine.warm import warm_up
from core.schemas.run import NeuronConfig, RunConfig

LIVELY = NeuronConfig(tau=1.3, v_threshold=0.6)
NEURONS = {
    "lif": LIVELY,
    "lif, tau a power of two": NeuronConfig(tau=2.0, v_threshold=0.3),
    "lif, leak and input apart, soft": NeuronConfig(tau=1.5, v_threshold=0.6, decay_input=False, reset="soft"),
    "if, soft, from half": NeuronConfig(model="if", v_threshold=0.6, reset="soft", v_start="half"),
    "plif": NeuronConfig(model="plif", tau=1.3, v_threshold=0.6),
    "lif, learned threshold, sigmoid": NeuronConfig(tau=1.3, learn_threshold=True, surrogate="sigmoid"),
    "count": NeuronConfig(model="count", v_threshold=0.5),
}
ALWAYS, NEVER = 1.0, -1.0  # limits


def tame(network):
    """Weights that add up exactly, statistics under which every layer fires; in evaluation."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.mul_(256).round_().div_(256)
                if module.bias is not None:
                    module.bias.uniform_(0, 1, generator=draw).mul_(256).round_().div_(256)
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=draw)
                module.bias.uniform_(-0.2, 0.5, generator=draw)
                module.running_mean.uniform_(-0.1, 0.1, generator=draw)
                module.running_var.uniform_(0.1, 0.5, generator=draw)
    return network.eval()


def make(plan, neuron=LIVELY, *, steps=3, **config):
    named = {"backbone": plan.backbone, "definition": plan.definition} if plan.backbone in BACKBONES else {}
    return tame(Network(plan, RunConfig(mask=plan.mask, time_steps=steps, neuron=neuron, **named, **config)))


def plan_of(backbone, *, side=16, mask=None):
    blocks = layout_of(backbone, "small").blocks
    return plan_for(
        backbone=backbone, mask=mask or blocks, input_shape=(3, side, side), n_classes=10, definition="small"
    )


def images(n=2, side=16, seed=0):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def evaluated(network, x, *, events, limit=None):
    """Outputs, counts of each image, and every activation."""
    network.uses_events, network.event_limit = events, limit
    network.seed_encoding("test")
    seen = {}

    def see(node, inputs, output):
        if node.op == "act":
            seen[node.name] = output.clone()

    with Counter(network) as counter, observe(network, see):
        outputs = network(x)
    assert (network.evaluated_by == "events") == events
    return outputs, counter.per_sample(), seen


def assert_equal(network, x, limits=(None, ALWAYS, NEVER)):
    outputs, counts, acts = evaluated(network, x, events=False)
    assert any(0 < float(act.mean()) < 1 for act in acts.values()), (
        "some layer must be neither silent nor always firing"
    )
    for limit in limits:
        by_events = evaluated(network, x, events=True, limit=limit)
        assert torch.equal(by_events[0], outputs)
        assert all(np.array_equal(by_events[1][name], counts[name]) for name in counts)
        assert by_events[2].keys() == acts.keys()
        assert all(torch.equal(by_events[2][name], acts[name]) for name in acts)


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=list(NEURONS))
def test_every_neuron_gives_the_outputs_spikes_and_counts_of_the_plain_path(neuron):
    assert_equal(make(plan_of("squeezenet", mask=("F4", "F9")), neuron), images())


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "squeezenet"])
@pytest.mark.parametrize("neuron", ["lif", "count"])
def test_every_backbone_gives_what_the_plain_path_gives(backbone, neuron):
    assert_equal(make(plan_of(backbone), NEURONS[neuron], steps=2), images(), limits=(None, ALWAYS))


@pytest.mark.parametrize("encoding", ["rate", "latency"])
def test_spikes_at_the_input_go_the_plain_way_into_the_first_layer(encoding):
    assert_equal(make(plan_of("squeezenet", mask=("F9",)), encoding=encoding), images().sigmoid())


@pytest.mark.parametrize("n", [1, 3])
def test_odd_sizes_and_a_single_image(n):
    assert_equal(make(plan_of("squeezenet", side=19, mask=("F2", "F8"))), images(n, side=19))


def odd_plan():
    """Strides, dilation, padding, groups, overhanging windows, widths that are no multiple of a vector, a join in a join."""
    b = PlanBuilder((3, 15, 15))

    def unit(name, x, channels, **window):
        return b.act(f"{name}.act", b.bn(f"{name}.bn", b.conv(f"{name}.conv", x, channels, **window)))

    x = unit("stem", "input", 20, kernel=3, stride=2, padding=1)
    x = b.maxpool("pool1", x, kernel=3, stride=2, padding=1)
    wide = unit("wide", x, 9, kernel=3, padding=2, dilation=2)
    deep = unit("deep", x, 24, kernel=3, padding=1, groups=4)
    x = b.concat("join", [wide, deep])
    x = b.concat("again", [b.dropout("drop", x, 0.5), unit("thin", x, 5, kernel=1)])
    x = b.maxpool("pool2", x, kernel=2, stride=2, ceil_mode=True)
    x = unit("last", x, 40, kernel=2, stride=2, padding=1, bias=False)
    b.global_avgpool("pool", b.conv("classifier.conv", x, 7, kernel=1))
    return b.finish(backbone="odd", definition="small", blocks=(), mask=())


@pytest.mark.parametrize("neuron", ["lif", "count"])
def test_strides_borders_dilation_groups_and_widths_of_any_size(neuron):
    assert_equal(make(odd_plan(), NEURONS[neuron]), images(3, side=15))


@pytest.mark.parametrize("shift, rate", [(-100.0, 0.0), (100.0, 1.0)])
@pytest.mark.parametrize("neuron", ["lif", "count"])
def test_layers_that_are_silent_or_always_fire(shift, rate, neuron):
    network = make(plan_of("squeezenet", mask=("F4", "F9")), NEURONS[neuron])
    with torch.no_grad():
        network.get_parameter("F4.squeeze.bn.bias").fill_(shift)
    _, _, acts = evaluated(network, images(), events=True, limit=ALWAYS)
    assert float(acts["F4.squeeze.act"].mean()) == rate
    assert_equal(network, images())


def test_a_convolution_adds_taps_by_rows_and_channels_within_a_tap():
    """Each sum by hand, one rounding an addition: with weights that do not add up exactly."""
    plan = odd_plan()
    node = plan.node("last.conv")
    layer = torch.nn.Conv2d(**node.convolution)
    made = Convolution(node, layer, np.arange(node.in_shape[0]), padded(node.in_shape[0]) // 8, levels=0)
    drawn = np.random.default_rng(0).random((2, 1, *node.in_shape[1:], node.in_shape[0])) < 0.3
    wide = np.pad(drawn, [(0, 0)] * 4 + [(0, padded(node.in_shape[0]) - node.in_shape[0])])
    bits = np.packbits(wide, axis=-1, bitorder="little")
    sums = made.sums(Bits(bits=bits, filled=drawn.sum(-1, dtype=np.int32), places=np.arange(node.in_shape[0])))
    weight = layer.weight.detach().numpy()
    _, height, width = node.shape
    for t in range(2):
        for i in range(height):
            for j in range(width):
                total = np.zeros(node.shape[0], np.float32)
                for di in range(node.kernel):
                    for dj in range(node.kernel):
                        y, x = i * node.stride - node.padding + di, j * node.stride - node.padding + dj
                        if 0 <= y < node.in_shape[1] and 0 <= x < node.in_shape[2]:
                            for c in np.flatnonzero(drawn[t, 0, y, x]):
                                total = total + weight[:, c, di, dj]
                assert np.array_equal(sums[t, 0, i, j], total)


def test_a_product_with_a_count_is_rounded_once_with_its_addition():
    """3 x 0.1 and the sum before it, in float64, where both fit exactly."""
    node = plan_of("squeezenet", mask=("F9",)).node("F9.squeeze.conv")
    layer = torch.nn.Conv2d(**node.convolution)
    made = Convolution(node, layer, np.arange(node.in_shape[0]), padded(node.in_shape[0]) // 8, levels=4)
    counts = np.random.default_rng(0).integers(0, 5, (1, *node.in_shape[1:], node.in_shape[0]))
    planes = np.stack([counts >= t for t in range(1, 5)])
    value = Bits(
        bits=np.packbits(planes, axis=-1, bitorder="little"),
        filled=planes.sum(-1, dtype=np.int32),
        places=np.arange(node.in_shape[0]),
    )
    total = np.zeros(node.shape[0], np.float32)
    for c in range(node.in_shape[0]):
        total = (total + counts[0, 0, 0, c] * layer.weight.detach().numpy()[:, c, 0, 0].astype(np.float64)).astype(
            np.float32
        )
    assert np.array_equal(made.sums(value)[0, 0, 0, 0], total)


def test_bits_become_the_numbers_they_came_from():
    draw = np.random.default_rng(0).integers(0, 4, (2, 5, 5, 21))
    planes = np.stack([draw >= t for t in range(1, 4)])
    bits = np.packbits(np.pad(planes, [(0, 0)] * 4 + [(0, 11)]), axis=-1, bitorder="little")
    value = Bits(bits=bits, filled=planes.sum(-1, dtype=np.int32), places=np.arange(21))
    assert np.array_equal(value.numbers(summed=True).permute(0, 2, 3, 1).numpy(), draw)
    assert np.array_equal(value.numbers().permute(0, 2, 3, 1).numpy(), planes.reshape(6, 5, 5, 21))


def test_weights_that_change_are_laid_out_again():
    network, x = make(plan_of("squeezenet", mask=("F9",))), images()
    before = evaluated(network, x, events=True)[0]
    with torch.no_grad():
        network.get_parameter("F9.expand3.conv.weight").mul_(2)
    assert not torch.equal(evaluated(network, x, events=True)[0], before)
    assert_equal(network, x)
    layer = network.get_submodule("F9.squeeze.conv")
    layer.weight = torch.nn.Parameter(layer.weight.detach().flip(0))
    assert_equal(network, x)
    network.load_state_dict(make(plan_of("squeezenet", mask=("F9",)), seed=5).state_dict())
    assert_equal(network, x)
    network.steps = 2
    assert_equal(network, x)


def test_a_copy_lays_out_its_own_weights():
    network, x = make(plan_of("squeezenet", mask=("F9",))), images()
    before = evaluated(network, x, events=True)[0]
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.get_parameter("F9.expand3.conv.weight").zero_()
    assert not torch.equal(evaluated(other, x, events=True)[0], before)
    assert torch.equal(evaluated(network, x, events=True)[0], before)


def test_what_needs_gradients_or_other_numbers_takes_the_plain_path():
    network, x = make(plan_of("squeezenet", mask=("F9",))), images()
    network(x)
    assert network.evaluated_by == "plain"
    with torch.inference_mode():
        network(x)
        assert network.evaluated_by == "events"
        with observe(network, lambda *_: None, every_node=True):
            network(x)
        assert network.evaluated_by == "plain"
        network(x)
        assert network.evaluated_by == "events"
        network.double()(x.double())
        assert network.evaluated_by == "plain"
        network.float()(x)  # its weights are inference tensors now, whose changes cannot be seen
        assert network.evaluated_by == "plain"


def test_a_converted_network_pools_sums_and_not_bits():
    plan = plan_of("squeezenet", mask=("F4",))
    assert_equal(make(plan, NeuronConfig(model="if", reset="soft"), start="converted"), images())


def test_an_image_answers_the_same_alone_and_among_others():
    """Not only with weights that add up exactly: each sum has one order, whatever the batch."""
    plan = plan_of("squeezenet", mask=("F9",))
    network = make(plan)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith("F9") and name.endswith("conv.weight"):
                weight.add_(torch.rand(weight.shape, generator=torch.Generator().manual_seed(2)) / 1000)
    x = images(5)
    many = evaluated(network, x, events=True, limit=ALWAYS)[2]
    alone = evaluated(network, x[3:4], events=True, limit=ALWAYS)[2]
    for name in ("F9.squeeze.act", "F9.expand1.act", "F9.expand3.act"):
        assert torch.equal(many[name].unflatten(0, (3, 5))[:, 3], alone[name])


def test_after_warming_up_nothing_is_compiled_any_more():
    warm_up(training=False)
    looked_at = [getattr(kernels, name) for name in ("conv_fire", "conv_sums", "fire", "packed", "unpacked", "pool")]
    before = [list(kernel.signatures) for kernel in looked_at]
    assert all(len(signatures) == 1 for signatures in before)
    for neuron in NEURONS.values():
        network = make(plan_of("squeezenet", mask=("F9",)), neuron)
        for limit in (ALWAYS, NEVER):
            evaluated(network, images(1), events=True, limit=limit)
    evaluated(make(plan_of("shufflenetv2"), steps=2), images(1), events=True, limit=ALWAYS)
    assert [list(kernel.signatures) for kernel in looked_at] == before


def test_weights_are_rows_of_taps_and_channels():
    weight = torch.arange(2 * 3 * 4).reshape(2, 3, 2, 2).float()
    rows = laid_out(weight, np.array([0, 1, 8]), 2).reshape(2, 2, 16, 16)
    assert rows[1, 0, 8, 1] == weight[1, 2, 1, 0] and rows[1, 0, 1, 0] == weight[0, 1, 1, 0]
    assert rows.sum() == weight.sum()
    assert F.conv2d(torch.ones(1, 3, 2, 2), weight).sum() == rows.sum()


def by_products(x, divisor):
    """x / divisor, [N] float32, as `vector._quotient` works it out: each product with its sum rounded once."""
    inverse = np.float32(1) / divisor
    first = x * inverse
    rest = (x.astype(np.float64) - first.astype(np.float64) * np.float64(divisor)).astype(np.float32)
    exact = first.astype(np.longdouble) + rest.astype(np.longdouble) * np.longdouble(inverse)
    return exact.astype(np.float32)


@pytest.mark.parametrize("divisor", [1.08, 1.3, 1.7, 3.0])
def test_products_stand_for_a_division_where_they_give_it_in_every_bit(divisor):
    x = (np.arange(0, 1 << 23, 7, dtype=np.uint32) | 0x3F800000).view(np.float32)  # scaled into [1, 2)
    assert vector.divides_by_reciprocal(divisor)
    assert np.array_equal(by_products(x, np.float32(divisor)), x / np.float32(divisor))


def test_a_division_stays_one_where_products_would_miss_a_bit():
    x, divisor = np.array([1.0], np.float32), np.float32(2 - 2.0**-23)
    assert by_products(x, divisor) != x / divisor
    assert not vector.divides_by_reciprocal(float(divisor))
