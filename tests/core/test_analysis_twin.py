"""A spiking network beside its CNN twin: every figure by hand, what is said where one is missing, and the command."""

import json
import math

import pytest

from core.analysis.twin import twin_energy
from core.bundle import Bundle
from core.cli.main import main
from core.energy.modes import MODES
from core.energy.price import price
from core.energy.profiles import profiles, read_profile
from core.energy.quantised import INTEGER_PRICES, integer_pj, missing_integer_prices
from core.errors import BadValue
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind, RunConfig
from core.schemas.twin import TwinEnergy

HOROWITZ = profiles()["horowitz-45nm"]
N, T = 3, 4
BARE = """
name = "bare"
title = "Prices of two operations"
source = "made up"
process = "22 nm"
status = "made up"
ac = "add"
mac = "mac"
[[constants]]
name = "add"
pj = 2
source = "made up"
[[constants]]
name = "mac"
pj = 10
source = "made up"
"""


def snn(time_steps=T):
    """Per image: a stem of 1000 MACs on a constant image, then 50 neurons of which 20 fire at each step, 10 ACs each."""
    spikes, shape = (20 * N,) * time_steps, {"output_shape": (50, 1, 1), "output_numel": 50}
    return Counts(
        kind=Kind.SNN, time_steps=time_steps, n_samples=N,
        layers=(
            LayerCounts(name="stem", kind="conv", **shape, dense_ops=1000, input_numel=20, constant_input=True,
                        ac=(0,) * time_steps, mac=(1000 * N,) * time_steps, input_nonzero=(20 * N,) * time_steps),
            LayerCounts(name="act", kind="neuron", **shape, input_numel=50, spikes=spikes),
            LayerCounts(name="conv", kind="conv", **shape, dense_ops=500, input_numel=50, input_is_spikes=True,
                        ac=tuple(10 * s for s in spikes), mac=(0,) * time_steps, input_nonzero=spikes),
        ),
    )  # fmt: skip


def cnn(macs=1100):
    layer = LayerCounts(name="conv", kind="conv", output_shape=(50, 1, 1), output_numel=50, dense_ops=macs,
                        input_numel=20, ac=(0,), mac=(macs * N,), input_nonzero=(20 * N,))  # fmt: skip
    return Counts(kind=Kind.CNN, time_steps=1, n_samples=N, layers=(layer,))


def test_every_figure_by_hand():
    """0.9 pJ an AC, 4.6 pJ a MAC; T = 4 tells 5 values apart, which takes 3 bits."""
    found = twin_energy(snn(), cnn(), MODES["exact"], HOROWITZ)
    assert (found.mode, found.profile, found.time_steps, found.n_samples) == ("exact", HOROWITZ.name, 4, N)
    assert found.silent_pj == pytest.approx(1000 * 4.6)
    assert found.snn_pj == pytest.approx(1000 * 4.6 + 4 * 20 * 10 * 0.9) == pytest.approx(5320)
    assert (found.cnn_pj, found.cnn_bits) == (pytest.approx(1100 * 4.6), 32)
    assert found.energy_ratio == pytest.approx(5320 / 5060)
    assert found.measured_rate == pytest.approx(20 / 50)
    assert found.break_even_rate == pytest.approx(0.4 * (5060 - 4600) / (5320 - 4600))
    assert "dearer" in found.reason

    add, mul = math.log(0.1 / 0.03, 4), math.log(3.1 / 0.2, 4)  # powers of the width
    wide, narrow = found.quantised
    assert (wide.bits, wide.weight_bits, wide.status) == (3, 8, "extrapolated")
    assert wide.energy_pj == pytest.approx(1100 * (0.03 + 0.2 * (math.sqrt(3 * 8) / 8) ** mul))
    assert (narrow.bits, narrow.weight_bits, narrow.status) == (3, 3, "extrapolated")
    assert narrow.energy_pj == pytest.approx(1100 * (0.03 * (3 / 8) ** add + 0.2 * (3 / 8) ** mul))
    for one in found.quantised:
        assert one.energy_ratio == pytest.approx(5320 / one.energy_pj) and one.note == ""


@pytest.mark.parametrize("mode", MODES)
def test_both_energies_are_those_of_the_mode(mode):
    found = twin_energy(snn(), cnn(), MODES[mode], HOROWITZ)
    assert found.snn_pj == pytest.approx(price(MODES[mode].tally(snn()), HOROWITZ))
    assert found.cnn_pj == pytest.approx(price(MODES[mode].tally(cnn()), HOROWITZ))
    assert TwinEnergy.model_validate_json(found.model_dump_json()) == found


def test_where_eight_bits_match_the_steps_there_is_one_figure_and_it_is_printed():
    (only,) = twin_energy(snn(255), cnn(), MODES["exact"], HOROWITZ).quantised
    assert (only.bits, only.weight_bits, only.status) == (8, 8, "published")
    assert only.energy_pj == pytest.approx(1100 * 0.23)


def test_a_profile_without_integers_says_so_and_keeps_every_other_figure():
    found = twin_energy(snn(), cnn(), MODES["exact"], read_profile(BARE, origin="bare.toml"))
    assert (found.snn_pj, found.cnn_pj) == (1000 * 10 + 800 * 2, 1100 * 10)
    assert found.break_even_rate == pytest.approx(0.4 * 1000 / 1600)
    for one in found.quantised:
        assert (one.bits, one.energy_pj, one.energy_ratio, one.status) == (3, None, None, None)
        assert "bare" in one.note and all(name in one.note for name in INTEGER_PRICES)


def test_a_price_of_nothing_is_no_price_of_integers():
    """No power law goes through 0, and a logarithm of it would be no answer."""
    text = BARE + "".join(
        f'[[constants]]\nname = "{name}"\npj = {int(name != "mul-int8")}\nsource = "made up"\n'
        for name in INTEGER_PRICES
    )
    profile = read_profile(text, origin="bare.toml")
    assert missing_integer_prices(profile) == ("mul-int8",)
    with pytest.raises(BadValue, match="a price of mul-int8 above 0"):
        integer_pj("mul", 3, profile)
    assert integer_pj("add", 3, profile) == 1
    assert "mul-int8" in twin_energy(snn(), cnn(), MODES["exact"], profile).quantised[0].note


def test_every_shipped_profile_prices_integers():
    assert {name: missing_integer_prices(profile) for name, profile in profiles().items()} == dict.fromkeys(
        profiles(), ()
    )


def test_the_width_of_the_cnn_is_that_of_the_profile_s_numbers():
    assert twin_energy(snn(), cnn(), MODES["exact"], profiles()["horowitz-45nm-int8"]).cnn_bits == 8
    assert twin_energy(snn(), cnn(), MODES["exact"], profiles()["loihi"]).cnn_bits == 32


def test_what_does_not_follow_is_said_where_it_applies():
    def said(mode, profile, steps=T):
        return " ".join(twin_energy(snn(steps), cnn(), MODES[mode], profile).not_said)

    assert "accurate the CNN is at 3 bits is not known" in said("exact", HOROWITZ)
    assert "at 1 bit is not known" in said("exact", HOROWITZ, steps=1)
    assert "bills one of the 4 steps" in said("paper", HOROWITZ)
    assert "bills one" not in said("exact", HOROWITZ) + said("paper", HOROWITZ, steps=1)
    assert "Spikes are billed at the prices of loihi, the CNN at those of horowitz-45nm." in said(
        "exact", profiles()["loihi"]
    )
    assert "are billed" not in said("exact", HOROWITZ)


def test_two_of_a_kind_are_refused():
    with pytest.raises(BadValue, match="cnn is 'snn'"):
        twin_energy(snn(), snn(), MODES["exact"], HOROWITZ)


@pytest.fixture
def command(capsys):
    """`spikefront bundle twin` in this process: (exit code, stdout, stderr)."""

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main(["bundle", "twin", *map(str, words)])
            raise SystemExit(0)
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return run


@pytest.fixture
def folders(tmp_path):
    """Config and counts of a spiking network, of its twin, and of a CNN with another seed."""
    config = RunConfig(mask=("F9",))
    stranger = config.twin().model_copy(update={"seed": 1})
    for name, one, counts in (("snn", config, snn()), ("cnn", config.twin(), cnn()), ("stranger", stranger, cnn())):
        Bundle(tmp_path / name).write_model("config.json", one)
        Bundle(tmp_path / name).write_model("counts.json", counts)
    return tmp_path


def test_the_command_prints_a_row_a_network_and_what_the_rates_say(command, folders):
    code, out, _ = command(folders / "snn", folders / "cnn")
    assert code == 0
    rows = {line[:24].strip(): line[24:].split() for line in out.splitlines()}
    assert rows["SNN"] == ["5.32", "nJ"]
    assert rows["CNN at 32 bits"] == ["5.06", "nJ", "SNN", "/", "CNN", "1.05"]
    assert rows["CNN at 3 bits, weights 8"] == ["116", "pJ", "SNN", "/", "CNN", "45.7", "extrapolated"]
    assert rows["CNN at 3 bits, weights 3"] == ["45.7", "pJ", "SNN", "/", "CNN", "116", "extrapolated"]
    assert (rows["firing rate, measured"], rows["firing rate, break-even"]) == (["0.400"], ["0.256"])
    assert "SqueezeNet F9 on digits, seed 0 (n = 1), T = 4" in out
    assert "mode exact, profile horowitz-45nm, n = 3 test images" in out
    assert "dearer than its twin" in out and "not known" in out


def test_as_json_the_command_gives_what_the_function_gives(command, folders):
    code, out, _ = command(folders / "snn", folders / "cnn", "--mode", "memory", "--profile", "loihi", "--json")
    assert code == 0
    assert json.loads(out) == twin_energy(snn(), cnn(), MODES["memory"], profiles()["loihi"]).model_dump(mode="json")


def test_without_integer_prices_the_command_prints_the_rest(command, folders, tmp_path, monkeypatch):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "bare.toml").write_text(BARE)
    monkeypatch.setenv("SPIKEFRONT_HOME", str(tmp_path))
    code, out, _ = command(folders / "snn", folders / "cnn", "--profile", "bare")
    assert code == 0
    assert out.count("unknown") == 2 and out.count("no price above 0 of add-int8") == 1


def test_two_folders_that_are_no_twins_are_refused_by_name(command, folders):
    for words, said in (
        (("cnn", "snn"), "SNN_FOLDER is"),
        (("snn", "snn"), "the bundle of a run of kind cnn"),
        (("snn", "stranger"), "it must be the twin of"),
        (("snn", "nowhere"), "nowhere/config.json"),
    ):
        code, out, err = command(*(folders / word for word in words))
        assert (code, out) == (1, "") and said in err and len(err.splitlines()) == 1, words
