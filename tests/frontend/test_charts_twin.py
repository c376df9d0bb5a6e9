"""The bars of a network and its twin, and the sentences beside them: what they show must be the numbers they got."""

import pytest

from core.report.charts import theme, twin
from core.schemas.twin import QuantisedCnn, TwinEnergy
from frontend.pages.run import twin as run_twin

EVIL = "<img src=x>%{x}"


def few(bits=3, weight_bits=3, energy_pj=2e6, ratio=10.0, status="extrapolated", note=""):
    return QuantisedCnn(
        bits=bits, weight_bits=weight_bits, energy_pj=energy_pj, energy_ratio=ratio, status=status, note=note
    )


def some_twins(**changes):
    fields = {
        "mode": "exact", "profile": "horowitz-45nm", "time_steps": 4, "n_samples": 360, "snn_pj": 20e6, "cnn_pj": 40e6,
        "cnn_bits": 32, "energy_ratio": 0.5, "quantised": (few(weight_bits=8, energy_pj=5e6, ratio=4.0), few()),
        "measured_rate": 0.21, "break_even_rate": 0.43, "silent_pj": 1e6, "reason": "It is cheaper.",
        "not_said": ("Accuracy is not known.",),
    } | changes  # fmt: skip
    return TwinEnergy(**fields)


PRICELESS = (
    few(weight_bits=8, energy_pj=None, ratio=None, status=None, note="No price."),
    few(energy_pj=None, ratio=None, status=None, note="No price."),
)


def test_a_bar_a_network_from_the_spiking_one_down_to_the_fewest_bits():
    chart = twin.figure(some_twins(), source="SNN-SqueezeNet F9 · digits")
    (bar,) = chart.data
    assert list(bar.y) == ["SNN", "CNN, 32 bits", "CNN, 3 bits,<br>8-bit weights", "CNN, 3 bits"]
    assert list(bar.x) == [20.0, 40.0, 5.0, 2.0]  # µJ: 40e6 pJ is the largest
    assert list(bar.text) == ["20 µJ", "40 µJ", "5 µJ", "2 µJ"]
    assert chart.layout.xaxis.title.text == "energy per inference, µJ"
    assert chart.layout.xaxis.range[0] == 0 and chart.layout.yaxis.autorange == "reversed"
    assert "0.5 times as much" in bar.hovertext[1] and "extrapolated" in bar.hovertext[3]


def test_the_caption_says_mode_profile_n_and_source():
    chart = twin.figure(some_twins(), source="SNN-SqueezeNet F9 · digits")
    assert chart.layout.meta["title"] == "Energy of the twins"
    for word in ("mode exact, T = 4", "profile horowitz-45nm", "n = 360 test images", "estimated",
                 "hatched: prices extrapolated", "SNN-SqueezeNet F9 · digits"):  # fmt: skip
        assert word in chart.layout.meta["caption"], word
    assert "mode paper: one time step of 4" in twin.figure(some_twins(mode="paper")).layout.meta["caption"]


def test_networks_are_told_apart_by_name_and_by_colours_of_okabe_and_ito_and_unprinted_prices_by_hatching():
    found = some_twins(quantised=(few(bits=8, weight_bits=8, status="published"),))
    (printed,) = twin.figure(found).data
    assert list(printed.marker.pattern.shape) == ["", "", ""]
    assert "hatched" not in twin.figure(found).layout.meta["caption"]
    (guessed,) = twin.figure(some_twins()).data
    assert list(guessed.marker.pattern.shape) == ["", "", "/", "/"]
    assert list(guessed.marker.color) == [theme.BLUE, *[theme.VERMILION] * 3]
    assert len(set(guessed.y)) == 4


def test_what_has_no_price_has_no_bar_and_stands_in_the_table():
    found = some_twins(quantised=PRICELESS)
    assert list(twin.figure(found).data[0].y) == ["SNN", "CNN, 32 bits"]
    assert [row["energy_pj"] for row in twin.rows(found)] == [20e6, 40e6, None, None]
    assert run_twin.limits(found) == ["No price.", "Accuracy is not known."]
    assert "3 bits" not in run_twin.verdict(found)


def test_the_rows_hold_every_bar_with_the_rates_beside_the_spiking_network():
    first, second, third, _ = twin.rows(some_twins())
    assert (first["network"], first["energy_pj"], first["firing_rate"]) == ("SNN", 20e6, 0.21)
    assert (first["break_even_firing_rate"], first["time_steps"]) == (0.43, 4)
    assert (second["network"], second["bits"], second["snn_energy_over_this"]) == ("CNN", 32, 0.5)
    assert (second["firing_rate"], second["time_steps"]) == (None, 1)
    assert (third["bits"], third["weight_bits"], third["prices"]) == (3, 8, "extrapolated")
    assert {row["mode"] for row in twin.rows(some_twins())} == {"exact"}


def test_networks_that_cost_nothing_are_a_sentence():
    free = some_twins(snn_pj=0.0, cnn_pj=0.0, energy_ratio=None, quantised=PRICELESS)
    assert "nothing to draw" in twin.figure(free).layout.annotations[0].text.replace("<br>", " ")


def test_a_name_in_the_source_is_no_markup():
    assert "<img" not in twin.figure(some_twins(), source=EVIL).to_json()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ["firing rate 0.210; both would cost the same at 0.430. It is cheaper.", "10 times the energy of the CNN at 3 bits"]),
        ({}, ["enough for the 5 values that 4 time steps can tell apart."]),
        ({"break_even_rate": None, "reason": "Never."}, ["firing rate 0.210. Never."]),
        ({"break_even_rate": 0.00123}, ["the same at 0.0012."]),
        ({"quantised": (few(ratio=0.25),)}, ["takes 25.0 % of the energy of the CNN at 3 bits"]),
        ({"quantised": (few(bits=1, weight_bits=1),), "time_steps": 1}, ["at 1 bit, enough for the 2 values that 1 time step can"]),
    ],
)  # fmt: skip
def test_the_verdict_names_both_rates_and_the_few_bits(changes, said):
    words = run_twin.verdict(some_twins(**changes))
    assert all(part in words for part in said), words
