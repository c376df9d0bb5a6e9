"""The weights that a compressed network computes with, how they learn, and what their operations are counted as."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.backbones.catalog import BACKBONES, plan_for
from core.backbones.plan import PlanBuilder
from core.compression import plan_layers
from core.engine.compress import (
    Compress,
    CompressedConv,
    Quantise,
    TopK,
    instead,
    largest,
    mask_of,
    parameters,
    plain_state,
    quantised,
)
from core.engine.count import Counter
from core.engine.network import Network, observe
from core.engine.objective import Objective
from core.engine.optimizers import optimizer
from core.oracles import neurobench_counts
from core.oracles.syops_counts import PlainNetwork
from core.schemas.compression import CompressionConfig
from core.schemas.run import NeuronConfig, RunConfig, TrainingConfig

LIVELY = NeuronConfig(tau=1.3, v_threshold=0.6)
FIFTH = CompressionConfig(keep=0.2, bits=2)


def network_of(plan, compression=FIFTH, *, kind="snn", steps=2, neuron=LIVELY, **more) -> Network:
    config = RunConfig(
        mask=plan.mask or ("F2",), kind=kind, time_steps=steps, neuron=neuron, compression=compression, **more
    )
    return Network(plan, config)


def squeezenet(mask=("F9",), side=16):
    return plan_for(backbone="squeezenet", mask=mask, input_shape=(3, side, side), n_classes=10)


def images(n, shape, seed=0, dtype=torch.float32):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 1.5


def settled(network: Network) -> Network:
    """With running statistics as after training, so that every layer fires in evaluation."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(images(4, network.plan.input_shape, 100, next(network.parameters()).dtype))
    return network.eval()


# Quantiser and mask.


def test_a_weight_goes_to_the_nearest_level() -> None:
    one = torch.ones(())
    assert quantised(torch.tensor([0.1, -3.0]), 1, one).tolist() == pytest.approx([0.798, -0.798])
    found = quantised(torch.linspace(-4, 4, 1001), 2, one).unique()
    assert found.tolist() == pytest.approx([-1.494, -0.498, 0.498, 1.494])
    assert len(quantised(torch.linspace(-4, 4, 1001), 4, one).unique()) == 16
    weight = images(1, (500,)).flatten()
    near = quantised(weight, 3)
    table = torch.tensor([code * 0.293 * weight.std() for code in range(-7, 8, 2)])
    assert torch.equal(near, table[(weight[:, None] - table).abs().argmin(1)]) or torch.allclose(
        near, table[(weight[:, None] - table).abs().argmin(1)]
    )


def test_the_error_of_a_million_normal_weights() -> None:
    weight = torch.randn(1_000_000, generator=torch.Generator().manual_seed(1))
    for bits, wanted in {1: 0.3634, 2: 0.1188, 4: 0.0115}.items():
        error = (quantised(weight, bits) - weight).square().mean()
        assert float(error) == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_equal_weights_have_no_spread_and_stay_finite(value: float) -> None:
    assert quantised(torch.full((6,), value), 2).isfinite().all()
    assert quantised(torch.full((1,), value), 2).isfinite().all()


def test_of_equal_scores_the_first_are_kept() -> None:
    values = torch.tensor([[1.0, 3.0, 2.0], [2.0, 2.0, 0.0]])
    assert largest(values, 3).tolist() == [[False, True, True], [True, False, False]]
    assert largest(torch.zeros(5), 2).tolist() == [True, True, False, False, False]
    assert largest(values, 6).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.data())
def test_the_largest_are_those_of_a_stable_sort(values, data) -> None:
    most = data.draw(st.integers(1, len(values)))
    order = sorted(range(len(values)), key=lambda place: -values[place])  # stable: equal ones in their order
    wanted = [place in order[:most] for place in range(len(values))]
    assert largest(torch.tensor(values, dtype=torch.float32), most).tolist() == wanted


def test_the_gradient_passes_straight_through_mask_and_levels() -> None:
    layer = network_of(squeezenet(), CompressionConfig(keep=0.2, bits=2, ends_bits=2)).get_submodule("F9.expand3.conv")
    kernel = layer.kernel()
    mask = layer.mask()
    assert int(mask.sum()) == layer.kept and torch.equal(kernel != 0, mask)
    slope = images(1, kernel.shape[0:1] + kernel.shape[1:], 3)[0]
    (kernel * slope).sum().backward()
    levels = quantised(layer.weight.detach(), 2)
    assert torch.equal(layer.weight.grad, slope * mask)  # dL/dW = A dL/dK, not clipped at the outermost level
    assert torch.equal(layer.scores.grad, layer.scores.sign() * slope * levels)  # dL/d|S| = Q(W) dL/dK, pruned too


@pytest.mark.parametrize("bits", [0, 1, 4])
@pytest.mark.parametrize("scored", [True, False])
def test_the_compiled_loops_give_the_numbers_of_torch(bits: int, scored: bool) -> None:
    weight, slope = images(1, (8, 3, 3), 4)[0], images(1, (8, 3, 3), 5)[0]
    scores = images(1, (8, 3, 3), 6)[0]
    scores[0, 0, :2] = scores[1, 0, 0]  # ties, wherever the border lies
    found = []
    for compiled in (True, False):
        w, s = (torch.nn.Parameter(x.clone()) for x in (weight, scores))
        if compiled:
            kernel = Compress.apply(w, s if scored else None, 20, bits)
        else:
            mask = TopK.apply(s.abs(), 20) if scored else largest(w.detach().abs(), 20).float()
            kernel = (Quantise.apply(w, bits) if bits else w) * mask
        first = torch.autograd.grad(kernel.square().sum(), w, create_graph=True)[0]
        (kernel * slope).sum().backward(retain_graph=True)
        found.append((kernel, w.grad, s.grad if scored else mask_grad(s), first))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def mask_grad(scores):
    assert scores.grad is None
    return torch.zeros(1)


def test_the_top_k_of_itself_is_differentiable_as_the_identity() -> None:
    values = torch.tensor([0.1, 0.9, 0.5], requires_grad=True)
    TopK.apply(values, 1).dot(torch.tensor([1.0, 2.0, 3.0])).backward()
    assert values.grad.tolist() == [1.0, 2.0, 3.0]


def test_learned_scores_start_in_the_order_of_the_weights() -> None:
    learned, magnitude = (
        network_of(squeezenet(), CompressionConfig(keep=0.3, scores=how)) for how in ("learned", "magnitude")
    )
    for name, layer in learned.named_modules():
        if isinstance(layer, CompressedConv):
            assert torch.equal(layer.kernel(), magnitude.get_submodule(name).kernel())
            assert float(layer.scores.detach().abs().max()) == pytest.approx((6 / layer.weight[0].numel()) ** 0.5)
    assert not any(name.endswith("scores") for name in magnitude.state_dict())
    assert parameters(learned) == parameters(magnitude) == learned.plan.params
    with torch.no_grad():  # what is kept follows the scores, not the weights
        learned.get_submodule("stem.conv").scores.mul_(-1).neg_().copy_(torch.arange(3456.0).view(128, 3, 3, 3))
    assert learned.mask("stem.conv").flatten().nonzero().min() == 3456 - 1037  # 3456 - floor(0.7 * 3456) = 1037


# The network.


def test_off_is_the_network_of_before_bit_for_bit() -> None:
    plan = squeezenet()
    network = network_of(plan, CompressionConfig())
    assert not any(isinstance(module, CompressedConv) for module in network.modules())
    assert list(network.state_dict()) == list(Network(plan, RunConfig(mask=("F9",))).state_dict())
    # every weight kept in float32 gives the same numbers, through another layer
    whole = network_of(plan, CompressionConfig())
    for node in plan.nodes:
        if node.op == "conv":
            layer = CompressedConv(node, CompressionConfig(), 0)
            layer.load_state_dict(network.get_submodule(node.name).state_dict())
            whole._layers[node.name] = layer
    x = images(3, plan.input_shape)
    outputs = [one.train()(x) for one in (network, whole)]
    assert torch.equal(*outputs)
    counts = []
    for one in (network, whole):
        with torch.no_grad(), Counter(one.eval()) as counter:
            one(x)
        counts.append(counter.counts())
    assert counts[0] == counts[1]
    assert all(layer.kept_params is layer.weight_bits is layer.input_bits is None for layer in counts[0].layers)


@pytest.mark.parametrize("name, kind", [*((name, "snn") for name in BACKBONES), ("squeezenet", "cnn")])
def test_every_backbone_computes_with_its_kernels(name: str, kind: str) -> None:
    """Fused and plain, trained and evaluated, and as an uncompressed network that has the kernels for weights."""
    plan = plan_for(backbone=name, mask=BACKBONES[name].blocks, input_shape=(3, 16, 16), n_classes=10)
    network = settled(network_of(plan, kind=kind).double())
    x = images(2, plan.input_shape, 1, torch.float64)
    plain = network_of(plan, CompressionConfig(), kind=kind).double()
    plain.load_state_dict(plain_state(network))
    with torch.no_grad():
        found = network(x)
        network.fused = False
        torch.testing.assert_close(found, network(x))
        torch.testing.assert_close(found, plain.eval()(x))
    for layer in plan_layers(plan, FIFTH):
        assert int(network.mask(layer.name).sum()) == layer.kept
        # 2^b levels of either sign, and 0 where pruned
        kernel = network.get_submodule(layer.name).kernel().detach()
        assert len(kernel.unique()) <= 2**layer.bits + 1


def test_gradients_are_those_of_plain_torch() -> None:
    plan, x = squeezenet(), images(4, (3, 16, 16), 2, torch.float64)
    grads = []
    for fused in (True, False):
        network = network_of(plan).double().train()
        network.fused = fused
        network(x).square().sum().backward()
        grads.append({name: value.grad for name, value in network.named_parameters()})
    assert grads[0].keys() == grads[1].keys() and any(name.endswith("scores") for name in grads[0])
    for name, value in grads[0].items():
        torch.testing.assert_close(value, grads[1][name], msg=name)


def test_a_kernel_is_made_once_and_again_when_something_changes() -> None:
    network = network_of(squeezenet(), CompressionConfig(keep=0.2)).eval()
    layer = network.get_submodule("F9.expand3.conv")
    with torch.inference_mode():
        first = layer.kernel()
        assert layer.kernel() is first
    with torch.no_grad():
        layer.scores.add_(1.0)
        assert layer.kernel() is not first
        last = layer.kernel()
    adam = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
    layer.kernel().square().sum().backward()
    adam.step()  # changes weights without raising their version
    with torch.no_grad():
        assert not torch.equal(layer.kernel(), last)
    again = layer.kernel()  # with gradients
    assert again.requires_grad
    with instead([layer], torch.zeros_like), torch.no_grad():
        assert not layer.kernel().any()
    assert torch.equal(layer.kernel(), again)
    assert copy.deepcopy(network).get_submodule("F9.expand3.conv").kernel().equal(again)


def test_a_term_that_differentiates_twice_trains_a_compressed_network() -> None:
    training = TrainingConfig(gradient_aware=0.1)
    network = network_of(squeezenet(), training=training).train()
    network.fused = False
    Objective(network, network.config)(images(2, (3, 16, 16)), torch.tensor([1, 2])).loss.backward()
    assert all(value.grad.isfinite().all() for value in network.parameters())


def test_scores_do_not_decay() -> None:
    training = TrainingConfig(optimizer="sgd", weight_decay=0.1)
    network = network_of(squeezenet(), training=training)
    decayed, free = optimizer(network, training).param_groups
    assert {value.shape for value in decayed["params"]} and free["weight_decay"] == 0
    scores = [value for name, value in network.named_parameters() if name.endswith("scores")]
    assert scores and all(any(one is other for other in free["params"]) for one in scores)
    assert len(decayed["params"]) == len(scores)


# Counting.


def conv_after_spikes(*, channels, side, out, **shape):
    b = PlanBuilder((channels, *side))
    b.global_avgpool("pool", b.conv("conv", b.act("spikes", "input"), out, **shape))
    return b.finish(backbone="t", definition="small", blocks=(), mask=())


def count(network, *batches):
    with torch.no_grad(), Counter(network) as counter:
        for batch in batches:
            network(batch)
    return counter


def operations_by_hand(spikes_TNCHW, node, mask):
    """[T, N]: for every spike, every kept tap that lands on an output of its group."""
    steps, n = spikes_TNCHW.shape[:2]
    out_channels, out_height, out_width = node.shape
    each_in, each_out = node.in_shape[0] // node.groups, out_channels // node.groups
    total = np.zeros((steps, n))
    for t, i, c, y, x in np.argwhere(spikes_TNCHW != 0):
        group, channel = divmod(c, each_in)
        for ky, kx in itertools.product(range(node.kernel), repeat=2):
            row, rest_y = divmod(y + node.padding - ky * node.dilation, node.stride)
            column, rest_x = divmod(x + node.padding - kx * node.dilation, node.stride)
            if rest_y == rest_x == 0 and 0 <= row < out_height and 0 <= column < out_width:
                total[t, i] += mask[group * each_out : (group + 1) * each_out, channel, ky, kx].sum()
    return total


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.sampled_from([1, 2, 3, 5]), stride=st.integers(1, 4), padding=st.integers(0, 4),
    dilation=st.integers(1, 3), groups=st.sampled_from([1, 3]), height=st.integers(5, 9), width=st.integers(5, 9),
    keep=st.sampled_from([0.1, 0.37, 0.8]), plain=st.booleans(),
)  # fmt: skip
def test_pruned_operations_equal_a_loop_for_any_geometry(
    kernel, stride, padding, dilation, groups, height, width, keep, plain
) -> None:
    assume(dilation * (kernel - 1) < min(height, width) + 2 * padding)
    shape = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    plan = conv_after_spikes(channels=3, side=(height, width), out=6, **shape)
    network, seen = network_of(plan, CompressionConfig(keep=keep)).eval(), {}

    def note(node, inputs, output):
        if node.op == "act":
            seen["spikes"] = output.unflatten(0, (2, 2)).double().numpy()

    x = images(2, plan.input_shape, height * width)
    network.fused = not plain
    with torch.no_grad(), observe(network, note, every_node=True):
        network(x)
    node = plan.node("conv")
    by_hand = operations_by_hand(seen["spikes"], node, network.mask("conv").numpy())
    counter = count(network, x)
    layer = next(layer for layer in counter.counts(2).layers if layer.name == "conv")
    assert layer.ac == tuple(by_hand.sum(1).astype(int))
    assert np.array_equal(counter.per_sample()["ac"][:, 0, :], by_hand.T)


def worked_example(kept_taps):
    """Of docs/accounting.md: spikes in a corner and the centre of 3 x 3 pixels, two filters of 3 x 3, padding 1."""
    plan = conv_after_spikes(channels=1, side=(3, 3), out=2, kernel=3, padding=1)
    neuron = NeuronConfig(tau=2.0, v_threshold=1.0)
    network = network_of(plan, CompressionConfig(keep=len(kept_taps) / 9), steps=1, neuron=neuron).eval()
    with torch.no_grad():
        scores = network.get_submodule("conv").scores.zero_()
        for row, column in kept_taps:
            scores[:, 0, row, column] = 1
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 0, 0] = x[0, 0, 1, 1] = 2.0
    return next(layer for layer in count(network, x).counts().layers if layer.name == "conv")


def test_a_spike_costs_what_it_really_reaches() -> None:
    # with all nine taps it is 4 x 2 + 9 x 2 = 26
    centre = worked_example([(1, 1)])
    assert centre.ac == (2 + 2,)  # each spike reaches its own place of both filters
    assert (centre.kept_params, centre.dense_ops) == (2, 162)
    # the tap that reads (+1, +1): nothing reads the corner through it, the centre is read by one place of each filter
    assert worked_example([(2, 2)]).ac == (0 + 2,)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenetv2", "mixnet"])
def test_neurobench_counts_the_kept_taps_alone_too(name: str) -> None:
    plan = plan_for(backbone=name, mask=BACKBONES[name].blocks, input_shape=(3, 32, 32), n_classes=10)
    network = settled(network_of(plan, CompressionConfig(keep=0.3, bits=4)).double())
    x = images(2, plan.input_shape, 1, torch.float64)
    ours = {layer.name: sum(layer.ac) + sum(layer.mac) for layer in count(network, x).counts().layers if layer.params}
    plain = PlainNetwork(network).eval()
    with torch.no_grad():
        torch.testing.assert_close(plain(x), network(x))
    theirs = neurobench_counts.measure(plain, [x]).layers
    found = {layer.replace("__", ".").removeprefix("layers."): sum(each) for layer, each in theirs.items()}
    assert found == {layer: ours[layer] for layer in found}
    assert sum(n > 0 for n in found.values()) > 5


def test_the_penalty_of_accumulates_counts_what_the_counter_counts() -> None:
    training = TrainingConfig(ac_penalty=1.0, ac_target=1.0, ac_ramp=(0.0, 0.0))
    network = settled(network_of(squeezenet(), CompressionConfig(keep=0.3), training=training))
    x = images(2, (3, 16, 16))
    acs = sum(sum(layer.ac) for layer in count(network, x).counts().layers) / 2
    term = Objective(network, network.config)(x, torch.tensor([0, 1]), progress=1.0).terms["ac_penalty"]
    assert acs > 0 and float(term.detach()) == pytest.approx((acs - 1) ** 2, rel=1e-6)
    with torch.no_grad():  # other weights are kept now
        network.get_submodule("F9.squeeze.conv").scores.copy_(torch.randn(64, 128, 1, 1))
    again = sum(sum(layer.ac) for layer in count(network, x).counts().layers) / 2
    objective = Objective(network, network.config)
    assert float(objective(x, torch.tensor([0, 1])).terms["ac_penalty"].detach()) == pytest.approx(
        (again - 1) ** 2, rel=1e-6
    )
    assert mask_of(network.get_submodule("F9.squeeze.bn")) is None
