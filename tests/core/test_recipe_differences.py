"""What sets a run apart from its recipe, in the words of the form."""

from __future__ import annotations

import pytest

from core.recipes.build import build_config, command, differing
from core.recipes.catalog import RECIPES
from core.recipes.differences import LONGEST, MOST, WORDS, differences, differs, phrase, short
from core.schemas.request import RunRequest
from core.schemas.run import RunConfig


def config_of(kind: str = "snn", recipe: str = "smoke", **overrides: object) -> RunConfig:
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    return build_config(RunRequest(kind=kind, mask="Ref-1", dataset="digits", recipe=recipe, overrides=named))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_as_its_recipe_has_it_has_no_differences(recipe):
    assert differences(config_of(recipe=recipe)) == [] and differs(config_of(recipe=recipe)) == ""


def test_what_was_overridden_is_said_in_the_words_of_the_form():
    changed = config_of(training__max_epochs=2, training__train_limit=300)
    assert differs(changed) == "epochs 2, 300 images"
    assert differs(config_of(time_steps=8, training__lr=10.0)) == "T = 8, learning rate 10"
    assert differs(config_of(neuron__learn_threshold=True, neuron__decay_input=False)) == (
        "no input decays, learned threshold"
    )


def test_a_compression_is_said_as_short_as_people_say_it():
    assert differs(config_of(compression__keep=0.2, compression__bits=2)) == "keep 0.2, 2 bits"
    assert differs(config_of("cnn", compression__bits=1)) == "1 bit"
    assert differs(config_of(compression__bits=4, compression__block_bits="F4:2")) == "4 bits, bits of blocks F4:2"
    assert phrase("compression.bits", 0) == "float32 weights" and phrase("compression.keep", 1.0) == "keep 1"


def test_a_cnn_does_not_differ_in_what_it_has_not():
    changed = {"time_steps": 8, "neuron__tau": 4.0, "training__tet_lambda": 0.5, "training__max_epochs": 2}
    assert differs(config_of("cnn", **changed)) == "epochs 2"
    assert len(differences(config_of("snn", **changed))) == 4


def test_options_of_the_network_and_the_mask_are_no_differences():
    assert differences(config_of(architecture__stem_width=64)) == []


def test_a_run_of_a_sweep_over_three_fields_says_each_of_them():
    found = differs(
        config_of(
            time_steps=1,
            neuron__v_threshold=0.5,
            training__lr=0.0003,
            training__max_epochs=2,
            training__train_limit=300,
        )
    )
    assert found == "T = 1, v_threshold 0.5, learning rate 0.0003, epochs 2, 300 images"


def test_of_many_differences_the_longest_are_left_out_first():
    words = [
        "tau 4",
        "epochs 2",
        "distillation temperature 2",
        "gradient-aware eps 0.01",
        "T = 8",
        "reset soft",
        "no patience",
        "batch size 2",
        "averaging 0.99",
    ]
    said = short(words)
    assert said == "tau 4, epochs 2, T = 8, reset soft, no patience, batch size 2 and 3 more"
    assert said.count(",") == MOST - 1
    long = ["a" * 50, "b" * 50]
    assert short(long) == "a" * 50 + " and 1 more" and len(", ".join(long)) > LONGEST
    assert short(["c" * 90]) == "c" * 90  # one is always said
    assert short([]) == ""


def test_a_digest_and_a_long_list_are_cut():
    assert phrase("training.teacher", "ab" * 32) == "teacher abababab"
    assert len(phrase("training.milestones", tuple(range(100)))) < 40
    assert (
        phrase("training.train_limit", None) == "all images"
        and phrase("training.train_limit", 12000) == "12,000 images"
    )
    assert phrase("training.ema", 0.998) == "averaging 0.998"


def test_every_field_that_can_be_overridden_has_words():
    config = config_of()
    paths = {
        path for path in differing(config.model_copy(update={"recipe": "gone"})) if not path.startswith("architecture")
    }
    fields = {f"neuron.{name}" for name in type(config.neuron).model_fields}
    fields |= {f"training.{name}" for name in type(config.training).model_fields}
    assert fields | paths <= set(WORDS)


def test_a_recipe_that_is_no_longer_known_has_no_differences():
    assert differences(config_of(training__max_epochs=2).model_copy(update={"recipe": "gone"})) == []


def test_the_command_names_the_same_fields():
    changed = config_of(training__max_epochs=2, training__train_limit=300)
    assert command(changed).count("--set") == len(differing(changed)) == 2
