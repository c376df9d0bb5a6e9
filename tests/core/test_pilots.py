"""Pilots: several configs and seeds on some of the training images, judged by others, never by the test set."""

import dataclasses
import json

import pytest

from benchmarks import pilots
from core.bundle import Bundle
from core.datasets.load import load
from core.engine.data import split
from core.engine.experiment import run as train
from core.errors import BadValue, Interrupted

FILE = """
[base]
mask = "F9"
dataset = "digits"
recipe = "smoke"
time_steps = 2
"training.max_epochs" = 1
"training.batch_size" = 16
"training.milestones" = [5, 9]

[pilots.today]
[pilots."leak a half"]
"neuron.tau" = 2.0
"neuron.v_threshold" = 0.5
[pilots.taught]
"training.distillation" = 0.5
"training.teacher_answers" = "stored"
"""


@pytest.fixture
def made(tmp_path):
    file = tmp_path / "pilots.toml"
    file.write_text(FILE)
    return pilots.read(file, seeds=[0, 1], images=48, validation=100, data=tmp_path)


def go(pilot, tmp_path, stop=lambda: False, said=None):
    say = (lambda text: None) if said is None else said.append
    return pilots.run(pilot, tmp_path / "out", tmp_path, should_stop=stop, say=say)


def test_a_file_gives_every_pilot_with_every_seed_and_the_images_of_a_pilot(made) -> None:
    assert [(pilot.name, pilot.config.seed) for pilot in made] == [
        ("today", 0), ("today", 1), ("leak a half", 0), ("leak a half", 1), ("taught", 0), ("taught", 1),
    ]  # fmt: skip
    config = made[2].config
    assert (config.neuron.tau, config.time_steps, config.training.milestones) == (2.0, 2, (5, 9))
    assert config.training.train_limit == 48
    sizes = {(len(one.train), len(one.validation)) for one in (split_of(pilot) for pilot in made)}
    assert sizes == {(48, 100)}


def split_of(pilot):
    from pathlib import Path

    import torch

    return split(load("digits", Path()), pilot.config.training, torch.device("cpu"))


def test_a_pilot_is_judged_by_images_that_it_does_not_train_on_and_the_test_set_is_not_looked_at(
    made, tmp_path, monkeypatch
) -> None:
    original = pilots.split

    def blinded(*values):
        return dataclasses.replace(original(*values), test=pilots.Images(images=None, labels=[], index=None))

    monkeypatch.setattr(pilots, "split", blinded)
    assert go(made[0], tmp_path)
    found = pilots.found_in(made[0], tmp_path / "out")
    splits = split_of(made[0])
    assert not set(splits.train.index.tolist()) & set(splits.validation.index.tolist())
    assert (found.n_train, found.n_validation, found.epochs) == (48, 100, 1)
    assert round(found.validation_accuracy * 100) == pytest.approx(found.validation_accuracy * 100)  # of 100 images
    assert found.acs > 0 and found.macs > 0 and 0 < found.firing_rate < 1 and found.images_per_s > 0


def test_a_pilot_is_trained_once_resumed_where_it_was_stopped_and_left_to_who_trains_it(made, tmp_path) -> None:
    looks = iter(range(100))
    with pytest.raises(Interrupted):
        go(made[0], tmp_path, stop=lambda: next(looks) >= 1)
    folder = tmp_path / "out" / made[0].config.config_hash[:16]
    assert not (folder / "found.json").exists()
    with pilots.filelock.FileLock(folder / ".lock"):
        assert not go(made[0], tmp_path)
    said: list = []
    assert go(made[0], tmp_path, said=said) and len(said) == 1
    resumed = pilots.found_in(made[0], tmp_path / "out")
    assert go(made[0], tmp_path, said=said) and len(said) == 1
    pilots.run(made[0], tmp_path / "whole", tmp_path, should_stop=lambda: False, say=said.append)
    whole = pilots.found_in(made[0], tmp_path / "whole")
    same = {"images_per_s": 0, "train_wall_s": 0}
    assert dataclasses.replace(resumed, **same) == dataclasses.replace(whole, **same)


def test_the_table_has_a_row_a_pilot_with_mean_and_deviation_over_its_seeds(made, tmp_path) -> None:
    out = tmp_path / "out"
    for pilot, accuracy in zip(made[:3], (0.5, 0.54, 0.6), strict=True):
        folder = out / pilot.config.config_hash[:16]
        folder.mkdir(parents=True)
        found = pilots.Found(
            validation_accuracy=accuracy, n_train=48, n_validation=100, epochs=1, images_per_s=10.0, train_wall_s=1.0,
            params=7, acs=2e6, macs=1e6, firing_rate=0.25, machine="here",
        )  # fmt: skip
        (folder / "found.json").write_text(json.dumps(dataclasses.asdict(found)))
    head, _, today, leak, taught, _, *basis = pilots.table(made, out).splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in (today, leak, taught)]
    assert cells[0][:5] == ["today", "", "1", "52.00 ± 2.83 (n = 2)", "10"]  # 50 and 54: 4 / sqrt(2)
    assert cells[1][:4] == ["leak a half", "neuron.tau=2.0 neuron.v_threshold=0.5", "1", "60.00 (n = 1)"]
    assert cells[2][:4] == ["taught", "distillation=0.5 teacher_answers=stored", "", "not yet"]
    assert len(cells[2]) == head.count("|") - 1
    assert basis[0] == "48 training images, judged by 100 others, a standard error of at most 5.0 points each."


def test_pilots_with_a_twin_or_made_of_finished_bundles_are_trained(made, tmp_path) -> None:
    assert go(made[4], tmp_path)  # its twin first
    folder = tmp_path / "out" / made[4].config.config_hash[:16]
    assert (folder / "teacher" / "weights.safetensors").exists() and list(folder.glob("answers-*.npz"))
    train(made[0].config, out=tmp_path / "bundle", data_dir=tmp_path, threads=1, emit=lambda event: None)
    file = tmp_path / "more.toml"
    file.write_text(
        f'{FILE}\n[pilots.further]\nfrom = "{tmp_path / "bundle"}"\n[pilots.pupil]\n"training.distillation" = 0.3\n'
        f'teacher = "{tmp_path / "bundle"}"\nfrom = "{tmp_path / "bundle"}"\n'
    )
    *_, further, pupil = pilots.read(file, seeds=[0], images=48, validation=100, data=tmp_path)
    weights = Bundle(tmp_path / "bundle").weights_sha256
    assert further.config.start_bundle == pupil.config.start_bundle == pupil.config.training.teacher == weights
    assert go(further, tmp_path) and go(pupil, tmp_path)


def test_the_command_trains_all_and_keeps_the_table(tmp_path, capsys) -> None:
    file = tmp_path / "pilots.toml"
    file.write_text(FILE.split("[pilots.taught]")[0])
    words = [str(file), "--out", str(tmp_path / "out"), "--data", str(tmp_path), "--seeds", "0", "--images", "32"]
    pilots.main([*words, "--validation", "50", "--table"])
    assert capsys.readouterr().out.count("not yet") == 2
    pilots.main([*words, "--validation", "50"])
    printed = capsys.readouterr().out
    assert printed.count("(n = 1)") == 2 and printed == (tmp_path / "out" / "table.md").read_text()


def test_a_file_with_another_table_is_refused(tmp_path) -> None:
    file = tmp_path / "pilots.toml"
    file.write_text("[pilot.x]\n")
    with pytest.raises(BadValue, match=r"\[base\] or \[pilots.NAME\]"):
        pilots.read(file, seeds=[0], images=1, validation=1, data=tmp_path)
