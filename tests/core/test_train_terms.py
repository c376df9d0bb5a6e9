"""Whole runs with every term, a teacher, a converted start: the same bits again, after any stop, and every refusal."""

import json
import shutil

import pytest
import torch
from training import configs, go, numbers, stop_at

from core.bundle import FILES, Bundle
from core.datasets.load import load
from core.engine import objective, train
from core.engine.data import Normaliser, TrainBatches, split
from core.engine.losses import cross_entropy_of_mean
from core.engine.network import Network
from core.engine.schedules import learning_rate
from core.errors import BadValue, BundleCorrupt, Interrupted, NonFiniteLoss
from core.recipes.build import plan_of
from core.schemas.run import Kind

CPU = torch.device("cpu")
#: 3 steps an epoch, 3 batches to validate, 3 to test; so the teacher looks 2 (3 + 3) + 3 = 15 times, then its pupil.
SMALL = {"train_limit": 48, "batch_size": 16, "max_epochs": 2, "time_steps": 2}
TAUGHT = {"distillation": 0.5, "loss": "tet", "rate_penalty": 1.0, "label_smoothing": 0.1, "optimizer": "adamw",
          "weight_decay": 0.05, "augment": "crop-flip-cutout", "encoding": "rate"}  # fmt: skip
TWICE = {"gradient_aware": 0.01, "grad_cam_aware": 0.2, "neuron.model": "plif"}
AS_IT_COMES = {"start": "converted", "max_epochs": 0, "teacher_epochs": 2, "neuron.model": "if", "neuron.reset": "soft"}
config = configs(**SMALL)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """One run with a teacher, uninterrupted, with its summary and what it said."""
    out = tmp_path_factory.mktemp("taught") / "run"
    return out, *go(config(**TAUGHT), out)


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_plain_training_is_the_loop_that_anybody_would_write(tmp_path, augment: str) -> None:
    wanted = config(augment=augment)
    go(wanted, tmp_path / "run")
    torch.set_num_threads(1)
    splits = split(load("digits", tmp_path), wanted.training, CPU)
    batches = TrainBatches(splits.train, wanted, Normaliser(splits.spec, CPU))
    network = Network(plan_of(wanted), wanted).train()
    adam = torch.optim.Adam(network.parameters(), fused=True)
    states = {}
    for epoch in (1, 2):
        for step in range(batches.steps):
            x, labels = batches.get(epoch, step)
            adam.param_groups[0]["lr"] = learning_rate(wanted.training, epoch, step, batches.steps)
            adam.zero_grad()
            cross_entropy_of_mean(network(x), labels).backward()
            adam.step()
        states[epoch] = {name: value.numpy().tobytes() for name, value in network.state_dict().items()}
    assert numbers(tmp_path / "run")["weights"] == states[Bundle(tmp_path / "run").summary().best_epoch]


def test_a_run_with_a_teacher_trains_the_twin_first_as_a_bundle_of_its_own(taught) -> None:
    out, summary, events = taught
    teacher = Bundle(out / "teacher")
    teacher.verify()
    assert teacher.config() == config(**TAUGHT).twin()
    assert teacher.summary().kind is Kind.CNN
    parts = [event.part for event in events if event.type in ("started", "epoch")]
    assert parts == ["teacher"] * 3 + ["run"] * 3
    assert [event.type for event in events].count("finished") == 1 and events[-1].summary == summary
    assert {entry.name for entry in Bundle(out).files()} >= set(FILES)
    assert not any("teacher" in entry.name for entry in Bundle(out).files())
    noted = Bundle(out).environment()["teacher"]
    assert noted["config_hash"] == teacher.config().config_hash and "device" in noted


@pytest.mark.parametrize(
    "look",
    [
        2,  # the teacher's second step
        14,  # its test set: all trained, nothing written
        17,  # the pupil's second step: 15 looks were the teacher's
        20,  # the pupil's validation
    ],
)
def test_a_taught_run_stopped_anywhere_goes_on_to_the_same_bits(taught, tmp_path, look: int) -> None:
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        go(config(**TAUGHT), out, should_stop=stop_at(look))
    assert Bundle(out / "teacher").complete == (look > 15)
    _, events = go(config(**TAUGHT), out)
    assert events[0].part == ("run" if look > 15 else "teacher")
    assert numbers(out) == numbers(taught[0])
    assert numbers(out / "teacher") == numbers(taught[0] / "teacher")


def test_a_given_teacher_is_copied_and_gives_the_same_bits(taught, tmp_path) -> None:
    given = tmp_path / "given"
    go(config("cnn", **TAUGHT), given)
    with pytest.raises(Interrupted):
        go(config(**TAUGHT), tmp_path / "run", teacher=given, should_stop=stop_at(2))
    shutil.rmtree(given)  # what becomes of it later does not matter
    _, events = go(config(**TAUGHT), tmp_path / "run")
    assert {event.part for event in events if event.type == "epoch"} == {"run"}
    assert numbers(tmp_path / "run") == numbers(taught[0])


def test_a_teacher_that_is_not_the_twin_is_refused(taught, tmp_path) -> None:
    with pytest.raises(BadValue, match="CNN twin"):
        go(config(**{**TAUGHT, "lr": 0.01}), tmp_path / "run", teacher=taught[0] / "teacher")
    with pytest.raises(BadValue, match="CNN twin"):
        go(config(**TAUGHT), tmp_path / "run", teacher=taught[0])
    with pytest.raises(BadValue, match="finished"):
        go(config(**TAUGHT), tmp_path / "run", teacher=tmp_path / "nothing")
    with pytest.raises(BadValue, match="no teacher"):
        go(config(), tmp_path / "run", teacher=taught[0] / "teacher")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_damaged_teacher_is_never_learnt_from_one_that_is_given_refused_and_an_own_one_trained_again(
    taught, tmp_path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(taught[0] / "teacher", broken)
    content = bytearray((broken / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (broken / "weights.safetensors").write_bytes(content)
    with pytest.raises(BundleCorrupt, match="SHA-256"):
        go(config(**TAUGHT), tmp_path / "run", teacher=broken)
    shutil.copytree(broken, tmp_path / "own" / "teacher")
    go(config(**TAUGHT), tmp_path / "own")
    Bundle(tmp_path / "own" / "teacher").verify()
    assert numbers(tmp_path / "own" / "teacher") == numbers(taught[0] / "teacher")


def test_terms_with_second_derivatives_resume_to_the_same_bits(tmp_path) -> None:
    wanted = config(**TWICE, max_epochs=1)
    summary, _ = go(wanted, tmp_path / "whole")
    layers = sum(node.op == "act" for node in plan_of(wanted).nodes)
    assert summary.params == plan_of(wanted).params + layers  # a learned time constant each
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "cut", should_stop=stop_at(2))
    go(wanted, tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")
    plain = config(max_epochs=1, **{"neuron.model": "plif"})
    go(plain, tmp_path / "plain")
    assert numbers(tmp_path / "plain")["weights"] != numbers(tmp_path / "whole")["weights"]


def test_the_term_in_which_the_loss_leaves_the_finite_is_named(tmp_path, monkeypatch) -> None:
    original, calls = objective.firing_rate_penalty, iter(range(100))

    def broken(spikes, target):
        return original(spikes, target) * (float("inf") if next(calls) == 4 else 1.0)

    monkeypatch.setattr(objective, "firing_rate_penalty", broken)
    with pytest.raises(NonFiniteLoss, match="rate_penalty") as caught:
        go(config(rate_penalty=1.0), tmp_path / "run")
    assert caught.value.fields == {"epoch": 2, "step": 2, "loss": "inf", "term": "rate_penalty"}
    _, state = train.load_checkpoint(tmp_path / "run" / "checkpoint", CPU)
    assert (state["epoch"], state["step"]) == (2, 0)


def test_a_converted_network_as_it_comes_is_evaluated_without_training(tmp_path) -> None:
    wanted = config(**AS_IT_COMES)
    summary, events = go(wanted, tmp_path / "run")
    assert (summary.best_epoch, summary.epochs_run, summary.train_images_per_s) == (0, 0, 0)
    bundle = Bundle(tmp_path / "run")
    assert all(column == [] for column in bundle.metrics().model_dump().values())
    assert bundle.gradients().norm == []
    assert 0 < summary.best_validation_accuracy <= 1
    teacher = Bundle(tmp_path / "run" / "teacher")
    assert teacher.summary().epochs_run == 2
    assert teacher.config().config_hash == config("cnn").config_hash  # the twin of every run that shares the rest
    assert wanted.twin_hash == config().twin_hash
    assert {event.part for event in events if event.type == "epoch"} == {"teacher"}
    # its weights are the teacher's, rescaled: of equal sign everywhere
    own, from_teacher = (b.weights()["F9.squeeze.conv.weight"] for b in (bundle, teacher))
    assert ((own > 0) == (from_teacher > 0)).all() and (own != from_teacher).any()


def test_a_converted_start_is_trained_on_and_resumes_to_the_same_bits(tmp_path) -> None:
    wanted = config(start="converted", max_epochs=1)
    go(wanted, tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "cut", should_stop=stop_at(11))  # 3 + 3 + 3 looks were the teacher's
    assert (tmp_path / "cut" / "teacher" / "manifest.json").exists()
    go(wanted, tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"precision": "mixed"}, "training.precision is 'mixed'; it must be float32 here: mixed needs a GPU"),
        ({"start": "converted", "encoding": "rate"}, "encoding is 'rate'"),
    ],
)
def test_what_cannot_hold_here_is_refused_before_anything_is_trained(tmp_path, overrides: dict, said: str) -> None:
    with pytest.raises(BadValue, match=said):
        go(config(**overrides), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_cnn_needs_no_teacher_whatever_its_config_says(tmp_path) -> None:
    go(config("cnn", distillation=0.5, loss="tet", rate_penalty=1.0, max_epochs=1), tmp_path / "run")
    go(config("cnn", max_epochs=1), tmp_path / "plain")
    assert not (tmp_path / "run" / "teacher").exists()
    assert numbers(tmp_path / "run") == numbers(tmp_path / "plain")


def test_the_first_progress_already_has_a_loss_and_validation_keeps_showing_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("core.engine.progress.INTERVAL_S", 0.0)
    _, events = go(config(max_epochs=1), tmp_path / "run")
    progress = [event for event in events if event.type == "progress"]
    told = list(dict.fromkeys(event.phase for event in progress))
    assert told == ["training", "validating", "probing", "testing", "measuring"]
    progress = [event for event in progress if event.phase in told[:3]]
    assert [event.phase for event in progress].count("validating") == 1 + 3  # its start, and each batch
    assert all(event.loss is not None for event in progress)
    assert json.loads(progress[0].model_dump_json())["part"] == "run"
