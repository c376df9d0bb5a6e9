"""Every backbone as a network: the module against its plan, its counts against float64, its first steps of training."""

import numpy as np
import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from core.backbones.catalog import BACKBONES, layout_of, plan_for
from core.datasets.catalog import DATASETS
from core.engine.count import Counter
from core.engine.data import Normaliser
from core.engine.network import Network, observe
from core.errors import ImpossibleMask
from core.schemas.run import Kind, NeuronConfig, RunConfig

LIVELY = NeuronConfig(tau=1.3, v_threshold=0.6)  # fires in deep networks too
LABELS = torch.tensor([0, 1, 2, 3])
#: Sides at which the published definitions, made for 224 and 299, still have an image left, and run in no time.
IMAGENET_SIDE = {"squeezenet": 64}
every_backbone = pytest.mark.parametrize("backbone", list(BACKBONES))
every_definition = pytest.mark.parametrize(
    ("backbone", "definition"), [(name, which) for name, entry in BACKBONES.items() for which in entry.definitions]
)
every_kind = pytest.mark.parametrize("kind", list(Kind))
#: A twin differs in its activations alone: of CNNs, one with pools and one with gates show what the others would.
every_network = pytest.mark.parametrize(
    ("backbone", "kind"),
    [
        pytest.param(
            name, kind, marks=[] if kind is Kind.SNN or name in ("squeezenet", "mixnet") else pytest.mark.exhaustive
        )
        for name in BACKBONES
        for kind in Kind
    ],
)


def make_plan(backbone, mask=None, *, definition="small", side=16, classes=10):
    return plan_for(
        backbone=backbone,
        mask=mask or layout_of(backbone, definition).blocks,
        input_shape=(3, side, side),
        n_classes=classes,
        definition=definition,
    )


def make(plan, *, kind=Kind.SNN, steps=2, fused=True, dtype=torch.float32, neuron=LIVELY, seed=0):
    config = RunConfig(
        backbone=plan.backbone, definition=plan.definition, mask=plan.mask, kind=kind, time_steps=steps, neuron=neuron,
        seed=seed,
    )  # fmt: skip
    return Network(plan, config, fused=fused).to(dtype)


def images(n=4, side=16, dtype=torch.float32):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def randomise(network):
    """Random normalisations, with the statistics of some data: every layer has something to say in evaluation."""
    generator = torch.Generator().manual_seed(1)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    convs = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    with torch.no_grad():
        for conv in convs:
            if conv.bias is not None:  # without it the neurons in gates, which no normalisation feeds, stay silent
                conv.bias.uniform_(1.0, 2.0, generator=generator)
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.uniform_(0.8, 1.6, generator=generator)
            norm.bias.uniform_(0.0, 0.6, generator=generator)
        dtype = norms[0].weight.dtype if norms else torch.float32
        network.train()(images(8, network.plan.input_shape[1], dtype))
    return network.eval()


def on_meta(plan, kind):
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.engine.network.initialise", lambda network, seed: None)
        return make(plan, kind=kind)


@every_kind
@every_definition
def test_every_node_has_the_parameters_that_the_plan_says(backbone, kind, definition):
    plan = make_plan(backbone, definition=definition, side=224 if definition == "imagenet" else 32, classes=1000)
    held = dict.fromkeys((node.name for node in plan.nodes), 0)
    for name, parameter in on_meta(plan, kind).named_parameters():
        held[name.rpartition(".")[0]] += parameter.numel()
    assert held == {node.name: node.params for node in plan.nodes}
    assert sum(held.values()) == plan.params


@every_kind
@every_definition
def test_every_node_gives_the_shape_the_spikes_and_the_constancy_of_the_plan(backbone, kind, definition):
    side = IMAGENET_SIDE.get(backbone, 32) if definition == "imagenet" else 16
    network = make(make_plan(backbone, definition=definition, side=side), kind=kind).eval()
    steps, seen = network.steps, set()

    def note(node, inputs, output):
        rows = 2 if network.is_constant(node) else 2 * steps
        assert output.shape == (rows, *node.shape), node.name
        if node.spikes and kind is Kind.SNN:
            assert ((output == 0) | (output == 1)).all(), node.name
        seen.add(node.name)

    with torch.no_grad(), observe(network, note, every_node=True):
        assert network(images(2, side)).shape == (steps, 2, 10)
    assert seen == {node.name for node in network.plan.nodes}


@every_backbone
def test_a_network_and_its_twin_differ_in_nothing_but_their_activations(backbone):
    plan = make_plan(backbone)
    snn, cnn = make(plan), make(plan, kind=Kind.CNN)
    assert snn.plan == cnn.plan == plan
    assert snn.state_dict().keys() == cnn.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(snn.state_dict().values(), cnn.state_dict().values(), strict=True))
    values = {}
    for network in (snn.eval(), cnn.eval()):

        def note(node, inputs, output, kind=network.config.kind):
            values.setdefault((node.name, kind), (inputs, output))

        with torch.no_grad(), observe(network, note, every_node=True):
            network(images(2))
    for node in plan.nodes:  # up to the first activation both compute the same
        if node.constant:
            assert torch.equal(values[node.name, Kind.SNN][1], values[node.name, Kind.CNN][1]), node.name


@every_backbone
def test_dense_ops_are_those_of_an_independent_counter(backbone):
    for definition in BACKBONES[backbone].definitions:
        side = IMAGENET_SIDE.get(backbone, 32) if definition == "imagenet" else 32
        plan = make_plan(backbone, definition=definition, side=side)
        network = make(plan, kind=Kind.CNN, fused=False).eval()
        analysis = FlopCountAnalysis(network, images(1, side)).unsupported_ops_warnings(False)
        assert analysis.uncalled_modules_warnings(False).by_operator()["conv"] == plan.dense_ops


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_random_mask_either_runs_or_says_block_by_block_why_not(data):
    backbone = data.draw(st.sampled_from(list(BACKBONES)))
    definition = data.draw(st.sampled_from(["small", *BACKBONES[backbone].definitions]))
    blocks = layout_of(backbone, definition).blocks
    kept = data.draw(st.sets(st.sampled_from(blocks), min_size=1))
    mask = tuple(block for block in blocks if block in kept)
    side = data.draw(st.sampled_from([8, 16, 28]))
    try:
        plan = make_plan(backbone, mask, definition=definition, side=side)
    except ImpossibleMask as error:
        trace = error.fields["trace"]
        assert trace and all(line in error.message for line in trace)
        assert backbone == "shufflenetv2" or "leaves nothing of it" in trace[-1]
        return
    assert {node.block for node in plan.nodes} - {None} == kept
    for kind in Kind:
        network = on_meta(plan, kind)
        assert sum(parameter.numel() for parameter in network.parameters()) == plan.params
    if plan.dense_ops < 5e6:
        with torch.no_grad():
            assert make(plan, steps=1).eval()(images(1, side)).shape == (1, 1, 10)


def operations_by_convolution(x, node):
    """[rows] float64: the ones of x != 0, convolved with ones; each product is one that lands on an output."""
    ones = torch.ones(node.shape[0], x.shape[1] // node.groups, node.kernel, node.kernel, dtype=torch.float64)
    nonzero = (x != 0).double()
    out = F.conv2d(nonzero, ones, None, node.stride, node.padding, node.dilation, node.groups)
    return out.sum((1, 2, 3))


@every_network
def test_the_counter_equals_a_float64_count_over_what_each_layer_saw(backbone, kind):
    # float64: the kernels and plain torch must not round a value to different sides of a threshold
    network = randomise(make(make_plan(backbone), kind=kind, dtype=torch.float64))
    steps, n, seen = network.steps, 3, {}

    def note(node, inputs, output):
        if node.op == "conv":
            rows = operations_by_convolution(inputs[0], node)
            seen[node.name] = rows.reshape(-1, n).expand(steps, n).numpy().astype(np.int64)

    x = images(n, dtype=torch.float64)
    with torch.no_grad(), observe(network, note, every_node=True):
        network(x)
    with torch.no_grad(), Counter(network) as counter:
        network(x)
    counts = counter.counts(n)
    layers = {layer.name: layer for layer in counts.layers}
    of_spikes = 0
    for node in network.plan.nodes:
        if node.op == "conv":
            spikes = kind is Kind.SNN and network.plan.node(node.inputs[0]).spikes
            given, silent = (layers[node.name].ac, layers[node.name].mac)[:: 1 if spikes else -1]
            assert given == tuple(seen[node.name].sum(1)), node.name
            assert silent == (0,) * steps and sum(given) > 0, node.name
            of_spikes += spikes
    assert (of_spikes > 2) == (kind is Kind.SNN)
    names = list(counter.per_sample()["layers"])
    ops = counter.per_sample()["ac"] + counter.per_sample()["mac"]
    assert all(np.array_equal(ops[:, names.index(name)].T, rows) for name, rows in seen.items())


@every_network
@pytest.mark.parametrize("training", [True, False])
def test_fused_and_plain_networks_agree_and_every_gradient_is_finite(backbone, kind, training):
    plan = make_plan(backbone)
    pair = []
    for fused in (True, False):
        pair.append(randomise(make(plan, kind=kind, fused=fused, dtype=torch.float64)).train(training))
    x = images(dtype=torch.float64)
    outputs = [network(x) for network in pair]
    torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-10)
    for out in outputs:
        F.cross_entropy(out.mean(0), LABELS).backward()
    largest = max(parameter.grad.abs().max() for parameter in pair[1].parameters())
    for (name, a), b in zip(pair[0].named_parameters(), pair[1].parameters(), strict=True):
        assert a.grad.isfinite().all() and b.grad.isfinite().all(), name
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=float(largest) * 1e-9, msg=name)
    for (name, a), b in zip(pair[0].named_buffers(), pair[1].buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10, msg=name)


@every_network
def test_a_few_steps_on_digits_bring_the_loss_down(backbone, kind):
    spec = DATASETS["digits"]
    dataset = spec.reader.load(spec, None)
    x = Normaliser(spec, torch.device("cpu"))(torch.from_numpy(dataset.train_images[:16]))
    labels = torch.from_numpy(dataset.train_labels[:16])
    network = make(make_plan(backbone), kind=kind, steps=4).train()
    optimizer = torch.optim.Adam(network.parameters(), 2e-2)
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(network(x).mean(0), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if losses[-1] < 0.9 * losses[0]:
            break
    assert losses[-1] < 0.9 * losses[0], losses
