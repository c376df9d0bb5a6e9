"""Which runs differ in their seed alone."""

from __future__ import annotations

import pytest

from core.recipes.build import build_config
from core.repeats import repeat_key
from core.schemas.request import RunRequest
from core.schemas.results import Summary
from core.schemas.run import RunConfig


def config(**changes: object) -> RunConfig:
    return build_config(RunRequest(mask="F9", dataset="digits", recipe="smoke")).model_copy(update=changes)


def summary(**changes: object) -> Summary:
    told = {
        "accuracy": 0.9, "f1_macro": 0.9, "params": 10, "acs": 1.0, "macs": 1.0, "energy_pj": 1.0, "mode": "exact",
        "profile": "horowitz-45nm", "firing_rate": 0.1, "seed": 0, "dataset": "digits", "dataset_complete": True,
        "kind": "snn", "backbone": "squeezenet", "mask": ("F9",), "recipe": "smoke", "time_steps": 4, "n_train": 32,
        "n_train_available": 1200, "n_validation": 10, "n_test": 20, "best_epoch": 1, "best_validation_accuracy": 0.9,
        "epochs_run": 1, "train_wall_s": 1.0, "train_images_per_s": 1.0, "evaluate_wall_s": 1.0, "device": "cpu",
        "config_hash": "c",
    }  # fmt: skip
    return Summary(**told | changes)


def test_a_seed_and_what_came_out_of_it_make_no_other_key() -> None:
    assert repeat_key(config(), summary()) == repeat_key(config(seed=9), summary(seed=9, accuracy=0.1, device="cuda"))


@pytest.mark.parametrize("images", ["n_train", "n_train_available", "n_validation", "n_test"])
def test_other_images_make_another_key(images: str) -> None:
    assert repeat_key(config(), summary()) != repeat_key(config(), summary(**{images: 7}))


def test_another_config_or_recipe_makes_another_key() -> None:
    changed = config().model_copy(update={"training": config().training.model_copy(update={"lr": 0.5})})
    found = {repeat_key(one, summary()) for one in (config(), changed, config(recipe="mine"), config(time_steps=3))}
    assert len(found) == 4


def test_a_run_without_an_end_is_equal_to_none_that_has_one_and_fits_its_column() -> None:
    assert repeat_key(config(), None) == repeat_key(config(seed=1), None) != repeat_key(config(), summary())
    assert len(repeat_key(config(), None)) == 64
