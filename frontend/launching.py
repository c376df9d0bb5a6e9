"""From the launch form's values to requests: pure functions, tested without a page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from core.errors import BadValue
from core.schemas.api import LayerPreview, Preview, RunRequest
from core.schemas.base import digest
from core.schemas.run import Kind

MOST_SEEDS = 20
TWINS = "twins"
KINDS: dict[str, tuple[Kind, ...]] = {
    Kind.SNN.value: (Kind.SNN,),
    Kind.CNN.value: (Kind.CNN,),
    TWINS: (Kind.SNN, Kind.CNN),
}

#: Config fields that the form offers to override: dotted name, title, what it is.
OVERRIDES: tuple[tuple[str, str, str], ...] = (
    ("training.max_epochs", "Epochs, at most", "One epoch is one pass over the training images."),
    ("training.batch_size", "Batch size", "Images per step."),
    ("training.lr", "Learning rate", "Adam's step size at the start."),
    ("training.train_limit", "Training images, at most", "A stratified part of the training split; empty: all."),
    ("time_steps", "Time steps T", "How often the spiking network sees the image. A CNN ignores it."),
    ("neuron.tau", "tau", "Membrane time constant in steps, above 1. A CNN ignores it."),
    ("neuron.v_threshold", "v_threshold", "The neuron fires from this potential on. A CNN ignores it."),
)


def parse_seeds(text: str) -> list[int]:
    """`0`, `0,1,2`, `0-4` or a mix, in the order written and each once. Raises BadValue."""
    expected = f"whole numbers such as 0 or 0,1,2 or 0-4, at most {MOST_SEEDS} of them"
    seeds: dict[int, None] = {}
    for part in re.split(r"[,;\s]+", text.strip()):
        match = re.fullmatch(r"(\d{1,10})(?:(?:-|\.\.|–)(\d{1,10}))?", part)
        if match is None:
            raise BadValue(field="seeds", value=text, expected=expected)
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first or last - first >= MOST_SEEDS or last > 2**31 - 1:
            raise BadValue(field="seeds", value=text, expected=expected)
        seeds |= dict.fromkeys(range(first, last + 1))
        if len(seeds) > MOST_SEEDS:
            raise BadValue(field="seeds", value=text, expected=expected)
    return list(seeds)


def requests(
    *, backbone: str, kinds: Iterable[Kind], mask: Sequence[str], dataset: str, recipe: str, seeds: Sequence[int],
    overrides: Mapping[str, str],
) -> list[RunRequest]:  # fmt: skip
    """One request per kind and seed, twins next to each other. Empty overrides are left to the recipe."""
    kinds = list(kinds)
    changed = {name: _number(value.strip()) for name, value in overrides.items() if value.strip()}
    return [
        RunRequest(
            backbone=backbone, kind=kind, mask=list(mask), dataset=dataset, recipe=recipe, seed=seed, overrides=changed
        )
        for seed in seeds
        for kind in kinds
    ]


def _number(text: str) -> int | float | str:
    """A number where the text is one; else the text, which the API then judges."""
    for read in (int, float):
        try:
            value = read(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def idempotency_key(nonce: str, request: RunRequest) -> str:
    """The same form with the same content gives the same key, so a second click cannot launch twice.

    The content is part of it: after a refusal the mended form is a new request.
    """
    return f"{nonce}-{digest(request.model_dump(mode='json'))[:24]}"


class Stage(NamedTuple):
    """One place in the row that draws the network: a removable block, or a fixed operation."""

    name: str
    is_block: bool
    detail: str


def stages(full: Preview, blocks: Sequence[str]) -> list[Stage]:
    """The network with nothing removed, in order: stem, pools, blocks with their output channels, classifier."""
    row: list[Stage] = []
    by_block: dict[str, list[LayerPreview]] = {}
    for layer in full.layers:
        if layer.block is not None:
            if layer.block not in by_block:
                row.append(Stage(layer.block, True, ""))
            by_block.setdefault(layer.block, []).append(layer)
        elif layer.kind == "conv":
            row.append(Stage(layer.name.split(".")[0], False, f"{layer.output_shape[0]} ch"))
        elif layer.kind == "maxpool":
            row.append(Stage("pool", False, "×".join(map(str, layer.output_shape[1:]))))
    known = [
        stage if not stage.is_block else stage._replace(detail=f"{_width(by_block[stage.name])} ch") for stage in row
    ]
    missing = [Stage(block, True, "") for block in blocks if block not in by_block]
    return known + missing


def _width(layers: Sequence[LayerPreview]) -> int:
    """Output channels of a block: those of its join, or of its last convolutions that share one shape."""
    joined = [layer for layer in layers if layer.kind == "concat"]
    if joined:
        return joined[-1].output_shape[0]
    return sum(layer.output_shape[0] for layer in layers if layer.kind == "conv" and ".expand" in layer.name)
