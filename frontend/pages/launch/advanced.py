"""Fields of the config that a launch may change in its recipe: neuron, encoding, start, losses, compression, training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin

import streamlit as st

from core.report.charts import membrane
from core.schemas.base import Frozen
from core.schemas.run import NeuronConfig, RunConfig
from frontend.client.api import ApiProblem
from frontend.client.connection import plain
from frontend.keys import Key
from frontend.parts.chart_box import show
from frontend.parts.field import Field

FIELDS: dict[str, tuple[Field, ...]] = {
    "Training": (
        Field("training.max_epochs", "Epochs, at most", "One epoch is one pass over the training images."),
        Field("training.optimizer", "Optimiser", "adamw and sgd decay convolution weights only; sgd has momentum."),
        Field("training.batch_size", "Batch size", "Images per step."),
        Field("training.lr", "Learning rate", "Step size at the start."),
        Field("training.train_limit", "Training images, at most", "A stratified part of the training split."),
        Field("training.patience", "Patience", "Stop after so many epochs without a better validation accuracy."),
        Field("training.schedule", "Schedule", "How the learning rate falls."),
        Field("training.warmup_epochs", "Warm-up epochs", "The learning rate rises to its value over these."),
        Field("training.milestones", "Milestones", "Of schedule multistep: the epochs at which the rate falls, as 50,100."),
        Field("training.gamma", "Factor at a milestone", "Of schedule multistep: what the rate is multiplied with."),
        Field("training.momentum", "Momentum", "Of sgd."),
        Field("training.nesterov", "Nesterov", "Of sgd: whether its momentum looks ahead."),
        Field("training.neuron_lr_factor", "Neurons' rate, factor", "Times the learning rate, for what neurons learn."),
        Field("training.weight_decay", "Weight decay", "Pulls weights towards zero."),
        Field("training.stages", "Stages", "T:share:lr factor of each, as 1:0.6,2:0.25:0.3,4:0.15:0.1; T rises as it trains."),
        Field("training.validate_every", "Validate every", "So many epochs; the last one always."),
        Field("training.select", "Weights kept", "best: by validation; last: of the last epoch; ema: their average."),
        Field("training.ema", "Averaging", "Decay per step of averaged weights, such as 0.998; with weights kept: ema."),
        Field("training.validation_share", "Validation share", "Of the training images, kept apart to choose by."),
        Field("training.split_seed", "Seed of the split", "Which images are kept apart; equal for runs that compare."),
        Field("training.augment", "Augmentation", "What is done to training images."),
        Field("training.precision", "Precision", "mixed: bfloat16 where it holds."),
    ),
    "Neuron": (
        Field(
            "neuron.model", "Neuron",
            "lif leaks, if does not, plif learns its leak per layer. count trains counts of up to T spikes in one pass; "
            "its spiking network is layer-synchronous.",
        ),
        Field("neuron.tau", "tau", "Membrane time constant in steps, above 1."),
        Field("neuron.decay_input", "Input decays", "lif and plif: whether the input is divided by tau, as the membrane is."),
        Field("neuron.v_threshold", "v_threshold", "The neuron fires from this potential on; the first step of count."),
        Field("neuron.learn_threshold", "Learned threshold", "One threshold a layer, learned; starts at v_threshold."),
        Field("neuron.v_start", "Membrane at the start", "half: at v_threshold / 2, which rounds a rate."),
        Field("neuron.reset", "Reset", "hard: to zero after a spike; soft: the threshold is subtracted."),
        Field("neuron.detach_reset", "Reset detached", "Whether the reset passes no gradient to its spike."),
        Field("neuron.surrogate", "Surrogate", "The smooth function whose slope stands in for the spike's."),
        Field("neuron.alpha", "Surrogate slope", "At the threshold; larger is steeper."),
    ),
    "Compression": (
        Field("compression.keep", "Share of weights kept", "Of each convolution's weights that is kept, such as 0.2; 1 keeps all."),
        Field("compression.bits", "Weight bits", "1 to 8; 0 is float32."),
        Field("compression.block_bits", "Weight bits of blocks", "Where they differ, as F4:2,F6:1."),
        Field("compression.ends_bits", "Weight bits of the ends", "First and last convolution; else 4 where others are quantised."),
        Field("compression.scores", "Weights kept by", "learned scores, or by the weights' magnitude."),
    ),
    "Search": (
        Field("search.what", "Searched for", "bits, steps, bits+steps, cell (of litesnn) or nothing, found while the weights train."),
        Field("search.size_kb", "Budget of size, kB", "Of all weights, 1000 bytes each kB; empty: the term of size has its own weight."),
        Field("search.size_as", "Size read as", "kept bits alone, with a bitmap of their places, or at the entropy bound."),
        Field("search.bit_synops_m", "Budget of Bit-SynOps, M", "Per image, all steps, in millions."),
        Field("search.candidates", "Bits to choose from", "For each block, such as 1,2,4."),
        Field("search.held_out", "Images for the architecture", "Share of the training images that teach it and not the weights."),
        Field("search.as_released", "Search as released", "true: weights and architecture learn from the same images, as the released code does it."),
        Field("search.even_share", "Even share", "Of the epochs, in which all T weigh the same."),
        Field("search.size_weight", "Weight of size", "Of a bit in the loss, where size has no budget."),
        Field("search.bit_synops_weight", "Weight of Bit-SynOps", "Of one in the loss, where they have no budget."),
        Field("search.choice_lr", "Rate of the choices", "Of bits and edges."),
        Field("search.steps_lr", "Rate of the steps", "Of the weights of time steps."),
    ),
    "Input and start": (
        Field("time_steps", "Time steps T", "How often the spiking network sees the image."),
        Field("encoding", "Encoding", "direct: the image itself at each step; rate and latency: as spikes."),
        Field("start", "Start", "converted: from the CNN twin, which is trained first; bundle: from a finished run."),
        Field("start_bundle", "Run to start from", "With start bundle: the id of a finished run, or its weights' SHA-256."),
        Field("input", "Pixels", "normalised, or as intensities between 0 and 1."),
        Field("conversion_percentile", "Conversion percentile", "Of a layer's activations; it becomes the threshold."),
        Field("training.teacher_epochs", "Epochs of the twin", "Of the CNN twin that is trained first."),
    ),
    "Loss": (
        Field("training.loss", "Cross-entropy", "Of the mean output, (tet) of each step's, or of the mean probability."),
        Field("training.tet_lambda", "TET lambda", "Share of its pull towards phi."),
        Field("training.tet_phi", "TET phi", "What outputs are pulled to; the authors' is 1."),
        Field("training.label_smoothing", "Label smoothing", "Share of the target spread over all classes."),
        Field("training.distillation", "Distillation", "Share of the teacher's answers in the loss."),
        Field("training.distillation_temperature", "Distillation temperature", "Softens the teacher's answers."),
        Field("training.distillation_per_step", "Distillation per step", "true: every step learns, not only their mean."),
        Field("training.teacher", "Teacher", "The id of a finished run, or its weights' SHA-256; else the CNN twin."),
        Field("training.teacher_answers", "Teacher's answers", "stored: asked once for each image and its mirror image."),
        Field("training.rate_penalty", "Firing-rate penalty", "Weight of the firing-rate term; fewer spikes."),
        Field("training.rate_target", "Firing-rate target", "Below this rate the term is silent."),
        Field("training.ac_penalty", "Accumulates penalty", "Weight of the term of accumulates, each spike by its reach."),
        Field("training.ac_target", "Accumulates target", "Per image, all steps; below it the term is silent."),
        Field("training.ac_ramp", "Accumulates ramp", "Shares of the training between which that term rises to its weight, as 0.5,0.7."),
        Field("training.gradient_aware", "Gradient-aware lambda", "Weight of the paper's gradient-aware term."),
        Field("training.gradient_aware_eps", "Gradient-aware eps", "The gradient norm at which a layer counts for one half."),
        Field("training.grad_cam_aware", "Grad-CAM-aware lambda", "Weight of the Grad-CAM-aware term."),
    ),
}  # fmt: skip
BY_NAME: dict[str, Field] = {field.name: field for fields in FIELDS.values() for field in fields}
_NAMES = re.compile(
    "|".join(
        rf"{'' if '.' in name or '_' in name else '^'}(?<![\w.(]){re.escape(name)}(?![\w.]*\w)" for name in BY_NAME
    )
)
SPIKING_ONLY = ("Neuron", "Search", "Input and start")


def choices(name: str) -> tuple[str, ...]:
    """The words that a field allows, `true` and `false` for a switch; none for a number."""
    model: Any = RunConfig
    for part in name.split("."):
        annotation = model.model_fields[part].annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, Frozen) else None
    if annotation is bool:
        return ("true", "false")
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def chosen() -> dict[str, str]:
    """What differs from the recipe, as text; empty where nothing was changed."""
    return {name: st.session_state.get(Key.LAUNCH_OVERRIDE.of(name)) or "" for name in BY_NAME}


def clear() -> None:
    """Back to the recipe; from a callback, or before the fields are drawn."""
    for name in BY_NAME:
        st.session_state[Key.LAUNCH_OVERRIDE.of(name)] = None if choices(name) else ""


def take(values: Mapping[str, Any]) -> None:
    """Set some fields, the others as the recipe has them; from a callback."""
    clear()
    for name, value in values.items():
        st.session_state[Key.LAUNCH_OVERRIDE.of(name)] = "null" if value is None else text(value)


def text(value: Any) -> str:
    """A value as its field is typed: a list by commas, a stage by colons."""
    if isinstance(value, dict):
        return ":".join(map(str, value.values()))
    if isinstance(value, list | tuple):
        return ",".join(map(text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def differences(config: RunConfig, recipe: RunConfig) -> dict[str, Any]:
    """The fields of the form in which a config is not its recipe's."""
    one, other = ({name: attrgetter(name)(of) for name in BY_NAME} for of in (config, recipe))
    return {name: value for name, value in one.items() if value != other[name]}


def titled(words: str) -> str:
    """A refusal with each field's title in this form beside its machine name: `Learning rate (training.lr) is -1`.

    A name that is a word as well, such as `start`, is one at the beginning only.
    """
    return _NAMES.sub(lambda found: f"{BY_NAME[found[0]].title} ({found[0]})", words)


def draw(config: dict[str, Any], problem: ApiProblem | None) -> None:
    """The fields in tabs, each with the recipe's value; a refused one carries the refusal."""
    st.caption("Empty fields stay as the recipe has them; the recipe's value is shown in grey.")
    for tab, (group, fields) in zip(st.tabs(list(FIELDS)), FIELDS.items(), strict=True):
        with tab:
            if group in SPIKING_ONLY:
                st.caption("Of the spiking network; its CNN twin has none of these.")
            columns = st.columns(3)
            for place, field in enumerate(fields):
                with columns[place % 3]:
                    _field(field, config)
                    if problem is not None and problem.concerns(field.name):
                        st.error(plain(problem.detail))
            # on request: a chart in a folded box has no width yet, and fits itself to it again and again
            if group == "Neuron" and config.get("neuron") and st.toggle("Draw this neuron", key=Key.LAUNCH_NEURON):
                _picture(NeuronConfig.model_validate(config["neuron"]))


def _picture(neuron: NeuronConfig) -> None:
    show(membrane.neuron_figure(neuron), key="neuron_chart", data=lambda: membrane.neuron_rows(neuron))


def _field(field: Field, config: dict[str, Any]) -> None:
    value: Any = config
    for part in field.name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    shown = "none" if value is None and config else "" if value is None else text(value)
    shared = {
        "key": Key.LAUNCH_OVERRIDE.of(field.name),
        "help": f"`{field.name}`. {field.meaning}",
        "placeholder": "all" if shown == "none" and field.name.endswith("_limit") else shown,
        "persist_state": "session",
    }
    if words := choices(field.name):
        st.selectbox(field.title, words, index=None, **shared)
    else:
        st.text_input(field.title, **shared)
