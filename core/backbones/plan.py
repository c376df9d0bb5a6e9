"""A backbone as data: a graph of operations with shapes, parameters and dense ops by arithmetic.

Nothing here needs torch. `core.engine.network` builds the module from the same plan, spiking or
CNN; the only node that differs between the two is `act` (a spiking neuron or a ReLU).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Literal

Shape = tuple[int, ...]  # (C, H, W) of one sample
OpKind = Literal["input", "conv", "bn", "act", "maxpool", "global_avgpool", "concat", "dropout"]

#: Nodes that hold weights and are charged synaptic operations.
SYNAPTIC: frozenset[str] = frozenset({"conv"})
#: Nodes that cost no synaptic operation, each named so that a new op cannot slip through unseen.
FREE: frozenset[str] = frozenset({"input", "bn", "act", "maxpool", "global_avgpool", "concat", "dropout"})


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation. `inputs` are names of earlier nodes; `shape` is the output's (C, H, W).

    `spikes` and `constant` hold for the spiking network with direct coding: `spikes` says that every
    element of the output is 0 or 1; `constant` says that it is the same at every time step.
    """

    name: str
    op: OpKind
    inputs: tuple[str, ...]
    shape: Shape
    block: str | None = None
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = False
    ceil_mode: bool = False
    rate: float = 0.0
    in_shape: Shape = ()
    spikes: bool = False
    constant: bool = False

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def in_numel(self) -> int:
        return prod(self.in_shape)

    @property
    def params(self) -> int:
        """Trainable parameters."""
        if self.op == "conv":
            return self.fan_in * self.shape[0] + (self.shape[0] if self.bias else 0)
        return 2 * self.shape[0] if self.op == "bn" else 0

    @property
    def fan_in(self) -> int:
        """Weights per output element of a convolution: K x K x C_in / groups."""
        return self.kernel * self.kernel * self.in_shape[0] // self.groups

    @property
    def dense_ops(self) -> int:
        """Multiply-accumulates of one pass, no zero skipped, padding included, without bias."""
        return self.fan_in * self.numel if self.op == "conv" else 0

    @property
    def bias_ops(self) -> int:
        """Adds of one pass for the bias."""
        return self.numel if self.op == "conv" and self.bias else 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole network. `blocks` are all removable blocks of the backbone, kept or not."""

    backbone: str
    definition: str
    blocks: tuple[str, ...]
    mask: tuple[str, ...]
    nodes: tuple[Node, ...] = field(repr=False)

    @property
    def input_shape(self) -> Shape:
        return self.nodes[0].shape

    @property
    def n_classes(self) -> int:
        return self.nodes[-1].shape[0]

    @property
    def params(self) -> int:
        return sum(node.params for node in self.nodes)

    @property
    def dense_ops(self) -> int:
        """Of one pass (one time step), without bias."""
        return sum(node.dense_ops for node in self.nodes)

    @property
    def neurons(self) -> int:
        """Spiking neurons (or ReLU outputs)."""
        return sum(node.numel for node in self.nodes if node.op == "act")

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)


class PlanBuilder:
    """Adds nodes one after another; each method returns the new node's name."""

    def __init__(self, input_shape: Shape) -> None:
        self._nodes: dict[str, Node] = {
            "input": Node(name="input", op="input", inputs=(), shape=input_shape, constant=True)
        }
        self.block: str | None = None  # the removable block that new nodes belong to

    def shape(self, name: str) -> Shape:
        return self._nodes[name].shape

    def _add(self, node: Node) -> str:
        if node.name in self._nodes:
            raise ValueError(f"node {node.name!r} is in the plan twice")
        if min(node.shape) < 1:
            raise ValueError(f"node {node.name!r} would have the empty shape {node.shape}")
        self._nodes[node.name] = node
        return node.name

    def conv(
        self,
        name: str,
        x: str,
        channels: int,
        *,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> str:
        c, h, w = self.shape(x)
        if c % groups or channels % groups:
            raise ValueError(f"{name}: {groups} groups do not divide {c} and {channels} channels")
        out = tuple((side + 2 * padding - kernel) // stride + 1 for side in (h, w))
        return self._add(
            Node(
                name=name,
                op="conv",
                inputs=(x,),
                shape=(channels, *out),
                in_shape=(c, h, w),
                kernel=kernel,
                stride=stride,
                padding=padding,
                groups=groups,
                bias=bias,
                block=self.block,
                constant=self._nodes[x].constant,
            )
        )

    def bn(self, name: str, x: str) -> str:
        """Batch normalisation, affine: two parameters a channel."""
        return self._same(name, "bn", x, constant=self._nodes[x].constant)

    def act(self, name: str, x: str) -> str:
        """The activation: spiking neurons or ReLU, the one difference between the twins."""
        return self._same(name, "act", x, spikes=True)

    def dropout(self, name: str, x: str, rate: float) -> str:
        before = self._nodes[x]
        return self._same(name, "dropout", x, rate=rate, spikes=before.spikes, constant=before.constant)

    def _same(self, name: str, op: OpKind, x: str, **extra: bool | float) -> str:
        shape = self.shape(x)
        return self._add(Node(name=name, op=op, inputs=(x,), shape=shape, in_shape=shape, block=self.block, **extra))

    def maxpool(self, name: str, x: str, *, kernel: int, stride: int, ceil_mode: bool = False) -> str:
        """The maximum of spikes is their OR, so spikes stay spikes."""
        c, h, w = self.shape(x)
        out = []
        for side in (h, w):
            span = side - kernel
            size = (-(-span // stride) if ceil_mode else span // stride) + 1
            if ceil_mode and (size - 1) * stride >= side:  # a window must start inside, as in torch
                size -= 1
            out.append(size)
        return self._add(
            Node(
                name=name,
                op="maxpool",
                inputs=(x,),
                shape=(c, *out),
                in_shape=(c, h, w),
                kernel=kernel,
                stride=stride,
                ceil_mode=ceil_mode,
                block=self.block,
                spikes=self._nodes[x].spikes,
                constant=self._nodes[x].constant,
            )
        )

    def global_avgpool(self, name: str, x: str) -> str:
        """The mean over height and width: a real value even of spikes."""
        c, h, w = self.shape(x)
        return self._add(
            Node(
                name=name,
                op="global_avgpool",
                inputs=(x,),
                shape=(c, 1, 1),
                in_shape=(c, h, w),
                block=self.block,
                constant=self._nodes[x].constant,
            )
        )

    def concat(self, name: str, xs: tuple[str, ...]) -> str:
        parts = [self._nodes[x] for x in xs]
        if len({part.shape[1:] for part in parts}) != 1:
            raise ValueError(f"{name}: cannot join {[part.shape for part in parts]}")
        shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
        return self._add(
            Node(
                name=name,
                op="concat",
                inputs=xs,
                shape=shape,
                in_shape=shape,
                block=self.block,
                spikes=all(p.spikes for p in parts),
                constant=all(p.constant for p in parts),
            )
        )

    def finish(self, *, backbone: str, definition: str, blocks: tuple[str, ...], mask: tuple[str, ...]) -> Plan:
        return Plan(
            backbone=backbone, definition=definition, blocks=blocks, mask=mask, nodes=tuple(self._nodes.values())
        )
