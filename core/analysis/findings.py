"""What a diagram shows, as sentences: the same numbers, for readers who cannot or need not look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from core.schemas.diagnostics import Diagnostics
from core.schemas.results import Gradients

FAINT = 0.01  # of the largest layer's norm: below this a layer learns at least a hundred times slower

#: Of a layer's neurons. A few never fire in any network (borders of an image, say), and on a small probe a rare
#: feature looks dead; from a quarter on the layer is clearly wider than what it uses.
DEAD = 0.25
#: Of a layer's neurons: firing always, such a neuron is a constant, and costs its operations at every step.
SATURATED = 0.25
#: Of a layer's neurons at its liveliest step: with fewer in the active zone nearly all of the gradient is cut there.
INACTIVE = 0.05


def chance_finding(accuracy: float, labels: Sequence[int]) -> str | None:
    """Where an accuracy is no better than always giving the test set's most frequent answer; None where it is better.

    labels: images of each class in the test set. Better means above that share by more than 1.96 standard errors of a
    share of so many images (normal approximation of the binomial).
    """
    n = sum(labels)
    if n == 0:
        return None
    chance = max(labels) / n
    if accuracy > chance + 1.96 * math.sqrt(chance * (1 - chance) / n):
        return None
    classes = sum(count > 0 for count in labels)  # those of a subset that is there
    return (
        f"{100 * accuracy:.2f} % is no better than chance: always answering the most frequent of {classes} classes gives "
        f"{100 * chance:.2f} % (n = {n:,}). Nothing was learned that holds on the test set."
    )


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


def diagnostic_findings(diagnostics: Diagnostics) -> list[str]:
    """What the probe saw after the last epoch: silence, dead and saturated neurons, where the gradient is lost.

    Shares are of the probe's images: a neuron that is dead there may fire for others. No sentence where nothing was
    measured or nothing stands out.
    """
    if not diagnostics.epochs:
        return []
    found = []
    for place, name in enumerate(diagnostics.layers):
        rates, dead = diagnostics.firing_rate[-1][place], diagnostics.dead[-1][place]
        saturated = diagnostics.saturated[-1][place]
        if (silence := _silence(name, rates)) is not None:
            found.append(silence)
        if DEAD <= dead < 1:
            found.append(f"{name}: {100 * dead:.0f} % of its neurons never fire.")
        if saturated >= SATURATED:
            always = "fire at every step for every image" if len(rates) > 1 else "are positive for every image"
            found.append(f"{name}: {100 * saturated:.0f} % of its neurons are saturated: they {always}.")
        if diagnostics.active is not None and max(diagnostics.active[-1][place]) < INACTIVE:
            found.append(
                f"{name}: at no step are more than {100 * INACTIVE:.0f} % of its neurons in the surrogate's active zone, so it "
                "passes little gradient on."
            )
    if (lost := _lost_gradient(diagnostics)) is not None:
        found.append(lost)
    return found


def diagnostic_headlines(diagnostics: Diagnostics) -> list[str]:
    """The same, gravest first, with a sentence a kind of finding where `diagnostic_findings` has one a layer."""
    if not diagnostics.epochs:
        return []
    layers, last = diagnostics.layers, -1
    rates, dead, saturated = diagnostics.firing_rate[last], diagnostics.dead[last], diagnostics.saturated[last]
    silent = [name for name, steps in zip(layers, rates, strict=True) if not any(steps)]
    found = []
    if silent:
        verb, it = ("fires", "it") if len(silent) == 1 else ("fire", "them")
        found.append(f"{_of(silent, layers)} never {verb}: nothing behind depends on the image through {it}.")
    if (lost := _lost_gradient(diagnostics)) is not None:
        found.append(lost)
    for name, steps in zip(layers, rates, strict=True):
        if any(steps) and (silence := _silence(name, steps)) is not None:
            found.append(silence)
    many = [f"{name} ({100 * share:.0f} %)" for name, share in zip(layers, dead, strict=True) if DEAD <= share < 1]
    if many:
        found.append(f"{_of(many, layers)}: a quarter or more of the neurons never fires.")
    full = [
        f"{name} ({100 * share:.0f} %)" for name, share in zip(layers, saturated, strict=True) if share >= SATURATED
    ]
    if full:
        found.append(f"{_of(full, layers)}: a quarter or more of the neurons is saturated.")
    if diagnostics.active is not None:
        shares = zip(layers, diagnostics.active[last], strict=True)
        faint = [name for name, steps in shares if max(steps) < INACTIVE]
        if faint:
            found.append(
                f"{_of(faint, layers)}: at no step are more than {100 * INACTIVE:.0f} % of the neurons in the surrogate's active "
                "zone, so little gradient passes."
            )
    return found


def _of(names: list[str], layers: list[str]) -> str:
    """One layer by name; several by number and names."""
    return names[0] if len(names) == 1 else f"{len(names)} of {len(layers)} layers ({', '.join(names)})"


def _silence(name: str, rates: list[float]) -> str | None:
    """At which steps a layer gives nothing; None where it fires at the first and at the last."""
    if not any(rates):
        return f"{name} never fires: nothing behind it depends on the image through it."
    if rates[-1] == 0:
        last = max(t for t, rate in enumerate(rates, start=1) if rate)
        return f"{name} is silent from step {last + 1}."
    if rates[0] == 0:
        return f"{name} is silent until step {next(t for t, rate in enumerate(rates, start=1) if rate)}."
    return None


def _lost_gradient(diagnostics: Diagnostics) -> str | None:
    """The layers at the front whose spikes are reached by under FAINT of the largest layer's gradient."""
    norms = [math.hypot(*steps) for steps in diagnostics.gradient_norm[-1]]
    top = max(norms, default=0.0)
    if not 0 < top < math.inf:
        return None
    first = next(place for place, norm in enumerate(norms) if norm >= FAINT * top)
    if first == 0:
        return None
    which = "the first layer" if first == 1 else f"the first {first} layers"
    largest = diagnostics.layers[norms.index(top)]
    return f"The gradients at the spikes of {which} are below 1 % of the largest ({largest}): they vanish on the way."


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
