"""Runs made from finished runs: weights to start from, any network as teacher, its answers stored."""

import json
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import called
from training import configs, go, numbers, stop_at

from core.bundle import Bundle
from core.datasets.load import load
from core.engine import answers as stored
from core.engine.data import Images, Normaliser, TrainBatches, split
from core.engine.network import Network
from core.engine.start_from import adapt
from core.errors import BadValue, BundleCorrupt, Interrupted
from core.recipes.build import plan_of
from core.schemas.run import Kind, RunConfig

CPU = torch.device("cpu")
#: 3 steps an epoch, 3 batches to validate, 3 to test.
SMALL = {"train_limit": 48, "batch_size": 16, "max_epochs": 1, "time_steps": 2}
config = configs(**SMALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Bundle]:
    """A finished spiking run, a CNN, a spiking run of another mask that is no twin of any."""
    home = tmp_path_factory.mktemp("trained")
    for name, wanted in {"snn": config(), "cnn": config("cnn"), "other": config(mask="F8,F9", lr=0.01)}.items():
        go(wanted, home / name)
    return {name: Bundle(home / name) for name in ("snn", "cnn", "other")}


def from_(bundle: Bundle, kind: str = "snn", **overrides) -> RunConfig:
    return config(kind, start="bundle", start_bundle=bundle.weights_sha256, **overrides)


# Start.


def test_a_run_starts_from_the_weights_of_a_bundle(trained, tmp_path) -> None:
    summary, _ = go(from_(trained["snn"], max_epochs=0), tmp_path / "as-it-comes", start=trained["snn"].path)
    source = trained["snn"].summary()
    assert (summary.accuracy, summary.acs, summary.epochs_run) == (source.accuracy, source.acs, 0)
    assert numbers(tmp_path / "as-it-comes")["weights"] == numbers(trained["snn"].path)["weights"]
    noted = Bundle(tmp_path / "as-it-comes").environment()["start"]
    assert noted["weights_sha256"] == trained["snn"].weights_sha256
    assert noted["config_hash"] == trained["snn"].config().config_hash
    go(from_(trained["snn"]), tmp_path / "trained-on", start=trained["snn"].path)
    afresh = trained["snn"].metrics().train_loss[0]
    assert Bundle(tmp_path / "trained-on").metrics().train_loss[0] < afresh


def test_a_network_goes_on_at_another_t_or_as_the_other_kind(trained, tmp_path) -> None:
    summary, _ = go(from_(trained["snn"], max_epochs=0, time_steps=3), tmp_path / "t3", start=trained["snn"].path)
    assert summary.time_steps == 3 and Bundle(tmp_path / "t3").predictions().outputs.shape[1] == 3
    go(from_(trained["cnn"], "snn", max_epochs=0), tmp_path / "spiking", start=trained["cnn"].path)
    go(from_(trained["cnn"], "cnn"), tmp_path / "cnn", start=trained["cnn"].path)
    kept = [numbers(path)["weights"] for path in (tmp_path / "spiking", trained["cnn"].path)]
    assert kept[0] == kept[1] != numbers(tmp_path / "cnn")["weights"]


def test_the_weights_are_in_the_hash_of_either_kind_and_in_no_twins() -> None:
    a, b = ("a" * 64, "b" * 64)
    for kind in Kind:
        made = [config(kind, start="bundle", start_bundle=sha) for sha in (a, b)]
        assert len({made[0].config_hash, made[1].config_hash, config(kind).config_hash}) == 3
        assert {one.twin_hash for one in made} == {config().twin_hash}
        assert made[0].twin() == config(kind).twin() and not made[0].needs_teacher


@pytest.mark.parametrize("look", [2, 5, 8])  # a step, a validation, the test
def test_a_run_from_a_bundle_goes_on_to_the_same_bits_when_the_bundle_is_gone(trained, tmp_path, look: int) -> None:
    wanted, given = from_(trained["snn"]), tmp_path / "given"
    go(wanted, tmp_path / "whole", start=trained["snn"].path)
    shutil.copytree(trained["snn"].path, given)
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "cut", start=given, should_stop=stop_at(look))
    shutil.rmtree(given)
    go(wanted, tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")
    bundle = Bundle(tmp_path / "cut")
    assert bundle.environment()["start"] == Bundle(tmp_path / "whole").environment()["start"]
    assert not bundle.checkpoint.exists()  # the copy has gone with it


def test_a_start_that_is_not_brought_or_is_another_is_refused_before_anything_is_written(trained, tmp_path) -> None:
    wanted = from_(trained["snn"])
    with pytest.raises(BadValue, match="--from") as caught:
        go(wanted, tmp_path / "run")
    assert caught.value.fields["field"] == "start_bundle"
    for folder, said in ((trained["other"].path, "SHA-256"), (tmp_path / "nothing", "finished")):
        with pytest.raises(BadValue, match=said):
            go(wanted, tmp_path / "run", start=folder)
    with pytest.raises(BadValue, match="start is 'random'; it must be bundle"):
        go(config(), tmp_path / "run", start=trained["snn"].path)
    with pytest.raises(BadValue, match="mask is .* that of the run to start from"):
        go(from_(trained["snn"], mask="F8,F9"), tmp_path / "run", start=trained["snn"].path)
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_damaged_start_is_refused(trained, tmp_path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(trained["snn"].path, broken)
    content = bytearray((broken / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (broken / "weights.safetensors").write_bytes(content)
    with pytest.raises(BundleCorrupt, match="SHA-256"):
        go(from_(trained["snn"]), tmp_path / "run", start=broken)


def test_what_neurons_learn_begins_anew_where_the_source_has_none_and_is_left_out_where_the_target_has_none() -> None:
    lif, plif = config(), config(**{"neuron.model": "plif", "tau": 1.5})
    states = {one.neuron.model: Network(plan_of(one), one).state_dict() for one in (lif, plif)}
    states["plif"]["stem.act.w"].fill_(9.0)
    assert adapt(states["plif"], plif, lif).keys() == states["lif"].keys()
    adapted = adapt(states["lif"], lif, plif)
    assert float(adapted["stem.act.w"]) == pytest.approx(-np.log(0.5))  # sigmoid(w) = 1 / 1.5
    assert float(adapt(states["plif"], plif, plif)["stem.act.w"]) == 9
    del states["lif"]["stem.bn.weight"]
    with pytest.raises(BadValue, match="stem.bn.weight"):
        adapt(states["lif"], lif, lif)


# Teachers.


def taught_by(bundle: Bundle, **overrides) -> RunConfig:
    return config(distillation=0.5, teacher=bundle.weights_sha256, **overrides)


def test_any_finished_run_may_teach_and_no_twin_is_trained(trained, tmp_path) -> None:
    wanted = taught_by(trained["other"], distillation_per_step=True)
    assert not wanted.needs_teacher and wanted.has_given_teacher
    assert not wanted.twin().has_given_teacher and wanted.twin_hash == config().twin_hash
    _, events = go(wanted, tmp_path / "run", teacher=trained["other"].path)
    assert {event.part for event in events if event.type == "epoch"} == {"run"}
    noted = Bundle(tmp_path / "run").environment()["teacher"]
    assert noted["config_hash"] == trained["other"].config().config_hash
    go(taught_by(trained["cnn"], distillation_per_step=True), tmp_path / "cnn", teacher=trained["cnn"].path)
    assert numbers(tmp_path / "cnn")["weights"] != numbers(tmp_path / "run")["weights"]


def test_a_named_twin_teaches_what_the_unnamed_one_does(trained, tmp_path) -> None:
    go(config(distillation=0.5), tmp_path / "twin", teacher=trained["cnn"].path)
    go(taught_by(trained["cnn"]), tmp_path / "named", teacher=trained["cnn"].path)
    assert numbers(tmp_path / "twin") == numbers(tmp_path / "named")


@pytest.mark.parametrize("answers", ["computed", "stored"])
def test_a_run_with_a_given_teacher_goes_on_to_the_same_bits_when_the_teacher_is_gone(
    trained, tmp_path, answers: str
) -> None:
    wanted = taught_by(trained["other"], teacher_answers=answers, augment="crop-flip", max_epochs=2)
    go(wanted, tmp_path / "whole", teacher=trained["other"].path)
    given = tmp_path / "given"
    shutil.copytree(trained["other"].path, given)
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "cut", teacher=given, should_stop=stop_at(3))
    shutil.rmtree(given)
    go(wanted, tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")


def test_a_given_teacher_that_is_not_brought_is_another_or_of_other_data_is_refused(trained, tmp_path) -> None:
    wanted = taught_by(trained["other"])
    with pytest.raises(BadValue, match="--teacher") as caught:
        go(wanted, tmp_path / "run")
    assert caught.value.fields["field"] == "training.teacher"
    with pytest.raises(BadValue, match="SHA-256"):
        go(wanted, tmp_path / "run", teacher=trained["cnn"].path)
    foreign = wanted.model_copy(update={"dataset": "cifar10"})
    with pytest.raises(BadValue, match="a run on cifar10, not on digits"):
        go(foreign, tmp_path / "run", teacher=trained["other"].path)
    assert not (tmp_path / "run" / "config.json").exists()


# Stored answers.


def part_of(n: int) -> tuple[RunConfig, Images, Network, Normaliser]:
    wanted = config(train_limit=n)
    splits = split(load("digits", Path()), wanted.training, CPU)
    network = Network(plan_of(wanted), wanted).eval()
    return wanted, splits.train, network, Normaliser.of(network, splits.spec, CPU)


def ask(part, network, normalise, *folders, asked=None):
    look = (lambda done, of: asked.append((done, of))) if asked is not None else (lambda done, of: None)
    return stored.answers(network, part, normalise, weights="w", folders=folders, batch_size=16, look=look)


def test_stored_answers_are_the_mean_over_steps_for_each_image_and_its_mirror_image(tmp_path) -> None:
    _, part, network, normalise = part_of(20)
    found = ask(part, network, normalise, tmp_path)
    chosen, mirrored = torch.tensor([3, 19, 3]), torch.tensor([False, True, True])
    pictures = torch.stack([part.images[3], part.images[19].flip(1), part.images[3].flip(1)])
    with torch.inference_mode():
        expected = network(normalise(pictures)).mean(0)
    torch.testing.assert_close(found.of(chosen, mirrored), expected, atol=1e-5, rtol=1e-4)


def test_answers_are_asked_for_once_and_what_is_missing_is_added(tmp_path) -> None:
    _, few, network, normalise = part_of(20)
    _, more, *_ = part_of(50)
    asked: list = []
    first = ask(few, network, normalise, tmp_path / "gone", tmp_path, asked=asked)
    assert asked == [(16, 20), (20, 20)]
    again = ask(few, None_network(network), normalise, tmp_path, asked=asked)
    assert len(asked) == 2
    everything = torch.arange(20), torch.zeros(20, dtype=torch.bool)
    assert torch.equal(first.of(*everything), again.of(*everything))
    known = set(few.index.tolist()) & set(more.index.tolist())
    ask(more, network, normalise, tmp_path, asked=asked)
    assert asked[-1] == (50 - len(known), 50 - len(known))
    assert len(list(tmp_path.iterdir())) == 1  # one file, nothing left over


class None_network:
    """A teacher that must not be asked."""

    def __init__(self, network: Network) -> None:
        self.config = network.config

    def __call__(self, x):
        raise AssertionError("asked again")

    def seed_encoding(self, *key) -> None:
        raise AssertionError("asked again")


def test_answers_to_other_pictures_or_in_a_damaged_file_are_not_taken(tmp_path) -> None:
    _, part, network, normalise = part_of(20)
    ask(part, network, normalise, tmp_path)
    (path,) = tmp_path.iterdir()
    other = Images(images=part.images.clone(), labels=part.labels, index=part.index)
    other.images[7] = 255 - other.images[7]
    asked: list = []
    ask(other, network, normalise, tmp_path, asked=asked)
    assert asked == [(1, 1)]
    path.write_bytes(path.read_bytes()[:100])
    ask(part, network, normalise, tmp_path, asked=asked)
    assert asked[-1] == (20, 20)
    assert zlib.crc32(part.images[7].numpy()) != zlib.crc32(other.images[7].numpy())


@pytest.mark.parametrize("augment", ["none", "crop", "crop-flip", "crop-altflip-cutout"])
def test_a_batch_says_which_images_it_holds_and_which_are_mirrored(augment: str) -> None:
    wanted, part, *_, normalise = part_of(40)
    left = torch.zeros_like(part.images)
    left[:, :, : left.shape[2] // 2] = 255
    part = Images(images=left, labels=torch.arange(40), index=part.index)
    training = wanted.training.model_copy(update={"augment": augment})
    batch = TrainBatches(part, wanted.model_copy(update={"training": training}), normalise).batch(2, 1)
    assert torch.equal(batch.chosen, batch.labels)
    halves = batch.images.float().mean((1, 3)).unflatten(1, (2, -1)).mean(2)
    assert torch.equal(batch.mirrored, halves[:, 1] > halves[:, 0])
    assert bool(batch.mirrored.any()) == ("flip" in augment)


def test_stored_answers_lie_beside_the_given_teacher_for_the_next_run(trained, tmp_path, monkeypatch) -> None:
    given = tmp_path / "given"
    shutil.copytree(trained["other"].path, given, ignore=shutil.ignore_patterns("answers-*"))
    go(taught_by(trained["other"], teacher_answers="stored"), tmp_path / "first", teacher=given)
    assert len(list(given.glob("answers-*.npz"))) == 1
    Bundle(given).verify()
    asked = []
    original = Network.forward
    monkeypatch.setattr(Network, "forward", lambda self, x: asked.append(self.config.mask) or original(self, x))
    wanted = taught_by(trained["other"], teacher_answers="stored", lr=0.001, max_epochs=2)
    go(wanted, tmp_path / "second", teacher=given)
    assert set(asked) == {("F9",)}  # the teacher, of another mask, is not asked
    # without augmentation the stored answers are those of the very pictures
    monkeypatch.undo()
    go(taught_by(trained["other"], lr=0.001, max_epochs=2), tmp_path / "computed", teacher=given)
    losses = [Bundle(tmp_path / name).metrics().train_loss for name in ("second", "computed")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_run_asked_to_stop_while_the_teacher_is_asked_stops(trained, tmp_path) -> None:
    wanted = taught_by(trained["other"], teacher_answers="stored")
    given = tmp_path / "given"
    shutil.copytree(trained["other"].path, given, ignore=shutil.ignore_patterns("answers-*"))
    with pytest.raises(Interrupted) as caught:
        go(wanted, tmp_path / "run", teacher=given, should_stop=stop_at(1))
    assert caught.value.fields == {"epoch": 1, "step": 0}
    assert not list(given.glob("answers-*.npz"))


# The command line.


def spikefront(*words: str, cwd) -> subprocess.CompletedProcess:
    settings = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    return called("train", "--mask", "F9", *settings, "--threads", "1", *words, cwd=cwd)


def test_the_command_line_takes_a_bundle_to_start_from_and_any_bundle_as_teacher(
    trained, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("SPIKEFRONT_HOME", str(tmp_path / "home"))
    start, teacher = str(trained["snn"].path), str(trained["other"].path)
    done = spikefront(
        "--from", start, "--teacher", teacher, "--set", "distillation=0.5", "--out", "run", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    made = Bundle(tmp_path / "run").config()
    assert (made.start, made.start_bundle) == ("bundle", trained["snn"].weights_sha256)
    assert made.training.teacher == trained["other"].weights_sha256
    assert json.loads(done.stdout)["config_hash"] == made.config_hash
    # the twin needs no name
    done = spikefront(
        "--teacher", str(trained["cnn"].path), "--set", "distillation=0.5", "--out", "twin", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert Bundle(tmp_path / "twin").config().training.teacher is None
    for words, said in (
        (("--from", "nothing"), "--from is 'nothing'; it must be the folder of a finished bundle."),
        (("--from", start, "--set", "start=random"), "start is 'random'; it must be bundle"),
        (("--teacher", teacher), "this config learns from no teacher"),
    ):
        failed = spikefront(*words, "--out", "not", cwd=tmp_path)
        assert failed.returncode == 1 and said in " ".join(failed.stderr.split()), failed.stderr
