"""One spiking neuron in numbers, without torch: what `core.engine.surrogates` and `core.engine.neurons` compute.

For pictures of a neuron, before there is a network. Tests hold every function against the engine's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.schemas.inference import MembraneTrace
from core.schemas.run import NeuronConfig

Array = NDArray[np.float64]


def _atan(u: Array, alpha: float) -> Array:
    return (alpha / 2) / (1 + (math.pi * alpha / 2 * u) ** 2)


def _sigmoid(u: Array, alpha: float) -> Array:
    falling = np.exp(-alpha * np.abs(u))  # it is even in u: so that no exponential overflows
    return alpha * falling / (1 + falling) ** 2


def _fast_sigmoid(u: Array, alpha: float) -> Array:
    return (alpha / 2) / (1 + alpha * np.abs(u)) ** 2


def _piecewise_linear(u: Array, alpha: float) -> Array:
    return alpha * np.maximum(0, 1 - alpha * np.abs(u))


def _exponential(u: Array, alpha: float) -> Array:
    return (alpha / 2) * np.exp(-alpha * np.abs(u))


#: sigma'(u, alpha), by the name in NeuronConfig.surrogate; equations in `core.engine.surrogates`.
DERIVATIVES: dict[str, Callable[[Array, float], Array]] = {
    "atan": _atan,
    "sigmoid": _sigmoid,
    "fast_sigmoid": _fast_sigmoid,
    "piecewise_linear": _piecewise_linear,
    "exponential": _exponential,
}


def surrogate(u: Array, neuron: NeuronConfig) -> Array:
    """sigma'(u), u = H - v_threshold; of a neuron of counts, whose gradient passes straight through, none."""
    return DERIVATIVES[neuron.surrogate](u, neuron.alpha)


def trace(drive: Sequence[float], neuron: NeuronConfig) -> MembraneTrace:
    """The neuron under the inputs `drive` of each step: H before and V after the reset, and S.

    Raises ValueError for a neuron of counts, which has no membrane.
    """
    if neuron.model == "count":
        raise ValueError("a neuron of counts has no membrane")
    v = first = neuron.v_threshold / 2 if neuron.v_start == "half" else 0.0
    before, after, spikes = [], [], []
    for x in drive:
        h = _charged(float(x), v, neuron)
        s = int(h >= neuron.v_threshold)
        v = (h - neuron.v_threshold * s) if neuron.reset == "soft" else h * (1 - s)
        before.append(h)
        after.append(v)
        spikes.append(s)
    return MembraneTrace(
        input=list(map(float, drive)),
        before=before,
        after=after,
        spikes=spikes,
        v_threshold=neuron.v_threshold,
        v_start=first,
    )


def _charged(x: float, v: float, neuron: NeuronConfig) -> float:
    """H. A learned leak is taken where it starts, at tau."""
    if neuron.model == "if":
        return v + x
    return v + (x - v) / neuron.tau if neuron.decay_input else v * (1 - 1 / neuron.tau) + x
