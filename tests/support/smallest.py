"""The smallest network of each backbone that still has every kind of layer of the whole one."""

from __future__ import annotations

from functools import cache

from core.backbones.catalog import BACKBONES, plan_for
from core.backbones.plan import Plan
from core.errors import SpikefrontError

SHAPE, CLASSES = (3, 32, 32), 10


@cache
def smallest_mask(backbone: str) -> tuple[str, ...]:
    """Blocks are left out, the first ones first, as long as no kind of layer goes with them and a network is left."""
    kept = BACKBONES[backbone].blocks
    wanted = _kinds(_plan(backbone, kept))
    for block in kept:
        fewer = tuple(one for one in kept if one != block)
        try:
            if fewer and _kinds(_plan(backbone, fewer)) >= wanted:
                kept = fewer
        except SpikefrontError:  # this mask gives no network
            continue
    return kept


def _plan(backbone: str, mask: tuple[str, ...]) -> Plan:
    return plan_for(backbone=backbone, mask=mask, input_shape=SHAPE, n_classes=CLASSES)


def _kinds(plan: Plan) -> set[tuple]:
    """What tells one layer from another, but for how many channels and pixels it has."""
    return {
        (node.op, node.kernel, node.stride, node.padding, node.dilation, node.groups > 1, len(node.inputs), node.bias)
        + (node.spikes, node.constant)
        for node in plan.nodes
    }
