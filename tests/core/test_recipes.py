"""Recipes, overrides and the command that repeats a run."""

import dataclasses
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadValue, ImpossibleMask, UnknownName
from core.recipes.build import build_config, command
from core.recipes.catalog import RECIPES
from core.recipes.setup import Setup
from core.schemas.request import RunRequest
from core.schemas.run import Kind, NeuronConfig, RunConfig, TrainingConfig
from core.units import format_about


def request(**changes) -> RunRequest:
    return RunRequest(**{"mask": "Ref-1", **changes})


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_a_run_and_its_twin_are_trained_alike(recipe: str, dataset: str) -> None:
    spiking, plain = (build_config(request(recipe=recipe, dataset=dataset, kind=kind)) for kind in Kind)
    assert spiking.training == plain.training
    assert spiking.twin_hash == plain.twin_hash
    assert spiking.recipe == recipe


def test_the_paper_recipe_is_the_published_training() -> None:
    config = build_config(request(recipe="paper", dataset="cifar10"))
    training = config.training
    assert (training.batch_size, training.lr, training.max_epochs, training.patience) == (8, 1e-3, 150, 10)
    assert (training.schedule, training.milestones, training.gamma) == ("multistep", (50, 100), 0.1)
    assert (training.augment, training.validation_share, training.train_limit) == ("none", 0.2, None)
    assert training.gradient_aware > 0 and training.grad_cam_aware == 0
    assert (training.loss, training.label_smoothing, training.distillation, training.rate_penalty) == ("mean", 0, 0, 0)
    assert (config.time_steps, config.neuron.tau, config.neuron.v_threshold) == (4, 1.08, 1.0)


def test_the_thesis_recipe_is_the_papers_with_the_thesis_own_second_term() -> None:
    paper, thesis = (build_config(request(recipe=recipe, dataset="cifar10")) for recipe in ("paper", "thesis"))
    assert (thesis.training.gradient_aware, thesis.training.grad_cam_aware) == (0, 0.2)
    same = {"gradient_aware": 0.0, "grad_cam_aware": 0.0}
    assert thesis.training.model_copy(update=same) == paper.training.model_copy(update=same)
    rest = {"training": paper.training, "recipe": "paper"}
    assert thesis.model_copy(update=rest) == paper


def test_a_recipe_may_choose_time_steps_neuron_and_input(monkeypatch) -> None:
    setup = Setup(
        training=TrainingConfig(), time_steps=2, neuron=NeuronConfig(tau=2.0, v_threshold=0.5), input="intensity"
    )
    row = dataclasses.replace(RECIPES["fast"], name="trial", setup=lambda dataset: setup)
    monkeypatch.setitem(RECIPES._entries, "trial", row)
    config = build_config(request(recipe="trial"))
    assert (config.time_steps, config.neuron.tau, config.neuron.v_threshold, config.input) == (2, 2, 0.5, "intensity")
    assert "--set" not in command(config)
    assert build_config(request(recipe="trial", overrides={"time_steps": 4})).time_steps == 4
    twin = build_config(request(recipe="trial", kind="cnn"))
    assert (twin.input, twin.twin_hash, twin.steps) == ("intensity", config.twin_hash, 1)


def test_every_recipe_says_how_long_it_takes() -> None:
    assert all(recipe.expected_minutes > 0 for recipe in RECIPES.values())
    assert RECIPES["smoke"].expected_minutes < RECIPES["fast"].expected_minutes < RECIPES["paper"].expected_minutes
    assert [format_about(minutes) for minutes in (3, 75, 155, 600, 4600)] == [
        "about 3 min",
        "about 75 min",
        "about 2.6 h",
        "about 10 h",
        "about 77 h",
    ]


@pytest.mark.parametrize(
    ("recipe", "natural", "signs"), [("fast", "crop-altflip", "crop"), ("best", "crop-altflip", "crop")]
)
def test_only_natural_images_are_mirrored(recipe: str, natural: str, signs: str) -> None:
    assert build_config(request(recipe=recipe, dataset="cifar10")).training.augment == natural
    assert build_config(request(recipe=recipe, dataset="digits")).training.augment == signs


def test_the_best_recipe_trains_counts_and_its_twin_shares_the_training() -> None:
    config = build_config(request(recipe="best", dataset="cifar10"))
    assert (config.neuron.model, config.time_steps, config.layer_synchronous) == ("count", 4, True)
    twin = build_config(request(recipe="best", dataset="cifar10", kind="cnn"))
    assert twin.training == config.training and not twin.layer_synchronous
    assert config.twin().config_hash == twin.config_hash and not config.needs_teacher


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({}, "1:0.6:1.0 2:0.25:0.3 4:0.15:0.1"),
        ({"time_steps": 8}, "1:0.6:1.0 2:0.25:0.3 8:0.15:0.1"),
        ({"time_steps": 3}, "1:0.6:1.0 2:0.25:0.3 3:0.15:0.1"),
        ({"time_steps": 2}, "1:0.6:1.0 2:0.4:0.3"),
        ({"time_steps": 1}, ""),
        ({"max_epochs": 7}, "1:0.6:1.0 2:0.25:0.3 4:0.15:0.1"),
        ({"max_epochs": 2}, ""),
        ({"max_epochs": 7, "warmup_epochs": 1.5}, ""),
        ({"patience": 5}, ""),
        ({"time_steps": 2, "stages": "1:1,2:1"}, "1:1.0:1.0 2:1.0:1.0"),
        ({"stages": ""}, ""),
    ],
)
def test_the_stages_of_a_recipe_follow_what_is_set_beside_them(changes, stages) -> None:
    config = build_config(request(recipe="fast", dataset="cifar10", overrides=changes))
    assert " ".join(map(str, config.training.stages)) == stages
    words = shlex.split(command(config))
    again = dict(word.split("=", 1) for word, before in zip(words[1:], words, strict=False) if before == "--set")
    assert build_config(request(recipe="fast", dataset="cifar10", overrides=again)) == config


def test_stages_that_are_named_have_to_fit() -> None:
    with pytest.raises(BadValue, match=r"training\.stages"):
        build_config(request(recipe="fast", dataset="cifar10", overrides={"stages": "1:1,2:1"}))


OLD_HASHES = {
    ("smoke", "digits"): "c8f2e5cabe56",
    ("smoke", "cifar10"): "6b17026f2496",
    ("paper", "digits"): "c60b097a486f",
    ("paper", "cifar10"): "e4ddc84c6ec7",
}


def test_old_recipes_make_the_runs_that_they_made() -> None:
    """Recorded before the newer fields were there: another value would make equal runs look new."""
    made = {
        (recipe, dataset): build_config(request(recipe=recipe, dataset=dataset)).config_hash[:12]
        for recipe in ("smoke", "paper")
        for dataset in ("digits", "cifar10")
    }
    assert made == OLD_HASHES


def test_a_converted_network_as_it_comes_needs_its_twins_epochs_and_shares_its_twin() -> None:
    without = {"start": "converted", "max_epochs": 0}
    with pytest.raises(BadValue, match="teacher_epochs"):
        build_config(request(overrides=without))
    with pytest.raises(BadValue, match="max_epochs"):
        build_config(request(kind="cnn", overrides={**without, "teacher_epochs": 5}))
    config = build_config(request(overrides={**without, "teacher_epochs": 5}))
    assert config.twin().training.max_epochs == 5
    assert config.twin() != build_config(request(kind="cnn"))  # it still says what its pupil does,
    assert config.twin().config_hash == build_config(request(kind="cnn")).config_hash  # which changes no number
    assert config.twin_hash == build_config(request()).twin_hash == config.twin().twin_hash


def test_a_mask_may_be_a_name_a_text_or_a_list_in_any_order() -> None:
    masks = {build_config(request(mask=mask)).mask for mask in ("Ref-1", "p", "F9, f4,F8,F6", ["F8", "F4", "F9", "F6"])}
    assert masks == {("F4", "F6", "F8", "F9")}


@pytest.mark.parametrize(
    ("changes", "near"),
    [
        ({"backbone": "sqeezenet"}, "squeezenet"),
        ({"dataset": "cifar"}, "cifar10"),
        ({"recipe": "smok"}, "smoke"),
        ({"definition": "smal"}, "small"),
        ({"overrides": {"training.max_epoch": 3}}, "training.max_epochs"),
        ({"overrides": {"max_epoch": 3}}, "max_epochs"),
    ],
)
def test_an_unknown_name_suggests_the_near_one(changes: dict, near: str) -> None:
    with pytest.raises(UnknownName) as caught:
        build_config(request(**changes))
    assert near in caught.value.fields["near"]


def test_overrides_take_dotted_paths_unique_last_parts_and_text() -> None:
    config = build_config(
        request(
            overrides={
                "training.max_epochs": "3",
                "tau": 1.5,
                "patience": "null",
                "milestones": "2, 5",
                "schedule": "multistep",
                "augment": "none",
                "train_limit": 100,
                "time_steps": "2",
                "lr": "1e-2",
            }
        )
    )
    training = config.training
    assert (training.max_epochs, training.patience, training.milestones) == (3, None, (2, 5))
    assert (training.augment, training.train_limit, training.lr) == ("none", 100, 0.01)
    assert (config.neuron.tau, config.time_steps) == (1.5, 2)


def test_a_second_derivative_and_mixed_precision_are_refused_together() -> None:
    build_config(request(overrides={"precision": "mixed"}))
    with pytest.raises(BadValue, match="float32"):
        build_config(request(overrides={"precision": "mixed", "gradient_aware": 0.01}))
    with pytest.raises(BadValue, match="float32"):
        build_config(request(recipe="paper", overrides={"precision": "mixed"}))


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("neuron.tau", 1.0, "neuron.tau", "above 1"),
        ("tau", "nan", "neuron.tau", "1"),
        ("batch_size", 0, "training.batch_size", "at least 1"),
        ("batch_size", "8.5", "training.batch_size", "a whole number"),
        ("lr", "quick", "training.lr", "a number"),
        ("lr", float("inf"), "training.lr", "10"),
        ("lr", None, "training.lr", "a number"),
        ("schedule", "line", "training.schedule", "one of 'multistep', 'cosine', 'linear' or 'constant'"),
        ("milestones", "5,2", "training.milestones", "rising"),
        ("milestones", "5,x", "training.milestones.1", "a whole number"),
        ("max_epochs", True, "training.max_epochs", "a number or a word"),
        ("decay_input", "perhaps", "neuron.decay_input", "true or false"),
        ("warmup_epochs", 1000, "training.warmup_epochs", "at most training.max_epochs"),
        ("warmup_epochs", "inf", "training.warmup_epochs", "at most training.max_epochs"),
        ("seed", 3, "overrides", "an option of its own"),
        ("time_steps", 65, "time_steps", "at most 64"),
        ("max_epochs", 0, "training.max_epochs", "at least 1"),
        ("optimizer", "lamb", "training.optimizer", "one of 'adam', 'adamw' or 'sgd'"),
        ("momentum", 1, "training.momentum", "below 1"),
        ("nesterov", "perhaps", "training.nesterov", "true or false"),
        ("nesterov", None, "training.nesterov", "true or false"),
        ("validate_every", 0, "training.validate_every", "at least 1"),
        ("validate_every", True, "training.validate_every", "a number or a word"),
        ("augment", "altflip", "training.augment", "'crop-altflip'"),
        ("ema", 0.9, "training.select", "ema where training.ema is not 0"),
        ("select", "ema", "training.ema", "above 0"),
        ("ac_penalty", 1, "training.ac_target", "a number of accumulates per image"),
        ("ac_target", 0, "training.ac_target", "above 0"),
        ("ac_ramp", "0.7,0.5", "training.ac_ramp", "two rising shares"),
        ("ac_ramp", "0.5,1.5", "training.ac_ramp", "from 0 to 1"),
        ("ac_ramp", "nan,1", "training.ac_ramp", "from 0 to 1"),
        ("ac_ramp", "0.5", "training.ac_ramp.1", "given"),
        ("input", "raw", "input", "'normalised' or 'intensity'"),
        ("tet_phi", 0, "training.tet_phi", "above 0"),
        ("distillation", 1.5, "training.distillation", "at most 1"),
        ("label_smoothing", 1, "training.label_smoothing", "below 1"),
    ],
)
def test_a_bad_override_names_its_field_and_what_it_must_be(name: str, value, field: str, expected: str) -> None:
    with pytest.raises(BadValue) as caught:
        build_config(request(overrides={name: value}))
    assert caught.value.fields["field"] == field
    assert expected in caught.value.message


def test_what_cannot_stand_together_is_refused_with_field_value_and_what_would_be_right() -> None:
    with pytest.raises(BadValue) as caught:
        build_config(request(overrides={"optimizer": "sgd", "momentum": 0}))
    fault = caught.value.fields
    assert (fault["field"], fault["value"]) == ("training.nesterov", True)
    assert fault["expected"].startswith("false where training.momentum is 0")
    build_config(request(overrides={"optimizer": "sgd", "momentum": 0, "nesterov": "false"}))
    build_config(request(overrides={"momentum": 0}))  # Adam has none
    with pytest.raises(BadValue) as caught:
        build_config(request(overrides={"milestones": "50,50"}))
    assert caught.value.fields["value"] == "50,50"
    # a CNN has no spikes that would cost anything
    build_config(request(kind="cnn", overrides={"ac_penalty": 1}))
    with pytest.raises(BadValue, match="two rising shares"):
        build_config(request(kind="cnn", overrides={"ac_ramp": "1,0"}))


def test_a_yes_or_no_may_be_a_word_or_what_it_is() -> None:
    for value in ("false", "False", "no", "0", False):
        assert build_config(request(overrides={"nesterov": value})).training.nesterov is False
    assert "training.nesterov=false" in command(build_config(request(overrides={"nesterov": False})))


def test_a_network_that_cannot_be_built_is_refused_at_once() -> None:
    with pytest.raises(ImpossibleMask):
        build_config(request(mask=[]))
    build_config(request(definition="imagenet", dataset="cifar10"))  # small, but it can be built


fields = st.fixed_dictionaries(
    {},
    optional={
        "training.max_epochs": st.integers(3, 500),
        "training.lr": st.floats(1e-6, 1, allow_nan=False),
        "training.patience": st.none() | st.integers(1, 50),
        "training.milestones": st.lists(st.integers(1, 300), max_size=4, unique=True).map(
            lambda steps: ",".join(map(str, sorted(steps)))
        ),
        "training.train_limit": st.none() | st.integers(2, 5000),
        "neuron.tau": st.floats(1.01, 100),
        "neuron.decay_input": st.booleans() | st.sampled_from(["true", "false"]),
        "time_steps": st.integers(1, 64),
        "training.optimizer": st.sampled_from(["adam", "adamw", "sgd"]),
        "training.nesterov": st.booleans(),
        "training.schedule": st.sampled_from(["multistep", "cosine", "linear", "constant"]),
        "training.augment": st.sampled_from(["none", "crop-altflip", "crop-altflip-cutout"]),
        "training.select": st.sampled_from(["best", "last"]),
        "training.loss": st.sampled_from(["mean", "tet", "probability"]),
        "training.tet_phi": st.none() | st.floats(0.1, 2),
        "training.distillation_per_step": st.booleans(),
        "training.ac_target": st.none() | st.floats(1, 1e9),
        "training.ac_ramp": st.sampled_from(["0.1,0.2", "0.0,1.0"]),
    },
)


@given(
    overrides=fields,
    kind=st.sampled_from(list(Kind)),
    recipe=st.sampled_from(list(RECIPES)),
    mask=st.lists(st.sampled_from([f"F{i}" for i in range(2, 10)]), min_size=1, unique=True),
    definition=st.sampled_from(["small", "imagenet"]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=60, deadline=None)
def test_the_command_of_a_config_gives_the_same_config(overrides, kind, recipe, mask, definition, seed) -> None:
    names = {"kind": kind, "recipe": recipe, "mask": mask, "definition": definition, "seed": seed}
    config = build_config(RunRequest(dataset="cifar10", overrides=overrides, **names))
    words = shlex.split(command(config))
    assert words[:2] == ["spikefront", "train"]
    pairs = list(zip(words[2::2], words[3::2], strict=True))
    again = {name.removeprefix("--"): value for name, value in pairs if name not in ("--set", "--out")}
    again["overrides"] = dict(value.split("=") for name, value in pairs if name == "--set")
    assert build_config(RunRequest(**again)) == config


def test_the_command_of_a_config_from_an_unknown_recipe_still_trains_the_same() -> None:
    config = RunConfig(mask=("F9",), recipe="bespoke", time_steps=7)
    words = shlex.split(command(config))
    assert "time_steps=7" in words
    assert words[words.index("--recipe") + 1] in RECIPES
