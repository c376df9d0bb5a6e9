"""The CNN at few bits, and the firing rate at which both networks cost the same."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.energy.break_even import break_even, silenced
from core.energy.modes import MODES
from core.energy.price import firing_rate, price
from core.energy.profiles import profiles
from core.energy.quantised import equivalent_bits, integer_pj, integer_status, quantised_twin
from core.errors import BadValue
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind

HOROWITZ, INT8 = profiles()["horowitz-45nm"], profiles()["horowitz-45nm-int8"]


def snn(scale=1, stem=1000, n=2):
    """A stem of `stem` MACs, 50 neurons, T = 4, 20 spikes an image and step that cause 10 operations each, times scale."""
    spikes, shape = (20 * n * scale,) * 4, {"output_shape": (50, 1, 1), "output_numel": 50}
    return Counts(
        kind=Kind.SNN, time_steps=4, n_samples=n,
        layers=(
            LayerCounts(name="stem", kind="conv", **shape, params=60, dense_ops=stem, bias_ops=50, input_numel=20,
                        constant_input=True, ac=(0,) * 4, mac=(stem * n,) * 4, input_nonzero=(20 * n,) * 4),
            LayerCounts(name="act", kind="neuron", **shape, input_numel=50, spikes=spikes),
            LayerCounts(name="conv", kind="conv", **shape, params=510, dense_ops=500, bias_ops=10, input_numel=50,
                        input_is_spikes=True, ac=tuple(10 * s for s in spikes), mac=(0,) * 4, input_nonzero=spikes),
        ),
    )  # fmt: skip


def cnn(macs, n=2):
    layer = LayerCounts(name="conv", kind="conv", output_shape=(50, 1, 1), output_numel=50, params=60, dense_ops=macs,
                        bias_ops=50, input_numel=20, ac=(0,), mac=(macs * n,), input_nonzero=(20 * n,))  # fmt: skip
    return Counts(kind=Kind.CNN, time_steps=1, n_samples=n, layers=(layer,))


@pytest.mark.parametrize(("steps", "bits"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (64, 7)])
def test_bits_tell_all_spike_counts_apart(steps, bits):
    assert equivalent_bits(steps) == bits == math.ceil(math.log2(steps + 1))


def test_no_step_has_no_bits():
    with pytest.raises(BadValue, match="time_steps is 0"):
        equivalent_bits(0)


def test_integer_prices_go_through_the_printed_ones_and_a_multiplier_grows_about_with_the_square():
    assert [integer_pj("add", bits, HOROWITZ) for bits in (8, 32)] == pytest.approx([0.03, 0.1])
    assert [integer_pj("mul", bits, HOROWITZ) for bits in (8, 32)] == pytest.approx([0.2, 3.1])
    assert integer_pj("mul", 16, HOROWITZ) == pytest.approx(math.sqrt(0.2 * 3.1))  # half way on a log scale
    assert 3.8 < integer_pj("mul", 8, HOROWITZ) / integer_pj("mul", 4, HOROWITZ) < 4
    assert 1.8 < integer_pj("add", 8, HOROWITZ) / integer_pj("add", 4, HOROWITZ) < 2
    assert [integer_status(bits) for bits in (3, 8, 12, 32, 33)] == [
        "extrapolated",
        "published",
        "interpolated",
        "published",
        "extrapolated",
    ]


def test_eight_bits_cost_the_printed_mac_and_are_marked_published():
    twin = quantised_twin(cnn(5000), 255, HOROWITZ, MODES["exact"])
    assert (twin.bits, twin.status) == (8, "published")
    assert twin.energy_pj == pytest.approx(5000 * 0.23)
    assert twin.energy_pj == pytest.approx(price(MODES["exact"].tally(cnn(5000)), INT8))


def test_four_steps_are_three_bits_by_hand():
    mac = 0.03 * (3 / 8) ** math.log(0.1 / 0.03, 4) + 0.2 * (3 / 8) ** math.log(3.1 / 0.2, 4)
    assert mac == pytest.approx(0.0416, abs=1e-4)
    assert quantised_twin(cnn(5000), 4, HOROWITZ, MODES["exact"]).energy_pj == pytest.approx(5000 * mac)
    assert quantised_twin(cnn(5000), 4, HOROWITZ, MODES["exact"]).status == "extrapolated"


def test_wider_weights_cost_more_and_at_equal_bits_nothing_changes():
    narrow, wide = (quantised_twin(cnn(5000), 4, HOROWITZ, MODES["exact"], weight_bits=bits) for bits in (3, 8))
    assert narrow == quantised_twin(cnn(5000), 4, HOROWITZ, MODES["exact"])
    assert wide.mac_pj == pytest.approx(0.03 + 0.2 * (24 / 64) ** (math.log(3.1 / 0.2, 4) / 2))
    assert narrow.energy_pj < wide.energy_pj < 5000 * 0.23


@pytest.mark.parametrize("profile", ["horowitz-45nm", "horowitz-45nm-int8", "horowitz-45nm-fp16", "loihi"])
def test_an_access_moves_as_many_bits_as_a_word_has_whatever_the_profile_is_for(profile):
    """At 8 bits the mode memory costs what the int8 profile says, up to its ACs and MACs."""
    twin = quantised_twin(cnn(5000), 255, profiles()[profile], MODES["memory"])
    assert twin.energy_pj == pytest.approx(price(MODES["memory"].tally(cnn(5000)), INT8))


def test_only_a_cnn_has_a_quantised_twin():
    with pytest.raises(BadValue, match="those of a cnn"):
        quantised_twin(snn(), 4, HOROWITZ, MODES["exact"])


def test_break_even_by_hand():
    """Rate 20 / 50. E_0 is the stem's 1000 MACs, the spikes cost 4 x 200 ACs; the twin has 1100 MACs."""
    found = break_even(snn(), cnn(1100), MODES["exact"], HOROWITZ)
    assert (found.constant_pj, found.snn_pj, found.cnn_pj) == pytest.approx((4600, 4600 + 720, 5060))
    assert found.measured == pytest.approx(0.4) == firing_rate(snn())
    assert found.rate == pytest.approx(0.4 * 460 / 720)
    assert "dearer" in found.reason
    assert "cheaper" in break_even(snn(), cnn(1200), MODES["exact"], HOROWITZ).reason


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("profile", ["horowitz-45nm", "loihi"])
@given(scale=st.integers(1, 2), macs=st.integers(1, 20_000), stem=st.integers(0, 500))
def test_at_the_break_even_rate_both_cost_the_same(mode, profile, scale, macs, stem):
    """Energy is affine in the scale, so the two measured points give that of any rate."""
    once, none = snn(scale, stem), silenced(snn(scale, stem))
    mode, profile = MODES[mode], profiles()[profile]
    found = break_even(once, cnn(macs), mode, profile)
    high, low = (price(mode.tally(counts), profile) for counts in (once, none))
    assert price(mode.tally(snn(2 * scale, stem)), profile) == pytest.approx(2 * high - low)
    if found.rate is not None:
        share = found.rate / found.measured
        assert low + share * (high - low) == pytest.approx(found.cnn_pj)
        assert 0 < found.rate <= 1


def test_there_is_none_where_the_network_is_dearer_without_a_spike():
    found = break_even(snn(), cnn(900), MODES["exact"], HOROWITZ)
    assert found.rate is None and "even if no neuron fires" in found.reason


def test_there_is_none_where_it_is_cheaper_at_every_rate():
    found = break_even(snn(), cnn(1_000_000), MODES["exact"], HOROWITZ)
    assert found.rate is None and "at every rate" in found.reason


def test_there_is_none_where_nothing_fired():
    found = break_even(silenced(snn()), cnn(2000), MODES["exact"], HOROWITZ)
    assert found.rate is None and found.measured == 0 and "No spike" in found.reason


def test_the_two_must_be_a_spiking_network_and_a_cnn():
    with pytest.raises(BadValue, match="cnn is 'snn'"):
        break_even(snn(), snn(), MODES["exact"], HOROWITZ)
    with pytest.raises(BadValue, match="snn is 'cnn'"):
        break_even(cnn(1), cnn(1), MODES["exact"], HOROWITZ)
