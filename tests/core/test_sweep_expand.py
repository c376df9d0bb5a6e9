"""Axes to configs."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.backbones.naming import config_label
from core.errors import BadValue, ImpossibleMask, UnknownName
from core.recipes.build import build_config
from core.recipes.sweep import expand
from core.schemas.request import RunRequest
from core.schemas.sweep import SweepRequest


def sweep(axes: dict, **base: object) -> SweepRequest:
    return SweepRequest(name="s", base=RunRequest(mask="F9", **base), axes=axes)


def test_every_combination_comes_once_and_the_last_axis_is_the_fastest() -> None:
    points = expand(sweep({"mask": ["F9", ["F8", "F9"]], "seed": [1, 2, 3]}))
    assert [(point.config.mask, point.config.seed) for point in points] == [
        (("F9",), 1), (("F9",), 2), (("F9",), 3), (("F8", "F9"), 1), (("F8", "F9"), 2), (("F8", "F9"), 3)
    ]  # fmt: skip
    assert points[3].config == build_config(RunRequest(mask="F8,F9", seed=1))


def test_an_axis_may_be_any_override_and_wins_over_the_base() -> None:
    points = expand(sweep({"lr": [0.01, 0.1]}, overrides={"training.lr": 0.5, "training.max_epochs": 1}))
    assert [(point.config.training.lr, point.config.training.max_epochs) for point in points] == [(0.01, 1), (0.1, 1)]
    same = expand(sweep({"training.lr": [0.01]}, overrides={"training.lr": 0.5}))
    assert same[0].config.training.lr == 0.01
    twice = expand(sweep({"training.lr": [0.01]}, overrides={"training.lr": 0.5, "lr": 0.7}))
    assert twice[0].config.training.lr == 0.01


def test_the_wiring_of_cells_is_an_axis_and_a_wrong_one_is_named() -> None:
    cells = ["0,1|2,3|5,6", "released-readme", "0,1|3,4|7,8"]
    base = {"backbone": "litesnn", "dataset": "digits", "overrides": {"architecture.filters": 4}}
    request = SweepRequest(name="s", base=RunRequest(mask="Full", **base), axes={"architecture.cell": cells})
    points = expand(request)
    assert [point.config.architecture.cell for point in points] == cells  # a comma in a value divides nothing
    assert len({point.config.config_hash for point in points}) == 3
    assert config_label(points[0].config) == "SNN-LitE-SNN Full, cell 0,1|2,3|5,6, F 4"
    with pytest.raises(BadValue, match="edge 6 is of a later node") as caught:
        expand(request.model_copy(update={"axes": {"architecture.cell": [cells[0], "0,1|2,6|5,7"]}}))
    assert caught.value.fields["combination"] == {"architecture.cell": "0,1|2,6|5,7"}


def test_one_combination_too_many_is_refused_with_the_bound() -> None:
    assert len(expand(sweep({"seed": list(range(256)), "kind": ["snn", "cnn"]}))) == 512
    with pytest.raises(BadValue, match="axes is 514; it must be at most 512 combinations"):
        expand(sweep({"seed": list(range(257)), "kind": ["snn", "cnn"]}))


@pytest.mark.parametrize(
    ("axes", "error", "combination", "says"),
    [
        ({"seed": [1], "mask": ["F9", []]}, ImpossibleMask, {"seed": 1, "mask": []}, "keep at least one"),
        ({"mask": ["F9", "F44"]}, UnknownName, {"mask": "F44"}, "F44"),
        ({"backbone": ["squeezenet", "sqeezenet"]}, UnknownName, {"backbone": "sqeezenet"}, "squeezenet"),
        ({"tau": [2.0, 0.5]}, BadValue, {"tau": 0.5}, "neuron.tau is 0.5; it must be above 1"),
        ({"seed": [0, -1]}, BadValue, {"seed": -1}, "seed is -1; it must be at least 0"),
        ({"seed": [0, "many"]}, BadValue, {"seed": "many"}, "a whole number"),
        ({"training.lr": [[1]]}, None, None, None),
        ({"training.lr": [["1"]]}, BadValue, {"training.lr": ["1"]}, "only a mask may be a list"),
    ],
)
def test_a_combination_that_cannot_be_is_named(axes: dict, error, combination, says) -> None:
    if error is None:
        with pytest.raises(ValidationError):
            sweep(axes)
        return
    with pytest.raises(error) as caught:
        expand(sweep(axes))
    assert caught.value.fields["combination"] == combination
    assert caught.value.message.startswith("In the combination ") and says in caught.value.message
