"""What the counts of a network say before anything is counted: each layer's sizes, by arithmetic on its plan."""

from __future__ import annotations

from typing import Any

from core.backbones.plan import Node, Plan
from core.compression import bits_of, kept, weights_of
from core.energy.rules import gives_one_output, is_once, layer_kind
from core.schemas.compression import AS_TRAINED, CompressionConfig
from core.schemas.results import LayerCounts
from core.schemas.run import Kind

PIXEL_BITS = 8


def planned_layers(
    plan: Plan, kind: Kind, neuron: str, compression: CompressionConfig = AS_TRAINED
) -> tuple[LayerCounts, ...]:
    """The layers of `core.schemas.results.Counts` in their order, with nothing counted yet.

    Layers are the plan's nodes but the input. `plan` is under the input coding that the network has; `neuron` is
    NeuronConfig.model.
    """
    nodes = {node.name: node for node in plan.nodes}
    spiking = kind is Kind.SNN
    bits = bits_of(plan, compression) if compression.is_on else {}

    def compressed(node: Node) -> dict[str, Any]:
        """What is not as it always was of a layer with weights."""
        if node.name not in bits:
            return {}
        weights, left = weights_of(node), kept(weights_of(node), compression.keep)
        reads_pixels = bits[node.name] and nodes["input"].constant and node.inputs == ("input",)
        return {
            "kept_params": left if left < weights else None,
            "weight_bits": bits[node.name] or None,
            "input_bits": PIXEL_BITS if reads_pixels else None,
        }

    return tuple(
        LayerCounts(
            name=node.name,
            kind=layer_kind(node, kind, neuron),
            output_shape=node.shape,
            params=node.params,
            dense_ops=node.dense_ops,
            bias_ops=_bias_ops(node, nodes),
            input_numel=node.in_numel,
            output_numel=node.numel,
            input_is_spikes=spiking and all(nodes[name].spikes for name in node.inputs),
            constant_input=spiking and all(is_once(nodes[name], plan, neuron) for name in node.inputs),
            one_output=spiking and gives_one_output(node, plan, neuron),
            **compressed(node),
        )
        for node in plan.nodes
        if node.op != "input"
    )


def _bias_ops(node: Node, nodes: dict[str, Node]) -> int:
    """Adds of one pass for the bias; for a normalisation those of its shift, unless a bias before it takes it."""
    if node.op != "bn":
        return node.bias_ops
    return 0 if nodes[node.inputs[0]].bias else node.numel
