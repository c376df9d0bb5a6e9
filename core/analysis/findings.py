"""What a diagram shows, as sentences: the same numbers, for readers who cannot or need not look."""

from __future__ import annotations

import math
from statistics import median

from core.schemas.api import Gradients

FAINT = 0.01  # of the largest layer's norm: below this a layer learns at least a hundred times slower


def gradient_findings(gradients: Gradients) -> list[str]:
    """Where the gradient arrives in the last recorded epoch, where it does not, and how that changed.

    Compares L2 norms of whole layers, which also grow with a layer's size: a hint, no proof of vanishing.
    No sentence where nothing was recorded.
    """
    if not gradients.norm or not gradients.layers:
        return []
    last, epoch = gradients.norm[-1], gradients.epochs[-1]
    named = list(zip(gradients.layers, last, strict=True))
    broken = [name for name, norm in named if not math.isfinite(norm)]
    finite = [(name, norm) for name, norm in named if math.isfinite(norm)]
    found = []
    if broken:
        found.append(f"In epoch {epoch} the gradient of {_layers(broken)} is not finite.")
    if not finite:
        return found
    top_name, top = max(finite, key=lambda pair: pair[1])
    if top == 0:
        return [*found, f"In epoch {epoch} no layer receives any gradient: nothing is learned."]
    silent = [name for name, norm in finite if norm == 0]
    faint = [name for name, norm in finite if 0 < norm < FAINT * top]
    if silent:
        verb = "receives" if len(silent) == 1 else "receive"
        found.append(f"In epoch {epoch}, {_layers(silent)} {verb} no gradient at all and cannot learn.")
    if faint:
        verb = "receives a gradient" if len(faint) == 1 else "receive gradients"
        found.append(
            f"In epoch {epoch}, {len(faint)} of {len(named)} layers {verb} under 1 % of the largest "
            f"({top_name}): {', '.join(faint)}."
        )
    if not silent and not faint and not broken:
        found.append(
            f"In epoch {epoch} each of {len(named)} layers receives at least 1 % of the largest gradient ({top_name})."
        )
    if (trend := _trend(gradients)) is not None:
        found.append(trend)
    return found


def _trend(gradients: Gradients) -> str | None:
    """How the median layer's norm moved from the first epoch to the last; None below a factor of 2."""
    if len(gradients.norm) < 2:
        return None
    first, last = (
        median([norm for norm in gradients.norm[place] if math.isfinite(norm)] or [0.0]) for place in (0, -1)
    )
    if first <= 0 or last <= 0 or 0.5 < last / first < 2:
        return None
    factor = max(last / first, first / last)
    way = "grew" if last > first else "fell"
    return (
        f"The median layer's norm {way} {factor:.2g}-fold from epoch {gradients.epochs[0]} to {gradients.epochs[-1]}."
    )


def _layers(names: list[str]) -> str:
    return f"the layer {names[0]}" if len(names) == 1 else f"{len(names)} layers ({', '.join(names)})"
