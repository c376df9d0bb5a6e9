"""Whole runs with other optimisers, averaged weights and other weights kept: the same bits again, after any stop."""

import numpy as np
import pytest
import torch
from training import configs, go, numbers, stop_at

from core.bundle import Bundle
from core.datasets.load import load
from core.engine import train
from core.engine.average import statistics_images, take_statistics
from core.engine.data import Normaliser, TrainBatches, evaluation_batches, split
from core.engine.losses import cross_entropy_of_mean
from core.engine.network import Network
from core.engine.schedules import learning_rate
from core.errors import Interrupted
from core.recipes.build import plan_of
from core.schemas.run import RunConfig

CPU = torch.device("cpu")
#: 3 steps an epoch; 3 batches to validate, before which the average takes its statistics from 3 batches; 3 to test.
SMALL = {"train_limit": 48, "batch_size": 16, "max_epochs": 2, "time_steps": 2}
SGD = {"optimizer": "sgd", "lr": 0.05, "weight_decay": 5e-4, "schedule": "linear", "warmup_epochs": 0.5}
AVERAGED = {**SGD, "select": "ema", "ema": 0.8, "augment": "crop-altflip", "loss": "probability",
            "ac_penalty": 0.1, "ac_target": 1e4, "ac_ramp": "0.2,0.6", "neuron.model": "plif",
            "neuron_lr_factor": 0.5}  # fmt: skip
config = configs(**SMALL)


def by_hand(wanted: RunConfig, folder, make) -> dict[int, tuple[Network, list[dict[str, torch.Tensor]]]]:
    """The loop that anybody would write: the network, and its weights after each step, epoch by epoch."""
    torch.set_num_threads(1)
    splits = split(load("digits", folder), wanted.training, CPU)
    batches = TrainBatches(splits.train, wanted, Normaliser(splits.spec, CPU))
    network = Network(plan_of(wanted), wanted).train()
    optimizer = make(network)
    after = []
    for epoch in range(1, wanted.training.max_epochs + 1):
        for step in range(batches.steps):
            x, labels = batches.get(epoch, step)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(wanted.training, epoch, step, batches.steps)
            optimizer.zero_grad()
            cross_entropy_of_mean(network(x), labels).backward()
            optimizer.step()
            after.append({name: value.clone() for name, value in network.state_dict().items()})
    return splits, network, after


def grouped(network: Network) -> list[dict]:
    return [
        {"params": [value for value in network.parameters() if value.dim() > 1]},
        {"params": [value for value in network.parameters() if value.dim() <= 1], "weight_decay": 0.0},
    ]


def sgd(network: Network) -> torch.optim.Optimizer:
    return torch.optim.SGD(grouped(network), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)


def adamw(network: Network) -> torch.optim.Optimizer:
    return torch.optim.AdamW(grouped(network), weight_decay=0.05, fused=True)


@pytest.mark.parametrize(
    ("overrides", "make"), [(SGD, sgd), ({"optimizer": "adamw", "weight_decay": 0.05}, adamw)], ids=["sgd", "adamw"]
)
def test_the_last_weights_are_those_of_the_loop_that_anybody_would_write(tmp_path, overrides, make) -> None:
    wanted = config(**overrides, augment="crop-altflip", select="last")
    summary, _ = go(wanted, tmp_path / "run")
    _, _, after = by_hand(wanted, tmp_path, make)
    expected = {name: value.numpy().tobytes() for name, value in after[-1].items()}
    assert numbers(tmp_path / "run")["weights"] == expected
    assert summary.best_epoch == 2
    assert summary.best_validation_accuracy == Bundle(tmp_path / "run").metrics().validation_accuracy[-1]


def test_averaged_weights_are_the_average_over_all_steps_with_statistics_of_their_own(tmp_path) -> None:
    decay = 0.8
    wanted = config(**SGD, select="ema", ema=decay)
    summary, _ = go(wanted, tmp_path / "run")
    splits, network, after = by_hand(wanted, tmp_path, sgd)
    weighed = [decay ** (len(after) - 1 - n) for n in range(len(after))]
    kept = Bundle(tmp_path / "run").weights()
    names = dict(network.named_parameters())
    for name in names:
        mean = sum(w * state[name] for w, state in zip(weighed, after, strict=True)) / sum(weighed)
        np.testing.assert_allclose(kept[name], mean.numpy(), rtol=1e-4, atol=1e-6)
    # the statistics and the validation are of these weights
    network.load_state_dict({name: torch.from_numpy(kept[name]) for name in names}, strict=False)
    normalise = Normaliser(splits.spec, CPU)
    take_statistics(network, statistics_images(splits.train), normalise, 16, lambda: None)
    state = network.state_dict()
    for name, value in kept.items():
        np.testing.assert_array_equal(value, state[name].numpy(), err_msg=name)
    network.eval()
    with torch.inference_mode():
        hits = sum(
            int((network(x).mean(0).argmax(1) == labels).sum())
            for x, labels in evaluation_batches(splits.validation, normalise, 128)
        )
    assert hits / len(splits.validation) == summary.best_validation_accuracy


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """One run with everything, uninterrupted."""
    out = tmp_path_factory.mktemp("averaged") / "run"
    return out, *go(config(**AVERAGED), out)


@pytest.mark.parametrize(
    "look",
    [
        2,  # the second step
        5,  # the statistics of the first average: its own weights are what is saved
        8,  # its validation
        11,  # the second epoch
        17,  # its validation
        20,  # the test set: nothing is left to train
    ],
)
def test_a_run_with_averaged_weights_stopped_anywhere_goes_on_to_the_same_bits(averaged, tmp_path, look: int) -> None:
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        go(config(**AVERAGED), out, should_stop=stop_at(look))
    torch.manual_seed(123)
    go(config(**AVERAGED), out)
    assert numbers(out) == numbers(averaged[0])


@pytest.mark.parametrize("look", [2, 4, 8])
def test_momentum_goes_on_where_it_was(tmp_path, look: int) -> None:
    wanted = config("cnn", **SGD)
    go(wanted, tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "cut", should_stop=stop_at(look))
    go(wanted, tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")


def test_a_checkpoint_from_before_optimisers_had_their_common_name_is_taken_up(tmp_path, monkeypatch) -> None:
    go(config(), tmp_path / "whole")
    original = train.save_checkpoint

    def older(folder, tensors, state) -> None:
        del state["average_steps"]
        original(folder, {name.replace("optimizer.", "adam."): value for name, value in tensors.items()}, state)

    monkeypatch.setattr(train, "save_checkpoint", older)
    with pytest.raises(Interrupted):
        go(config(), tmp_path / "cut", should_stop=stop_at(2))
    monkeypatch.undo()
    go(config(), tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")


def test_epochs_between_validations_have_no_validation_and_the_last_has_one_always(tmp_path) -> None:
    wanted = config(max_epochs=5, validate_every=2)
    summary, events = go(wanted, tmp_path / "run")
    metrics = Bundle(tmp_path / "run").metrics()
    assert metrics.epoch == [1, 2, 3, 4, 5]
    assert [value is None for value in metrics.validation_accuracy] == [True, False, True, False, False]
    assert [value is None for value in metrics.validation_loss] == [True, False, True, False, False]
    assert [value is None for value in metrics.firing_rate] == [True, False, True, False, False]
    assert all(value is not None for value in metrics.train_loss)
    assert Bundle(tmp_path / "run").diagnostics().epochs == [2, 4, 5]
    assert summary.best_epoch in (2, 4, 5) and summary.epochs_run == 5
    assert [event.is_best for event in events if event.type == "epoch"][0::2] != [True, True, True]
    # the numbers of a validated epoch are those of a run that validates each
    go(config(max_epochs=5), tmp_path / "every")
    every = Bundle(tmp_path / "every").metrics()
    assert every.train_loss == metrics.train_loss
    assert every.validation_loss[1::2] == metrics.validation_loss[1::2]


def test_a_run_that_validates_now_and_then_resumes_to_the_same_bits(tmp_path) -> None:
    wanted = config(max_epochs=3, validate_every=2, select="last")
    go(wanted, tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "cut", should_stop=stop_at(5))  # 3 steps, no validation, the second of epoch 2
    _, events = go(wanted, tmp_path / "cut", retell=True)  # as a worker asks
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")
    _, whole = go(wanted, tmp_path / "again")
    said = [[event.model_dump(exclude={"wall_s"}) for event in one if event.type == "epoch"] for one in (events, whole)]
    assert said[0] == said[1] and said[0][0]["is_best"] is False


def test_patience_runs_out_at_a_validation_only(tmp_path, monkeypatch) -> None:
    accuracies = iter([0.5, 0.4, 0.3])
    monkeypatch.setattr(train.Trainer, "_validate", lambda self, started: (1.0, next(accuracies), None))
    wanted = config(max_epochs=9, patience=1, validate_every=3, train_limit=20, batch_size=10)
    summary, _ = go(wanted, tmp_path / "run")
    assert (summary.best_epoch, summary.epochs_run) == (3, 6)


def test_the_last_weights_are_kept_where_an_earlier_epoch_was_better(tmp_path, monkeypatch) -> None:
    accuracies = iter([0.7, 0.5])
    monkeypatch.setattr(train.Trainer, "_validate", lambda self, started: (1.0, next(accuracies), None))
    summary, events = go(config(select="last"), tmp_path / "run")
    assert (summary.best_epoch, summary.best_validation_accuracy) == (2, 0.5)
    assert [event.is_best for event in events if event.type == "epoch"] == [True, False]
