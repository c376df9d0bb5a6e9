"""Forecasts against arithmetic in view."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.backbones.catalog import plan_for
from core.backbones.plan import PlanBuilder
from core.forecast import forward_ops, seconds, training_memory_bytes, training_ops, with_teacher
from core.schemas.run import Kind, RunConfig, TrainingConfig


def tiny():
    """conv 1x1 (2 -> 3) + bn + act, conv 1x1 (3 -> 4), mean; on 2x2 images."""
    builder = PlanBuilder((2, 2, 2))
    x = builder.act("a", builder.bn("b", builder.conv("c1", "input", 3, kernel=1)))
    builder.global_avgpool("mean", builder.conv("c2", x, 4, kernel=1))
    return builder.finish(backbone="x", definition="small", blocks=(), mask=())


def config(kind=Kind.SNN, steps=5, batch_size=7, epochs=2):
    return RunConfig(
        mask=("F2",), kind=kind, time_steps=steps, training=TrainingConfig(batch_size=batch_size, max_epochs=epochs)
    )


STEM = 2 * 3 * 4 + 3 * 4  # weights x positions + bias
NEXT = 3 * 4 * 4 + 4 * 4


def test_a_forward_pass_computes_the_constant_stem_once_and_the_rest_at_every_step():
    assert forward_ops(tiny(), config()) == STEM + 5 * NEXT


def test_a_cnn_has_one_step():
    assert forward_ops(tiny(), config(kind=Kind.CNN)) == STEM + NEXT


def test_a_run_is_three_passes_a_training_image_one_a_validation_image_and_one_test():
    forward = STEM + 5 * NEXT
    training = 3 * forward - 2 * 3 * 4  # the image itself needs no gradient
    expected = 2 * (10 * training + 3 * forward) + 4 * forward
    assert training_ops(tiny(), config(epochs=2), n_train=10, n_validation=3, n_test=4) == expected


def test_a_teacher_is_trained_first_and_answers_once_for_each_training_image():
    images = {"n_train": 10, "n_validation": 3, "n_test": 4}
    alone = config(epochs=2)
    learning = {"distillation": 0.5, "teacher_epochs": 7}
    taught = alone.model_copy(update={"training": alone.training.model_copy(update=learning)})
    answers = 2 * 10 * (STEM + NEXT)
    assert training_ops(tiny(), taught, **images) == training_ops(tiny(), alone, **images) + answers
    twin = training_ops(tiny(), config(kind=Kind.CNN, epochs=7), **images)
    assert with_teacher(tiny(), taught, **images) == training_ops(tiny(), taught, **images) + twin
    assert with_teacher(tiny(), alone, **images) == training_ops(tiny(), alone, **images)


PARAMS = (2 * 3 + 3) + 2 * 3 + (3 * 4 + 4)
IMAGE, STEM_VALUES, SPIKES, OUT = 2 * 4, 3 * 4, 5 * 3 * 4, 5 * 4 * 4


def test_memory_is_weights_five_times_and_what_each_layer_keeps_for_a_batch():
    # kept: the image (c1's input), c1's output (bn's input, constant: once), the spikes (c2's input); two of the largest
    per_image = IMAGE + STEM_VALUES + SPIKES + 2 * max(SPIKES, OUT)
    assert training_memory_bytes(tiny(), config(batch_size=7)) == 4 * (5 * PARAMS + 7 * per_image)


def test_memory_without_fused_layers_keeps_the_normalised_input_and_four_values_a_neuron_and_step():
    per_image = IMAGE + 2 * STEM_VALUES + SPIKES + 4 * SPIKES + 2 * max(SPIKES, OUT)
    assert training_memory_bytes(tiny(), config(batch_size=7), fused=False) == 4 * (5 * PARAMS + 7 * per_image)


def test_memory_of_a_cnn_without_fused_layers_keeps_what_its_relu_gave():
    # the ReLU's output is c2's input too, and is kept once
    per_image = IMAGE + 2 * STEM_VALUES + 2 * max(STEM_VALUES, 4 * 4)
    need = training_memory_bytes(tiny(), config(kind=Kind.CNN, batch_size=7), fused=False)
    assert need == 4 * (5 * PARAMS + 7 * (per_image))


def test_a_max_pool_keeps_a_byte_an_output_or_in_plain_torch_its_input_and_eight():
    builder = PlanBuilder((2, 4, 4))
    builder.maxpool("pool", builder.act("a", "input"), kernel=2, stride=2)
    plan = builder.finish(backbone="x", definition="small", blocks=(), mask=())
    current, spikes, pooled = 2 * 16, 5 * 2 * 16, 5 * 2 * 4
    assert training_memory_bytes(plan, config(batch_size=1)) == 4 * (current + 2 * spikes) + pooled
    plain = 4 * (current + spikes + 4 * spikes + 2 * spikes) + 8 * pooled
    assert training_memory_bytes(plan, config(batch_size=1), fused=False) == plain


def squeezenet(mask=("F4", "F6", "F8", "F9")):
    return plan_for(backbone="squeezenet", mask=mask, input_shape=(3, 32, 32), n_classes=10)


@given(st.integers(1, 64), st.integers(1, 32), st.integers(1, 9))
def test_memory_grows_with_batch_and_time_and_operations_with_epochs(batch_size, steps, epochs):
    plan = squeezenet()
    small = config(steps=steps, batch_size=batch_size, epochs=epochs)
    assert training_memory_bytes(plan, config(steps=steps, batch_size=batch_size + 1)) > training_memory_bytes(
        plan, small
    )
    assert training_memory_bytes(plan, config(steps=steps + 1, batch_size=batch_size)) > training_memory_bytes(
        plan, small
    )
    numbers = {"n_train": 100, "n_validation": 20, "n_test": 0}
    one = training_ops(plan, config(steps=steps, epochs=1), **numbers)
    assert training_ops(plan, small, **numbers) == pytest.approx(epochs * one)


def test_a_smaller_mask_needs_less_of_everything():
    whole = squeezenet(("F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9"))
    part = squeezenet()
    numbers = {"n_train": 10, "n_validation": 2, "n_test": 2}
    assert training_ops(part, config(), **numbers) < training_ops(whole, config(), **numbers)
    assert training_memory_bytes(part, config()) < training_memory_bytes(whole, config())


def test_seconds_are_operations_over_a_rate():
    assert seconds(10e9, 2e9) == 5
    for rate in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="above 0"):
            seconds(1, rate)
