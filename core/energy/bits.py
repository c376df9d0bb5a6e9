"""Operations on weights of few bits: Bit-SynOps, and what an operation of integers is priced as.

Bit-SynOps (Liu et al., IJCAI 2024, arXiv:2401.14652) are synaptic operations times the bits of their weights. Here they are
counted: every operation of the mode `exact` times its layer's bits. The source takes k P b r H W a layer and step, with P
weights of b bits of which the share k is kept, r the firing rate of the input and H x W outputs. The two differ where an
image has a border or a layer strides, since r H W takes every tap for in bounds; where spikes fall on channels whose
kept weights are more or fewer than the mean; and at a first layer of real values, which the source charges by the mean of a
normalised picture, about 0. Not modelled in either: the bits of what a weight is added to or multiplied with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from core.compression import FLOAT_BITS, layer_size
from core.energy.rules import SYNAPTIC, exact, input_nonzero, is_event_driven
from core.schemas.results import Counts, LayerCounts

#: The mode whose tallies say how many bits the weights of its operations have.
OF_BITS = "exact+bits"
#: Entries of `Tally.other` that are ACs and MACs of quantised weights, counted among the others too: `int-ac@2+12` adds
#: weights of 2 bits into sums of 12, `int-mac@8x4+16` multiplies 8 bits by 4 and adds into sums of 16, `mac@4` multiplies a
#: float by a weight of 4 bits.
_INTEGER = re.compile(r"int-(?:ac@(\d+)\+(\d+)|mac@(\d+)x(\d+)\+(\d+))|mac@(\d+)")


def bit_synops(layer: LayerCounts, counts: Counts) -> float:
    """Synaptic operations of the mode `exact` x bits of the layer's weights, per inference; 32 bits for float32."""
    return sum(exact(layer, counts)) * (layer.weight_bits or FLOAT_BITS)


def bit_synops_of(acs: float, macs: float, other: Mapping[str, float]) -> float:
    """The same of a whole network from its tally in the mode `exact+bits`: what is not of quantised weights has 32 bits."""
    quantised = [(n, weight_bits(name)) for name, n in other.items() if _INTEGER.fullmatch(name)]
    return FLOAT_BITS * (acs + macs - sum(n for n, _ in quantised)) + sum(n * bits for n, bits in quantised)


def weight_bits(name: str) -> int:
    """Of the weights of an entry of `Tally.other` that `_INTEGER` knows."""
    found = _INTEGER.fullmatch(name)
    assert found is not None
    add, _, _, mul, _, real = found.groups()
    return int(add or mul or real)


def bit_synops_by_rate(layer: LayerCounts, counts: Counts) -> float:
    """The source's formula, k P b r H W, over all steps; 0 for a layer that no spikes feed, which it charges about nothing."""
    if layer.kind not in SYNAPTIC or not is_event_driven(layer, counts) or not layer.input_nonzero:
        return 0.0
    size = layer_size(layer)
    places = layer.dense_ops / max(1, size.weights)  # H x W: each weight has one operation a place
    rate = input_nonzero(layer, counts) / layer.input_numel
    return size.kept * size.bits * rate * places * counts.time_steps


def sum_bits(layer: LayerCounts) -> int:
    """Bits of a sum that no input of the layer can overflow, at most 32.

    A weight of b bits is an odd number below 2^b, so b + 1 bits with its sign; a sum of n of them has ceil(log2 n) more,
    and inputs of i bits another i.
    """
    terms = layer.dense_ops // max(1, layer.output_numel)
    wide = (layer.weight_bits or 0) + 1 + math.ceil(math.log2(max(1, terms))) + (layer.input_bits or 0)
    return min(FLOAT_BITS, wide)


def integer_operations(layer: LayerCounts, counts: Counts) -> dict[str, float]:
    """The layer's operations on quantised weights, by name; none where its weights are float32.

    An AC of a spike adds a weight. A MAC of a pixel multiplies two integers; of any other real value it stays a MAC of
    floats, since nothing has rounded that value.
    """
    if layer.kind not in SYNAPTIC or layer.weight_bits is None:
        return {}
    acs, macs = exact(layer, counts)
    wide = sum_bits(layer)
    if layer.input_is_spikes:  # named also where nothing fired, so that runs of one config have the same names
        return {f"int-ac@{layer.weight_bits}+{wide}": acs}
    if layer.input_bits is None:
        return {f"mac@{layer.weight_bits}": macs}
    return {f"int-mac@{layer.input_bits}x{layer.weight_bits}+{wide}": macs}


def widths(name: str) -> tuple[int, ...] | None:
    """Bits of an entry of `integer_operations`: (weight, sum) of an AC, (input, weight, sum) of a MAC of integers,
    (weight,) of one of floats; None for other entries."""
    found = _INTEGER.fullmatch(name)
    return None if found is None else tuple(int(part) for part in found.groups() if part is not None)
