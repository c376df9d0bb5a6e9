"""Networks of several masks as one: the plan that holds all their blocks, and what each member skips of it.

A member without a block lets what arrives there pass on. In the common plan the next layer then reads more channels than
the member's own does; the others are zeros, so what they meet of a weight counts for nothing and has no gradient. That
is the member's own network as long as the padded value reaches nothing but pooling and ungrouped convolutions, which
`skips` proves node by node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.backbones.plan import Node, Plan
from core.errors import BadValue

#: What may read a value that has zeros behind its own channels.
_PASSES = ("maxpool", "global_avgpool")


@dataclass(frozen=True, kw_only=True)
class Skip:
    """One block that some members leave out: where it begins and ends, and which members keep it."""

    source: str
    out: str
    keeps: tuple[bool, ...]


def skips(common: Plan, plans: Sequence[Plan]) -> tuple[Skip, ...]:
    """What each member skips of the common plan. Raises BadValue for masks that cannot be realised by zeros."""
    found = []
    for block in common.mask:
        keeps = tuple(block in plan.mask for plan in plans)
        if all(keeps):
            continue
        inside = [node for node in common.nodes if node.block == block]
        names = {node.name for node in inside}
        sources = {name for node in inside for name in node.inputs} - names
        if len(sources) != 1:
            raise _impossible(plans, f"{block} has {len(sources)} inputs")
        skip = Skip(source=sources.pop(), out=inside[-1].name, keeps=keeps)
        before, after = (common.node(name).shape for name in (skip.source, skip.out))
        if before[1:] != after[1:] or before[0] > after[0]:
            raise _impossible(plans, f"{block} gives {after} where {before} arrives")
        found.append(skip)
    for number, plan in enumerate(plans):
        _prove(common, plan, plans, {skip.out: skip.source for skip in found if not skip.keeps[number]})
    return tuple(found)


def _prove(common: Plan, plan: Plan, plans: Sequence[Plan], skipped: dict[str, str]) -> None:
    """Each node of a member must be the common one, reading the same but for zeros behind its own channels."""

    def resolved(name: str) -> str:
        while name in skipped:
            name = skipped[name]
        return name

    shared = {node.name: node for node in common.nodes}
    own = {node.name: node for node in plan.nodes}
    padded = {name for name, node in own.items() if shared[name].shape != node.shape}
    for name, node in own.items():
        other = shared[name]
        if node.op != other.op or node.inputs != tuple(map(resolved, other.inputs)):
            raise _impossible(plans, f"{name} reads other values in one of them")
        reads_zeros = any(of in skipped or resolved(of) in padded for of in other.inputs)
        reads_zeros = reads_zeros and _read_shape(shared, other) != _read_shape(own, node)
        if reads_zeros and not (node.op in _PASSES or (node.op == "conv" and node.groups == 1)):
            raise _impossible(plans, f"{name} ({node.op}) would read channels that one of them has not")
        if name in padded and node.op not in _PASSES:
            raise _impossible(plans, f"{name} has another shape in one of them")


def _read_shape(nodes: dict[str, Node], node: Node) -> tuple[tuple[int, ...], ...]:
    return tuple(nodes[name].shape for name in node.inputs)


def _impossible(plans: Sequence[Plan], why: str) -> BadValue:
    masks = " and ".join(sorted({",".join(plan.mask) or "(empty)" for plan in plans}))
    return BadValue(field="mask", value=masks, expected=f"the same in all runs of this stack: {why}")
