"""The readout of a plan: what lies behind its last neurons and only turns their spikes into an answer."""

from __future__ import annotations

from core.backbones.plan import Plan


def readout(plan: Plan) -> frozenset[str]:
    """Names of the nodes that some activation leads to, and that lead to none.

    A layer-synchronous network (`NeuronConfig.layer_synchronous`) computes everything else once an image, from the
    spikes of all T steps together; its readout gives an output for each step.
    """
    behind: set[str] = set()
    for node in plan.nodes:
        if node.op == "act" or behind.intersection(node.inputs):
            behind.add(node.name)
    leading: set[str] = set()  # to an activation, or one itself
    for node in reversed(plan.nodes):
        if node.op == "act" or node.name in leading:
            leading.update((node.name, *node.inputs))
    return frozenset(behind - leading)
