"""What sets a run apart from its recipe, in the words of the form that launches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.recipes.build import differing
from core.recipes.catalog import RECIPES
from core.schemas.run import RunConfig

MOST = 6  # differences in a name
LONGEST = 72  # characters of all of them
LONGEST_VALUE = 24  # characters of one value
DIGEST = 64  # characters of a SHA-256, of which the first eight tell runs apart

#: Dotted field -> its title in the form, as it stands inside a sentence.
WORDS = {
    "time_steps": "time steps T",
    "encoding": "encoding",
    "input": "pixels",
    "start": "start",
    "start_bundle": "run to start from",
    "conversion_percentile": "conversion percentile",
    "neuron.model": "neuron",
    "neuron.tau": "tau",
    "neuron.decay_input": "input decays",
    "neuron.v_threshold": "v_threshold",
    "neuron.learn_threshold": "learned threshold",
    "neuron.v_start": "membrane at the start",
    "neuron.reset": "reset",
    "neuron.detach_reset": "reset detached",
    "neuron.surrogate": "surrogate",
    "neuron.alpha": "surrogate slope",
    "compression.keep": "weights kept",
    "compression.bits": "weight bits",
    "compression.block_bits": "bits of blocks",
    "compression.ends_bits": "bits of the ends",
    "compression.scores": "weights kept by",
    "search.what": "searched for",
    "search.size_kb": "budget of size, kB",
    "search.size_as": "size read as",
    "search.bit_synops_m": "budget of Bit-SynOps, M",
    "search.candidates": "bits to choose from",
    "search.held_out": "images for the architecture",
    "search.as_released": "search as released",
    "search.even_share": "even share",
    "search.size_weight": "weight of size",
    "search.bit_synops_weight": "weight of Bit-SynOps",
    "search.choice_lr": "rate of the choices",
    "search.steps_lr": "rate of the steps",
    "training.optimizer": "optimiser",
    "training.lr": "learning rate",
    "training.momentum": "momentum",
    "training.nesterov": "Nesterov",
    "training.weight_decay": "weight decay",
    "training.neuron_lr_factor": "learning rate of the neurons, times",
    "training.batch_size": "batch size",
    "training.max_epochs": "epochs",
    "training.teacher_epochs": "epochs of the twin",
    "training.schedule": "schedule",
    "training.milestones": "milestones",
    "training.gamma": "gamma",
    "training.warmup_epochs": "warm-up epochs",
    "training.stages": "stages",
    "training.patience": "patience",
    "training.validate_every": "validate every",
    "training.select": "weights kept",
    "training.ema": "averaging",
    "training.augment": "augmentation",
    "training.precision": "precision",
    "training.loss": "cross-entropy",
    "training.tet_lambda": "TET lambda",
    "training.tet_phi": "TET phi",
    "training.label_smoothing": "label smoothing",
    "training.distillation": "distillation",
    "training.teacher": "teacher",
    "training.teacher_answers": "teacher's answers",
    "training.distillation_temperature": "distillation temperature",
    "training.distillation_per_step": "distillation per step",
    "training.rate_penalty": "firing-rate penalty",
    "training.rate_target": "firing-rate target",
    "training.ac_penalty": "accumulates penalty",
    "training.ac_target": "accumulates target",
    "training.ac_ramp": "accumulates ramp",
    "training.gradient_aware": "gradient-aware lambda",
    "training.gradient_aware_eps": "gradient-aware eps",
    "training.grad_cam_aware": "Grad-CAM-aware lambda",
    "training.train_limit": "training images",
    "training.validation_share": "validation share",
    "training.split_seed": "seed of the split",
}
_BY_LAST_PART = {path.rpartition(".")[2]: path for path in WORDS}


def differences(config: RunConfig) -> list[str]:
    """Each field that is not as the run's recipe has it: `epochs 2`, `300 images`.

    None where the recipe is no longer known. Options of the network are in its name (`core.backbones.naming`), and what
    a CNN has not is no difference of a CNN.
    """
    if config.recipe not in RECIPES:
        return []
    return [phrase(path, value) for path, (_, value) in differing(config).items() if _counts(config, path)]


def short(words: Sequence[str]) -> str:
    """`epochs 2, 300 images`; of many the longest are left out first: `epochs 2, tau 4 and 3 more`."""
    kept = list(words)
    while len(kept) > 1 and (len(kept) > MOST or len(", ".join(kept)) > LONGEST):
        del kept[max(range(len(kept)), key=lambda place: (len(kept[place]), place))]  # of equally long ones the last
    left = len(words) - len(kept)
    return ", ".join(kept) + (f" and {left} more" if left else "")


def differs(config: RunConfig) -> str:
    """What sets a run apart from its recipe as one short text; empty where nothing does."""
    return short(differences(config))


def path_of(name: str) -> str | None:
    """The dotted field that a name stands for, by itself or as its last part: `training.lr` for `lr`. None for another."""
    return name if name in WORDS else _BY_LAST_PART.get(name)


def phrase(path: str, value: Any) -> str:
    """One field with its value: `learning rate 0.01`, `T = 8`, `all images`, `keep 0.2`, `2 bits`."""
    if path == "training.train_limit":
        return "all images" if value is None else f"{value:,} images"
    if path == "time_steps":
        return f"T = {value}"
    if path == "compression.keep":
        return f"keep {value:g}"
    if path == "compression.bits":
        return f"{value} bit{'' if value == 1 else 's'}" if value else "float32 weights"
    title = WORDS.get(path, path)
    if value is None or isinstance(value, bool):
        return title if value else f"no {title}"
    return f"{title} {written(value)}"


def written(value: Any) -> str:
    """A value as the form takes it, cut where it is long."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ":".join(written(part) for part in value.values())
    if isinstance(value, list | tuple):
        text = ",".join(written(part) for part in value) or "none"
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    if len(text) == DIGEST and " " not in text:
        return text[:8]
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _counts(config: RunConfig, path: str) -> bool:
    return config.has(path) and not path.startswith("architecture.")
