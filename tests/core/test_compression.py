"""Compressed networks by arithmetic: how many weights are kept, their levels, their sizes; and the config's choices."""

import math

import pytest

from core.backbones.catalog import plan_for
from core.backbones.plan import PlanBuilder
from core.compression import STEPS, bits_of, kept, levels, plan_layers, plan_size
from core.errors import BadValue
from core.recipes.build import build_config, command, plan_of
from core.schemas.compression import CompressionConfig, Size
from core.schemas.request import RunRequest
from core.schemas.run import Kind, RunConfig


def config(**overrides) -> RunConfig:
    return build_config(RunRequest(mask="P", overrides=overrides))


@pytest.mark.parametrize("n, left", [(5, 1), (27, 6), (3_888, 778), (124_416, 24_884)])
def test_a_fifth_of_the_weights_is_rounded_up(n: int, left: int) -> None:
    # n - floor(0.8 n): 5 - 4, 27 - 21, 3888 - 3110, 124416 - 99532
    assert kept(n, 0.2) == left


def test_the_share_is_taken_in_its_decimals_and_at_least_one_weight_stays() -> None:
    assert kept(10, 0.9) == 9  # in floats 1 - 0.9 is below 0.1, so that all 10 would be kept
    assert kept(10, 1e-30) == 1
    assert [kept(n, 1.0) for n in (1, 7, 1000)] == [1, 7, 1000]


def test_levels_are_odd_multiples_of_half_a_step_and_never_zero() -> None:
    assert levels(1) == (-0.798, 0.798)
    assert levels(2) == pytest.approx((-1.494, -0.498, 0.498, 1.494))
    assert len(levels(4)) == 16 and max(levels(4)) == pytest.approx(7.5 * 0.336)
    assert levels(1, std=2.0) == (-1.596, 1.596)
    assert all(len(levels(bits)) == 2**bits and 0 not in levels(bits) for bits in STEPS)


def error(bits: int, step: float) -> float:
    """E (Q(x) - x)^2 for a normal x: 1 - 2 E x Q + E Q^2, from the normal's density and distribution."""

    def above(x: float) -> float:
        return 0.0 if x == math.inf else 0.5 * math.erfc(x / math.sqrt(2))

    def density(x: float) -> float:
        return 0.0 if x == math.inf else math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    total, last = 1.0, 2**bits // 2 - 1
    for place in range(last + 1):
        low, high = place * step, math.inf if place == last else (place + 1) * step
        level = (place + 0.5) * step
        total += 2 * (level**2 * (above(low) - above(high)) - 2 * level * (density(low) - density(high)))
    return total


def test_the_steps_are_those_of_least_error_for_a_normal_weight() -> None:
    printed = {1: 0.3634, 2: 0.1188, 3: 0.0374, 4: 0.0115}  # Max, 1960
    for bits, wanted in printed.items():
        assert error(bits, STEPS[bits]) == pytest.approx(wanted, abs=1e-4)
    for bits, step in STEPS.items():
        assert all(error(bits, step) < error(bits, step * factor) for factor in (0.97, 1.03))


def two_layers():
    """A first convolution of 2 x 1 x 9 weights, a last one of 4 x 2 x 1; a bias each."""
    b = PlanBuilder((1, 4, 4))
    x = b.act("act", b.conv("first", "input", 2, kernel=3, padding=1))
    b.global_avgpool("mean", b.conv("last", x, 4, kernel=1))
    return b.finish(backbone="t", definition="small", blocks=(), mask=())


def test_three_sizes_of_a_network_on_the_fingers() -> None:
    # keep 0.25: 18 - floor(13.5) = 5 and 8 - 6 = 2 weights, at 4 bits; 6 biases of 4 bytes
    size = plan_size(two_layers(), CompressionConfig(keep=0.25, bits=4))
    entropy = 18 * (-5 / 18 * math.log2(5 / 18) - 13 / 18 * math.log2(13 / 18)) + 8 * 0.8112781244591328
    assert size == Size(
        weights=26,
        kept=7,
        kept_bytes=4,  # 28 bits
        bitmap_bytes=7,  # 28 + 26 bits
        entropy_bytes=math.ceil((28 + entropy) / 8),
        rest_bytes=24,
    )
    assert plan_size(two_layers(), CompressionConfig()).kept_bytes == 26 * 4
    whole = plan_size(two_layers(), CompressionConfig(ends_bits=8))  # nothing is pruned, so no places are kept
    assert whole.kept_bytes == whole.bitmap_bytes == whole.entropy_bytes == 26


def test_at_a_fifth_and_one_bit_the_places_cost_five_times_the_weights() -> None:
    plan = plan_for(backbone="squeezenet", mask=("F4", "F6", "F8", "F9"), input_shape=(3, 32, 32), n_classes=10)
    size = plan_size(plan, CompressionConfig(keep=0.2, bits=1, ends_bits=1))
    assert size.bitmap_bytes / size.kept_bytes == pytest.approx(6.0, rel=1e-3)  # (0.2 + 1) / 0.2
    assert size.entropy_bytes / size.kept_bytes == pytest.approx(4.61, rel=1e-3)  # (0.2 + 0.7219) / 0.2


def test_bits_are_of_blocks_and_the_ends_have_their_own() -> None:
    chosen = config(keep=0.2, bits=2, block_bits="F6:1,F8:0")
    bits = bits_of(plan_of(chosen), chosen.compression)
    assert bits["stem.conv"] == bits["classifier.conv"] == 4  # the source's, where others are quantised
    assert {bits[f"F6.{unit}.conv"] for unit in ("squeeze", "expand1", "expand3")} == {1}
    assert (bits["F4.squeeze.conv"], bits["F8.squeeze.conv"]) == (2, 0)
    by_name = {layer.name: layer for layer in plan_layers(plan_of(chosen), chosen.compression)}
    assert by_name["F8.squeeze.conv"].bits == 32
    none = config(keep=0.5)
    assert set(bits_of(plan_of(none), none.compression).values()) == {0}


def test_what_changes_nothing_is_written_in_one_way() -> None:
    plain = config()
    for same in (
        {"keep": 1.0},
        {"scores": "magnitude"},
        {"block_bits": "F2:3"},
        {"block_bits": "F4:0"},
        {"ends_bits": 0},
    ):
        assert config(**same).config_hash == plain.config_hash, same
    two = config(bits=2)
    for same in ({"block_bits": "F4:2,F2:1"}, {"ends_bits": 4}, {"block_bits": " f4 : 2 "}):
        assert config(bits=2, **same).config_hash == two.config_hash, same
    assert config(block_bits="F8:1,F4:2").compression.block_bits == "F4:2,F8:1"
    assert (
        len({one.config_hash for one in (plain, two, config(bits=2, ends_bits=0), config(bits=1), config(keep=0.2))})
        == 5
    )


def test_without_compression_the_hash_is_that_of_before_there_was_any() -> None:
    # of `spikefront train --mask P --recipe smoke --dataset digits`, as it was
    assert config().config_hash == "c8f2e5cabe56b0953e805e0552c6ff8cd4aaf6da68721cb46a08cc6d75fd9e17"
    assert "compression" not in config().identity()


def test_the_twin_is_compressed_alike() -> None:
    spiking = config(keep=0.2, bits=2)
    twin = spiking.twin()
    assert twin.kind is Kind.CNN and twin.compression == spiking.compression
    assert twin.twin_hash == spiking.twin_hash != config().twin_hash
    assert twin.config_hash != config().twin().config_hash


def test_the_command_repeats_a_compressed_run() -> None:
    words = command(config(keep=0.2, bits=2, block_bits="F4:1,F6:3"))
    assert "--set compression.keep=0.2 --set compression.bits=2 --set compression.block_bits=F4:1,F6:3" in words


@pytest.mark.parametrize(
    "field, value, said",
    [
        ("compression.keep", 0, "above 0"),
        ("compression.keep", 1.5, "at most 1"),
        ("compression.keep", "nan", "at most 1"),
        ("compression.bits", 9, "at most 8"),
        ("compression.bits", -1, "at least 0"),
        ("compression.bits", 2.5, "a whole number"),
        ("compression.ends_bits", 9, "at most 8"),
        ("compression.scores", "random", "'learned' or 'magnitude'"),
        ("compression.block_bits", "X1:2", "F2, F3, F4, F5, F6, F7, F8, F9, not X1"),
        ("compression.block_bits", "F4:9", "bits from 0 to 8, such as F4:2,F6:1"),
        ("compression.block_bits", "F4", "such as F4:2,F6:1"),
        ("compression.block_bits", "F4:1,F4:2", "names F4 once"),
    ],
)
def test_a_bad_choice_is_refused_with_its_field(field: str, value, said: str) -> None:
    with pytest.raises(BadValue, match=said) as caught:
        config(**{field: value})
    assert caught.value.fields["field"] == field


def test_balanced_thresholds_and_few_bits_do_not_go_together() -> None:
    with pytest.raises(BadValue, match="weights are compressed") as caught:
        config(start="converted", keep=0.5)
    assert caught.value.fields["field"] == "start"
