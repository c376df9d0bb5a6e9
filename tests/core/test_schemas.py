"""The config of a run, its hashes and twins, and the states it can move between."""

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.schemas.base import digest
from core.schemas.results import EVENTS, Counts, Failed, LayerCounts, Progress
from core.schemas.run import TRANSITIONS, Kind, NeuronConfig, RunConfig, RunState, TrainingConfig

P = ("F4", "F6", "F8", "F9")

neurons = st.builds(
    NeuronConfig, tau=st.floats(1.0, 100, exclude_min=True), v_threshold=st.floats(0.01, 10), alpha=st.floats(0.1, 10)
)
trainings = st.builds(
    TrainingConfig,
    lr=st.floats(1e-6, 10),
    batch_size=st.integers(1, 512),
    max_epochs=st.integers(1, 300),
    patience=st.one_of(st.none(), st.integers(1, 50)),
    train_limit=st.one_of(st.none(), st.integers(2, 1000)),
)
configs = st.builds(
    RunConfig,
    kind=st.sampled_from(Kind),
    mask=st.sampled_from([P, ("F2",), ("F2", "F3")]),
    seed=st.integers(0, 2**31 - 1),
    time_steps=st.integers(1, 64),
    neuron=neurons,
    training=trainings,
)


@given(configs)
def test_a_config_survives_a_round_trip_through_json(config):
    again = RunConfig.model_validate_json(config.model_dump_json())
    assert again == config and again.config_hash == config.config_hash


@given(configs)
def test_the_twin_of_the_twin_is_the_config_itself_and_twins_share_a_hash(config):
    assert config.twin().kind is not config.kind
    assert config.twin().twin() == config
    assert config.twin().twin_hash == config.twin_hash
    assert config.twin().config_hash != config.config_hash


def changed(**fields):
    return RunConfig(mask=P).model_copy(update=fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1},
        {"mask": ("F4",)},
        {"dataset": "cifar10"},
        {"time_steps": 5},
        {"definition": "imagenet"},
        {"neuron": NeuronConfig(tau=1.5)},
        {"neuron": NeuronConfig(model="count")},
        {"neuron": NeuronConfig(decay_input=False)},
        {"neuron": NeuronConfig(v_start="half")},
        {"neuron": NeuronConfig(detach_reset=True)},
        {"neuron": NeuronConfig(learn_threshold=True)},
        {"training": TrainingConfig(lr=0.01)},
        {"training": TrainingConfig(split_seed=1)},
        {"kind": Kind.CNN},
    ],
)
def test_whatever_decides_the_result_changes_the_hash(fields):
    assert changed(**fields).config_hash != changed().config_hash


def test_the_recipes_name_is_only_a_label():
    assert changed(recipe="fast").config_hash == changed(recipe="smoke").config_hash


def test_a_cnn_has_no_neurons_and_no_time_in_its_hash():
    cnn = changed(kind=Kind.CNN)
    other = changed(kind=Kind.CNN, time_steps=9, neuron=NeuronConfig(tau=1.08))
    assert cnn.config_hash == other.config_hash and cnn.steps == other.steps == 1
    assert changed(time_steps=9).steps == 9


def test_a_cnn_is_the_twin_of_spiking_runs_with_any_neuron():
    assert changed(time_steps=9).twin_hash == changed(kind=Kind.CNN).twin_hash == changed().twin_hash
    assert changed(seed=1).twin_hash != changed().twin_hash


def test_the_hash_is_the_one_under_which_earlier_runs_are_stored():
    """Recorded once: another value would make equal runs look new."""
    assert RunConfig(mask=P).config_hash[:16] == "087fb5b9355040ca"


def test_a_config_from_before_the_neurons_newer_fields_is_the_same_run():
    old = RunConfig(mask=P).model_dump(mode="json")
    for name in ("decay_input", "v_start", "detach_reset", "learn_threshold"):
        del old["neuron"][name]
    assert RunConfig.model_validate(old) == RunConfig(mask=P)
    assert not {"decay_input", "v_start"} & RunConfig(mask=P).identity()["neuron"].keys()


def test_only_a_spiking_network_of_counts_is_layer_synchronous():
    counts = changed(neuron=NeuronConfig(model="count"))
    assert counts.layer_synchronous and not changed().layer_synchronous
    assert not counts.twin().layer_synchronous and counts.twin().config_hash == changed().twin().config_hash


def test_a_digest_depends_on_the_content_and_not_on_the_order_of_keys():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1}) != digest({"a": 1, "b": [2, 1]})
    with pytest.raises(ValueError, match="JSON"):
        digest(float("nan"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"time_steps": 0},
        {"time_steps": 65},
        {"kind": "rnn"},
        {"encoding": "poisson"},
        {"neuron": {"tau": 1.0}},
        {"neuron": {"v_threshold": 0}},
        {"training": {"lr": 0}},
        {"training": {"lr": float("nan")}},
        {"training": {"batch_size": 0}},
        {"training": {"milestones": [50, 50]}},
        {"training": {"milestones": [0, 10]}},
        {"training": {"validation_share": 1.0}},
        {"surprise": 1},
    ],
)
def test_a_config_outside_its_bounds_is_refused(wrong):
    with pytest.raises(ValidationError):
        RunConfig.model_validate({"mask": P} | wrong)


def test_a_config_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        RunConfig(mask=P).seed = 3


# States.


def test_a_final_state_never_changes():
    final = {state for state in RunState if state.is_final}
    assert final == {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}
    assert all(state.is_active != state.is_final for state in RunState)


def test_the_transitions_are_those_of_the_design_and_no_others():
    allowed = {(a.value, b.value) for a, b in product(RunState, RunState) if b in TRANSITIONS[a]}
    assert allowed == {
        ("queued", "running"), ("queued", "cancelled"),
        ("running", "succeeded"), ("running", "failed"), ("running", "lost"), ("running", "cancelling"),
        ("cancelling", "cancelled"), ("cancelling", "succeeded"), ("cancelling", "failed"),
        ("lost", "queued"), ("lost", "failed"), ("lost", "cancelled"),
    }  # fmt: skip


def test_every_state_has_a_row_and_every_active_one_can_reach_an_end():
    assert set(TRANSITIONS) == set(RunState)
    for state in RunState:
        reached, frontier = {state}, [state]
        while frontier:
            news = TRANSITIONS[frontier.pop()] - reached
            reached |= news
            frontier += news
        assert any(other.is_final for other in reached)


# Results.


def test_events_are_told_apart_by_their_type():
    lines = [
        Progress(epoch=1, max_epochs=2, step=3, steps=4, loss=0.5).model_dump_json(),
        Failed(code="x", message="y", fields={"a": 1}).model_dump_json(),
    ]
    assert [type(EVENTS.validate_json(line)) for line in lines] == [Progress, Failed]
    with pytest.raises(ValidationError):
        EVENTS.validate_json('{"type": "surprise"}')


def test_counts_survive_a_round_trip_as_integers():
    layer = LayerCounts(name="c", kind="conv", output_shape=(1, 2, 3), ac=(10**15, 2), mac=(0, 0))
    counts = Counts(kind=Kind.SNN, time_steps=2, n_samples=3, layers=(layer,))
    again = Counts.model_validate_json(counts.model_dump_json())
    assert again == counts
    assert json.loads(counts.model_dump_json())["layers"][0]["ac"] == [1_000_000_000_000_000, 2]
