"""What a compressed network is by arithmetic: kept weights, levels, sizes, Bit-SynOps. No torch.

The method is LitE-SNN's (Liu et al., IJCAI 2024, arXiv:2401.14652), its scores from Ramanujan et al. (CVPR 2020,
arXiv:1911.13299), its quantiser from Cai and Vasconcelos (EdMIPS, CVPR 2020, arXiv:2004.05795).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from core.backbones.plan import SYNAPTIC, Node, Plan
from core.schemas.compression import CompressionConfig, Size
from core.schemas.results import Counts, LayerCounts

FLOAT_BITS = 32
#: g_b: the distance of two of the 2^b levels that leaves the least squared error of a unit Gaussian. Up to 4 bits as EdMIPS
#: and LitE-SNN have them (J. Max, "Quantizing for minimum distortion", IRE Transactions on Information Theory 6, 1960); above,
#: the minimum of the same integral, found by quadrature.
STEPS = {1: 1.596, 2: 0.996, 3: 0.586, 4: 0.336, 5: 0.1881, 6: 0.1041, 7: 0.0569, 8: 0.0308}


def levels(bits: int, std: float = 1.0) -> tuple[float, ...]:
    """The 2^b values of a weight, rising: odd multiples of half a step, so that none is 0 (mid-rise)."""
    half, most = STEPS[bits] * std / 2, 2**bits - 1
    return tuple(code * half for code in range(-most, most + 1, 2))


def kept(n: int, keep: float) -> int:
    """How many of n weights are kept: n - floor((1 - k) n), at least 1. Exact in the decimals of k, where floats are not."""
    return n if keep == 1 else max(1, n - math.floor((1 - Fraction(repr(keep))) * n))


@dataclass(frozen=True, kw_only=True)
class LayerSize:
    """The weights of one convolution, without its bias. `bits`: of a kept one, 32 for float32."""

    name: str
    weights: int
    kept: int
    bits: int

    @property
    def is_pruned(self) -> bool:
        return self.kept < self.weights

    @property
    def kept_bits(self) -> int:
        """Of the kept weights alone, without where they are: what LitE-SNN prints as a model's size."""
        return self.kept * self.bits

    @property
    def bitmap_bits(self) -> int:
        """With a bit for every place."""
        return self.kept_bits + (self.weights if self.is_pruned else 0)

    @property
    def entropy_bits(self) -> float:
        """With the places at the entropy bound, n H(kept / n): no code of independent places is shorter."""
        if not 0 < self.kept < self.weights:
            return float(self.kept_bits)
        share = self.kept / self.weights
        entropy = -share * math.log2(share) - (1 - share) * math.log2(1 - share)
        return self.kept_bits + self.weights * entropy


def size_of(layers: Iterable[LayerSize], params: int) -> Size:
    """`params`: all parameters of the network."""
    layers = tuple(layers)
    weights = sum(layer.weights for layer in layers)

    def whole(bits: Callable[[LayerSize], float]) -> int:
        return math.ceil(sum(map(bits, layers)) / 8)

    return Size(
        weights=weights,
        kept=sum(layer.kept for layer in layers),
        kept_bytes=whole(lambda layer: layer.kept_bits),
        bitmap_bytes=whole(lambda layer: layer.bitmap_bits),
        entropy_bytes=whole(lambda layer: layer.entropy_bits),
        rest_bytes=(params - weights) * FLOAT_BITS // 8,
    )


def weights_of(node: Node) -> int:
    """Weights of a convolution without its bias."""
    return node.fan_in * node.shape[0]


def bits_of(plan: Plan, compression: CompressionConfig) -> dict[str, int]:
    """Bits of each convolution's weights by its name; 0: float32. The ends are what reads the image and the last one."""
    convolutions = [node for node in plan.nodes if node.op in SYNAPTIC]
    by_block = compression.by_block
    ends = {node.name for node in convolutions if node.inputs == ("input",)}
    ends |= {node.name for node in convolutions[-1:]}
    return {
        node.name: compression.bits_of_ends if node.name in ends else by_block.get(node.block or "", compression.bits)
        for node in convolutions
    }


def plan_layers(plan: Plan, compression: CompressionConfig) -> tuple[LayerSize, ...]:
    """The convolutions of a plan, in its order."""
    bits = bits_of(plan, compression)
    return tuple(
        LayerSize(
            name=node.name,
            weights=weights_of(node),
            kept=kept(weights_of(node), compression.keep),
            bits=bits[node.name] or FLOAT_BITS,
        )
        for node in plan.nodes
        if node.op in SYNAPTIC
    )


def plan_size(plan: Plan, compression: CompressionConfig) -> Size:
    """By arithmetic, before anything is trained; what neurons learn is not in the plan."""
    return size_of(plan_layers(plan, compression), plan.params)


def told(layer: LayerSize | None) -> dict[str, int | None]:
    """Kept weights and bits as counts and previews have them: null where all are kept, and for float32."""
    return {
        "kept_params": layer.kept if layer is not None and layer.is_pruned else None,
        "weight_bits": layer.bits if layer is not None and layer.bits < FLOAT_BITS else None,
    }


def layer_size(layer: LayerCounts) -> LayerSize:
    """Of a convolution or linear layer whose operations were counted."""
    biases = layer.output_shape[0] if layer.bias_ops and layer.output_shape else 0
    weights = max(0, layer.params - biases)
    return LayerSize(
        name=layer.name,
        weights=weights,
        kept=weights if layer.kept_params is None else layer.kept_params,
        bits=layer.weight_bits or FLOAT_BITS,
    )


def counts_size(counts: Counts, params: int) -> Size:
    """Of a network that was counted, with `params` parameters in all."""
    return size_of((layer_size(layer) for layer in counts.layers if layer.kind in ("conv", "linear")), params)
