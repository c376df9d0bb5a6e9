"""Whole runs of compressed networks: resumed, gone on from, counted again, disturbed and written for other tools."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import called
from training import configs, go, numbers, stop_at

from core.analysis.exits import image_energy
from core.bundle import Bundle
from core.compression import counts_size, plan_size
from core.datasets.load import load
from core.energy.bits import bit_synops
from core.energy.modes import MODES
from core.energy.price import layers
from core.energy.profiles import profiles
from core.engine.network import Network
from core.engine.retest import retest
from core.engine.robustness import measure
from core.engine.sources import kernels, trained
from core.engine.start_from import adapt, require_one_scale
from core.errors import BadValue, Interrupted
from core.exchange import spikingjelly_file
from core.exchange.source import read
from core.forecast import stored, training_memory_bytes
from core.oracles.recount import recount
from core.recipes.build import plan_of
from core.schemas.run import Kind, RunConfig

#: 3 steps an epoch, 3 batches to validate, 3 to test.
SMALL = {"train_limit": 48, "batch_size": 16, "max_epochs": 2, "time_steps": 2}
FIFTH = {"compression.keep": 0.2, "compression.bits": 2}
config = configs(**SMALL)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Bundle]:
    home = tmp_path_factory.mktemp("runs")
    for name, wanted in {"plain": config(), "fifth": config(**FIFTH), "cnn": config("cnn", **FIFTH)}.items():
        go(wanted, home / name)
    return {name: Bundle(home / name) for name in ("plain", "fifth", "cnn")}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load("digits", tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name, kind", [("fifth", Kind.SNN), ("cnn", Kind.CNN)])
def test_a_run_leaves_what_its_figures_follow_from(runs, name: str, kind: Kind) -> None:
    bundle = runs[name]
    summary, counts, wanted = bundle.summary(), bundle.counts(), bundle.config()
    assert summary.kind is kind
    assert summary.params == plan_of(wanted).params  # scores are no parameters of what was trained
    assert counts_size(counts, summary.params) == plan_size(plan_of(wanted), wanted.compression)
    by_name = {layer.name: layer for layer in counts.layers}
    assert (by_name["stem.conv"].weight_bits, by_name["stem.conv"].input_bits) == (4, 8)
    assert (by_name["F9.squeeze.conv"].weight_bits, by_name["F9.squeeze.conv"].input_bits) == (2, None)
    assert by_name["F9.squeeze.conv"].kept_params == 8192 - 6553  # 64 x 128 weights, floor(0.8 n) of them pruned
    for name_, kernel in kernels(bundle).items():
        left = by_name[name_].kept_params
        assert np.count_nonzero(kernel) == left and len(np.unique(kernel)) <= 2 ** by_name[name_].weight_bits + 1
    metrics = bundle.metrics()
    assert metrics.train_loss[1] < metrics.train_loss[0]
    assert kernels(runs["plain"]) == {}


def test_weights_and_scores_learn(runs) -> None:
    wanted, learned = runs["fifth"].config(), runs["fifth"].weights()
    start = {name: value.numpy() for name, value in Network(plan_of(wanted), wanted).state_dict().items()}
    for name in ("F9.expand3.conv.weight", "F9.expand3.conv.scores"):
        assert not np.array_equal(learned[name], start[name])


@pytest.mark.parametrize("look", [2, 5, 8])  # a step, a validation, the second epoch
def test_a_stopped_run_ends_with_the_same_bits(runs, tmp_path, look: int) -> None:
    with pytest.raises(Interrupted):
        go(config(**FIFTH), tmp_path / "cut", should_stop=stop_at(look))
    go(config(**FIFTH), tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(runs["fifth"].path)


def test_averaged_weights_and_their_mask_are_kept(tmp_path) -> None:
    wanted = config(select="ema", ema=0.5, **FIFTH)
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "cut", should_stop=stop_at(4))
    go(wanted, tmp_path / "cut")
    go(wanted, tmp_path / "whole")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")


def from_(bundle: Bundle, kind: str = "snn", **overrides) -> RunConfig:
    return config(kind, start="bundle", start_bundle=bundle.weights_sha256, **overrides)


def test_a_finished_run_is_compressed_by_fine_tuning(runs, tmp_path) -> None:
    """Without an epoch it is the finished run, pruned and rounded; a mask of its own order."""
    source = runs["plain"]
    go(from_(source, max_epochs=0, **FIFTH), tmp_path / "cut", start=source.path)
    made, before = kernels(Bundle(tmp_path / "cut"))["F9.expand3.conv"], source.weights()["F9.expand3.conv.weight"]
    left = 147_456 - 117_964
    assert set(np.flatnonzero(made)) == set(np.argsort(-np.abs(before), axis=None, kind="stable")[:left])
    step = 0.996 * before.std(ddof=1)
    # of evenly spread weights the largest fifth lies beyond the first level
    np.testing.assert_allclose(np.unique(np.abs(made)), [0, 3 * step / 2], rtol=1e-5)
    go(from_(source, **FIFTH), tmp_path / "tuned", start=source.path)
    assert Bundle(tmp_path / "tuned").metrics().train_loss[0] != source.metrics().train_loss[0]


def test_a_compressed_run_goes_on_as_it_is_and_as_what_it_computes_with(runs, tmp_path) -> None:
    source = runs["fifth"]
    go(from_(source, max_epochs=0, **FIFTH), tmp_path / "same", start=source.path)
    assert numbers(tmp_path / "same")["weights"] == numbers(source.path)["weights"]
    summary, _ = go(from_(source, max_epochs=0), tmp_path / "plain", start=source.path)
    assert summary.accuracy == source.summary().accuracy
    assert np.array_equal(Bundle(tmp_path / "plain").predictions().outputs, source.predictions().outputs)
    found = Bundle(tmp_path / "plain").weights()
    assert not any(name.endswith("scores") for name in found)
    assert all(np.array_equal(found[f"{name}.weight"], kernel) for name, kernel in kernels(source).items())


def test_another_threshold_scales_levels_with_the_weights(runs) -> None:
    """v_threshold 2: twice the current, so twice the weights behind spikes' normalisation; the same spikes."""
    source, target = runs["fifth"].config(), config(v_threshold=2.0, **FIFTH)
    state = {name: torch.from_numpy(value) for name, value in runs["fifth"].weights().items()}
    moved = Network(plan_of(target), target).eval()
    moved.load_state_dict(adapt(state, source, target))
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(moved(x), trained(runs["fifth"])(x))


def test_scales_that_differ_between_channels_cannot_be_taken_up_by_few_bits() -> None:
    one, apart = torch.full((128,), 2.0), torch.linspace(1, 2, 128)
    for overrides, refused in ((FIFTH, True), ({"keep": 0.2, "scores": "magnitude"}, True), ({"keep": 0.2}, False)):
        wanted = config(**overrides)
        layer = Network(plan_of(wanted), wanted).get_submodule("F9.squeeze.conv")
        require_one_scale(layer, one, one[:64], wanted)
        if refused:
            with pytest.raises(BadValue, match="compressed weights cannot take them up"):
                require_one_scale(layer, apart, one[:64], wanted)
        else:  # its scores say what is kept, whatever the weights are
            require_one_scale(layer, apart, one[:64], wanted)


@pytest.mark.parametrize("counter", ["spikingjelly", "syops", "neurobench"])
def test_foreign_counters_see_the_kernels(runs, digits, counter: str) -> None:
    found = recount(runs["fifth"], digits.test_images, digits.test_labels, counter=counter, n=8)
    assert found.equal and found.answers_equal == 8
    layer = next(layer for layer in found.layers if layer.name == "F9.squeeze.conv")
    if counter == "neurobench":
        assert layer.exact == layer.theirs and not layer.reason
    if counter == "spikingjelly":
        assert layer.theirs.acs > layer.exact.acs > 0 and "pruned" in layer.reason


def test_the_test_set_answers_again_as_it_did(runs, digits) -> None:
    again = retest(runs["fifth"], digits, n=64)
    assert again.same_bits and again.operations == again.operations_again


def test_fewer_bits_are_those_of_the_kernels(runs, digits) -> None:
    found = measure(runs["fifth"], digits, n=16)
    assert found.answers_equal == 16
    by_bits = {point.strength: point for point in found.points if point.kind == "weight_bits"}
    assert by_bits[8].gained + by_bits[8].lost <= 2  # 4 levels at 8 bits are nearly what they were


def test_an_exported_network_computes_with_the_kernels(runs, digits, tmp_path: Path, monkeypatch) -> None:
    bundle = runs["fifth"]
    with pytest.raises(ValueError, match="kernels"):
        read(bundle)
    spikingjelly_file.write(read(bundle, kernels(bundle)), tmp_path / "compressed_net.py")
    monkeypatch.syspath_prepend(tmp_path)
    compressed_net = import_module("compressed_net")

    stored_outputs = bundle.predictions()
    images = torch.from_numpy(digits.test_images[stored_outputs.index[:16]])
    with torch.no_grad():
        outputs = compressed_net.load()(compressed_net.prepare(images))
    torch.testing.assert_close(
        outputs, torch.from_numpy(stored_outputs.outputs[:16]).transpose(0, 1), rtol=1e-3, atol=1e-4
    )


def test_the_command_line_shows_sizes_and_bit_synops(runs) -> None:
    told = json.loads(called("bundle", "show", str(runs["fifth"].path), "--json").stdout)
    bundle = runs["fifth"]
    counts, params = bundle.counts(), bundle.summary().params
    assert told["size"] == counts_size(counts, params).model_dump()
    exactly = sum(bit_synops(layer, counts) for layer in counts.layers)
    assert told["bit_synops"]["exact"] == pytest.approx(exactly) and 0 < told["bit_synops"]["by_rate"] < exactly
    shown = called("bundle", "show", str(bundle.path)).stdout
    assert "Size, with a bitmap" in shown and "Bit-SynOps" in shown
    assert "Bit-SynOps" not in called("bundle", "show", str(runs["plain"].path)).stdout


def test_early_exit_is_priced_at_the_weights_bits_image_by_image(runs) -> None:
    bundle = runs["fifth"]
    counts = bundle.counts()
    for mode in ("exact+bits", "memory"):
        priced = {"mode": MODES[mode], "profile": profiles()["horowitz-45nm"]}
        energy = image_energy(counts, bundle.counts_per_sample(counts), **priced).energy_pj
        assert energy.sum((1, 2)).mean() == pytest.approx(layers(counts, {}, **priced).total_energy_pj)


def test_a_forecast_knows_the_scores() -> None:
    plain, learned, magnitude = config(), config(**FIFTH), config(**FIFTH, scores="magnitude")
    plan = plan_of(plain)
    weights = sum(node.fan_in * node.shape[0] for node in plan.nodes if node.op == "conv")
    assert [stored(plan, one) for one in (plain, learned, magnitude)] == [
        plan.params, plan.params + weights, plan.params,
    ]  # fmt: skip
    needs = [training_memory_bytes(plan, one) for one in (plain, magnitude, learned)]
    assert needs == sorted(needs) and needs[0] < needs[1] < needs[2]
