"""Prices: every constant with its source, and the bill of a network."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.energy.memory import EVENT
from core.energy.modes import MODES
from core.energy.price import energy_pj, layers, other_pj
from core.energy.profiles import faulty_profiles, profiles, read_profile
from core.errors import BadValue, UnknownName
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind
from core.units import pj_to_mj

HOROWITZ = profiles()["horowitz-45nm"]


def test_horowitz_prices_an_accumulate_at_0_9_and_a_mac_at_4_6():
    profile = HOROWITZ
    assert (profile.ac_pj, profile.mac_pj) == (0.9, 4.6)
    assert "ISSCC 2014" in profile.source and "45 nm" in profile.process


def test_a_mac_costs_its_multiplication_and_its_addition():
    price = {name: constant.pj for name, constant in HOROWITZ.constants.items()}
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


CHIP = """
name = "chip"
title = "Chip"
source = "a paper"
process = "1 nm"
status = "published"
ac = "synop"
ac_range = ["low", "synop"]
mac_from = "x"
neuron = "update"
synop_with_memory = true
constants = [
  {name = "synop", pj = 10, source = "table 1"},
  {name = "low", pj = 4, source = "table 2"},
  {name = "update", pj = 50, source = "table 3"},
]
"""


def test_a_chip_without_a_mac_price_names_the_profile_it_borrows_from():
    host = read_profile(GOOD, origin="x.toml")
    chip = read_profile(CHIP, origin="chip.toml", hosts={"x": host})
    assert (chip.ac_pj, chip.ac_range, host.ac_range) == (10, (4, 10), (1, 1))
    assert (chip.mac_pj, chip.mac_range, chip.mac_from) == (2.5, (2.5, 2.5), "x")
    assert chip.constant_pj("add") == 1  # the host's
    with pytest.raises(ValueError, match=r"chip\.toml: mac_from names 'x'"):
        read_profile(CHIP, origin="chip.toml")
    with pytest.raises(ValueError, match="leaves out the price of 10 pJ"):
        read_profile(CHIP.replace("pj = 4", "pj = 11"), origin="chip.toml", hosts={"x": host})
    with pytest.raises(ValueError, match="mac_form is no part"):
        read_profile(GOOD.replace('mac = "mac"', 'mac = "mac"\nmac_form = "y"'), origin="x.toml")


def test_a_chips_own_price_of_a_neuron_update_stands_for_its_operations():
    """100 LIF updates are 100 ACs and 100 MACs; the chip bills 50 pJ for each update, the host its operations."""
    host = read_profile(GOOD, origin="x.toml")
    chip = read_profile(CHIP, origin="chip.toml", hosts={"x": host})
    assert energy_pj(100, 100, chip, {"lif-update": 100}) == pytest.approx(100 * 50)
    assert energy_pj(100, 100, host, {"lif-update": 100}) == pytest.approx(100 * 1 + 100 * 2.5)
    assert energy_pj(200, 0, chip, {"if-update": 100}) == pytest.approx(100 * 50)


def test_adds_beside_the_macs_cost_what_the_host_charges():
    host = read_profile(GOOD, origin="x.toml")
    chip = read_profile(CHIP, origin="chip.toml", hosts={"x": host})
    assert energy_pj(7, 0, chip, {"host-add": 7}) == pytest.approx(7 * 1)
    assert energy_pj(7, 0, host, {"host-add": 7}) == pytest.approx(7 * 1)
    assert energy_pj(7, 0, chip) == pytest.approx(7 * 10)


def test_memory_of_events_is_in_a_chips_price_and_that_of_the_host_is_not():
    loihi, horowitz = profiles()["loihi"], HOROWITZ
    assert energy_pj(0, 0, loihi, {"sram-8k@event": 5}) == 0
    assert energy_pj(0, 0, loihi, {"sram-8k": 5}) == energy_pj(0, 0, horowitz, {"sram-8k@event": 5}) == 5 * 10


def test_a_profile_without_a_price_that_the_mode_needs_says_which():
    with pytest.raises(BadValue, match="one that has a price of sram-8k"):
        energy_pj(0, 0, read_profile(GOOD, origin="x.toml"), {"sram-8k": 1})


def test_every_shipped_profile_prices_everything_that_a_mode_can_count():
    names = [
        f"{name}{mark}" for name in ("sram-8k", "sram-32k", "sram-1m", "add-int32", "mac-int32") for mark in ("", EVENT)
    ]
    for profile in profiles().values():
        assert all(other_pj(profile, name) >= 0 for name in names), profile.name
        assert profile.ac_range[0] <= profile.ac_pj <= profile.ac_range[1]


def test_a_cnn_costs_on_a_chip_what_it_costs_on_its_host():
    """Its few ACs beside the MACs too: the chip sees no spike of it."""
    names = ("horowitz-45nm", "loihi", "truenorth")
    for mode in MODES:
        bills = {name: layers(CNN, {}, MODES[mode], profiles()[name]).total_energy_pj for name in names}
        assert bills["loihi"] == bills["truenorth"] == pytest.approx(bills["horowitz-45nm"]) and min(bills.values()) > 0


def test_users_profiles_are_read_from_the_home_and_read_again_when_they_change(tmp_path):
    folder = tmp_path / "profiles"
    assert list(profiles(tmp_path)) == list(profiles())
    folder.mkdir()
    (folder / "mine.toml").write_text(GOOD)
    assert list(profiles(tmp_path)) == [*profiles(), "x"]
    (folder / "mine.toml").write_text(GOOD.replace("pj = 2.5", "pj = 3.5"))  # as many bytes as before
    os.utime(folder / "mine.toml", ns=(1, 1))
    assert profiles(tmp_path)["x"].mac_pj == 3.5
    (folder / "chip.toml").write_text(CHIP.replace('mac_from = "x"', 'mac_from = "horowitz-45nm"'))
    assert profiles(tmp_path)["chip"].mac_pj == 4.6
    assert faulty_profiles(tmp_path) == {}


def test_hidden_files_beside_profiles_are_passed_over(tmp_path):
    """macOS keeps one beside each file on a disk that is not its own."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_text(GOOD)
    (tmp_path / "profiles" / "._mine.toml").write_bytes(b"\0\5\x16\7" + bytes(60))
    assert list(profiles(tmp_path)) == [*profiles(), "x"] and faulty_profiles(tmp_path) == {}


def test_the_home_is_the_environments_unless_given(tmp_path, monkeypatch):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_text(GOOD)
    assert "x" not in profiles()
    monkeypatch.setenv("SPIKEFRONT_HOME", str(tmp_path))
    assert energy_pj(2, 2, profiles()["x"]) == 2 * 1 + 2 * 2.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace('mac = "mac"', 'mac = "mul"'), "'mul' is missing"),
        (GOOD.replace('name = "x"', 'name = "horowitz-45nm"', 1), "registered twice"),
        ("name = ", "mine.toml"),
        (b"\xff\xfe", "mine.toml"),
        (GOOD.replace('title = "X"', "title = 7"), "title must be a text"),
        (GOOD.replace("[[constants]]", "[[prices]]"), "'constants' is missing"),
    ],
)
def test_a_faulty_profile_is_named_and_left_out_and_the_others_stay(tmp_path, text, words, caplog):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "profiles" / "other.toml").write_text(GOOD.replace('name = "x"', 'name = "y"', 1))
    (tmp_path / "profiles" / "gone.toml").symlink_to(tmp_path / "nowhere")
    assert list(profiles(tmp_path)) == [*profiles(), "y"]
    faults = faulty_profiles(tmp_path)
    assert faults.keys() == {"gone.toml", "mine.toml"}
    assert faults["mine.toml"].startswith("mine.toml: ") and words in faults["mine.toml"]
    assert [record.getMessage() for record in caplog.records] == ["profile.skipped"] * 2


def test_an_unknown_profile_suggests_a_near_one():
    with pytest.raises(UnknownName, match="Did you mean horowitz-45nm"):
        profiles()["horowitz-45"]


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


CNN = Counts(
    kind=Kind.CNN, time_steps=1, n_samples=2,
    layers=(
        LayerCounts(name="conv", kind="conv", output_shape=(2, 2, 2), params=20, dense_ops=80, bias_ops=8,
                    input_numel=12, output_numel=8, mac=(140,), ac=(0,), input_nonzero=(24,)),
        LayerCounts(name="act", kind="relu", output_shape=(2, 2, 2), input_numel=8, output_numel=8),
    ),
)  # fmt: skip


def test_the_bill_is_per_inference_and_its_layers_add_up_to_the_total():
    bill = layers(COUNTS, {"F4.conv": "F4", "stem.conv": None}, MODES["exact"], HOROWITZ)
    assert (bill.mode, bill.profile, bill.n_samples, bill.time_steps) == ("exact", HOROWITZ.name, 10, 2)
    stem, act, conv = bill.layers
    assert (stem.acs, stem.macs, stem.energy_pj) == (0, 700 / 10, pytest.approx(70 * 4.6))
    assert (conv.acs, conv.macs, conv.energy_pj) == ((20 + 40) / 10, 0, pytest.approx(6 * 0.9))
    assert (stem.block, act.block, conv.block) == (None, None, "F4")
    assert (conv.params, conv.dense_ops, conv.output_shape) == (3, 8, (1, 2, 2))
    assert bill.total_energy_pj == pytest.approx(sum(layer.energy_pj for layer in bill.layers))
    assert (bill.total_acs, bill.total_macs) == (6, 70)


def test_a_firing_rate_is_spikes_over_neurons_samples_and_steps():
    stem, act, conv = layers(COUNTS, {}, MODES["exact"], HOROWITZ).layers
    assert act.firing_rate_per_step == [20 / (8 * 10), 40 / (8 * 10)]
    assert act.firing_rate == pytest.approx((20 + 40) / (8 * 10 * 2))
    assert stem.firing_rate is None and conv.firing_rate_per_step is None


def test_the_same_counts_re_price_in_another_mode():
    exact, paper = (layers(COUNTS, {}, MODES[mode], HOROWITZ) for mode in ("exact", "paper"))
    assert paper.total_macs == 80 + 8 != exact.total_macs
    assert paper.layers[1].acs == 8 and exact.layers[1].acs == 0


@pytest.mark.parametrize("mode", ["exact", "exact+neuron", "memory"])
@pytest.mark.parametrize("profile", ["horowitz-45nm", "loihi"])
def test_a_layer_s_bill_says_what_its_macs_and_its_memory_cost(mode, profile):
    prices = profiles()[profile]
    for bill in layers(COUNTS, {}, MODES[mode], prices).layers:
        assert bill.mac_energy_pj == bill.macs * prices.mac_pj
        assert bill.mac_energy_pj + bill.memory_energy_pj <= bill.energy_pj * (1 + 1e-12)
