"""Prices: every constant with its source, and the bill of a network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.energy.price import energy_pj, layers
from core.energy.profiles import profiles, read_profile
from core.errors import UnknownName
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind
from core.units import pj_to_mj

HOROWITZ = "horowitz-45nm"


def test_horowitz_prices_an_accumulate_at_0_9_and_a_mac_at_4_6():
    profile = profiles()[HOROWITZ]
    assert (profile.ac_pj, profile.mac_pj) == (0.9, 4.6)
    assert "ISSCC 2014" in profile.source and "45 nm" in profile.process


def test_a_mac_costs_its_multiplication_and_its_addition():
    price = {name: constant.pj for name, constant in profiles()[HOROWITZ].constants.items()}
    for kind in ("fp32", "fp16", "int8"):
        assert price[f"mac-{kind}"] == pytest.approx(price[f"mul-{kind}"] + price[f"add-{kind}"])


def test_every_constant_of_every_profile_has_a_source():
    for name, profile in profiles().items():
        assert profile.name == name and profile.title and profile.source and profile.status
        for constant in profile.constants.values():
            assert constant.source and constant.pj >= 0


def test_the_printed_energy_follows_from_the_printed_counts():
    """SNN-SqueezeNet-P on CIFAR-10: 11.2M ACs and 4.23M MACs print as 0.0295 mJ."""
    assert round(pj_to_mj(energy_pj(11.2e6, 4.23e6, HOROWITZ)), 4) == 0.0295


@given(st.floats(0, 1e12), st.floats(0, 1e12), st.floats(0, 1e12), st.floats(0, 1e12))
def test_energy_is_linear_in_the_counts(a, m, b, n):
    whole = energy_pj(a + b, m + n, HOROWITZ)
    assert whole == pytest.approx(energy_pj(a, m, HOROWITZ) + energy_pj(b, n, HOROWITZ))


GOOD = """
name = "x"
title = "X"
source = "a paper"
process = "1 nm"
status = "published"
ac = "add"
mac = "mac"
[[constants]]
name = "add"
pj = 1
source = "table 1"
[[constants]]
name = "mac"
pj = 2.5
source = "table 2"
"""


def test_a_profile_is_read_from_a_file():
    profile = read_profile(GOOD, origin="x.toml")
    assert (profile.name, profile.ac_pj, profile.mac_pj) == ("x", 1.0, 2.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('source = "table 1"', 'source = " "'), "a source"),
        (('source = "table 1"\n', ""), "'source' is missing"),
        (("pj = 1\n", "pj = -1\n"), "price of at least 0"),
        (("pj = 1\n", "pj = nan\n"), "price of at least 0"),
        (('mac = "mac"', 'mac = "mul"'), "'mul' is missing"),
        (('name = "mac"', 'name = "add"'), "twice"),
        (("title", "titel"), "'title' is missing"),
        (('[[constants]]\nname = "add"', "[[constants"), "x.toml"),
    ],
)
def test_a_profile_with_a_gap_is_refused_with_its_file(change, words):
    with pytest.raises(ValueError, match=words) as caught:
        read_profile(GOOD.replace(*change), origin="x.toml")
    assert str(caught.value).startswith("x.toml")


def test_an_unknown_profile_suggests_a_near_one():
    with pytest.raises(UnknownName, match="Did you mean horowitz-45nm"):
        energy_pj(1, 1, "horowitz-45")


COUNTS = Counts(
    kind=Kind.SNN, time_steps=2, n_samples=10,
    layers=(
        LayerCounts(name="stem.conv", kind="conv", output_shape=(2, 2, 2), params=20, dense_ops=80, bias_ops=8,
                    input_numel=12, output_numel=8, constant_input=True, ac=(0, 0), mac=(700, 700)),
        LayerCounts(name="stem.act", kind="neuron", output_shape=(2, 2, 2), input_numel=8, output_numel=8,
                    spikes=(20, 40)),
        LayerCounts(name="F4.conv", kind="conv", output_shape=(1, 2, 2), params=3, dense_ops=8, bias_ops=4,
                    input_numel=8, output_numel=4, input_is_spikes=True, ac=(20, 40), mac=(0, 0),
                    input_nonzero=(20, 40)),
    ),
)  # fmt: skip


def test_the_bill_is_per_inference_and_its_layers_add_up_to_the_total():
    bill = layers(COUNTS, {"F4.conv": "F4", "stem.conv": None}, "exact", HOROWITZ)
    assert (bill.mode, bill.profile, bill.n_samples, bill.time_steps) == ("exact", HOROWITZ, 10, 2)
    stem, act, conv = bill.layers
    assert (stem.acs, stem.macs, stem.energy_pj) == (0, 700 / 10, pytest.approx(70 * 4.6))
    assert (conv.acs, conv.macs, conv.energy_pj) == ((20 + 40) / 10, 0, pytest.approx(6 * 0.9))
    assert (stem.block, act.block, conv.block) == (None, None, "F4")
    assert (conv.params, conv.dense_ops, conv.output_shape) == (3, 8, (1, 2, 2))
    assert bill.total_energy_pj == pytest.approx(sum(layer.energy_pj for layer in bill.layers))
    assert (bill.total_acs, bill.total_macs) == (6, 70)


def test_a_firing_rate_is_spikes_over_neurons_samples_and_steps():
    stem, act, conv = layers(COUNTS, {}, "exact", HOROWITZ).layers
    assert act.firing_rate_per_step == [20 / (8 * 10), 40 / (8 * 10)]
    assert act.firing_rate == pytest.approx((20 + 40) / (8 * 10 * 2))
    assert stem.firing_rate is None and conv.firing_rate_per_step is None


def test_the_same_counts_re_price_in_another_mode():
    exact, paper = (layers(COUNTS, {}, mode, HOROWITZ) for mode in ("exact", "paper"))
    assert paper.total_macs == 80 + 8 != exact.total_macs
    assert paper.layers[1].acs == 8 and exact.layers[1].acs == 0
