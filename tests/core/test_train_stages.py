"""Training in stages of rising T as one run: each a schedule of its own, resumed to the same bits."""

import pytest
import torch
from pydantic import ValidationError
from training import configs, go, numbers, stop_at

from core.bundle import Bundle
from core.datasets.load import load
from core.engine.data import Normaliser, TrainBatches, split
from core.engine.losses import cross_entropy_of_mean
from core.engine.network import Network
from core.engine.schedules import learning_rate
from core.errors import BadValue, Interrupted
from core.recipes.build import command, override, plan_of
from core.schemas.run import Kind, RunConfig, TrainingConfig
from core.schemas.stages import Stage, epochs_of, phases

#: Epochs 1 and 2 at T = 1, epoch 3 at T = 2 and lr / 2; 3 steps an epoch, 3 batches to validate.
STAGED = {"train_limit": 48, "batch_size": 16, "max_epochs": 3, "time_steps": 2, "stages": "1:0.6,2:0.4:0.5"}
AVERAGED = {**STAGED, "optimizer": "sgd", "select": "ema", "ema": 0.5, "neuron.model": "plif"}
config = configs()


def test_stages_share_the_epochs_and_every_end_is_a_whole_one() -> None:
    stages = TrainingConfig(stages=("1:60", "2:25:0.3", "4:15:0.1")).stages
    assert epochs_of(stages, 100) == (60, 25, 15)
    assert epochs_of(stages, 10) == (6, 2, 2)  # 6, 8.5 and 10: half goes to the even one
    assert sum(epochs_of(stages, 37)) == 37
    found = phases(
        RunConfig(mask=("F9",), training=TrainingConfig(max_epochs=20, patience=None, stages=stages, lr=0.1))
    )
    assert [(phase.first, phase.time_steps, phase.training.max_epochs) for phase in found] == [
        (1, 1, 12),
        (13, 2, 5),
        (18, 4, 3),
    ]
    assert [phase.training.lr for phase in found] == pytest.approx([0.1, 0.03, 0.01])
    assert found[1].local(13) == 1


def test_a_run_without_stages_has_one_phase_and_a_cnn_always_has() -> None:
    plain = RunConfig(mask=("F9",))
    (phase,) = phases(plain)
    assert (phase.first, phase.time_steps) == (1, 4) and phase.training is plain.training
    assert len(phases(config("cnn", **STAGED))) == 1


def test_every_stage_has_a_schedule_of_its_own() -> None:
    wanted = config(**{**STAGED, "max_epochs": 10, "schedule": "linear", "warmup_epochs": 1, "lr": 0.1})
    first, second = phases(wanted)
    assert (first.training.max_epochs, second.training.max_epochs) == (6, 4)
    rates = [learning_rate(second.training, second.local(epoch), step, 4) for epoch, step in ((7, 0), (7, 3), (10, 3))]
    assert rates == pytest.approx([0.05 / 4, 0.05, 0.05 * 0.25 / 3])


@pytest.mark.parametrize(
    ("overrides", "field", "expected"),
    [
        ({"stages": "1:1,4:1"}, "training.stages", "the last has the run's time_steps, 2"),
        ({"stages": "1:1,2:0.01"}, "training.stages", "at least 1 of 3 epochs"),
        ({"patience": 5}, "training.patience", "null with training.stages"),
        ({"warmup_epochs": 2}, "training.warmup_epochs", "at most the epochs of the shortest stage, 1"),
        ({"stages": "1"}, "training.stages.0", "T:share or T:share:lr_factor"),
        ({"stages": "1:2:3:4"}, "training.stages.0", "T:share or T:share:lr_factor"),
        ({"stages": "65:1"}, "training.stages.0.time_steps", "at most 64"),
        ({"stages": "1:0,2:1"}, "training.stages.0.share", "above 0"),
        ({"stages": "1:nan,2:1"}, "training.stages.0.share", "at most 1000000"),
        ({"stages": "1:1:0,2:1"}, "training.stages.0.lr_factor", "above 0"),
    ],
)
def test_stages_that_cannot_be_are_refused(overrides, field: str, expected: str) -> None:
    with pytest.raises(BadValue) as caught:
        config(**{**STAGED, **overrides})
    assert caught.value.fields["field"] == field and expected in caught.value.message


def test_stages_survive_text_json_and_the_command() -> None:
    wanted = config(**STAGED)
    assert wanted.training.stages == (Stage(time_steps=1, share=0.6), Stage(time_steps=2, share=0.4, lr_factor=0.5))
    assert RunConfig.model_validate_json(wanted.model_dump_json()) == wanted
    assert "training.stages=1:0.6:1.0,2:0.4:0.5" in command(wanted)
    assert config(**{**STAGED, "stages": "1:0.6:1.0,2:0.4:0.5"}) == wanted
    assert config(**{**STAGED, "stages": ""}).training.stages == ()
    assert override(config(**STAGED), {"stages": wanted.training.stages}).training.stages == wanted.training.stages
    with pytest.raises(ValidationError):
        TrainingConfig(stages=("1:1",) * 17)


def test_stages_are_in_the_hash_of_a_spiking_run_and_not_of_its_twin() -> None:
    plain = {name: value for name, value in STAGED.items() if name != "stages"}
    assert config(**STAGED).config_hash != config(**plain).config_hash
    assert config("cnn", **STAGED).config_hash == config("cnn", **plain).config_hash
    assert config(**STAGED).twin_hash == config(**plain).twin_hash == config("cnn", **STAGED).twin_hash
    assert config("cnn", **STAGED).kind is Kind.CNN


def test_a_staged_run_is_the_loop_that_anybody_would_write(tmp_path) -> None:
    wanted = config(**STAGED)
    go(wanted, tmp_path / "run")
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    splits = split(load("digits", tmp_path), wanted.training, cpu)
    batches = TrainBatches(splits.train, wanted, Normaliser(splits.spec, cpu))
    network = Network(plan_of(wanted), wanted).train()
    for steps, epochs, factor in ((1, (1, 2), 1.0), (2, (3,), 0.5)):
        network.steps = steps
        adam = torch.optim.Adam(network.parameters(), fused=True)
        alone = wanted.training.model_copy(update={"lr": wanted.training.lr * factor, "max_epochs": len(epochs)})
        for number, epoch in enumerate(epochs, start=1):
            for step in range(batches.steps):
                x, labels = batches.get(epoch, step)
                adam.param_groups[0]["lr"] = learning_rate(alone, number, step, batches.steps)
                adam.zero_grad()
                outputs = network(x)
                assert len(outputs) == steps
                cross_entropy_of_mean(outputs, labels).backward()
                adam.step()
    expected = {name: value.numpy().tobytes() for name, value in network.state_dict().items()}
    assert numbers(tmp_path / "run")["weights"] == expected  # the last stage has one epoch, so it is the best there


@pytest.fixture(scope="module", params=["plain", "averaged", "counts"])
def whole(request, tmp_path_factory):
    counts = {**STAGED, "neuron.model": "count"}
    wanted = config(**{"plain": STAGED, "averaged": AVERAGED, "counts": counts}[request.param])
    out = tmp_path_factory.mktemp(request.param) / "run"
    return wanted, out, *go(wanted, out)


def test_a_staged_run_keeps_weights_of_its_last_stage_and_measures_all_steps(whole) -> None:
    _, out, summary, events = whole
    assert (summary.best_epoch, summary.time_steps, summary.epochs_run) == (3, 2, 3)
    assert Bundle(out).predictions().outputs.shape[1] == 2
    assert Bundle(out).counts().time_steps == 2
    diagnostics = Bundle(out).diagnostics()
    assert diagnostics.time_steps == 2 and diagnostics.epochs == [1, 2, 3]
    assert all(len(layer) == 2 for epoch in diagnostics.firing_rate for layer in epoch)
    rates = [event.lr for event in events if event.type == "epoch"]
    assert rates[2] < rates[0]


@pytest.mark.parametrize("at", ["inside the first", "its last validation", "the first step of the second", "the end"])
def test_a_staged_run_stopped_anywhere_goes_on_to_the_same_bits(whole, tmp_path, at: str) -> None:
    wanted, out, *_ = whole
    epoch = 9 if wanted.training.ema else 6  # looks: 3 steps, 3 batches of statistics, 3 of validation
    look = {
        "inside the first": 2,
        "its last validation": 2 * epoch,
        "the first step of the second": 2 * epoch + 1,
        "the end": 3 * epoch + 1,
    }[at]
    with pytest.raises(Interrupted):
        go(wanted, tmp_path / "cut", should_stop=stop_at(look))
    go(wanted, tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(out)


def test_a_run_killed_between_two_stages_begins_the_next_one_afresh(whole, tmp_path, monkeypatch) -> None:
    from core.engine import train

    wanted, out, *_ = whole
    original = train.save_checkpoint

    def killed(folder, tensors, state) -> None:
        original(folder, tensors, state)
        if (state["epoch"], state["step"]) == (3, 0):
            assert not any(name.startswith("optimizer.") for name in tensors)
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        go(wanted, tmp_path / "cut")
    monkeypatch.undo()
    go(wanted, tmp_path / "cut")
    assert numbers(tmp_path / "cut") == numbers(out)
