"""`spikefront train-stack`: axes to folders, and a grid trained and taken up again."""

import json

import pytest
from commands import called

from core.bundle import Bundle
from core.cli.commands.train_stack import named_runs, parse_axes
from core.errors import BadValue
from core.schemas.request import RunRequest
from core.schemas.sweep import SweepRequest


def runs(*axes: str, **base) -> dict:
    return named_runs(SweepRequest(name="stack", base=RunRequest(**base), axes=parse_axes(list(axes))))


def test_a_run_is_named_after_what_tells_it_apart() -> None:
    found = runs("seed=0,7", "training.lr=0.001")
    assert list(found) == ["seed-0_lr-0.001", "seed-7_lr-0.001"]
    assert [config.seed for config in found.values()] == [0, 7]


def test_the_blocks_of_a_mask_are_joined_by_plus() -> None:
    assert [config.mask for config in runs("mask=Ref-1,F4+F6").values()] == [("F4", "F6", "F8", "F9"), ("F4", "F6")]


def test_equal_combinations_are_one_run() -> None:
    assert len(runs("mask=F4+F6,F6+F4")) == 1


@pytest.mark.parametrize("pair", ["seed", "=1", "seed=", "seed=,"])
def test_an_axis_without_name_or_values_is_refused(pair: str) -> None:
    with pytest.raises(BadValue, match="FIELD=A,B,C"):
        parse_axes([pair])


def test_an_axis_that_is_given_twice_is_refused() -> None:
    with pytest.raises(BadValue, match="given once for seed"):
        parse_axes(["seed=0", "seed=1"])


def test_a_grid_is_trained_and_found_finished(tmp_path) -> None:
    words = ["train-stack", "--out", str(tmp_path / "grid"), "--axis", "seed=0,1", "--mask", "F9", "--threads", "1"]
    small = ["train_limit=32", "batch_size=16", "max_epochs=1", "time_steps=1", "validation_share=0.03"]
    words += [word for setting in small for word in ("--set", setting)] + ["--json", "--data", str(tmp_path)]
    first = called(*words, SPIKEFRONT_HOME=str(tmp_path))
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert [one["run"] for one in told] == ["seed-0", "seed-1"]
    for number, one in enumerate(told):
        bundle = Bundle(tmp_path / "grid" / one["run"])
        bundle.verify()
        assert bundle.config().seed == number
        assert one["summary"] == bundle.summary().model_dump(mode="json")
    again = called(*words, SPIKEFRONT_HOME=str(tmp_path))
    assert json.loads(again.stdout) == told


def test_runs_that_are_no_stack_are_refused_in_one_sentence(tmp_path) -> None:
    found = called("train-stack", "--out", str(tmp_path), "--axis", "time_steps=2,4", SPIKEFRONT_HOME=str(tmp_path))
    assert found.returncode == 1 and "time_steps is 4" in found.stderr
    assert not list(tmp_path.iterdir())
