"""Which nodes of a plan may run as one operation: conv, bn and act chains, and the concat that joins them."""

from __future__ import annotations

from dataclasses import dataclass

from core.backbones.plan import Node, Plan


@dataclass(frozen=True, kw_only=True)
class Chain:
    """conv -> bn -> act, where nothing else reads the values in between."""

    conv: Node
    bn: Node
    act: Node


@dataclass(frozen=True, kw_only=True)
class Group:
    """Chains that run together; `out` is the concat over them, or the act of the only chain."""

    chains: tuple[Chain, ...]
    out: Node


def find_groups(plan: Plan) -> tuple[Group, ...]:
    """The groups of a plan; every chain is in exactly one of them."""
    nodes = {node.name: node for node in plan.nodes}
    readers: dict[str, list[Node]] = {name: [] for name in nodes}
    for node in plan.nodes:
        for name in node.inputs:
            readers[name].append(node)
    chains: dict[str, Chain] = {}
    for act in plan.nodes:
        if act.op != "act":
            continue
        bn = nodes[act.inputs[0]]
        if bn.op != "bn" or len(readers[bn.name]) != 1:
            continue
        conv = nodes[bn.inputs[0]]
        if conv.op == "conv" and len(readers[conv.name]) == 1:
            chains[act.name] = Chain(conv=conv, bn=bn, act=act)
    groups = []
    for node in plan.nodes:
        if node.op != "concat" or not set(node.inputs) <= chains.keys():
            continue
        joined = tuple(chains[name] for name in node.inputs)
        alone = all(len(readers[name]) == 1 for name in node.inputs) and len(set(node.inputs)) == len(joined)
        if alone and len({chain.conv.constant for chain in joined}) == 1:
            groups.append(Group(chains=tuple(chains.pop(name) for name in node.inputs), out=node))
    groups += [Group(chains=(chain,), out=chain.act) for chain in chains.values()]
    return tuple(groups)
