"""The mode `memory`: accesses and addresses of small layers by hand, and what must always hold."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.energy.memory import SRAM, sram_shares, traffic
from core.energy.modes import MODES
from core.energy.price import energy_pj, memory_pj, price
from core.energy.profiles import profiles, read_profile
from core.errors import UnknownLayer, UnknownName
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind

HOROWITZ = profiles()["horowitz-45nm"]
KB = 1024


def pj(size):
    """One access to a memory of so many bytes, pJ."""
    return energy_pj(0, 0, HOROWITZ, sram_shares(size))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, 0),
        (4 * KB, 5),
        (8 * KB, 10),
        (20 * KB, 15),
        (32 * KB, 20),
        (528 * KB, 60),
        (KB * KB, 100),
        (9 * KB * KB, 100),
    ],
)
def test_an_access_costs_what_horowitz_says_and_lies_on_a_line_between(size, expected):
    assert pj(size) == pytest.approx(expected)


@given(st.integers(0, 2**22), st.integers(0, 2**22))
def test_a_larger_memory_is_never_cheaper_and_shares_are_of_one_access(a, b):
    assert pj(min(a, b)) <= pj(max(a, b)) + 1e-9
    shares = sram_shares(max(a, b))
    assert set(shares) <= {name for _, name in SRAM} and all(share >= 0 for share in shares.values())
    assert sum(shares.values()) == pytest.approx(1) or max(a, b) < 8 * KB


def of(kind, *layers, steps=2, n=1):
    return Counts(kind=kind, time_steps=steps, n_samples=n, layers=layers)


def access(words, n):
    """n accesses to a memory of so many 32-bit words, pJ."""
    return n * pj(4 * words)


def bill(layer, counts, **options):
    return energy_pj(0, 0, HOROWITZ, traffic(layer, counts, **options))


#: 3x3 convolution of 2 to 5 channels on 4 x 4 pixels: 90 weights and 5 biases.
SHAPE = {
    "name": "conv", "kind": "conv", "output_shape": (5, 4, 4), "params": 95, "dense_ops": 1440, "bias_ops": 80,
    "input_numel": 32, "output_numel": 80,
}  # fmt: skip


def test_events_by_hand():
    """T = 2, 3 images, 12 spikes that reach 480 outputs in all: 4 spikes and 160 SynOps an inference."""
    layer = LayerCounts(**SHAPE, input_is_spikes=True, ac=(300, 180), mac=(0, 0), input_nonzero=(7, 5))
    counts = of(Kind.SNN, layer, n=3)
    expected = access(1000, 4)  # the queue
    expected += access(95, 160 + 2 * 80)  # a weight a SynOp, a bias an output and step
    expected += access(80, 2 * 160)  # a potential is read and written a SynOp
    expected += 160 * 0.1 + 2 * 4 * 3.2  # an address add a SynOp, two address MACs a spike
    assert bill(layer, counts) == pytest.approx(expected)
    assert all(name.endswith("@event") for name in traffic(layer, counts))


def test_a_formal_layer_by_hand():
    layer = LayerCounts(**SHAPE, ac=(0,), mac=(2000,), input_nonzero=(50,))
    counts = of(Kind.CNN, layer, steps=1, n=2)
    expected = access(32, 1000) + access(95, 1000 + 80)  # an input and a weight a MAC, a bias an output
    expected += access(80, 80)  # each output once
    expected += (32 + 80 + 90) * 0.1  # a step through inputs, outputs and weights
    assert bill(layer, counts) == pytest.approx(expected)


def test_holding_weights_over_a_row_divides_their_reads_by_its_width_and_nothing_else():
    layer = LayerCounts(**SHAPE, ac=(0,), mac=(2000,), input_nonzero=(50,))
    counts = of(Kind.CNN, layer, steps=1, n=2)
    assert bill(layer, counts) - bill(layer, counts, reuse="row") == pytest.approx(access(95, 1000 - 1000 / 4))
    events = LayerCounts(**SHAPE, input_is_spikes=True, ac=(300, 180), mac=(0, 0), input_nonzero=(7, 5))
    counts = of(Kind.SNN, events)
    assert traffic(events, counts, reuse="row") == traffic(events, counts)
    with pytest.raises(UnknownName, match="Did you mean row"):
        traffic(events, counts, reuse="rows")


def test_a_constant_input_is_convolved_once_and_its_result_read_at_every_step():
    layer = LayerCounts(**SHAPE, constant_input=True, ac=(0,) * 4, mac=(1000,) * 4, input_nonzero=(32,) * 4)
    counts = of(Kind.SNN, layer, steps=4)
    expected = access(32, 1000) + access(95, 1000 + 80) + access(80, 80 + 4 * 80) + (32 + 80 + 90) * 0.1
    assert bill(layer, counts) == pytest.approx(expected)


def test_a_real_input_that_changes_is_read_and_its_output_written_at_every_step():
    layer = LayerCounts(**SHAPE, ac=(0, 0), mac=(600, 400), input_nonzero=(20, 12))
    counts = of(Kind.SNN, layer)
    expected = access(32, 1000) + access(95, 1000 + 2 * 80) + access(80, 2 * 80) + 2 * (32 + 80 + 90) * 0.1
    assert bill(layer, counts) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["neuron", "if_neuron"])
def test_a_neuron_reads_and_writes_its_state_at_every_step_and_queues_its_spikes(kind):
    layer = LayerCounts(name="act", kind=kind, output_shape=(5, 4, 4), input_numel=80, output_numel=80, spikes=(9, 6))
    assert bill(layer, of(Kind.SNN, layer, n=3)) == pytest.approx(access(80, 2 * 2 * 80) + access(1000, 5))


@pytest.mark.parametrize(("kind", "moved"), [("add", 3), ("scale", 3), ("sigmoid", 2)])
def test_sums_and_gates_read_their_operands_and_write_their_result(kind, moved):
    layer = LayerCounts(name="x", kind=kind, output_shape=(5, 4, 4), input_numel=80, output_numel=80)
    assert bill(layer, of(Kind.SNN, layer)) == pytest.approx(access(80, 2 * moved * 80))


@pytest.mark.parametrize("kind", ["relu", "bn", "maxpool", "avgpool", "concat", "split", "shuffle", "dropout"])
def test_what_works_on_the_way_to_memory_has_no_traffic(kind):
    layer = LayerCounts(name="x", kind=kind, output_shape=(5, 4, 4), input_numel=80, output_numel=80)
    assert traffic(layer, of(Kind.CNN, layer, steps=1)) == {}


def test_the_mode_adds_traffic_to_the_arithmetic_of_exact_with_neurons():
    conv = LayerCounts(**SHAPE, input_is_spikes=True, ac=(300, 180), mac=(0, 0), input_nonzero=(7, 5))
    act = LayerCounts(name="act", kind="neuron", output_shape=(5, 4, 4), input_numel=80, output_numel=80, spikes=(9, 6))
    counts = of(Kind.SNN, conv, act, n=3)
    memory, without = (MODES[mode].tally(counts) for mode in ("memory", "exact+neuron"))
    assert (memory.acs, memory.macs) == (without.acs, without.macs)
    assert price(memory, HOROWITZ) == pytest.approx(price(without, HOROWITZ) + bill(conv, counts) + bill(act, counts))
    assert price(memory, HOROWITZ) == pytest.approx(sum(price(layer, HOROWITZ) for layer in memory.layers))
    assert memory.other["lif-update"] == 2 * 80


def test_on_a_chip_spikes_cost_the_same_with_and_without_memory():
    """The price of its SynOp contains the memory."""
    conv = LayerCounts(**SHAPE, input_is_spikes=True, ac=(300, 180), mac=(0, 0), input_nonzero=(7, 5))
    memory, without = (MODES[mode].tally(of(Kind.SNN, conv)) for mode in ("memory", "exact+neuron"))
    for name in ("loihi", "truenorth", "seneca"):
        chip = profiles()[name]
        assert chip.synop_with_memory
        assert price(memory, chip) == price(without, chip) > 0


def test_spikes_that_nobody_counted_have_no_traffic_to_price():
    layer = LayerCounts(**SHAPE, input_is_spikes=True, ac=(300, 180), mac=(0, 0))
    with pytest.raises(UnknownLayer, match="not counted"):
        MODES["memory"].tally(of(Kind.SNN, layer))


def test_counts_from_before_the_mode_are_priced_too():
    """A layer as it was stored before: no field is needed that was not there."""
    old = {"name": "conv", "kind": "conv", "output_shape": [5, 4, 4], "params": 95, "dense_ops": 1440, "bias_ops": 80,
           "input_numel": 32, "output_numel": 80, "input_is_spikes": True, "constant_input": False, "ac": [300, 180],
           "mac": [0, 0], "input_nonzero": [7, 5], "spikes": []}  # fmt: skip
    stored = {"version": 1, "kind": "snn", "time_steps": 2, "n_samples": 3, "layers": [old]}
    synops, spikes, biases = (300 + 180) / 3, (7 + 5) / 3, 80 * 2  # an image; a bias at each of two steps
    by_hand = access(1000, spikes) + access(95, synops + biases) + access(80, 2 * synops)
    by_hand += synops * 0.1 + 2 * spikes * 3.2 + (synops + biases) * 0.9  # addresses; then SynOps, biases
    assert price(MODES["memory"].tally(Counts.model_validate(stored)), HOROWITZ) == pytest.approx(by_hand)


def test_the_worked_example_of_the_docs():
    """A corner spike reaches 4 x 2 outputs, one in the middle 9 x 2; 18 neurons, 3 of which fire."""
    conv = LayerCounts(name="conv", kind="conv", output_shape=(2, 3, 3), params=20, dense_ops=162, bias_ops=18,
                       input_numel=9, output_numel=18, input_is_spikes=True, ac=(4 * 2 + 9 * 2,), mac=(0,),
                       input_nonzero=(2,))  # fmt: skip
    act = LayerCounts(name="act", kind="neuron", output_shape=(2, 3, 3), input_numel=18, output_numel=18, spikes=(3,))
    counts = of(Kind.SNN, conv, act, steps=1)
    tallies = {name: mode.tally(counts) for name, mode in MODES.items()}
    assert {name: (tally.acs, tally.macs) for name, tally in tallies.items()} == {
        "paper": (58, 0),
        "syops": (58, 0),
        "exact": (26, 0),
        "exact+bits": (26, 0),
        "exact+neuron": (62, 18),
        "memory": (62, 18),
    }
    by_hand = (2 + 3) * 4000 / 8192 * 10 + (26 + 18) * 80 / 8192 * 10 + (2 * 26 + 2 * 18) * 72 / 8192 * 10
    by_hand += 26 * 0.1 + 4 * 3.2
    assert memory_pj(tallies["memory"], HOROWITZ) == pytest.approx(by_hand)
    text = (Path(__file__).parents[2] / "docs" / "accounting.md").read_text()
    for name in ("paper", "exact", "exact+bits", "exact+neuron", "memory"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` | ") and " pJ |" in line)
        assert row.endswith(f"| {price(tallies[name], HOROWITZ):.1f} pJ |")
    assert f"The {by_hand:.1f} pJ:" in text


def test_the_profile_in_the_docs_is_one():
    text = (Path(__file__).parents[2] / "docs" / "accounting.md").read_text()
    toml = text.split("```toml\n")[1].split("```")[0]
    profile = read_profile(toml, origin="docs", hosts=profiles())
    assert (profile.ac_pj, profile.mac_pj, profile.ac_range, profile.neuron_pj) == (4.5, 4.6, (4.5, 9), 30)
