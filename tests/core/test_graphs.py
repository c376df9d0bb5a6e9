"""Steps that are recorded and played again: what a CPU can show of them, with a recorder that plays by doing the work."""

import logging
from pathlib import Path

import pytest
import torch
from training import configs

from core.datasets.load import load
from core.engine.data import split
from core.engine.experiment import start_network
from core.engine.graphs import WARM, Tape, can_record, hindrance
from core.engine.optimizers import optimizer, set_rate
from core.engine.stacked.member import Member
from core.engine.stacked.train import Stack
from core.engine.train import Trainer
from core.recipes.build import plan_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")
config = configs(train_limit=72, batch_size=16, max_epochs=2, time_steps=1, validation_share=0.03, augment="crop-flip")


class Player:
    """Plays a recording by doing its work on the memory that it was recorded with, as a graph does."""

    def __init__(self) -> None:
        self.eager_steps = self.played = 0

    def eager(self, work):
        self.eager_steps += 1
        return work()

    def record(self, work):
        def play():
            self.played += 1
            return work()

        return play


class Refuser(Player):
    def record(self, work):
        raise RuntimeError("operation not permitted when stream is capturing")


def trainer(folder: Path, kind: type[Trainer] = Trainer, **changes) -> Trainer:
    torch.set_num_threads(1)
    wanted = config(**changes)
    splits = split(load("digits", folder), wanted.training, CPU)
    network = start_network(wanted, None, splits, CPU, None)
    return kind(network, wanted, splits, device=CPU, folder=folder, emit=lambda event: None, should_stop=lambda: False)


def take(one: Trainer, steps: int) -> list[float]:
    one.network.train()
    losses = []
    for _ in range(steps):
        if one.step == one.steps:
            one.epoch, one.step = one.epoch + 1, 0
            one._clear_epoch()
        one._train_step()
        losses.append(float(one._loss_S[one.step]))
        one.step += 1
    return losses


def test_a_step_is_done_as_it_comes_until_it_is_recorded_and_then_played_on_new_inputs() -> None:
    player, seen = Player(), []
    tape = Tape(lambda x: seen.append(float(x.sum())) or x * 2, player)
    for value in range(6):
        assert float(tape(torch.tensor([float(value)]))) == 2 * value
    assert (player.eager_steps, player.played) == (WARM, 6 - WARM)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_each_shape_has_a_recording_of_its_own() -> None:
    tape = Tape(lambda x: x + 1, Player())
    for size in (4, 2) * (WARM + 1):
        assert tape(torch.zeros(size)).shape == (size,)
    assert tape.recorded == 2


def test_what_cannot_be_recorded_goes_on_as_it_comes_and_the_log_says_why(caplog) -> None:
    tape = Tape(lambda x: x + 1, Refuser())
    with caplog.at_level(logging.WARNING):
        found = [float(tape(torch.tensor(float(n)))) for n in range(WARM + 3)]
    assert found == [n + 1 for n in range(WARM + 3)] and tape.failed
    (record,) = caplog.records
    assert record.message == "graph.not_recorded" and "capturing" in record.why


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_run_whose_steps_are_played_has_the_numbers_of_one_that_takes_them(kind: str, tmp_path) -> None:
    plain, played = (trainer(tmp_path / name, optimizer=kind) for name in ("plain", "played"))
    player = Player()
    played._tape = Tape(played._learn_and_move, player)
    steps = plain.steps + WARM + 1  # 72 = 4 x 16 + 8: the last of an epoch has a shape of its own
    assert take(plain, steps) == take(played, steps)
    assert player.played > 0
    for name, value in plain.network.state_dict().items():
        assert torch.equal(value, played.network.state_dict()[name]), name


def test_a_stack_whose_steps_are_played_has_the_numbers_of_one_that_takes_them(tmp_path) -> None:
    stacks = []
    for name in ("plain", "played"):
        members = [trainer(tmp_path / name, Member, **changes) for changes in ({}, {"augment": "crop-flip-cutout"})]
        stacks.append(Stack(members, CPU))
    plain, played = stacks
    player = Player()
    played._tape = Tape(played.learn, player)
    for stack in stacks:
        for _ in range(WARM + 1):  # the batches of full size of one epoch
            stack.step()
    assert player.played == 1
    assert torch.equal(plain.network.values_KP, played.network.values_KP)


def test_rates_that_a_recording_knows_are_tensors_that_keep_their_place(tmp_path) -> None:
    network = trainer(tmp_path).network
    own = optimizer(network, config().training, recorded=True)
    before = [group["lr"] for group in own.param_groups]
    set_rate(own, 0.25)
    assert [float(group["lr"]) for group in own.param_groups] == [0.25] * len(before)
    assert all(group["lr"] is tensor for group, tensor in zip(own.param_groups, before, strict=True))


def test_no_graph_is_played_on_a_cpu_and_the_log_says_so(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert not can_record(plan_of(config()), config(), CPU, wanted=True)
    assert "only a GPU plays graphs" in caplog.records[0].why
    caplog.clear()
    assert not can_record(plan_of(config()), config(), CPU, wanted=False) and not caplog.records


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"encoding": "rate"}, "rate coding"),
        ({"distillation": 0.5}, "teacher"),
        ({"ac_penalty": 1.0, "ac_target": 1e6}, "ac_penalty"),
    ],
)
def test_what_differs_from_step_to_step_hinders_a_recording(changes: dict, word: str) -> None:
    wanted = config(**changes)
    assert word in hindrance(plan_of(wanted), wanted, GPU)
    assert hindrance(plan_of(config()), config(), GPU) is None
    assert hindrance(plan_of(config("cnn", **changes)), config("cnn", **changes), GPU) is None
