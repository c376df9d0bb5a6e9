"""Accounting modes: the printed tables, small nets counted by hand, and what must always hold."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.backbones.catalog import plan_for
from core.backbones.plan import PlanBuilder
from core.backbones.squeezenet import BLOCKS
from core.energy.modes import MODES, static_layer_macs, static_macs
from core.energy.rules import FREE, KNOWN, in_bounds_ops, repriced
from core.errors import UnknownLayer, UnknownName
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind

CIFAR10, CIFAR100, TINY = ((3, 32, 32), 10), ((3, 32, 32), 100), ((3, 64, 64), 200)
P = ("F4", "F6", "F8", "F9")
T = 4


def plan(mask=BLOCKS, geometry=CIFAR10, definition="small"):
    return plan_for(
        backbone="squeezenet", mask=mask, input_shape=geometry[0], n_classes=geometry[1], definition=definition
    )


@pytest.mark.parametrize(
    ("mask", "geometry", "macs"),
    [
        (BLOCKS, CIFAR10, 4_466_848),
        (BLOCKS, CIFAR100, 4_468_288),
        (BLOCKS, TINY, 17_879_552),
        (P, CIFAR10, 4_227_232),
        (P, CIFAR100, 4_228_672),
        (P, TINY, 16_921_088),
    ],
)
def test_paper_macs_are_those_of_the_printed_table(mask, geometry, macs):
    """The printed 4.47M, 17.88M, 4.23M and 16.92M; SqueezeNet-P's MACs are those of its mask, without F5."""
    assert static_macs(plan(mask, geometry), Kind.SNN, MODES["paper"], T) == macs


def test_the_macs_of_a_mask_with_f5_are_not_the_printed_ones():
    """The paper's parameters of P need F5, its MACs exclude it."""
    assert plan(("F4", "F5", "F6", "F8", "F9")).params == 599_130
    assert static_macs(plan(("F4", "F5", "F6", "F8", "F9")), Kind.SNN, MODES["paper"], T) != 4_227_232


def test_the_cnn_twins_macs_and_energy_are_the_printed_ones():
    macs = static_macs(plan(), Kind.CNN, MODES["paper"], 1)
    assert macs == 54_754_624
    assert round(macs * 4.6 / 1e9, 3) == 0.252  # mJ, table 2


def test_the_paper_macs_of_the_small_net_are_stem_plus_normalisation_plus_mean():
    stem = 3 * 9 * 128 * 32 * 32 + 128 * 32 * 32  # weights and bias
    normalised = 128 * 32 * 32
    for _, squeeze, expand, side in (("F4", 32, 128, 16), ("F6", 48, 192, 8), ("F8", 64, 256, 8), ("F9", 64, 256, 4)):
        normalised += (squeeze + 2 * expand) * side * side
    assert static_macs(plan(P), Kind.SNN, MODES["paper"], T) == stem + 2 * normalised + 10 * 4 * 4


def test_paper_counts_one_step_so_time_does_not_matter():
    assert static_macs(plan(), Kind.SNN, MODES["paper"], 1) == static_macs(plan(), Kind.SNN, MODES["paper"], 64)


def test_exact_charges_the_constant_stem_once_and_skips_the_padding():
    # each of 3 taps a side misses the border once: 3 * 32 - 2 of them are inside
    inside = (3 * 32 - 2) ** 2
    assert static_macs(plan(), Kind.SNN, MODES["exact"], T) == inside * 3 * 128
    assert static_macs(plan(), Kind.SNN, MODES["exact"], 64) == inside * 3 * 128


def test_syops_charges_the_printed_macs_at_every_step_and_a_cnn_once():
    assert static_macs(plan(), Kind.SNN, MODES["syops"], T) == 4 * 4_466_848
    assert static_macs(plan(), Kind.SNN, MODES["syops"], 1) == 4_466_848
    assert static_macs(plan(), Kind.CNN, MODES["syops"], T) == 54_754_624  # a CNN makes one pass, whatever T is


def test_an_if_network_has_no_leak_and_so_no_mac_beside_the_stem():
    """LIF: 1 MAC a neuron and step; IF: an add and a comparison. PLIF leaks as LIF does."""
    stem = (3 * 32 - 2) ** 2 * 3 * 128
    macs = {name: static_macs(plan(), Kind.SNN, MODES["exact+neuron"], T, name) for name in ("lif", "plif", "if")}
    assert macs == {"lif": stem + T * plan().neurons, "plif": stem + T * plan().neurons, "if": stem}


@pytest.mark.parametrize(
    ("kind", "each"),
    [("if_neuron", (2, 0)), ("neuron", (1, 1)), ("relu", (1, 0)), ("add", (1, 0)), ("scale", (0, 1)),
     ("sigmoid", (0, 1)), ("split", (0, 0)), ("shuffle", (0, 0)), ("concat", (0, 0)), ("bn", (0, 0))],
)  # fmt: skip
def test_exact_with_neurons_charges_each_element_and_step(kind, each):
    layer = LayerCounts(name="x", kind=kind, output_shape=(6, 1, 1), input_numel=6, output_numel=6)
    counts = Counts(kind=Kind.SNN, time_steps=3, n_samples=2, layers=(layer,))
    tally = MODES["exact+neuron"].tally(counts)
    assert (tally.acs, tally.macs) == (6 * 3 * each[0], 6 * 3 * each[1])
    exact = MODES["exact"].tally(counts)
    assert (exact.acs, exact.macs) == (0, 0)


def test_what_depends_on_a_constant_input_alone_is_done_once_and_a_neuron_behind_it_at_every_step():
    gate, neuron = (
        LayerCounts(name=kind, kind=kind, output_shape=(6, 1, 1), output_numel=6, constant_input=True)
        for kind in ("scale", "neuron")
    )
    tallies = MODES["exact+neuron"].tally(Counts(kind=Kind.SNN, time_steps=3, n_samples=1, layers=(gate, neuron)))
    assert [layer.macs for layer in tallies.layers] == [6, 3 * 6]


def test_exact_with_neurons_adds_a_mac_per_neuron_and_step_to_the_stem():
    stem = (3 * 32 - 2) ** 2 * 3 * 128
    neurons = 128 * 32 * 32  # of the stem; then squeeze and both expands of each Fire block
    for squeeze, expand, side in ((16, 64, 16), (16, 64, 16), (32, 128, 16), (32, 128, 8), (48, 192, 8), (48, 192, 8),
                                  (64, 256, 8), (64, 256, 4)):  # fmt: skip
        neurons += (squeeze + 2 * expand) * side * side
    assert plan().neurons == neurons  # the small classifier has none
    assert static_macs(plan(), Kind.SNN, MODES["exact+neuron"], T) == stem + 4 * neurons
    layers = static_layer_macs(plan(), Kind.SNN, MODES["exact+neuron"], T)
    assert layers["stem.act"] == 4 * 128 * 32 * 32  # its input is constant, its membrane is not
    assert layers["stem.conv"] == stem and layers["F2.squeeze.bn"] == 0


def test_a_relu_multiplies_nothing_so_the_cnns_static_macs_are_those_of_exact():
    assert static_macs(plan(), Kind.CNN, MODES["exact+neuron"], 1) == static_macs(plan(), Kind.CNN, MODES["exact"], 1)


def test_exact_charges_every_layer_of_a_cnn():
    layers = static_layer_macs(plan(), Kind.CNN, MODES["exact"], 1)
    assert layers["F2.squeeze.conv"] == 128 * 16 * 16 * 16  # 1x1: nothing is padded
    assert layers["F2.expand3.conv"] == (3 * 16 - 2) ** 2 * 16 * 64
    assert layers["F2.squeeze.bn"] == 0


def test_a_real_input_that_changes_is_charged_at_every_step():
    builder = PlanBuilder((2, 4, 4))
    spikes = builder.act("a", builder.conv("c1", "input", 2, kernel=1))
    builder.conv("c2", builder.global_avgpool("mean", spikes), 3, kernel=1)
    net = builder.finish(backbone="x", definition="small", blocks=(), mask=())
    assert static_macs(net, Kind.SNN, MODES["exact"], 5) == 2 * 2 * 16 + 5 * (2 * 3)


@given(
    size=st.integers(3, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 3),
    groups=st.sampled_from([1, 2]),
)
def test_in_bounds_ops_equal_a_walk_over_every_tap(size, kernel, stride, padding, dilation, groups):
    assume(dilation * (kernel - 1) < size + 2 * padding)
    builder = PlanBuilder((2, size, size))
    builder.conv("c", "input", 4, kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)
    node = builder.finish(backbone="x", definition="small", blocks=(), mask=()).node("c")
    walked = 0
    for y in range(node.shape[1]):
        for x in range(node.shape[2]):
            for dy in range(kernel):
                for dx in range(kernel):
                    row, column = y * stride - padding + dy * dilation, x * stride - padding + dx * dilation
                    walked += (0 <= row < size and 0 <= column < size) * (2 // groups) * 4
    assert in_bounds_ops(node) == walked <= node.dense_ops


# Counted networks. A spiking net of one 3x3 convolution on a constant real image and one on spikes.

SIDE, CHANNELS, OUT = 4, 2, 3


def random_counts(seed: int, *, n: int = 3, steps: int = 2, kind: Kind = Kind.SNN, rate: float = 0.3) -> Counts:
    """A small network's counts from random activity, with the effective operations walked one by one."""
    random = np.random.default_rng(seed)
    image = random.normal(size=(n, CHANNELS, SIDE, SIDE)) * (random.random((n, CHANNELS, SIDE, SIDE)) < 0.9)
    hidden = (random.random((n, steps, CHANNELS, SIDE, SIDE)) < rate).astype(int)
    spiking = kind is Kind.SNN
    dense = CHANNELS * 9 * OUT * SIDE * SIDE

    def walked(x):  # [C, H, W] -> operations of a 3x3 convolution with padding 1
        total = 0
        for _, row, column in zip(*np.nonzero(x), strict=True):
            taps = sum(0 <= row + dy < SIDE and 0 <= column + dx < SIDE for dy in (-1, 0, 1) for dx in (-1, 0, 1))
            total += taps * OUT
        return total

    stem = sum(walked(x) for x in image)
    ops = tuple(sum(walked(hidden[i, t]) for i in range(n)) for t in range(steps))
    nonzero = tuple(int(hidden[:, t].sum()) for t in range(steps))
    zeros = (0,) * steps
    numel, out = CHANNELS * SIDE * SIDE, OUT * SIDE * SIDE
    return Counts(
        kind=kind,
        time_steps=steps,
        n_samples=n,
        layers=(
            LayerCounts(
                name="stem", kind="conv", output_shape=(OUT, SIDE, SIDE), dense_ops=dense, bias_ops=out,
                input_numel=numel, output_numel=out, constant_input=spiking, ac=zeros, mac=(stem,) * steps,
                input_nonzero=(int((image != 0).sum()),) * steps,
            ),
            LayerCounts(name="bn", kind="bn", output_shape=(OUT, SIDE, SIDE), input_numel=out, output_numel=out),
            LayerCounts(
                name="act", kind="neuron" if spiking else "relu", output_shape=(CHANNELS, SIDE, SIDE),
                input_numel=numel, output_numel=numel, spikes=nonzero if spiking else (),
            ),
            LayerCounts(
                name="conv", kind="conv", output_shape=(OUT, SIDE, SIDE), dense_ops=dense, bias_ops=out,
                input_numel=numel, output_numel=out, input_is_spikes=spiking,
                ac=ops if spiking else zeros, mac=zeros if spiking else ops, input_nonzero=nonzero,
            ),
            LayerCounts(
                name="pool", kind="maxpool", output_shape=(CHANNELS, 2, 2), input_numel=numel, output_numel=8,
                input_is_spikes=spiking, input_nonzero=nonzero,
            ),
            LayerCounts(name="mean", kind="avgpool", output_shape=(OUT, 1, 1), input_numel=out, output_numel=OUT),
        ),
    )  # fmt: skip


def merged(first: Counts, second: Counts) -> Counts:
    """The counts of both batches together."""

    def add(a, b):
        return tuple(x + y for x, y in zip(a, b, strict=True))

    layers = tuple(
        a.model_copy(
            update={key: add(getattr(a, key), getattr(b, key)) for key in ("ac", "mac", "input_nonzero", "spikes")}
        )
        for a, b in zip(first.layers, second.layers, strict=True)
    )
    return first.model_copy(update={"layers": layers, "n_samples": first.n_samples + second.n_samples})


def repeated(counts: Counts) -> Counts:
    """The same activity run through twice: 2 T steps."""
    layers = tuple(
        layer.model_copy(update={key: getattr(layer, key) * 2 for key in ("ac", "mac", "input_nonzero", "spikes")})
        for layer in counts.layers
    )
    return counts.model_copy(update={"layers": layers, "time_steps": 2 * counts.time_steps})


def test_paper_by_hand_on_a_small_spiking_net():
    counts = random_counts(0, n=3, steps=2)
    tally = MODES["paper"].tally(counts)
    by_name = {layer.name: (layer.acs, layer.macs) for layer in tally.layers}
    dense, out, numel = 2 * 9 * 3 * 16, 3 * 16, 2 * 16
    nonzero = sum(counts.layers[3].input_nonzero)
    assert by_name["stem"] == (0, dense + out)
    assert by_name["bn"] == (0, 2 * out)
    assert by_name["act"] == (numel, 0)
    assert by_name["conv"] == (pytest.approx((dense + out) * nonzero / (3 * 2 * numel)), 0)
    assert by_name["pool"] == (pytest.approx(nonzero / (3 * 2)), 0)
    assert by_name["mean"] == (0, out)
    assert tally.macs == dense + out + 2 * out + out


def test_paper_by_hand_on_a_small_cnn():
    tally = MODES["paper"].tally(random_counts(0, steps=1, kind=Kind.CNN))
    dense, out = 2 * 9 * 3 * 16, 3 * 16
    assert tally.acs == 0
    assert tally.macs == (dense + out) + 2 * out + 0 + (dense + out) + 0 + out


def test_syops_by_hand_is_the_sum_over_steps():
    """Step by step with that step's own rate, as a hook that fires at each step would add it."""
    counts = random_counts(0, n=3, steps=2)
    tally = MODES["syops"].tally(counts)
    by_name = {layer.name: (layer.acs, layer.macs) for layer in tally.layers}
    dense, out, numel = 2 * 9 * 3 * 16, 3 * 16, 2 * 16
    first, second = counts.layers[3].input_nonzero
    assert by_name["conv"][0] == pytest.approx((dense + out) * (first / (3 * numel) + second / (3 * numel)))
    assert by_name["stem"] == (0, 2 * (dense + out))  # constant, and charged at both steps
    assert by_name["bn"] == (0, 2 * 2 * out)
    assert by_name["act"] == (2 * numel, 0)
    assert by_name["pool"][0] == pytest.approx((first + second) / 3)
    assert by_name["mean"] == (0, 2 * out)


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 5), st.sampled_from(Kind))
def test_syops_is_t_times_paper(seed, n, steps, kind):
    counts = random_counts(seed, n=n, steps=steps if kind is Kind.SNN else 1, kind=kind)
    syops, paper = (MODES[mode].tally(counts) for mode in ("syops", "paper"))
    assert syops.acs == pytest.approx(counts.time_steps * paper.acs)
    assert syops.macs == counts.time_steps * paper.macs


def test_exact_by_hand_on_a_small_spiking_net():
    """One image pixel in a corner reaches 4 positions of 3 channels; one spike in the middle reaches 9."""
    counts = Counts(
        kind=Kind.SNN, time_steps=2, n_samples=1,
        layers=(
            LayerCounts(name="stem", kind="conv", output_shape=(3, 4, 4), constant_input=True, ac=(0, 0),
                        mac=(4 * 3, 4 * 3), dense_ops=999, bias_ops=48, input_numel=32, output_numel=48),
            LayerCounts(name="act", kind="neuron", output_shape=(2, 4, 4), output_numel=32, spikes=(1, 2)),
            LayerCounts(name="conv", kind="conv", output_shape=(3, 4, 4), input_is_spikes=True,
                        ac=(9 * 3, 2 * 9 * 3), mac=(0, 0), dense_ops=999, input_numel=32, output_numel=48),
        ),
    )  # fmt: skip
    tally = MODES["exact"].tally(counts)
    assert (tally.acs, tally.macs) == (9 * 3 + 2 * 9 * 3, 4 * 3)


def test_exact_with_neurons_by_hand_on_a_small_spiking_net():
    counts = random_counts(0, n=3, steps=2)
    tally, exact = (MODES[mode].tally(counts) for mode in ("exact+neuron", "exact"))
    added = {
        with_.name: (with_.acs - without.acs, with_.macs - without.macs)
        for with_, without in zip(tally.layers, exact.layers, strict=True)
    }
    assert added == {
        "stem": (3 * 16, 0),  # the bias is part of the result that is kept
        "bn": (0, 0),
        "act": (2 * 32, 2 * 32),  # 2 x 4 x 4 neurons, 2 steps: a comparison and a MAC each
        "conv": (pytest.approx(2 * 3 * 16), 0),
        "pool": (0, 0),
        "mean": (0, 0),
    }


def test_a_layer_that_gives_one_output_for_all_steps_adds_its_bias_once():
    counts = random_counts(0, n=3, steps=2)
    waiting = counts.layers[3].model_copy(update={"one_output": True})
    once, each = (
        MODES["exact+neuron"].tally(counts.model_copy(update={"layers": (layer,)}))
        for layer in (waiting, counts.layers[3])
    )
    assert each.acs - once.acs == pytest.approx(3 * 16)  # the second step's


def test_only_what_a_chip_does_otherwise_is_priced_anew():
    counts = random_counts(0, n=1, steps=2)
    assert {layer.name: repriced(layer, counts) for layer in counts.layers} == {
        "stem": {"host-add": 3 * 16},  # a bias once, by the host that does the stem's MACs
        "bn": {},
        "act": {"lif-update": 2 * 32},
        "conv": {},  # fed by spikes: all of it is synaptic operations
        "pool": {},
        "mean": {},
    }


def test_exact_with_neurons_by_hand_on_a_small_cnn():
    """A bias add per output of both convolutions and a comparison per ReLU; no MAC comes in."""
    counts = random_counts(0, steps=1, kind=Kind.CNN)
    tally, exact = (MODES[mode].tally(counts) for mode in ("exact+neuron", "exact"))
    assert exact.acs == 0 and tally.acs == 3 * 16 + 3 * 16 + 2 * 16
    assert tally.macs == exact.macs


def test_a_silent_net_still_pays_for_its_biases_and_neurons():
    counts = random_counts(5, n=2, steps=3, rate=0.0)
    tally = MODES["exact+neuron"].tally(counts)
    assert tally.acs == 3 * 16 + 3 * (3 * 16) + 3 * 32
    assert tally.macs == counts.layers[0].mac[0] / 2 + 3 * 32


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 3), st.sampled_from(Kind))
def test_exact_with_neurons_is_never_below_exact(seed, n, steps, kind):
    counts = random_counts(seed, n=n, steps=steps if kind is Kind.SNN else 1, kind=kind)
    tally, exact = (MODES[mode].tally(counts) for mode in ("exact+neuron", "exact"))
    for with_, without in zip(tally.layers, exact.layers, strict=True):
        assert with_.acs >= without.acs and with_.macs >= without.macs


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 3))
def test_effective_operations_never_exceed_dense_ones(seed, n, steps):
    counts = random_counts(seed, n=n, steps=steps)
    tally = MODES["exact"].tally(counts)
    for layer, ops in zip(counts.layers, tally.layers, strict=True):
        assert ops.acs + ops.macs <= layer.dense_ops * steps


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 3), st.sampled_from(list(MODES)))
def test_tallies_of_batches_add_up_to_the_tally_of_all(seed, n, m, mode):
    first, second = random_counts(seed, n=n), random_counts(seed + 1, n=m)
    together = MODES[mode].tally(merged(first, second))
    apart = [MODES[mode].tally(counts) for counts in (first, second)]
    for key in ("acs", "macs"):
        weighted = (n * getattr(apart[0], key) + m * getattr(apart[1], key)) / (n + m)
        assert getattr(together, key) == pytest.approx(weighted)


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_doubling_time_steps_doubles_exact_acs_and_leaves_the_constant_stem_and_paper_alone(seed, steps):
    once = random_counts(seed, steps=steps)
    twice = repeated(once)
    assert MODES["exact"].tally(twice).acs == 2 * MODES["exact"].tally(once).acs
    assert MODES["exact"].tally(twice).macs == MODES["exact"].tally(once).macs
    assert MODES["paper"].tally(twice).acs == pytest.approx(MODES["paper"].tally(once).acs)
    assert MODES["paper"].tally(twice).macs == MODES["paper"].tally(once).macs


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_doubling_time_steps_doubles_syops_and_what_a_step_adds_to_exact(seed, steps):
    once = random_counts(seed, steps=steps)
    twice = repeated(once)
    before, after = (MODES["syops"].tally(counts) for counts in (once, twice))
    assert (after.acs, after.macs) == (pytest.approx(2 * before.acs), 2 * before.macs)
    before, after = (MODES["exact+neuron"].tally(counts) for counts in (once, twice))
    stem_bias, stem_macs = 3 * 16, MODES["exact"].tally(once).macs  # what is computed once
    assert after.acs - stem_bias == pytest.approx(2 * (before.acs - stem_bias))
    assert after.macs - stem_macs == pytest.approx(2 * (before.macs - stem_macs))


@given(st.integers(0, 10_000))
def test_a_silent_net_costs_no_accumulate_in_exact(seed):
    assert MODES["exact"].tally(random_counts(seed, rate=0.0)).acs == 0


def test_a_layer_without_a_rule_raises_in_every_mode():
    strange = LayerCounts(name="attention", kind="attention", output_shape=(1,))
    counts = Counts(kind=Kind.SNN, time_steps=1, n_samples=1, layers=(strange,))
    for mode in MODES.values():
        with pytest.raises(UnknownLayer, match="attention"):
            mode.tally(counts)


def test_spikes_that_nobody_counted_are_not_taken_for_silence():
    layer = LayerCounts(name="c", kind="conv", output_shape=(1, 1, 1), input_is_spikes=True, dense_ops=5, input_numel=5)
    counts = Counts(kind=Kind.SNN, time_steps=1, n_samples=1, layers=(layer,))
    with pytest.raises(UnknownLayer, match="not counted"):
        MODES["paper"].tally(counts)


def test_layers_that_cost_nothing_are_listed_by_name():
    assert FREE == {"concat", "dropout", "flatten", "input", "shuffle", "split"} and FREE < KNOWN


def test_modes_say_what_they_are_and_an_unknown_one_suggests_a_near_one():
    assert list(MODES) == ["paper", "syops", "exact", "exact+bits", "exact+neuron", "memory"]
    for name, mode in MODES.items():
        assert mode.name == name and mode.title and mode.description
    with pytest.raises(UnknownName, match="Did you mean exact"):
        static_macs(plan(), Kind.SNN, MODES["exakt"], 4)
