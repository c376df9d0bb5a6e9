"""What the files of a bundle must be for its figures to be computed: each array by itself, and those that belong together.

Every reader of `core.bundle` asks here, so a bundle that was damaged, or made by somebody else, is refused with the value
at fault and no figure is computed from nonsense. Raises BundleCorrupt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.arrays import Unreadable, read_arrays
from core.compression import layer_size
from core.datasets.class_names import MAX_CLASSES, NAME_RULE, NUMBER_RULE, unfit
from core.energy.rules import KNOWN
from core.errors import BundleCorrupt
from core.schemas.compression import bits_by_block
from core.schemas.results import Counts
from core.schemas.run import RunConfig
from core.schemas.search import SearchEpoch, SearchFound

COUNTS, PREDICTIONS, EXAMPLES = "counts.json", "predictions.npz", "examples.npz"
PER_SAMPLE, SEARCH = "counts_per_sample.npz", "search.json"
#: numpy's letters for kinds of elements, in words.
KINDS = {"iu": "whole numbers", "f": "real numbers", "U": "text"}


def arrays_of(file: str, content: bytes, **wanted: tuple[int, str]) -> dict[str, np.ndarray]:
    """The arrays of an npz file; those wanted must be there with that many dimensions and that kind of elements."""
    try:
        arrays = read_arrays(content)
    except Unreadable as error:
        raise BundleCorrupt(file=file, why=f"its arrays cannot be read ({error}).") from None
    for name, (dimensions, kind) in wanted.items():
        if name not in arrays:
            raise BundleCorrupt(file=file, field=name, expected=f"an array of {dimensions} dimensions; there is none")
        array = arrays[name]
        if array.ndim != dimensions or array.dtype.kind not in kind:
            said = f"an array of {array.ndim} dimensions of {array.dtype}"
            expected = f"an array of {dimensions} dimensions of {KINDS[kind]}"
            raise BundleCorrupt(file=file, field=name, value=said, expected=expected)
    return arrays


def texts(file: str, field: str, array: np.ndarray) -> list[str]:
    """The elements of an array of text."""
    try:
        return [str(text) for text in array]
    except ValueError:  # a number that is no character
        raise BundleCorrupt(file=file, field=field, value="signs that no text has", expected="text") from None


def check_answers(index: np.ndarray, label: np.ndarray, outputs: np.ndarray, classes: list[str]) -> None:
    """index, label: [N]; outputs: [N, T, C]; N, T >= 1; an image has one place, a class one name."""
    n, steps, n_classes = outputs.shape
    for field, array in (("index", index), ("label", label)):
        if len(array) != n:
            raise BundleCorrupt(
                file=PREDICTIONS, field=f"the length of {field}", value=len(array), expected=f"that of outputs, {n}"
            )
    if n_classes > MAX_CLASSES:
        raise BundleCorrupt(file=PREDICTIONS, field="the number of classes", value=n_classes, expected=NUMBER_RULE)
    if len(classes) != n_classes:
        expected = f"that of the outputs of an image and step, {n_classes}"
        raise BundleCorrupt(file=PREDICTIONS, field="the number of classes", value=len(classes), expected=expected)
    if (bad := unfit(classes)) is not None:
        raise BundleCorrupt(file=PREDICTIONS, field="the name of a class", value=bad, expected=NAME_RULE)
    if not (n and steps and n_classes):
        expected = "at least one image, one step and one class"
        raise BundleCorrupt(file=PREDICTIONS, field="the shape of outputs", value=outputs.shape, expected=expected)
    if outputs.dtype != np.float32 or not np.isfinite(outputs).all():
        expected = "finite numbers of 32 bits"
        raise BundleCorrupt(file=PREDICTIONS, field="outputs", value=f"others ({outputs.dtype})", expected=expected)
    if not 0 <= label.min() <= label.max() < n_classes:
        out = label.min() if label.min() < 0 else label.max()
        expected = f"the place of a class, from 0 to {n_classes - 1}"
        raise BundleCorrupt(file=PREDICTIONS, field="a label", value=int(out), expected=expected)
    _check_places(PREDICTIONS, index)


def check_examples(index: np.ndarray, image: np.ndarray) -> None:
    """index: [M], image: [M, H, W, 3] uint8; H = W = 0 where the bundle travels without its data set's images."""
    if len(index) != len(image):
        expected = f"that of index, {len(index)}"
        raise BundleCorrupt(file=EXAMPLES, field="the length of image", value=len(image), expected=expected)
    if image.dtype != np.uint8 or image.shape[3] != 3 or image.shape[1:3].count(0) == 1:
        said = f"{image.shape} of {image.dtype}"
        raise BundleCorrupt(file=EXAMPLES, field="image", value=said, expected="[M, H, W, 3] of uint8")
    _check_places(EXAMPLES, index)


def _check_places(file: str, index: np.ndarray) -> None:
    if len(index) and not (index.min() >= 0 and index.max() < 2**31 and len(np.unique(index)) == len(index)):
        raise BundleCorrupt(file=file, field="index", value="others", expected="different places in a test set, from 0")


def check_counts(counts: Counts) -> None:
    """Every layer has a name of its own, a kind with a rule, and places for what was counted in it."""
    if not counts.layers:
        raise BundleCorrupt(file=COUNTS, field="the number of layers", value=0, expected="at least 1")
    for layer in counts.layers:
        if layer.kind not in KNOWN:
            expected = f"one of {', '.join(sorted(KNOWN))}"
            raise BundleCorrupt(file=COUNTS, field=f"the kind of {layer.name}", value=layer.kind, expected=expected)
        for name, places in (("input_nonzero", "input_numel"), ("spikes", "output_numel")):
            if getattr(layer, name) and not getattr(layer, places):  # rates divide by it
                raise BundleCorrupt(file=COUNTS, field=f"{places} of {layer.name}", value=0, expected="at least 1")
        weights = layer_size(layer).weights
        if layer.kept_params is not None and not 1 <= layer.kept_params <= weights:
            raise BundleCorrupt(
                file=COUNTS,
                field=f"kept_params of {layer.name}",
                value=layer.kept_params,
                expected=f"from 1 to its weights, {weights}",
            )
    names = [layer.name for layer in counts.layers]
    bad = unfit(names) or next((name for name in names if names.count(name) > 1), None)
    if bad is not None:
        expected = f"its own, of {NAME_RULE}"
        raise BundleCorrupt(file=COUNTS, field="the name of a layer", value=bad, expected=expected)


def check_agree(outputs: np.ndarray, counts: Counts) -> None:
    """Answers and counts are of the same images and steps. outputs: [N, T, C]."""
    said, wanted = outputs.shape[:2], (counts.n_samples, counts.time_steps)
    for field, found, expected in zip(("images", "steps"), said, wanted, strict=True):
        if found != expected:
            raise BundleCorrupt(file=PREDICTIONS, field=field, value=found, expected=f"{expected}, as in counts.json")


def check_per_sample(arrays: Mapping[str, np.ndarray], counts: Counts) -> None:
    """The counts of each image are of the layers, images and steps of `counts`, and sum up to them.

    `layers` [L] and `neuron_layers` [A] are names; `ac`, `mac`, `input_nonzero` [N, L, T] and `spikes` [N, A, T].
    """
    by_name = {layer.name: layer for layer in counts.layers}
    owned = {"layers": ("ac", "mac", "input_nonzero"), "neuron_layers": ("spikes",)}
    for field, quantities in owned.items():
        names = texts(PER_SAMPLE, field, arrays[field])
        if stray := [name for name in names if name not in by_name]:
            raise BundleCorrupt(file=PER_SAMPLE, field=field, value=stray[0], expected="a layer of counts.json")
        if len(set(names)) < len(names):
            raise BundleCorrupt(file=PER_SAMPLE, field=field, value="twice the same", expected="different layers")
        shape = (counts.n_samples, len(names), counts.time_steps)
        for quantity in quantities:
            array = arrays[quantity]
            if array.shape != shape:
                expected = f"{shape}: images, layers, steps"
                raise BundleCorrupt(
                    file=PER_SAMPLE, field=f"the shape of {quantity}", value=array.shape, expected=expected
                )
            if array.size and (array.min() < 0 or array.max() >= 2**63 // counts.n_samples):
                raise BundleCorrupt(file=PER_SAMPLE, field=quantity, value=int(array.min()), expected="at least 0")
            sums = array.sum(axis=0, dtype=np.int64).tolist()
            _check_sums(quantity, {name: sums[place] for place, name in enumerate(names)}, by_name)


def _check_sums(quantity: str, sums: Mapping[str, list[int]], by_name: Mapping[str, Any]) -> None:
    for name, layer in by_name.items():
        told, found = list(getattr(layer, quantity)), sums.get(name)
        if found is None:
            # pools count what enters them in the sum over images alone
            if quantity != "input_nonzero" and any(told):
                raise BundleCorrupt(
                    file=PER_SAMPLE, field=quantity, value=f"nothing for {name}", expected="what counts.json sums up"
                )
        elif found != (told or [0] * len(found)):
            raise BundleCorrupt(
                file=PER_SAMPLE,
                field=f"{quantity} of {name}, summed over the images",
                value=found,
                expected=f"{told}, as in counts.json",
            )


def check_search(found: SearchFound, config: RunConfig, epochs: int) -> None:
    """A search is its config's: of its blocks and steps, an entry an epoch, and every choice one that there was."""
    search, blocks = config.seeks, list(config.mask) if config.seeks.bits else []
    told: dict[str, tuple[Any, Any]] = {
        "search": (found.search, search),
        "blocks": (found.blocks, blocks),
        "time_steps": (found.time_steps, config.steps),
        "the number of epochs": (len(found.epochs), epochs),
    }
    for field, (said, true) in told.items():
        if said != true:
            raise BundleCorrupt(file=SEARCH, field=field, value=str(said), expected=f"{true}, as in config.json")
    for epoch in found.epochs:
        _check_choice(epoch, found)


def _check_choice(epoch: SearchEpoch, found: SearchFound) -> None:
    where, search = f"of epoch {epoch.epoch}", found.search
    for name, row in (
        ("steps", epoch.steps),
        *((f"bits of {b}", r) for b, r in zip(found.blocks, epoch.bits, strict=True)),
    ):
        if row and not (min(row) >= 0 and abs(sum(row) - 1) < 1e-3):
            raise BundleCorrupt(
                file=SEARCH, field=f"{name} {where}", value=str(row), expected="probabilities, 1 in sum"
            )
    try:
        chosen = bits_by_block(epoch.decoded.block_bits)
    except ValueError as error:
        raise BundleCorrupt(
            file=SEARCH, field=f"block_bits {where}", value=epoch.decoded.block_bits, expected=str(error)
        ) from None
    if list(chosen) != found.blocks or not set(chosen.values()) <= set(search.candidates):
        expected = f"one of {', '.join(map(str, search.candidates))} bits for each of its blocks"
        raise BundleCorrupt(file=SEARCH, field=f"block_bits {where}", value=epoch.decoded.block_bits, expected=expected)
    if (epoch.decoded.cell is not None) != search.cell:
        expected = "a wiring where the cell is searched, and null elsewhere"
        raise BundleCorrupt(file=SEARCH, field=f"cell {where}", value=epoch.decoded.cell, expected=expected)
