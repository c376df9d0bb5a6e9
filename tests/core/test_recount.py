"""A bundle counted again by SpikingJelly, syops and NeuroBench: equal where it should be, and loud where it is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bundles import DIGITS, IMAGES, LABELS, N, made
from commands import called
from safetensors.torch import save
from smallest import smallest_mask

from core.backbones.catalog import BACKBONES
from core.bundle import Bundle
from core.energy.modes import MODES
from core.engine.experiment import run as train
from core.engine.tested import spread
from core.errors import BadValue, BundleCorrupt, PackageMissing, UnknownLayer, UnknownName
from core.oracles.recount import recount
from core.oracles.spikingjelly_counts import neuron_of
from core.oracles.tools import TOOLS, is_two_valued
from core.recipes.build import build_config, plan_of
from core.report.recount_words import faults, headline, notes, shared
from core.schemas.recount import Recount
from core.schemas.request import RunRequest
from core.schemas.run import Kind, NeuronConfig


def again(bundle: Bundle, counter="spikingjelly", n=N, **options) -> Recount:
    return recount(bundle, IMAGES, LABELS, counter=counter, n=n, **options)


def layer(found: Recount, name: str):
    return next(row for row in found.layers if row.name == name)


REBUILT = [
    # a CNN is rebuilt of the same parts with a ReLU for each neuron: one with pools and one with gates show it
    pytest.param(backbone, kind, marks=[] if kind == "snn" or backbone in ("squeezenet", "mixnet") else pytest.mark.exhaustive)
    for backbone in BACKBONES
    for kind in ("snn", "cnn")
]  # fmt: skip


@pytest.mark.parametrize(("backbone", "kind"), REBUILT)
def test_every_backbone_rebuilt_gives_the_same_answers_spikes_and_operations(tmp_path, backbone, kind):
    # squeezenet at full size; of the others two steps of a batch and an image, which are no other case
    steps, n = (3, N) if backbone == "squeezenet" else (2, 9)
    bundle = made(tmp_path, backbone=backbone, kind=kind, time_steps=steps, mask=smallest_mask(backbone))
    for counter in TOOLS:
        found = again(bundle, counter, n)
        assert (found.n_images, found.answers_equal, faults(found)) == (n, n, []), counter
        assert found.equal and found.stored.within
        assert [row.name for row in found.layers] == [node.name for node in plan_of(bundle.config()).nodes[1:]]
        told = [row for row in found.layers if row.theirs is not None]
        assert {row.kind for row in told} >= {"conv"} and sum(row.theirs.acs + row.theirs.macs for row in told) > 0
        for row in told:  # a difference from the mode exact is never left without its reason
            same = (row.theirs.acs, row.theirs.macs) == pytest.approx((row.exact.acs, row.exact.macs), rel=1e-6)
            assert bool(row.reason) is not same, row


NEURONS = [
    {"model": model, "reset": reset, "tau": 1.4, "v_threshold": 0.7}
    for model in ("lif", "if", "plif")
    for reset in ("hard", "soft")
]


@pytest.mark.parametrize("neuron", NEURONS, ids=lambda neuron: f"{neuron['model']}-{neuron['reset']}")
def test_every_neuron_that_spikingjelly_has_fires_the_same_spikes(tmp_path, neuron):
    bundle = made(tmp_path, neuron=NeuronConfig(**neuron))
    for counter in TOOLS:
        found = again(bundle, counter)
        assert found.equal, faults(found)
        sent = [row.spikes for row in found.layers if row.spikes is not None]
        assert len(sent) == 4 and all(spikes.ours == spikes.theirs > 0 for spikes in sent)


def test_a_learned_time_constant_is_rebuilt_with_the_value_that_it_learned(tmp_path):
    bundle = made(tmp_path, neuron=NeuronConfig(model="plif", tau=2.0))
    weights = {name: torch.from_numpy(value.copy()) for name, value in bundle.weights().items()}
    before = layer(again(bundle), "stem.act").spikes.theirs
    weights["stem.act.w"] += 1.5  # sigmoid(1.5) = 0.82 in place of 0.5: charges faster
    bundle.write_bytes("weights.safetensors", save(weights))
    for counter in TOOLS:
        found = again(bundle, counter)
        assert found.answers_equal == N and found.operations_equal
        assert layer(found, "stem.act").spikes.theirs > before


@pytest.mark.parametrize("encoding", ["rate", "latency"])
def test_coded_inputs_are_those_of_the_test(tmp_path, encoding):
    bundle = made(tmp_path, encoding=encoding)
    for counter in TOOLS:
        found = again(bundle, counter, n=9)
        assert found.equal, faults(found)
        # drawn again, or from another image on, the stored spikes would differ by far more than rounding
        assert found.stored.operations_difference < 1e-3 and found.stored.spikes_difference < 1e-3


@pytest.mark.parametrize(("backbone", "n"), [("squeezenet", N), ("mixnet", 9)])  # pools, and gates
def test_a_converted_network_without_training_pools_and_gates_its_sums_in_the_rebuilt_one_too(tmp_path, backbone, n):
    training = {"max_epochs": 0, "teacher_epochs": 1}
    neuron = NeuronConfig(model="if", reset="soft")
    bundle = made(tmp_path, backbone=backbone, start="converted", training=training, neuron=neuron)
    for counter in TOOLS:
        found = again(bundle, counter, n)
        assert found.equal, (counter, faults(found))


def test_the_counts_of_exact_are_the_modes_own_over_the_recounted_images(tmp_path):
    bundle = made(tmp_path)
    found = again(bundle)
    charged = MODES["exact"].tally(bundle.counts())
    assert sum(row.exact.acs for row in found.layers) == round(N * charged.acs)
    assert sum(row.exact.macs for row in found.layers) == round(N * charged.macs)


def test_each_tool_counts_by_its_own_rules_as_computed_by_hand(tmp_path):
    bundle = made(tmp_path)
    nodes = {node.name: node for node in plan_of(bundle.config()).nodes}
    counts = {row.name: row for row in bundle.counts().layers}
    T, stem, squeeze = 3, nodes["stem.conv"], nodes["F9.squeeze.conv"]
    found = {counter: again(bundle, counter) for counter in TOOLS}
    dense = N * T * 3 * 9 * stem.shape[0] * stem.shape[1] * stem.shape[2]  # 3 channels, 3x3 taps, padding too
    assert layer(found["spikingjelly"], "stem.conv").theirs.macs == dense
    assert layer(found["syops"], "stem.conv").theirs.macs == dense + N * T * stem.numel  # and the bias
    # the normalised background of the digits is not 0, so NeuroBench misses only the taps outside the image
    assert layer(found["neurobench"], "stem.conv").theirs.macs == T * layer(found["neurobench"], "stem.conv").exact.macs
    effective = sum(counts["F9.squeeze.conv"].ac)
    for counter in ("spikingjelly", "neurobench"):
        assert layer(found[counter], "F9.squeeze.conv").theirs.acs == effective
    rate = sum(counts["F9.squeeze.conv"].input_nonzero) / (N * T * squeeze.in_numel)
    by_rate = (squeeze.dense_ops + squeeze.numel) * N * T * rate
    assert layer(found["syops"], "F9.squeeze.conv").theirs.acs == pytest.approx(by_rate, rel=1e-9)
    assert "firing rate" in layer(found["syops"], "F9.squeeze.conv").reason
    assert layer(found["spikingjelly"], "F9.squeeze.conv").reason == ""
    assert layer(found["spikingjelly"], "pool1").theirs is None  # no rule, and that is said
    assert "count convolutions and normalisations" in " ".join(notes(found["spikingjelly"]))


def test_another_threshold_in_the_rebuilt_network_is_found(tmp_path, monkeypatch):
    bundle = made(tmp_path)

    def wrong(config, step_mode="s"):
        return neuron_of(config.model_copy(update={"v_threshold": 1.01 * config.v_threshold}), step_mode)

    monkeypatch.setattr("core.oracles.rebuild.neuron_of", wrong)
    found = again(bundle)
    assert not found.equal and not layer(found, "stem.act").equal
    assert "not all is equal" in headline(found)
    assert any("stem.act sends" in sentence for sentence in faults(found))


def test_a_counter_that_counts_otherwise_than_its_rules_is_found(tmp_path, monkeypatch):
    bundle = made(tmp_path)
    honest = TOOLS["spikingjelly"].measure

    def less(model, batches):
        found = honest(model, batches)
        found["F9.squeeze.conv"] = (found["F9.squeeze.conv"][0] - 1, 0)
        return found

    tool = TOOLS["spikingjelly"]
    monkeypatch.setitem(TOOLS._entries, "spikingjelly", type(tool)(**{**vars(tool), "measure": less}))
    found = again(bundle)
    assert [row.name for row in found.layers if not row.equal] == ["F9.squeeze.conv"]
    ours = layer(found, "F9.squeeze.conv").ours.acs
    assert f"{ours:,} AC by our values, and {ours - 1:,} AC by SpikingJelly" in faults(found)[0]


def test_weights_of_another_run_are_found_by_what_the_bundle_stored(tmp_path):
    bundle, other = made(tmp_path / "one"), made(tmp_path / "other", seed=5)
    bundle.write_bytes("weights.safetensors", other.read("weights.safetensors"))
    found = again(bundle)
    assert found.operations_equal and found.answers_equal == N  # the two networks agree on these weights
    assert not found.equal and not found.stored.within
    assert "not of one run" in faults(found)[0]


def test_a_layer_that_is_missing_among_the_weights_is_a_damaged_bundle(tmp_path):
    bundle = made(tmp_path)
    bundle.write_bytes("weights.safetensors", save({"stem.conv.bias": torch.zeros(1)}))
    with pytest.raises(BundleCorrupt, match=r"weights\.safetensors"):
        again(bundle)


def test_another_test_set_is_refused(tmp_path):
    bundle = made(tmp_path)
    with pytest.raises(BadValue, match="the data set that the run was tested on"):
        recount(bundle, DIGITS.test_images, DIGITS.test_labels, n=4)
    with pytest.raises(BadValue, match="digits"):
        recount(bundle, IMAGES, (LABELS + 1) % 10, n=4)


def test_neurons_that_spikingjelly_has_not_are_refused_by_name():
    neuron = NeuronConfig().model_copy(update={"model": "resonate"})
    with pytest.raises(UnknownLayer, match="resonate"):
        neuron_of(neuron)


def test_an_unknown_counter_names_near_ones_and_a_missing_package_its_extra(tmp_path, monkeypatch):
    bundle = made(tmp_path)
    with pytest.raises(UnknownName, match="Did you mean syops"):
        again(bundle, "syop")
    monkeypatch.setitem(sys.modules, "neurobench", None)  # as if it were not installed
    with pytest.raises(PackageMissing, match=r"neurobench.*pip install -c constraints.txt -e '\.\[test\]'"):
        again(bundle, "neurobench")


def test_the_images_are_spread_over_the_test_set_but_for_rate_coding():
    assert spread(100, 4, first=False).tolist() == [0, 25, 50, 75]
    assert spread(100, 4, first=True).tolist() == [0, 1, 2, 3]
    assert spread(3, 8, first=False).tolist() == [0, 1, 2]


def test_time_that_is_used_up_ends_it_after_whole_batches_and_at_least_one(tmp_path):
    bundle = made(tmp_path)
    assert again(bundle, budget_s=0.0).n_images == 8
    assert again(bundle, budget_s=1e6).n_images == N
    assert again(bundle, budget_s=0.0).equal


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 1], True),
        ([0, 0, 0], True),
        ([0, 0.3, 0.3], True),
        ([0, 0.3, 1], False),
        ([0, 2], False),
        ([-1, 0], False),
    ],
)
def test_what_syops_takes_for_spikes_is_judged_as_it_does(values, expected):
    from core.oracles.syops_counts import load_syops

    tensor = torch.tensor(values, dtype=torch.float64)
    assert is_two_valued(tensor) is expected is load_syops()[1].spike_rate(tensor)[0]


def test_a_blind_share_says_neither_version_nor_how_many(tmp_path):
    found = again(made(tmp_path))
    told = shared(found)
    assert (
        headline(told)
        == headline(found)
        == f"Recounted by SpikingJelly 2.0.0: {N} of {N} answers and all operations equal."
    )
    blind = told.model_copy(update={"counter_version": None, "recounted_images": None, "recounted_equal": None})
    assert headline(blind) == "Recounted by SpikingJelly: all answers and all operations equal."


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A small real run without a recount."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    overrides = {"training.max_epochs": 1, "training.train_limit": 64, "time_steps": 2}
    config = build_config(RunRequest(kind=Kind.SNN, mask=["F9"], dataset="digits", recipe="smoke", overrides=overrides))
    train(config, out=folder, data_dir=folder, device="cpu", threads=1, emit=lambda event: None)
    return folder


def command(*words: str, **environment: str) -> subprocess.CompletedProcess:
    return called(*words, **{"SPIKEFRONT_HOME": "/nonexistent/spikefront", "COLUMNS": "60", **environment})


def test_the_command_prints_ours_beside_theirs_and_leaves_the_bundle_alone(trained):
    before = {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}
    done = command("bundle", "recount", str(trained), "--images", "8", "--with", "syops")
    assert done.returncode == 0, done.stderr
    first, *_ = done.stdout.splitlines()
    assert first == "Recounted by syops 0.0.5: 8 of 8 answers and all operations equal."
    row = next(line for line in done.stdout.splitlines() if line.startswith("F9.squeeze.conv"))
    assert row.count(" AC") == 4 and row.endswith("equal")  # exact, ours by its rules, theirs, the difference
    assert "multiplies dense operations and biases by the firing rate" in done.stdout
    assert done.stderr == ""
    assert before == {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}

    as_json = command("bundle", "recount", str(trained), "--images", "3", "--json")
    content = json.loads(as_json.stdout)
    assert content.pop("equal") is True
    found = Recount.model_validate(content)
    assert (found.counter, found.counter_version, found.n_images, found.answers_equal) == (
        "spikingjelly",
        "2.0.0",
        3,
        3,
    )


def test_the_command_ends_with_1_where_something_differs_and_names_what_is_wrong(trained, tmp_path):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    bundle = Bundle(copy)
    weights = {name: torch.from_numpy(value.copy()) for name, value in bundle.weights().items()}
    weights["stem.conv.weight"] *= -1
    bundle.write_bytes("weights.safetensors", save(weights))
    done = command("bundle", "recount", str(copy), "--images", "4", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["code"] == "bundle-corrupt"  # not what the manifest says
    bundle.seal()
    done = command("bundle", "recount", str(copy), "--images", "4")
    assert done.returncode == 1
    assert "not all is equal" in done.stdout and "not of one run" in done.stdout
    for words, said in ((["--with", "flops"], "counter"), (["--images", "0"], "images")):
        done = command("bundle", "recount", str(trained), *words)
        assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr
