"""Bit-SynOps, the mode exact+bits and the memory traffic of weights of few bits, by hand."""

import math

import pytest

from core.bundle_checks import check_counts
from core.energy.bits import OF_BITS, bit_synops, bit_synops_by_rate, bit_synops_of, sum_bits, widths
from core.energy.memory import sram_shares, traffic
from core.energy.modes import MODES
from core.energy.price import layers, mac_pj, memory_pj, price
from core.energy.profiles import profiles
from core.errors import BundleCorrupt, UnknownLayer
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind

HOROWITZ, LOIHI = (profiles()[name] for name in ("horowitz-45nm", "loihi"))
#: 3x3, 16 -> 32 channels on 8 x 8 pixels, no bias: 4,608 weights of 2 bits, of which 922 are kept.
CONV = LayerCounts(
    name="conv", kind="conv", output_shape=(32, 8, 8), params=4608, dense_ops=4608 * 64, input_numel=1024, output_numel=2048,
    input_is_spikes=True, kept_params=922, weight_bits=2, ac=(3000, 5000), mac=(0, 0), input_nonzero=(60, 100),
)  # fmt: skip
#: A direct-coded first layer, 3x3, 3 -> 16 channels: 432 weights of 4 bits and 16 biases, the same at both steps.
STEM = LayerCounts(
    name="stem", kind="conv", output_shape=(16, 8, 8), params=448, dense_ops=432 * 64, bias_ops=1024, input_numel=192,
    output_numel=1024, constant_input=True, weight_bits=4, input_bits=8, ac=(0, 0), mac=(40_000, 40_000), input_nonzero=(384, 384),
)  # fmt: skip


def of(*found: LayerCounts, kind=Kind.SNN, n=2) -> Counts:
    return Counts(kind=kind, time_steps=2, n_samples=n, layers=found)


def integer(operation: str, bits: float) -> float:
    """The power law through Horowitz's 8 and 32 bits: add 0.03 and 0.1 pJ, multiply 0.2 and 3.1 pJ."""
    low, high = {"add": (0.03, 0.1), "mul": (0.2, 3.1)}[operation]
    return low * (bits / 8) ** (math.log(high / low) / math.log(4))


def test_bit_synops_are_operations_times_bits() -> None:
    counts = of(STEM, CONV)
    assert bit_synops(CONV, counts) == (3000 + 5000) / 2 * 2
    assert bit_synops(STEM, counts) == 40_000 / 2 * 4  # a constant input is charged once
    plain = CONV.model_copy(update={"weight_bits": None})
    assert bit_synops(plain, counts) == 4000 * 32
    bill = layers(counts, {}, MODES["exact"], HOROWITZ)
    assert bill.total_bit_synops == 8000 + 80_000
    assert [(one.kept_params, one.weight_bits, one.bit_synops) for one in bill.layers] == [
        (None, 4, 80_000),
        (922, 2, 8000),
    ]


def test_a_tally_gives_the_same_bit_synops_as_the_layers() -> None:
    plain = CONV.model_copy(update={"name": "plain", "weight_bits": None, "kept_params": None})
    real = CONV.model_copy(update={"name": "real", "input_is_spikes": False, "ac": (0, 0), "mac": (700, 300)})
    for counts in (of(STEM, CONV), of(STEM, CONV, plain, real), of(plain)):
        tally = MODES[OF_BITS].tally(counts)
        due = sum(bit_synops(layer, counts) for layer in counts.layers)
        assert bit_synops_of(tally.acs, tally.macs, tally.other) == pytest.approx(due)
    tally = MODES[OF_BITS].tally(of(STEM, CONV, real))
    # 8,000 spikes' operations of 2 bits, 40,000 pixels' of 4 and 1,000 real values' of 2, over 2 images; the stem once
    assert bit_synops_of(tally.acs, tally.macs, tally.other) == 8000 * 2 / 2 + 40_000 * 4 / 2 + 1000 * 2 / 2


def test_the_sources_formula_takes_kept_weights_and_the_mean_rate() -> None:
    counts = of(STEM, CONV)
    # 922 weights x 2 bits x 64 places x (160 / (2 steps x 2 images) / 1024) x 2 steps
    assert bit_synops_by_rate(CONV, counts) == pytest.approx(922 * 2 * 64 * (40 / 1024) * 2)
    assert bit_synops_by_rate(STEM, counts) == 0


def test_the_two_agree_where_every_spike_reaches_equally_many() -> None:
    """1x1 without a border: 5 spikes of 8 x 4 channels, each of whose weights lead to all 6 outputs; or to 3 of them."""
    point = LayerCounts(
        name="point", kind="conv", output_shape=(6, 2, 2), params=48, dense_ops=192, input_numel=32, output_numel=24,
        input_is_spikes=True, weight_bits=1, ac=(30,), mac=(0,), input_nonzero=(5,),
    )  # fmt: skip
    half = point.model_copy(update={"kept_params": 24, "ac": (15,)})
    for layer, wanted in ((point, 30), (half, 15)):
        counts = Counts(kind=Kind.SNN, time_steps=1, n_samples=1, layers=(layer,))
        assert bit_synops(layer, counts) == bit_synops_by_rate(layer, counts) == wanted
    # the same 24 weights, on channels where the spikes were not
    elsewhere = half.model_copy(update={"ac": (6,)})
    counts = Counts(kind=Kind.SNN, time_steps=1, n_samples=1, layers=(elsewhere,))
    assert bit_synops(elsewhere, counts) == 6 != bit_synops_by_rate(elsewhere, counts) == 15


def test_a_sum_is_as_wide_as_its_largest_value_needs() -> None:
    assert sum_bits(CONV) == 2 + 1 + 8  # 9 x 16 = 144 terms: 8 bits more
    assert sum_bits(STEM) == 4 + 1 + 5 + 8  # 27 terms of an 8-bit pixel
    largest = 144 * 3  # of 2 bits the outermost level is 3 halves of a step
    assert largest < 2 ** (sum_bits(CONV) - 1)
    assert widths("int-ac@2+11") == (2, 11) and widths("int-mac@8x4+18") == (8, 4, 18) and widths("mac@4") == (4,)
    assert widths("sram-8k") is widths("mac-int32") is None


def test_quantised_operations_cost_what_integers_cost() -> None:
    tally = MODES["exact+bits"].tally(of(STEM, CONV))
    assert (tally.acs, tally.macs) == (4000, 20_000)
    assert tally.other == {"int-mac@8x4+18": 20_000, "int-ac@2+11": 4000}
    acs, macs = 4000 * integer("add", 11), 20_000 * (integer("mul", math.sqrt(32)) + integer("add", 18))
    assert price(tally, HOROWITZ) == pytest.approx(acs + macs)
    assert mac_pj(tally, HOROWITZ) == pytest.approx(macs)
    assert memory_pj(tally, HOROWITZ) == 0
    # the chip adds in its own way at 23.6 pJ; its host multiplies integers
    assert price(tally, LOIHI) == pytest.approx(4000 * 23.6 + macs)


def test_without_few_bits_it_is_the_mode_exact() -> None:
    pruned = CONV.model_copy(update={"weight_bits": None})
    one, other = (MODES[mode].tally(of(pruned)) for mode in ("exact", "exact+bits"))
    assert one == other and price(one, HOROWITZ) == 4000 * 0.9


def test_real_values_that_nothing_rounded_stay_floats() -> None:
    relu_fed = STEM.model_copy(update={"constant_input": False, "input_bits": None})
    tally = MODES["exact+bits"].tally(of(relu_fed))
    assert tally.other == {"mac@4": 40_000} and price(tally, HOROWITZ) == pytest.approx(40_000 * 4.6)


def test_memory_reads_few_bits_and_the_places_of_the_kept() -> None:
    found = traffic(CONV, of(CONV))
    # 922 weights of 2 bits and a bitmap of 4,608 bits: 201.6 words; 4,000 reads of 2 bits; 80 spikes x 288 taps of a bit
    words, reads = (922 * 2 + 4608) / 32, 4000 * 2 / 32 + 80 * 288 / 32
    wanted: dict[str, float] = {}
    for size, accesses in ((1000, 80), (words, reads), (2048, 2 * 4000)):
        for name, share in sram_shares(size * 4).items():
            wanted[name + "@event"] = wanted.get(name + "@event", 0.0) + accesses * share
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert found["add-int32@event"] == 4000


def test_of_a_real_fed_layer_too_and_addresses_are_of_kept_weights() -> None:
    pruned = STEM.model_copy(update={"kept_params": 87})
    whole, found = (traffic(layer, of(layer)) for layer in (STEM, pruned))
    assert whole["add-int32"] - found["add-int32"] == 432 - 87
    # input 192 words, outputs 1,024; 87 x 4 + 432 bits and 16 biases; 192 non-zero inputs x 144 taps once, 20,000 MACs
    words = (87 * 4 + 432) / 32 + 16
    wanted: dict[str, float] = {}
    accesses = ((192, 20_000), (words, 20_000 * 4 / 32 + 1024 + 192 * 144 / 32), (1024, 1024 * 3))
    for size, n in accesses:
        for name, share in sram_shares(size * 4).items():
            wanted[name] = wanted.get(name, 0.0) + n * share
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    with pytest.raises(UnknownLayer, match="not counted"):
        traffic(pruned.model_copy(update={"input_nonzero": ()}), of(pruned))


@pytest.mark.parametrize("kept", [0, 4609])
def test_a_bundle_cannot_keep_more_or_fewer_weights_than_there_are(kept: int) -> None:
    check_counts(of(CONV))
    with pytest.raises(BundleCorrupt, match=r"kept_params of conv.*from 1 to its weights, 4608"):
        check_counts(of(CONV.model_copy(update={"kept_params": kept})))


def test_a_layer_without_sizes_is_priced_as_before() -> None:
    """Counts that come from elsewhere may lack them; what needs none has a figure all the same."""
    bare = LayerCounts(
        name="conv", kind="conv", output_shape=(), bias_ops=3, input_is_spikes=True, ac=(4, 4), mac=(0, 0)
    )
    bill = layers(of(bare), {}, MODES["exact"], HOROWITZ)
    assert bill.total_energy_pj == pytest.approx(4 * 0.9)
    assert (bill.size.weights, bill.total_bit_synops, bill.total_bit_synops_by_rate) == (0, 4 * 32, 0)
