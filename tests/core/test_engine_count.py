import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

from core.backbones.catalog import plan_for
from core.backbones.plan import Node, Plan, PlanBuilder
from core.backbones.squeezenet import BLOCKS
from core.energy.modes import MODES, static_macs
from core.energy.price import price
from core.energy.profiles import profiles
from core.engine import count as counting
from core.engine.count import Counter, nonzero_map
from core.engine.network import Network, observe
from core.errors import UnknownLayer
from core.oracles.spikingjelly_counts import SpikingSqueezeNet
from core.oracles.syops_counts import PlainNetwork, measure
from core.schemas.run import NeuronConfig, RunConfig

LIVELY = NeuronConfig(tau=1.3, v_threshold=0.6)
REF_1 = ("F4", "F6", "F8", "F9")


def network_of(plan, *, kind="snn", steps=4, neuron=LIVELY):
    return Network(plan, RunConfig(mask=plan.mask or ("F2",), kind=kind, time_steps=steps, neuron=neuron)).eval()


def squeezenet(mask=REF_1, side=16, **options):
    plan = plan_for(backbone="squeezenet", mask=mask, input_shape=(3, side, side), n_classes=10)
    network = network_of(plan, **options)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # running statistics as after training, so that every layer fires in evaluation
    with torch.no_grad():
        network.train()(images(8, (3, side, side), 100))
    return network.eval()


def images(n, shape, seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed)) * 1.5


def count(network, *batches):
    with torch.no_grad(), Counter(network) as counter:
        for batch in batches:
            network(batch)
    return counter


def conv_after_spikes(*, channels, side, out, **shape):
    """input -> neurons -> convolution -> mean."""
    b = PlanBuilder((channels, *side))
    x = b.conv("conv", b.act("spikes", "input"), out, **shape)
    b.global_avgpool("pool", x)
    return b.finish(backbone="t", definition="small", blocks=(), mask=())


def operations_by_hand(spikes_TNCHW, node):
    """[T, N]: for every spike, every tap that lands on an output, every output channel of its group."""
    steps, n = spikes_TNCHW.shape[:2]
    out_channels, out_height, out_width = node.shape
    total = np.zeros((steps, n))
    for t, i, _, y, x in np.argwhere(spikes_TNCHW != 0):
        for ky, kx in itertools.product(range(node.kernel), repeat=2):
            row, rest_y = divmod(y + node.padding - ky * node.dilation, node.stride)
            column, rest_x = divmod(x + node.padding - kx * node.dilation, node.stride)
            if rest_y == rest_x == 0 and 0 <= row < out_height and 0 <= column < out_width:
                total[t, i] += out_channels // node.groups
    return total


def check_against_hand(plan, *, steps, n, seed):
    network, seen = network_of(plan, steps=steps), {}

    def note(node, inputs, output):
        if node.op == "act":
            seen["spikes"] = output.unflatten(0, (steps, n)).double().numpy()

    x = images(n, plan.input_shape, seed)
    with torch.no_grad(), observe(network, note, every_node=True):
        network(x)
    node = plan.node("conv")
    by_hand = operations_by_hand(seen["spikes"], node)
    counter = count(network, x)
    layer = next(layer for layer in counter.counts(n).layers if layer.name == "conv")
    assert layer.ac == tuple(by_hand.sum(1).astype(int))
    assert layer.mac == (0,) * steps
    assert layer.input_nonzero == tuple(seen["spikes"].sum((1, 2, 3, 4)).astype(int))
    assert np.array_equal(counter.per_sample()["ac"][:, 0, :], by_hand.T)
    assert sum(layer.ac) <= layer.dense_ops * steps * n
    return by_hand


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stride, padding", [(1, 0), (1, 1), (2, 0), (2, 3), (3, 2)])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_operations_equal_a_loop_over_the_spikes(kernel, stride, padding, groups):
    plan = conv_after_spikes(
        channels=4, side=(9, 7), out=8, kernel=kernel, stride=stride, padding=padding, groups=groups
    )
    assert check_against_hand(plan, steps=3, n=2, seed=kernel).sum() > 0


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.sampled_from([1, 2, 3, 4, 5, 7]), stride=st.integers(1, 4), padding=st.integers(0, 4),
    dilation=st.integers(1, 3), groups=st.sampled_from([1, 3]), height=st.integers(5, 9), width=st.integers(5, 9),
    steps=st.integers(1, 4), n=st.integers(1, 3),
)  # fmt: skip
def test_operations_equal_the_loop_for_any_geometry(kernel, stride, padding, dilation, groups, height, width, steps, n):
    assume(dilation * (kernel - 1) < min(height, width) + 2 * padding)
    shape = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    plan = conv_after_spikes(channels=3, side=(height, width), out=6, **shape)
    check_against_hand(plan, steps=steps, n=n, seed=height * width)


def test_a_single_spike_in_a_corner_reaches_four_outputs_a_channel():
    # 3x3 at stride 1, padding 1: a corner pixel is read by 2 x 2 outputs; 5 output channels -> 20 operations
    plan = conv_after_spikes(channels=1, side=(4, 4), out=5, kernel=3, stride=1, padding=1, groups=1)
    network = network_of(plan, steps=1, neuron=NeuronConfig(tau=2.0, v_threshold=1.0))
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 2.0  # H = 2 / 2 reaches the threshold
    layer = count(network, x).counts().layers[1]
    assert (layer.name, layer.ac, layer.dense_ops) == ("conv", (4 * 5,), 9 * 16 * 5)


def test_synaptic_operations_equal_spikingjelly_to_the_unit():
    network = squeezenet()
    config, plan = network.config, network.plan
    theirs = SpikingSqueezeNet(mask=plan.mask, channels=3, n_classes=10, steps=config.time_steps, lif=config.neuron)
    theirs = theirs.to(memory_format=torch.channels_last).eval()
    theirs.load_state_dict(network.state_dict())
    x = images(5, plan.input_shape)
    tool = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([tool]):
        theirs(x)
    layers = {layer.name: layer for layer in count(network, x).counts(5).layers}
    by_scope = {scope.partition(".")[2]: sum(rules.values()) for scope, rules in tool.get_counts().items() if scope}
    synaptic = [layer for layer in layers.values() if layer.kind == "conv" and layer.name != "stem.conv"]
    assert len(synaptic) == 3 * len(plan.mask) + 1
    assert all(sum(layer.ac) > 0 for layer in synaptic)
    for layer in synaptic:
        assert by_scope[layer.name] == sum(layer.ac), layer.name
    assert by_scope.get("stem.conv", 0) == sum(layers["stem.conv"].ac) == 0


@pytest.mark.parametrize("mask, steps", [(REF_1, 4), (REF_1, 1), (REF_1, 3), (BLOCKS, 4)])
def test_paper_mode_equals_syops_over_one_step_and_syops_mode_over_all(mask, steps):
    network = squeezenet(mask, steps=steps)
    x = images(6, network.plan.input_shape)
    theirs = measure(PlainNetwork(network), [x[:3], x[3:]])
    counts = count(network, x[:3], x[3:]).counts(6)
    for mode, times in (("paper", steps), ("syops", 1)):
        tally = MODES[mode].tally(counts)
        assert theirs.macs == times * tally.macs
        assert theirs.acs == pytest.approx(times * tally.acs, rel=1e-5)  # its rates are float32
        ours = {layer.name: layer for layer in tally.layers}
        for name, (acs, macs) in theirs.layers.items():
            layer = ours[name.removeprefix("layers.").replace("__", ".")]
            assert (acs, macs) == (pytest.approx(times * layer.acs, rel=1e-5), times * layer.macs), name


def test_syops_itself_bills_the_twins_relus_and_max_pools_and_agrees_in_the_rest():
    """The printed CNN macs leave out comparisons, so the mode does; the package calls each one a MAC."""
    network = squeezenet(kind="cnn")
    x = images(4, network.plan.input_shape)
    theirs = measure(PlainNetwork(network), [x])
    ours = {layer.name: layer for layer in MODES["syops"].tally(count(network, x).counts(4)).layers}
    nodes = {node.name: node for node in network.plan.nodes}
    for name, (acs, macs) in theirs.layers.items():
        name = name.removeprefix("layers.").replace("__", ".")
        compared = nodes[name].in_numel if nodes[name].op in ("act", "maxpool") else 0
        assert (acs, macs - compared) == (ours[name].acs, ours[name].macs), name


def test_exact_with_neurons_adds_what_the_plan_says_whatever_fires():
    network = squeezenet()
    plan, steps = network.plan, network.config.time_steps
    counts = count(network, images(3, plan.input_shape)).counts(3)
    tally, exact = (MODES[mode].tally(counts) for mode in ("exact+neuron", "exact"))
    biases = sum(node.bias_ops for node in plan.nodes)
    stem = plan.node("stem.conv").bias_ops
    assert tally.acs - exact.acs == pytest.approx(stem + steps * (biases - stem) + steps * plan.neurons)
    assert tally.macs - exact.macs == steps * plan.neurons
    # no pixel of these images is 0, so the arithmetic beforehand is not only a bound
    assert tally.macs == static_macs(plan, network.config.kind, MODES["exact+neuron"], steps)
    assert MODES["syops"].tally(counts).macs == static_macs(plan, network.config.kind, MODES["syops"], steps)


@pytest.mark.parametrize("kind", ["snn", "cnn"])
def test_a_shift_of_normalisation_costs_the_same_with_and_without_a_bias_to_take_it(kind):
    """Folding puts it into the bias where there is one; else it is an add of its own."""
    added, loihi = [], profiles()["loihi"]
    for bias in (True, False):
        b = PlanBuilder((2, 4, 4))
        x = b.act("a1", b.bn("n1", b.conv("c1", "input", 3, kernel=3, bias=bias)))
        b.bn("n2", b.conv("c2", x, 5, kernel=1, bias=bias))
        network = network_of(b.finish(backbone="t", definition="small", blocks=(), mask=()), kind=kind, steps=3)
        counts = count(network, images(2, (2, 4, 4))).counts(2)
        exact, both = (MODES[mode].tally(counts) for mode in ("exact", "exact+neuron"))
        passes = 3 if kind == "snn" else 1
        shifts = 3 * 4 + passes * 5 * 4  # 3 and 5 channels of 2 x 2; the first input is constant
        compared = passes * 3 * 4
        assert both.acs - exact.acs == pytest.approx(shifts + compared)
        added.append(price(both, loihi) - price(exact, loihi))  # on the host or on the chip alike
    assert added[0] == pytest.approx(added[1]) and added[0] > 0


def test_macs_of_the_full_network_by_syops_rules_are_the_printed_ones():
    network = squeezenet(BLOCKS, side=32)
    result = measure(PlainNetwork(network), [images(1, (3, 32, 32))])
    assert result.macs / 4 == 4_466_848  # Kabir et al., table 1: 4.47M
    assert MODES["paper"].tally(count(network, images(1, (3, 32, 32))).counts()).macs == 4_466_848


def test_syops_refuses_a_layer_that_it_would_count_as_zero():
    network = squeezenet()
    theirs = SpikingSqueezeNet(mask=REF_1, channels=3, n_classes=10, steps=4, lif=LIVELY)
    with pytest.raises(UnknownLayer, match=r"spikingjelly.*Conv2d"):
        measure(theirs, [images(1, network.plan.input_shape)])


def test_plain_network_gives_the_same_outputs():
    network = squeezenet()
    x = images(3, network.plan.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(PlainNetwork(network).eval()(x), network(x), rtol=1e-4, atol=1e-5)


def test_counts_add_up_over_batches_and_over_samples():
    network = squeezenet()
    x = images(6, network.plan.input_shape)
    whole, parts = count(network, x), count(network, x[:4], x[4:])
    assert whole.counts(6) == parts.counts(6)
    a, b = whole.per_sample(), parts.per_sample()
    assert all(np.array_equal(a[key], b[key]) for key in a)
    layers = {layer.name: layer for layer in whole.counts().layers}
    for number, name in enumerate(a["layers"]):
        assert tuple(a["ac"][:, number].sum(0)) == layers[name].ac
        assert tuple(a["mac"][:, number].sum(0)) == layers[name].mac
        assert tuple(a["input_nonzero"][:, number].sum(0)) == layers[name].input_nonzero
    for number, name in enumerate(a["neuron_layers"]):
        assert tuple(a["spikes"][:, number].sum(0)) == layers[name].spikes
    assert a["ac"].shape == (6, len(a["layers"]), 4)


def test_sizes_of_every_layer_are_the_plans():
    counts = count(squeezenet(), images(1, (3, 16, 16))).counts()
    plan = plan_for(backbone="squeezenet", mask=REF_1, input_shape=(3, 16, 16), n_classes=10)
    assert [layer.name for layer in counts.layers] == [node.name for node in plan.nodes[1:]]
    assert sum(layer.params for layer in counts.layers) == plan.params
    assert sum(layer.dense_ops for layer in counts.layers) == plan.dense_ops
    assert [layer.name for layer in counts.layers if layer.constant_input] == ["stem.conv", "stem.bn", "stem.act"]


def test_the_constant_stem_counts_the_same_macs_at_every_step_and_the_image_zeros_are_skipped():
    network = squeezenet()
    x = images(2, (3, 16, 16))
    x[:, :, 8:, :] = 0  # the lower half of the image is silent
    stem = count(network, x).counts().layers[0]
    # 3x3, padding 1: rows 0 to 7 of 16 are read by 2 + 7 x 3 output rows, every column by 16 x 3 - 2
    expected = 2 * 3 * 128 * (2 + 7 * 3) * (16 * 3 - 2)
    assert stem.mac == (expected,) * 4
    assert stem.ac == (0,) * 4


def test_the_twin_counts_macs_alone_and_skips_the_zeros_of_its_relus():
    network = squeezenet(kind="cnn")
    counts = count(network, images(2, (3, 16, 16))).counts()
    assert counts.time_steps == 1
    assert all(layer.ac == (0,) and layer.spikes == () for layer in counts.layers)
    conv = next(layer for layer in counts.layers if layer.name == "F4.expand1.conv")
    assert conv.mac == (conv.input_nonzero[0] * 128,)  # a 1x1 convolution to 128 channels
    assert 0 < conv.input_nonzero[0] < 2 * conv.input_numel


def test_average_pooled_spikes_have_their_number_counted():
    plan = plan_for(backbone="squeezenet", mask=REF_1, input_shape=(3, 64, 64), n_classes=10, definition="imagenet")
    layers = {layer.name: layer for layer in count(network_of(plan), images(1, (3, 64, 64))).counts().layers}
    assert layers["pool"].input_is_spikes
    assert layers["pool"].input_nonzero == layers["classifier.act"].spikes


def test_large_sums_stay_exact_in_float32_range():
    # more than 2**24 operations a sample: a float32 sum would already round
    plan = conv_after_spikes(channels=8, side=(64, 64), out=256, kernel=3, stride=1, padding=1, groups=1)
    network = network_of(plan, steps=1, neuron=NeuronConfig(tau=2.0, v_threshold=1.0))
    layer = count(network, torch.full((1, 8, 64, 64), 3.0)).counts().layers[1]
    assert layer.ac == (8 * 256 * (64 * 3 - 2) ** 2,)
    assert layer.ac[0] > 2**24 and layer.ac[0] % 2**6 == 0


@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (3, 5, 1, 1), (1, 5, 1, 4), (1, 1, 3, 3), (2, 4, 3, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("part", [slice(None), slice(1, None), slice(0, 1)])
def test_nonzero_map_counts_channels_of_every_pixel_in_any_layout(shape, layout, part):
    whole = (torch.randn(shape) > 0.3).float().contiguous(memory_format=layout)
    x = whole[:, part]
    pixels, odd = nonzero_map(x)
    assert torch.equal(pixels, x.sum(1).flatten(1).int())
    assert not odd
    if x.numel():
        x[-1, -1, -1, -1] = 0.5
        assert nonzero_map(x)[1]
        assert torch.equal(nonzero_map(x)[0], x.ceil().sum(1).flatten(1).int())


def test_data_that_contradict_the_plan_are_not_counted():
    network = squeezenet()
    network.uses_events = False  # bits cannot contradict it
    counter = Counter(network)
    with torch.no_grad(), counter:
        network(images(1, (3, 16, 16)))
        counter._odd["pool1"].append(nonzero_map(torch.full((1, 1, 2, 2), 0.5))[1])
    with pytest.raises(AssertionError, match="pool1"):
        counter.counts()


def test_a_layer_without_a_rule_raises():
    network = squeezenet()
    odd = Node(name="odd", op="fourier", inputs=("input",), shape=(3, 8, 8), in_shape=(3, 8, 8))
    network.plan = Plan(backbone="t", definition="small", blocks=(), mask=(), nodes=(*network.plan.nodes, odd))
    with pytest.raises(UnknownLayer, match="odd"):
        Counter(network)


@pytest.mark.parametrize("kind", ["snn", "cnn"])
def test_kernels_and_plain_torch_count_the_same(kind):
    fused = squeezenet(kind=kind).double()
    plain = Network(fused.plan, fused.config, fused=False).double().eval()
    plain.load_state_dict(fused.state_dict())
    x = images(3, (3, 16, 16)).double()
    a, b = count(fused, x), count(plain, x)
    assert a.counts() == b.counts()
    assert all(np.array_equal(a.per_sample()[key], b.per_sample()[key]) for key in a.per_sample())


def test_counting_in_training_mode_is_refused():
    network = squeezenet().train()
    with pytest.raises(ValueError, match="evaluation mode"), Counter(network):
        network(images(2, (3, 16, 16)))


def test_counts_need_samples_and_the_right_number_of_them():
    network = squeezenet()
    with pytest.raises(ValueError, match="seen 0"):
        Counter(network).counts()
    with pytest.raises(ValueError, match="seen 2 samples, not 3"):
        count(network, images(2, (3, 16, 16))).counts(3)


def test_counting_changes_neither_the_outputs_nor_the_network():
    network = squeezenet()
    x = images(3, (3, 16, 16))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        before = network(x)
        with Counter(network):
            during = network(x)
        after = network(x)
    assert torch.equal(before, during) and torch.equal(before, after)
    assert not network._observers
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_an_operation_that_is_named_neither_charged_nor_free_is_refused(monkeypatch):
    network = squeezenet()
    monkeypatch.setattr(counting, "FREE", counting.FREE - {"concat"})
    with pytest.raises(UnknownLayer, match=r"concat") as refused:
        Counter(network)
    assert refused.value.fields["kind"] == "concat"
