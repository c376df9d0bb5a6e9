import itertools

import pytest
import torch
from spikingjelly.activation_based import functional
from torch.nn import functional as F

from core.backbones.catalog import plan_for
from core.backbones.plan import Node, Plan, PlanBuilder
from core.backbones.squeezenet import BLOCKS
from core.engine.network import Network, initialise, observe
from core.engine.neurons import RESETS, STEPS
from core.engine.surrogates import SURROGATES
from core.errors import BadValue, UnknownLayer
from core.oracles.spikingjelly_counts import SpikingSqueezeNet
from core.schemas.run import Kind, NeuronConfig, RunConfig

REF_1 = ("F4", "F6", "F8", "F9")
LIVELY = NeuronConfig(tau=1.3, v_threshold=0.6)  # fires in every layer without training


def make_plan(mask=REF_1, side=16, classes=10, definition="small"):
    return plan_for(
        backbone="squeezenet", mask=mask, input_shape=(3, side, side), n_classes=classes, definition=definition
    )


def make(plan=None, *, kind="snn", steps=4, fused=True, seed=0, dtype=torch.float32, neuron=LIVELY):
    plan = plan or make_plan()
    config = RunConfig(mask=plan.mask, kind=kind, time_steps=steps, seed=seed, neuron=neuron)
    return Network(plan, config, fused=fused).to(dtype)


def images(n=4, side=16, dtype=torch.float32, seed=0):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def telling_masks():
    """Every module alone, every two, and all: so each module follows every other and the stem, and is the last."""
    return [mask for size in (1, 2, 8) for mask in itertools.combinations(BLOCKS, size)]


def test_parameters_follow_the_plan_whatever_module_follows_which():
    with torch.device("meta"):
        for mask in telling_masks():
            plan = make_plan(mask, side=32)
            network = _on_meta(plan)
            assert sum(p.numel() for p in network.parameters()) == plan.params, mask
            held = dict.fromkeys((node.name for node in plan.nodes), 0)
            for name, parameter in network.named_parameters():
                held[name.rpartition(".")[0]] += parameter.numel()
            assert held == {node.name: node.params for node in plan.nodes}, mask


def _on_meta(plan):
    """A network whose weights have shapes only."""
    config = RunConfig(mask=plan.mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.engine.network.initialise", lambda network, seed: None)
        return Network(plan, config)


@pytest.mark.parametrize("definition, side", [("small", 16), ("imagenet", 64)])
@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("mask", [BLOCKS, REF_1, ("F9",), ("F2", "F5")])
def test_every_node_gives_the_shape_that_the_plan_says(mask, kind, definition, side):
    network = make(make_plan(mask, side=side, definition=definition), kind=kind).eval()
    seen = {}

    def note(node, inputs, output):
        seen[node.name] = tuple(output.shape)

    with torch.no_grad(), observe(network, note, every_node=True):
        out = network(images(2, side))
    steps = 4 if kind is Kind.SNN else 1
    assert out.shape == (steps, 2, 10)
    for node in network.plan.nodes:
        rows = 2 if network.is_constant(node) else 2 * steps
        assert seen[node.name] == (rows, *node.shape), node.name


def test_printed_size_of_the_full_network_and_of_its_twin():
    plan = make_plan(BLOCKS, side=32)
    snn, cnn = make(plan), make(plan, kind="cnn")
    assert sum(p.numel() for p in snn.parameters()) == 736_458  # Kabir et al., table 1
    assert snn.state_dict().keys() == cnn.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(snn.state_dict().values(), cnn.state_dict().values(), strict=True))


def test_weights_are_named_after_the_nodes():
    names = set(make().state_dict())
    assert {"stem.conv.weight", "F4.squeeze.bn.running_mean", "F9.expand3.conv.bias", "classifier.conv.weight"} <= names


def test_equal_seeds_give_equal_weights_and_other_seeds_others():
    plan = make_plan()
    a, b, c = (make(plan, seed=seed).state_dict()["stem.conv.weight"] for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_building_a_network_leaves_the_global_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    make()
    assert torch.equal(torch.rand(3), expected)


def test_initialise_starts_again_from_nothing():
    network = make()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(images()).sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    initialise(network, 0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_second_batch_equals_a_fresh_network():
    network, fresh = make().eval(), make().eval()
    with torch.no_grad():
        network(images(seed=1))
        assert torch.equal(network(images(seed=2)), fresh(images(seed=2)))


def test_one_image_alone_gives_what_it_gives_in_a_batch():
    network = make(dtype=torch.float64).eval()
    x = images(4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x)[:, 2:3], network(x[2:3]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 4])
def test_values_are_binary_and_constant_where_the_plan_says_so(steps):
    network = make(steps=steps).eval()
    binary, real = set(), set()

    def note(node, inputs, output):
        (binary if bool(((output == 0) | (output == 1)).all()) else real).add(node.name)

    with torch.no_grad(), observe(network, note, every_node=True):
        network(images())
    promised = {node.name for node in network.plan.nodes if node.spikes}
    assert promised <= binary
    assert {"stem.conv", "F4.squeeze.bn", "classifier.conv", "pool"} <= real


def test_the_first_step_does_not_see_the_later_ones():
    one, four = make(steps=1).eval(), make(steps=4).eval()
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(one(x)[0], four(x)[0])


def spikingjelly_twin(network, layout=torch.contiguous_format):
    plan, config = network.plan, network.config
    reference = SpikingSqueezeNet(
        mask=plan.mask, channels=3, n_classes=plan.n_classes, steps=config.time_steps, lif=config.neuron
    )
    reference = reference.to(dtype=next(network.parameters()).dtype, memory_format=layout)
    reference.load_state_dict(network.state_dict())
    return reference


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("mask", [REF_1, ("F2", "F3")])
def test_training_step_equals_spikingjelly_multi_step(mask, fused, steps):
    # float64: rounding that differs between two correct orders of summation must not flip a spike
    network = make(make_plan(mask), fused=fused, steps=steps, dtype=torch.float64)
    reference = spikingjelly_twin(network)
    x, labels = images(dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    for batch in range(2):
        outputs = network(x + batch), reference(x + batch)
        assert outputs[0].abs().mean() > 0.05
        torch.testing.assert_close(*outputs, rtol=0, atol=1e-13)
        functional.reset_net(reference)
    for out in outputs:
        F.cross_entropy(out.mean(0), labels).backward()
    gradients = dict(reference.named_parameters())
    for name, ours in network.named_parameters():
        theirs = gradients[name].grad
        if name.endswith("conv.bias") and not name.startswith("classifier"):
            # normalisation removes this bias: its gradient is 0 but for rounding
            assert ours.grad.abs().max() < 1e-12 and theirs.abs().max() < 1e-12
        else:
            assert (ours.grad - theirs).norm() <= 1e-10 * theirs.norm(), name
    running = dict(reference.named_buffers())
    for name, ours in network.named_buffers():  # the stem sees N images, its statistics are those of T x N
        torch.testing.assert_close(ours, running[name], rtol=1e-12, atol=1e-13)


def test_float32_gradients_agree_with_spikingjelly_to_1e5():
    network = make()
    reference = spikingjelly_twin(network, torch.channels_last)
    x, labels = images(), torch.tensor([0, 1, 2, 3])
    outputs = network(x), reference(x)
    assert torch.allclose(*outputs, atol=1e-6)
    for out in outputs:
        F.cross_entropy(out.mean(0), labels).backward()
    gradients = dict(reference.named_parameters())
    for name, ours in network.named_parameters():
        if name.endswith("conv.bias") and not name.startswith("classifier"):
            continue
        assert (ours.grad - gradients[name].grad).norm() <= 1e-5 * gradients[name].grad.norm(), name


OTHERS = (
    {"model": "if", "reset": "hard"},
    {"model": "if", "reset": "soft", "v_start": "half", "surrogate": "atan"},
    {"model": "lif", "reset": "soft"},
    {"model": "lif", "decay_input": False, "detach_reset": True, "surrogate": "atan"},
    {"model": "plif", "reset": "hard"},
    {"model": "plif", "reset": "soft", "decay_input": False, "surrogate": "piecewise_linear"},
)


@pytest.mark.parametrize("fields", OTHERS)
def test_training_step_with_other_neurons_equals_spikingjelly(fields):
    neuron = NeuronConfig(**({"surrogate": "exponential", "tau": 1.3, "v_threshold": 0.6} | fields))
    network = make(dtype=torch.float64, neuron=neuron)
    reference = spikingjelly_twin(network)  # takes the weights by name, w among them
    x, labels = images(dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    outputs = network(x), reference(x)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    for out in outputs:
        F.cross_entropy(out.mean(0), labels).backward()
    gradients = dict(reference.named_parameters())
    for name, ours in network.named_parameters():
        if not name.endswith("conv.bias") or name.startswith("classifier"):
            torch.testing.assert_close(ours.grad, gradients[name].grad, rtol=1e-8, atol=1e-12, msg=name)


@pytest.mark.parametrize(
    "neuron, losses",
    [
        (LIVELY, [2.2630534984866344, 2.1233806043894683, 1.966281964298164, 1.759699997427755]),
        (NeuronConfig(tau=1.08), [2.2278555253037777, 2.1492370631376074, 2.068935168476788, 2.0281272494659084]),
    ],
)
def test_a_fixed_seed_trains_to_the_losses_of_the_first_day(neuron, losses):
    """Recorded when `lif` had no other form. float64, so that a convolution's order of summation flips no spike."""
    network = make(dtype=torch.float64, neuron=neuron)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    x, labels, found = images(dtype=torch.float64), torch.tensor([0, 1, 2, 3]), []
    for _ in losses:
        loss = F.cross_entropy(network(x).mean(0), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found == pytest.approx(losses, rel=1e-9)


def test_a_plif_network_learns_one_time_constant_a_layer_starting_at_the_configs():
    network = make(neuron=NeuronConfig(model="plif", tau=3.0))
    names = [name for name, _ in network.named_parameters() if name.endswith(".w")]
    assert names == [f"{node.name}.w" for node in network.act_nodes]
    assert all(1 / network.get_parameter(name).sigmoid().item() == pytest.approx(3.0) for name in names)
    network(images()).mean(0).logsumexp(1).sum().backward()
    assert network.get_parameter("F4.squeeze.act.w").grad != 0
    assert make(kind="cnn", neuron=NeuronConfig(model="plif")).state_dict().keys() == make().state_dict().keys()
    with torch.no_grad():
        network.get_parameter(names[0]).fill_(9.0)
    initialise(network, 0)
    assert 1 / network.get_parameter(names[0]).sigmoid().item() == pytest.approx(3.0)


def with_thresholds(network, at=0.2):
    """Every learned threshold moved away from the config's."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("log_threshold"):
                parameter.fill_(at)
    return network


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("definition, side", [("small", 16), ("imagenet", 64)])
def test_a_learned_threshold_is_one_a_layer_and_the_one_that_the_neurons_have(definition, side, fused):
    fields = {"model": "if", "reset": "soft", "v_start": "half"}
    shared = {"plan": make_plan(side=side, definition=definition), "dtype": torch.float64, "fused": fused}
    learning = make(neuron=NeuronConfig(v_threshold=0.6, learn_threshold=True, **fields), **shared).eval()
    fixed = make(neuron=NeuronConfig(v_threshold=0.6, **fields), **shared).eval()
    names = [name for name, _ in learning.named_parameters() if name.endswith("log_threshold")]
    assert names == [f"{node.name}.log_threshold" for node in learning.act_nodes]
    x = images(side=side, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(learning(x), fixed(x))  # it starts at the config's, and no number changes
        higher = make(neuron=NeuronConfig(v_threshold=0.6 * torch.tensor(0.2).exp().item(), **fields), **shared).eval()
        torch.testing.assert_close(with_thresholds(learning)(x), higher(x), rtol=1e-12, atol=1e-12)
        assert not torch.allclose(learning(x), fixed(x))


def test_a_learned_threshold_rises_where_fewer_spikes_are_wanted():
    network = make(neuron=LIVELY.model_copy(update={"learn_threshold": True}))
    rates = []
    optimizer = torch.optim.SGD([p for name, p in network.named_parameters() if "log_threshold" in name], lr=1.0)
    for _ in range(5):
        acts = []
        with observe(network, lambda node, inputs, output: acts.append(output) if node.op == "act" else None):  # noqa: B023
            network(images())
        loss = torch.stack([spikes.mean() for spikes in acts]).mean()
        rates.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert rates[-1] < rates[0]
    assert network.get_parameter("stem.act.log_threshold") > 0


@pytest.mark.parametrize("model, reset, surrogate", list(itertools.product(STEPS, RESETS, SURROGATES)))
def test_every_plain_network_can_be_differentiated_twice(model, reset, surrogate):
    neuron = NeuronConfig(
        model=model, reset=reset, surrogate=surrogate, tau=1.3, v_threshold=0.5, alpha=1.0,
        decay_input=reset == "hard", learn_threshold=True,
    )  # fmt: skip
    network = make(make_plan(("F2",), side=8), fused=False, steps=2, neuron=neuron)
    loss = F.cross_entropy(network(images(side=8)).mean(0), torch.tensor([0, 1, 2, 3]))
    weights = dict(network.named_parameters())
    first = torch.autograd.grad(loss, weights.values(), create_graph=True)
    second = torch.autograd.grad(
        sum(part.square().sum() for part in first), weights.values(), allow_unused=True, materialize_grads=True
    )
    for name, one, two in zip(weights, first, second, strict=True):
        assert bool(one.isfinite().all() and two.isfinite().all()), name
        if name.endswith(("conv.weight", "act.w", "log_threshold")):
            assert bool(one.any()) and bool(two.any()), name


@pytest.mark.parametrize(
    "kind, neuron",
    [
        ("cnn", LIVELY),
        ("snn", LIVELY),
        *(("snn", NeuronConfig(tau=1.3, v_threshold=0.6, learn_threshold=True, **fields)) for fields in OTHERS),
        ("snn", NeuronConfig(model="count", v_threshold=0.5)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_fused_and_plain_networks_agree(training, kind, neuron):
    fused, plain = (
        with_thresholds(make(kind=kind, fused=way, dtype=torch.float64, neuron=neuron).train(training))
        for way in (True, False)
    )
    x = images(dtype=torch.float64)
    outputs = fused(x), plain(x)
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-13)
    for out in outputs:
        F.cross_entropy(out.mean(0), torch.tensor([0, 1, 2, 3])).backward()
    for (name, a), b in zip(fused.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12, msg=name)
    for (name, a), b in zip(fused.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13, msg=name)


def test_relu_network_equals_torch_modules_written_by_hand():
    plan = make_plan(("F9",), side=8)
    network = make(plan, kind="cnn", dtype=torch.float64)
    w = network.state_dict()

    def unit(x, name, padding=0):
        x = F.conv2d(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], padding=padding)
        return F.relu(F.batch_norm(x, None, None, w[f"{name}.bn.weight"], w[f"{name}.bn.bias"], training=True))

    x = images(side=8, dtype=torch.float64)
    y = F.max_pool2d(unit(x, "stem", 1), 2)
    y = F.max_pool2d(F.max_pool2d(y, 2), 2)  # the pools after F4 and F8 stay
    y = unit(y, "F9.squeeze")
    y = torch.cat((unit(y, "F9.expand1"), unit(y, "F9.expand3", 1)), 1)
    y = F.conv2d(y, w["classifier.conv.weight"], w["classifier.conv.bias"]).mean((2, 3))
    torch.testing.assert_close(network(x)[0], y, rtol=1e-12, atol=1e-12)


def test_number_of_threads_does_not_change_a_training_step():
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            network = make(make_plan(("F2",), side=32), dtype=torch.float64)
            network(images(side=32, dtype=torch.float64)).mean(0).logsumexp(1).sum().backward()
            results.append(network.get_parameter("stem.bn.weight").grad)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*results, rtol=1e-9, atol=0)


def test_a_nan_weight_reaches_the_output_of_a_relu_network():
    network = make(kind="cnn")
    with torch.no_grad():
        network.get_parameter("F6.squeeze.bn.weight").fill_(torch.nan)
    assert network(images()).isnan().any()


def test_dropout_drops_the_same_connections_at_every_step():
    b = PlanBuilder((3, 8, 8))
    x = b.act("a.act", b.bn("a.bn", b.conv("a.conv", "input", 16, kernel=1)))
    x = b.dropout("dropout", x, 0.5)
    b.global_avgpool("pool", b.conv("out", x, 2, kernel=1))
    network = make(b.finish(backbone="t", definition="small", blocks=("F2",), mask=("F2",)))
    kept = {}

    def note(node, inputs, output):
        if node.op == "dropout":
            kept["in"], kept["out"] = inputs[0].unflatten(0, (4, -1)), output.unflatten(0, (4, -1))

    with observe(network, note, every_node=True):
        network(images(2, 8))
    dropped = (kept["in"] == 1) & (kept["out"] == 0)
    passed = kept["out"] == 2  # scaled by 1 / (1 - 0.5)
    assert dropped.any() and passed.any()
    assert not (dropped.any(0) & passed.any(0)).any()


def test_an_operation_without_a_rule_raises():
    node = Node(name="odd", op="fourier", inputs=("input",), shape=(3, 8, 8), in_shape=(3, 8, 8))
    start = Node(name="input", op="input", inputs=(), shape=(3, 8, 8), constant=True)
    plan = Plan(backbone="t", definition="small", blocks=(), mask=(), nodes=(start, node))
    with pytest.raises(UnknownLayer, match="odd"):
        Network(plan, RunConfig(mask=("F2",)))


def test_images_of_another_size_are_refused_with_both_shapes():
    with pytest.raises(BadValue, match="3, 16, 16"):
        make()(images(side=32))


def test_a_batch_that_leaves_one_value_to_normalise_is_refused():
    plan = make_plan(side=8)  # F9 works at 1 x 1
    for fused in (True, False):
        with pytest.raises(BadValue, match="batch_size"):
            make(plan, kind="cnn", fused=fused)(images(1, 8))
        assert make(plan, kind="cnn", fused=fused).eval()(images(1, 8)).shape == (1, 1, 10)


def test_observing_leaves_the_network_as_it_was():
    network = make().eval()
    x = images()
    with torch.no_grad():
        before = network(x)
        with pytest.raises(KeyError), observe(network, lambda *_: {}["missing"], every_node=True):
            network(x)
        assert torch.equal(network(x), before)
    assert not network._observers and not network._every_node
