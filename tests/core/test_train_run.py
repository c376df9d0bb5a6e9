"""Whole runs on a few digits: learning, resuming as if nothing had happened, and every way to fail."""

import shutil

import filelock
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from core.backbones.plan import PlanBuilder
from core.bundle import Bundle
from core.datasets.load import load
from core.engine import environment, experiment, objective, train
from core.engine.checkpoint import load_checkpoint, save_checkpoint
from core.engine.data import Normaliser
from core.engine.experiment import run
from core.engine.network import Network
from core.errors import BadValue, BundleBusy, HomeUnusable, Interrupted, NonFiniteLoss, OutOfMemory, RunFolderGone
from core.forecast import training_memory_bytes
from core.recipes.build import build_config, plan_of
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE
from core.schemas.request import RunRequest
from core.schemas.run import RunConfig


def config(**overrides) -> RunConfig:
    kind = overrides.pop("kind", "snn")
    small = {"train_limit": 60, "batch_size": 16, "max_epochs": 2, "time_steps": 2}
    return build_config(RunRequest(kind=kind, mask="F9", overrides={**small, **overrides}))


class Stopper:
    """Asks to stop at the nth look, or never."""

    def __init__(self, after: int | None = None) -> None:
        self.looks, self.after = 0, after

    def __call__(self) -> bool:
        self.looks += 1
        return self.after is not None and self.looks >= self.after


def go(wanted: RunConfig, out, **changes):
    events = []
    summary = run(wanted, **{"out": out, "data_dir": out.parent, "threads": 1, "emit": events.append, **changes})
    return summary, events


def weights(folder) -> dict[str, np.ndarray]:
    return Bundle(folder).weights()


def without_time(folder) -> dict:
    """Metrics, gradients, counts and predictions: all that must not depend on interruptions."""
    bundle = Bundle(folder)
    predictions = bundle.predictions()
    metrics = bundle.metrics().model_dump()
    del metrics["wall_s"]
    return {
        "metrics": metrics,
        "gradients": bundle.gradients(),
        "counts": bundle.counts(),
        "outputs": predictions.outputs.tobytes(),
        "weights": {name: value.tobytes() for name, value in bundle.weights().items()},
        "best": (bundle.summary().best_epoch, bundle.summary().accuracy),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One uninterrupted run, with what it said."""
    out = tmp_path_factory.mktemp("whole") / "run"
    summary, events = go(config(), out)
    return out, summary, events


def test_a_run_leaves_a_whole_bundle_whose_figures_agree(whole) -> None:
    out, summary, _ = whole
    bundle = Bundle(out)
    assert bundle.complete and not bundle.checkpoint.exists()
    bundle.verify()
    assert bundle.summary() == summary
    assert bundle.config() == config()
    predictions = bundle.predictions()
    assert predictions.outputs.shape == (360, 2, 10)
    assert summary.accuracy == (predictions.outputs.mean(1).argmax(1) == predictions.label).mean()
    counts = bundle.counts()
    assert counts.n_samples == 360 == summary.n_test
    assert summary.acs == sum(sum(layer.ac) for layer in counts.layers) / 360
    # the stem's input is constant: its MACs once; the classifier sees pooled spikes, so no other layer has any
    assert (
        summary.macs == sum(layer.mac[0] if layer.constant_input else sum(layer.mac) for layer in counts.layers) / 360
    )
    assert summary.energy_pj == pytest.approx(summary.acs * 0.9 + summary.macs * 4.6)
    neurons = [layer for layer in counts.layers if layer.kind == "neuron"]
    spikes, places = sum(sum(layer.spikes) for layer in neurons), sum(layer.output_numel for layer in neurons)
    assert summary.firing_rate == pytest.approx(spikes / (places * 2 * 360))
    assert summary.params == sum(
        value.size for name, value in bundle.weights().items() if "running" not in name and "tracked" not in name
    )
    assert bundle.gradients().layers[0] == "stem.conv"
    assert len(bundle.gradients().norm) == summary.epochs_run == 2
    assert (summary.n_train, summary.n_train_available, summary.n_validation) == (60, 1150, 287)


def test_macro_f1_is_the_one_everybody_computes(whole) -> None:
    from sklearn.metrics import f1_score

    out, summary, _ = whole
    predictions = Bundle(out).predictions()
    expected = f1_score(predictions.label, predictions.outputs.mean(1).argmax(1), average="macro")
    assert summary.f1_macro == pytest.approx(expected)


def test_the_environment_names_versions_but_no_host_user_or_path(whole) -> None:
    import getpass
    import socket

    text = (whole[0] / "environment.json").read_text()
    noted = Bundle(whole[0]).environment()
    assert noted["torch"] == torch.__version__ and noted["threads"] == 1
    assert noted["tested_by"] == "events"
    assert socket.gethostname() not in text and "/" not in noted["processor"]
    assert getpass.getuser() not in text.replace("processor", "")


def test_events_come_in_order_and_epochs_equal_the_metrics(whole) -> None:
    out, summary, events = whole
    kinds = [event.type for event in events]
    assert kinds[0] == "started" and kinds[-1] == "finished"
    epochs = [event for event in events if event.type == "epoch"]
    assert [event.epoch for event in epochs] == [1, 2]
    assert [event.validation_loss for event in epochs] == Bundle(out).metrics().validation_loss
    assert events[0].steps_per_epoch == 4  # 60 images in batches of 16, the last of 12
    assert events[-1].summary == summary


def test_examples_hold_the_right_images(whole) -> None:
    bundle = Bundle(whole[0])
    examples, dataset = bundle.examples(), load("digits", whole[0].parent)
    assert (examples.image == dataset.test_images[examples.index]).all()
    assert 200 <= len(examples.index) <= 1000
    predictions = bundle.predictions()
    answers = predictions.outputs.mean(1).argmax(1)
    kept = set(examples.index.tolist())
    for label, answer in set(zip(predictions.label.tolist(), answers.tolist(), strict=True)):
        cell = np.flatnonzero((predictions.label == label) & (answers == answer)).tolist()
        if label != answer:
            assert set(cell[:3]) <= kept


def test_the_same_config_gives_the_same_numbers_and_another_seed_others(whole, tmp_path) -> None:
    go(config(), tmp_path / "again")
    assert without_time(tmp_path / "again") == without_time(whole[0])
    other = config().model_copy(update={"seed": 1})
    go(other, tmp_path / "other")
    assert without_time(tmp_path / "other")["weights"] != without_time(whole[0])["weights"]


@pytest.mark.parametrize(
    ("look", "epoch", "step"),
    [
        (2, 1, 2),  # inside the first epoch
        (5, 1, 4),  # 4 steps, then the first of 3 validation batches: the epoch's training is done
        (8, 2, 1),  # the first step of the second epoch
        (15, 2, 4),  # 14 looks are training and validation: the first test batch
    ],
)
def test_a_run_stopped_anywhere_goes_on_to_the_same_bits(whole, tmp_path, look: int, epoch: int, step: int) -> None:
    out = tmp_path / "run"
    with pytest.raises(Interrupted) as caught:
        go(config(), out, should_stop=Stopper(look))
    assert caught.value.fields == {"epoch": epoch, "step": step}
    assert not Bundle(out).complete
    assert Bundle(out).checkpoint.exists()
    _, events = go(config(), out)
    assert (events[0].resumed_epoch, events[0].resumed_step) == ((3, 0) if look == 15 else (epoch, step))
    assert without_time(out) == without_time(whole[0])


def test_a_run_stopped_after_every_step_still_ends_with_the_same_bits(whole, tmp_path) -> None:
    out = tmp_path / "run"
    for tries in range(40):  # noqa: B007
        try:
            go(config(), out, should_stop=Stopper(4))
            break
        except Interrupted:
            continue
    assert tries >= 2
    assert without_time(out) == without_time(whole[0])


def test_checkpoints_inside_an_epoch_come_by_the_clock(whole, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(train, "CHECKPOINT_EVERY_S", 0.0)
    saved = []
    original = train.save_checkpoint

    def spy(folder, tensors, state) -> None:
        saved.append((state["epoch"], state["step"]))
        original(folder, tensors, state)

    monkeypatch.setattr(train, "save_checkpoint", spy)
    go(config(), tmp_path / "run")
    assert saved == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (3, 0)]
    assert without_time(tmp_path / "run") == without_time(whole[0])


def test_dropout_and_augmentation_resume_to_the_same_bits(tmp_path, monkeypatch) -> None:
    build = PlanBuilder((3, 16, 16))
    x = build.act("act", build.conv("conv", "input", 8, kernel=3, stride=2))
    build.global_avgpool("pool", build.conv("out", build.dropout("dropout", x, 0.5), 10, kernel=1))
    plan = build.finish(backbone="squeezenet", definition="small", blocks=("F9",), mask=("F9",))
    monkeypatch.setattr(experiment, "plan_of", lambda config: plan)
    wanted = config(augment="crop-flip")
    go(wanted, tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "cut", should_stop=Stopper(2))
    torch.manual_seed(123)  # what happens to stand in the global generator must not matter
    go(wanted, tmp_path / "cut")
    assert without_time(tmp_path / "cut") == without_time(tmp_path / "whole")


def test_a_finished_folder_of_the_same_config_is_answered_without_training(whole) -> None:
    out, summary, _ = whole
    before = (out / "summary.json").stat().st_mtime_ns
    again, events = go(config(), out)
    assert again == summary
    assert [event.type for event in events] == ["finished"]
    assert (out / "summary.json").stat().st_mtime_ns == before


def test_a_folder_of_another_config_is_left_alone(whole, tmp_path) -> None:
    with pytest.raises(BadValue, match="another config"):
        go(config(lr=0.01), whole[0])
    with pytest.raises(Interrupted):
        go(config(), tmp_path / "cut", should_stop=Stopper(1))
    with pytest.raises(BadValue, match="another config"):
        go(config(lr=0.01), tmp_path / "cut")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "summary.json").write_text("mine")
    with pytest.raises(BadValue, match="summary.json"):
        go(config(), foreign)
    assert (foreign / "summary.json").read_text() == "mine"


def test_two_writers_never_share_a_folder(tmp_path) -> None:
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(BundleBusy):
        go(config(), tmp_path)


class Vandal:
    """Does something to the run's folder at the nth look, and never asks to stop."""

    def __init__(self, act, after: int = 2) -> None:
        self.looks, self.act, self.after = 0, act, after

    def __call__(self) -> bool:
        self.looks += 1
        if self.looks == self.after:
            self.act()
        return False


@pytest.mark.parametrize("how", ["removed", "moved", "replaced", "taken by another"])
def test_a_folder_that_goes_while_it_trains_is_noticed_at_the_next_step(tmp_path, monkeypatch, how) -> None:
    monkeypatch.setattr("core.run_folder.LOOK_S", 0.0)
    out = tmp_path / "run"

    def act() -> None:
        if how == "removed":
            shutil.rmtree(out)
        elif how == "moved":
            out.rename(tmp_path / "elsewhere")
        elif how == "replaced":
            shutil.rmtree(out)
            out.mkdir()
        else:
            (out / ".lock").unlink()
            (out / ".lock").touch()

    vandal = Vandal(act)
    with pytest.raises(RunFolderGone, match="while it trained"):
        go(config(max_epochs=50), out, should_stop=vandal)
    assert vandal.looks == 2, "the very next look told it"


def test_a_config_that_was_removed_while_it_trained_is_written_again(tmp_path) -> None:
    out = tmp_path / "run"
    go(config(), out, should_stop=Vandal((out / "config.json").unlink))
    Bundle(out).verify()
    assert Bundle(out).config() == config()


def test_a_run_that_resumes_tells_its_earlier_epochs_again_where_asked(tmp_path, whole) -> None:
    with pytest.raises(Interrupted):
        go(config(max_epochs=3), tmp_path / "run", should_stop=Stopper(15))
    for retell, expected in ((True, [1, 2, 3]), (False, [3])):
        shutil.copytree(tmp_path / "run", tmp_path / f"run-{retell}")
        _, events = go(config(max_epochs=3), tmp_path / f"run-{retell}", retell=retell)
        epochs = [event for event in events if event.type == "epoch"]
        assert [event.epoch for event in epochs] == expected
        assert epochs[-1].is_best == (Bundle(tmp_path / f"run-{retell}").summary().best_epoch == 3)
    _, events = go(config(max_epochs=3), tmp_path / "in-one")
    said = [event.model_dump(exclude={"wall_s"}) for event in events if event.type == "epoch"]
    _, events = go(config(max_epochs=3), tmp_path / "run", retell=True)
    assert [event.model_dump(exclude={"wall_s"}) for event in events if event.type == "epoch"] == said


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnusable):
        go(config(), tmp_path / "file" / "run")


def flip(path, at: float) -> None:
    """One bit of the byte at this share of the file."""
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "emptied": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"garbage" * 1000),
    "length": lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    **{f"flipped at {at}": lambda path, at=at: flip(path, at) for at in (0.0005, 0.003, 0.2, 0.5, 0.8, 1.0)},
}


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A run that was stopped in its third epoch, with two checkpoints, and what it comes to."""
    folder = tmp_path_factory.mktemp("cut")
    with pytest.raises(Interrupted):
        go(config(max_epochs=3), folder / "run", should_stop=Stopper(15))
    whole = shutil.copytree(folder / "run", folder / "whole")
    go(config(max_epochs=3), whole)
    return folder / "run", without_time(whole)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_taken(tmp_path, cut, damage) -> None:
    out = shutil.copytree(cut[0], tmp_path / "run")
    DAMAGE[damage](out / "checkpoint" / "last.safetensors")
    _, events = go(config(max_epochs=3), out)
    assert events[0].resumed_epoch is not None, "the older one was taken"
    assert without_time(out) == cut[1], "it changes no number"


@pytest.mark.parametrize("damage", ["cut", "flipped at 0.5"])
def test_with_both_checkpoints_damaged_a_run_starts_afresh(tmp_path, cut, damage) -> None:
    out = shutil.copytree(cut[0], tmp_path / "run")
    for name in ("last", "previous"):
        DAMAGE[damage](out / "checkpoint" / f"{name}.safetensors")
    _, events = go(config(max_epochs=3), out)
    assert events[0].resumed_epoch is None
    assert without_time(out) == cut[1]


def test_a_damaged_checkpoint_never_takes_the_place_of_a_whole_one(tmp_path, cut) -> None:
    out = shutil.copytree(cut[0], tmp_path / "run")
    flip(out / "checkpoint" / "last.safetensors", 0.5)
    with pytest.raises(Interrupted):
        go(config(max_epochs=3), out, should_stop=Stopper(1))
    for name in ("last", "previous"):
        only = shutil.copytree(out, tmp_path / name)
        for other in {"last", "previous"} - {name}:
            (only / "checkpoint" / f"{other}.safetensors").unlink(missing_ok=True)
        _, events = go(config(max_epochs=3), only)
        assert events[0].resumed_epoch is not None and without_time(only) == cut[1], name


def test_a_checkpoint_of_an_earlier_version_has_no_digest_and_is_taken(tmp_path, cut) -> None:
    out = shutil.copytree(cut[0], tmp_path / "run")
    path = out / "checkpoint" / "last.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = {"version": "1", "state": file.metadata()["state"]}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  safe_open is no mapping
    path.write_bytes(save(tensors, metadata=metadata))
    (out / "checkpoint" / "previous.safetensors").unlink()
    _, events = go(config(max_epochs=3), out)
    assert events[0].resumed_epoch is not None and without_time(out) == cut[1]


def test_a_checkpoint_that_does_not_fit_the_network_is_not_used(tmp_path, cut) -> None:
    out = shutil.copytree(cut[0], tmp_path / "run")
    for name in ("last", "previous"):
        tensors, state = load_checkpoint(out / "checkpoint", torch.device("cpu"))
        tensors["model.stem.conv.weight"] = tensors["model.stem.conv.weight"][:1]
        save_checkpoint(out / "checkpoint", tensors, state)
        assert name
    _, events = go(config(max_epochs=3), out)
    assert events[0].resumed_epoch is None and without_time(out) == cut[1]


def test_a_teacher_whose_files_have_changed_is_trained_again(tmp_path) -> None:
    wanted = config(distillation=0.5, teacher_epochs=1)
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "run", should_stop=Stopper(20))
    weights_file = tmp_path / "run" / "teacher" / "weights.safetensors"
    before = weights_file.read_bytes()
    flip(weights_file, 0.5)
    go(wanted, tmp_path / "run")
    assert weights_file.read_bytes() == before


def test_early_stopping_keeps_the_best_epoch(tmp_path, monkeypatch) -> None:
    accuracies = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    monkeypatch.setattr(train.Trainer, "_validate", lambda self, started: (1.0, next(accuracies), None))
    taken = []
    original = train.Trainer._end_epoch

    def spy(self, *args, **kwargs) -> None:
        original(self, *args, **kwargs)
        taken.append({name: value.clone() for name, value in self.network.state_dict().items()})

    monkeypatch.setattr(train.Trainer, "_end_epoch", spy)
    summary, _ = go(config(max_epochs=9, patience=2, train_limit=20, batch_size=10), tmp_path / "run")
    # the best is epoch 2; epoch 4 only equals it, so two epochs without a better one end the run
    assert (summary.best_epoch, summary.epochs_run, summary.best_validation_accuracy) == (2, 4, 0.7)
    kept = weights(tmp_path / "run")
    assert all((kept[name] == value.numpy()).all() for name, value in taken[1].items())
    assert any((kept[name] != value.numpy()).any() for name, value in taken[3].items())
    # and it is those weights that the test set saw
    wanted = config()
    network = Network(plan_of(wanted), wanted)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in kept.items()})
    dataset = load("digits", tmp_path)
    images = torch.from_numpy(np.ascontiguousarray(dataset.test_images))
    with torch.inference_mode():
        outputs = network.eval()(Normaliser(dataset.spec, torch.device("cpu"))(images))
    stored = Bundle(tmp_path / "run").predictions().outputs
    np.testing.assert_allclose(outputs.transpose(0, 1).numpy(), stored, atol=1e-4)


def test_a_loss_that_leaves_the_finite_ends_the_run_with_the_last_good_checkpoint(tmp_path, monkeypatch) -> None:
    original = objective.cross_entropy_of_mean
    calls = iter(range(1000))

    def broken(*values):
        # calls 0-3 train epoch 1, 4-5 are good steps of epoch 2, 6 is its third
        return original(*values) * (float("nan") if next(calls) == 6 else 1.0)

    monkeypatch.setattr(objective, "cross_entropy_of_mean", broken)
    with pytest.raises(NonFiniteLoss) as caught:
        go(config(), tmp_path / "run")
    assert caught.value.fields == {"epoch": 2, "step": 3, "loss": "nan", "term": "cross_entropy"}
    loaded = train.load_checkpoint(tmp_path / "run" / "checkpoint", torch.device("cpu"))
    assert loaded is not None and (loaded[1]["epoch"], loaded[1]["step"]) == (2, 0)
    assert all(torch.isfinite(value).all() for value in loaded[0].values())


def test_gradients_that_leave_the_finite_are_not_checkpointed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(train.GradientNorms, "read", lambda self: torch.full((len(self.layers),), float("inf")))
    with pytest.raises(Interrupted):
        go(config(), tmp_path / "run", should_stop=Stopper(1))
    assert not (tmp_path / "run" / "checkpoint" / "last.safetensors").exists()


def test_a_batch_larger_than_the_training_set_is_refused(tmp_path) -> None:
    with pytest.raises(BadValue, match="at most the number of training images, 60"):
        go(config(batch_size=61), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(("batch_size", "train_limit"), [(1, 3), (4, 9), (3, 3)])
def test_odd_batch_sizes_train(tmp_path, batch_size: int, train_limit: int) -> None:
    summary, _ = go(config(batch_size=batch_size, train_limit=train_limit, max_epochs=1), tmp_path / "run")
    assert summary.n_train == train_limit


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("could not create a primitive"),  # oneDNN, in a convolution
        RuntimeError("std::bad_alloc"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_out_of_memory_names_a_batch_size_that_fits(tmp_path, monkeypatch, error: Exception) -> None:
    def starve(self, x):
        raise error

    monkeypatch.setattr(train.Network, "forward", starve)
    with pytest.raises(OutOfMemory) as caught:
        go(config(), tmp_path / "run")
    assert caught.value.fields == {"device": "cpu", "batch_size": 16, "fits": 8}


def test_a_run_that_would_be_killed_for_memory_is_refused_beforehand(tmp_path, monkeypatch) -> None:
    four = config(batch_size=4)
    room = training_memory_bytes(plan_of(four), four) / 0.8
    monkeypatch.setattr(environment, "available_bytes", lambda device: room)
    with pytest.raises(OutOfMemory) as caught:
        go(config(), tmp_path / "run")
    assert caught.value.fields["fits"] == 4


def test_another_runtime_error_is_not_called_a_lack_of_memory(tmp_path, monkeypatch) -> None:
    def fail(self, x):
        raise RuntimeError("something else")

    monkeypatch.setattr(train.Network, "forward", fail)
    with pytest.raises(RuntimeError, match="something else"):
        go(config(), tmp_path / "run")


def test_a_gpu_that_is_not_there_is_a_clear_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadValue, match="no usable GPU"):
        go(config(), tmp_path / "run", device="cuda")
    with pytest.raises(BadValue, match="one of auto, cpu, cuda"):
        go(config(), tmp_path / "run", device="gpu")


def test_a_cnn_run_has_no_spikes_and_one_step(tmp_path) -> None:
    summary, events = go(config(kind="cnn", max_epochs=1), tmp_path / "run")
    assert (summary.firing_rate, summary.acs, summary.time_steps) == (None, 0, 1)
    assert summary.macs > 0
    assert Bundle(tmp_path / "run").predictions().outputs.shape == (360, 1, 10)
    assert next(event for event in events if event.type == "epoch").firing_rate is None


def test_the_summary_says_mode_and_profile(whole) -> None:
    assert (whole[1].mode, whole[1].profile) == (DEFAULT_MODE, DEFAULT_PROFILE) == ("exact", "horowitz-45nm")
