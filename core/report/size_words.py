"""The size of a network's weights, in words: one table for the preview, a run's page and the command line."""

from __future__ import annotations

from core.schemas.compression import Size
from core.units import format_bytes


def is_compressed(size: Size) -> bool:
    """Whether any weight is pruned or has fewer than 32 bits."""
    return size.kept < size.weights or size.kept_bytes < 4 * size.weights


def rows(size: Size) -> list[tuple[str, str]]:
    """(name, value) of every reading; of float32 weights one alone."""
    found = [("Weights, float32", format_bytes(4 * size.weights))]
    if is_compressed(size):
        share = size.kept / size.weights
        found += [
            ("Weights kept", f"{size.kept:,} of {size.weights:,} ({100 * share:.3g} %)"),
            ("Size, kept bits", format_bytes(size.kept_bytes)),
            ("Size, with a bitmap", format_bytes(size.bitmap_bytes)),
            ("Size, entropy bound", format_bytes(size.entropy_bytes)),
        ]
    return [*found, ("Biases, normalisations", format_bytes(size.rest_bytes))]


#: What the readings are.
NOTE = (
    "Kept bits: the kept weights alone. With a bitmap: and a bit for every place. Entropy bound: and the places at their "
    "entropy; at least this has to be stored. None holds biases and normalisations."
)
