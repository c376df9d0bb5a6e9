"""Input codings: what each gives, that rate coding is repeatable, and that the counter counts its spikes."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.backbones.catalog import plan_for
from core.backbones.plan import Encoding
from core.datasets.catalog import DATASETS
from core.engine.count import Counter
from core.engine.data import Normaliser
from core.engine.encodings import ENCODINGS, SILENT_BELOW, direct, latency, rate
from core.engine.network import Network, observe
from core.schemas.run import NeuronConfig, RunConfig

LIVELY = NeuronConfig(tau=1.3, v_threshold=0.3)
CODED = [name for name in ENCODINGS if name != "direct"]
CPU = torch.device("cpu")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pixels(n=4, side=16, seed=0):
    return torch.randint(0, 256, (n, 3, side, side), generator=seeded(seed)).float() / 255


def make(encoding, *, kind="snn", steps=4, seed=0, neuron=LIVELY):
    config = RunConfig(mask=("F4",), kind=kind, time_steps=steps, seed=seed, encoding=encoding, neuron=neuron)
    plan = plan_for(backbone="squeezenet", mask=("F4",), input_shape=(3, 16, 16), n_classes=10, encoding=encoding)
    return Network(plan, config).eval()


def test_every_name_of_the_config_has_its_coding():
    assert set(ENCODINGS) == set(get_args(Encoding)) == set(get_args(RunConfig.model_fields["encoding"].annotation))


def test_direct_coding_passes_the_image_on_as_it_is():
    x = torch.randn(2, 3, 4, 4)
    assert direct(x, 5, seeded()) is x


def test_rate_coding_spikes_as_often_as_the_pixel_is_bright():
    x = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]).view(1, 1, 1, 5).expand(3, 2, 4, 5)
    spikes = rate(x, 2000, seeded())
    assert spikes.shape == (2000 * 3, 2, 4, 5) and set(spikes.unique().tolist()) == {0.0, 1.0}
    found = spikes.unflatten(0, (2000, 3)).mean(0)
    assert bool((found[..., 0] == 0).all()) and bool((found[..., 4] == 1).all())
    # five standard deviations of a mean of 2000 draws: 5 sqrt(p (1 - p) / 2000) <= 0.056
    assert (found - x).abs().max() < 0.056
    per_step = spikes.unflatten(0, (2000, 3)).flatten(1)
    assert not torch.equal(per_step[0], per_step[1])  # each step draws anew


@given(cut=st.integers(1, 5))
def test_images_draw_the_same_spikes_in_whatever_batches_they_come(cut):
    x, steps = pixels(6, 5), 3
    whole = rate(x, steps, seeded(9)).unflatten(0, (steps, 6))
    generator = seeded(9)
    first, rest = (rate(part, steps, generator).unflatten(0, (steps, -1)) for part in (x[:cut], x[cut:]))
    assert torch.equal(torch.cat((first, rest), 1), whole)


@given(level=st.integers(0, 255), steps=st.integers(1, 64))
def test_latency_coding_gives_each_pixel_one_spike_the_earlier_the_brighter(level, steps):
    p = level / 255
    spikes = latency(torch.full((2, 1, 1, 1), p), steps, seeded()).unflatten(0, (steps, 2))
    expected = torch.zeros(steps)
    if p >= SILENT_BELOW:
        expected[round((1 - p) * (steps - 1))] = 1  # never a tie: 2 (255 - level)(T - 1) = 255 x odd has no solution
    assert torch.equal(spikes[:, 0].flatten(), expected) and torch.equal(spikes[:, 1].flatten(), expected)


def test_latency_coding_by_hand():
    x = torch.tensor([1.0, 0.7, 0.4, 0.01, 0.009, 0.0]).view(1, 1, 1, 6)
    spikes = latency(x, 4, seeded()).squeeze()  # (1 - p) x 3: 0, 0.9, 1.8, 2.97, silent, silent
    assert spikes.argmax(0).tolist()[:4] == [0, 1, 2, 3]
    assert spikes.sum(0).tolist() == [1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("encoding", CODED)
def test_pixels_come_as_intensities_where_the_input_is_spikes(encoding):
    images = torch.tensor([0, 1, 51, 255], dtype=torch.uint8).view(1, 2, 2, 1).expand(1, 2, 2, 3)
    x = Normaliser(DATASETS["cifar10"], CPU, encoding)(images)
    torch.testing.assert_close(x, (images.double() / 255).float().permute(0, 3, 1, 2), rtol=0, atol=1e-7)
    assert x.min() == 0 and x.max() == 1
    assert Normaliser(DATASETS["cifar10"], CPU)(images).min() < -1


@pytest.mark.parametrize("encoding", CODED)
def test_the_input_is_spikes_that_change_from_step_to_step_and_the_twin_sees_the_image(encoding):
    network, twin = make(encoding), make(encoding, kind="cnn")
    assert (network.encoding, twin.encoding) == (encoding, "direct")
    assert not any(network.is_constant(node) for node in network.plan.nodes)
    assert network.plan.node("input").spikes and not twin.plan.node("input").spikes
    seen = {}
    x = pixels()
    for net in (network, twin):
        with torch.no_grad(), observe(net, lambda node, _, out: seen.__setitem__(node.name, out), every_node=True):
            out = net(x)
        assert out.shape == (net.steps, 4, 10)
        if net is network:
            assert seen["input"].shape == (16, 3, 16, 16) and bool(((seen["input"] == 0) | (seen["input"] == 1)).all())
            assert seen["stem.conv"].shape[0] == 16
    assert torch.equal(seen["input"], x)


def test_rate_coding_is_repeated_from_its_key_and_goes_on_from_batch_to_batch():
    network, other_seed, x = make("rate"), make("rate", seed=1), pixels()

    def drawn(net, x):
        seen = []
        with torch.no_grad(), observe(net, lambda node, _, out: seen.append(out) if node.op == "input" else None):
            net(x)
        return seen[0].unflatten(0, (4, -1))

    fresh, second = drawn(network, x), drawn(network, x)
    assert not torch.equal(fresh, second)
    network.seed_encoding("train", 3, 7)
    keyed = drawn(network, x)
    network.seed_encoding("train", 3, 8)
    assert not torch.equal(drawn(network, x), keyed)
    network.seed_encoding("train", 3, 7)
    assert torch.equal(torch.cat((drawn(network, x[:1]), drawn(network, x[1:])), 1), keyed)
    network.seed_encoding()
    assert torch.equal(drawn(network, x), fresh)  # a new network stands where a call without a key puts it
    assert not torch.equal(drawn(other_seed, x), fresh)


@pytest.mark.parametrize("every_node", [True, False])
@pytest.mark.parametrize("encoding", CODED)
def test_the_counter_counts_the_input_spikes_as_a_loop_over_them_does(encoding, every_node):
    steps, n = 3, 2
    network, seen, x = make(encoding, steps=steps), {}, pixels(n)
    with torch.no_grad(), Counter(network) as counter:
        with observe(network, lambda node, _, out: seen.__setitem__(node.name, out), every_node=every_node):
            network(x[:1])
        counted_from = seen["input"]
        with observe(network, lambda node, _, out: seen.__setitem__(node.name, out), every_node=every_node):
            network(x[1:])
    spikes = torch.stack((counted_from, seen["input"]), 1)  # [T, N, C, H, W]
    expected = torch.zeros(steps, n, dtype=torch.int64)
    for t, i, _, y, column in spikes.nonzero().tolist():
        # 3x3 at stride 1, padding 1, 128 channels: 3 taps a side inside, 2 at a border
        expected[t, i] += 128 * (3 - (y in (0, 15))) * (3 - (column in (0, 15)))
    stem = counter.counts(n).layers[0]
    assert stem.ac == tuple(expected.sum(1).tolist()) and stem.mac == (0,) * steps
    assert stem.input_is_spikes and not stem.constant_input
    assert stem.input_nonzero == tuple(spikes.sum((1, 2, 3, 4)).long().tolist())
    assert torch.equal(torch.from_numpy(counter.per_sample()["ac"][:, 0]), expected.T)


@pytest.mark.parametrize("encoding", CODED)
def test_fused_and_plain_networks_agree_on_coded_input(encoding):
    fused = make(encoding).double().train()
    plain = Network(fused.plan, fused.config, fused=False).double().train()
    x = pixels().double()
    outputs = fused(x), plain(x)
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-12)
    for out in outputs:
        out.mean(0).logsumexp(1).sum().backward()
    for (name, a), b in zip(fused.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-8, atol=1e-11, msg=name)
