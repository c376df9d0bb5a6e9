"""A backbone as data: a graph of operations with shapes, parameters and dense ops by arithmetic.

Nothing here needs torch. `core.engine.network` builds the module from the same plan, spiking or
CNN; the only node that differs between the two is `act` (a spiking neuron or a ReLU).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, NamedTuple, NoReturn

from core.schemas.architecture import AS_DEFINED, ArchitectureConfig

Shape = tuple[int, ...]  # (C, H, W) of one sample
OpKind = Literal[
    "input", "conv", "bn", "act", "maxpool", "global_avgpool", "concat", "dropout",
    "split",  # some of the channels, from `start` on
    "shuffle",  # channels as [groups, C / groups], transposed (ShuffleNet)
    "add",  # the sum of its inputs
    "sigmoid",  # the gate of a squeeze-and-excitation unit
    "scale",  # the first input times the second, one factor a channel
]  # fmt: skip

#: Nodes that hold weights and are charged synaptic operations.
SYNAPTIC: frozenset[str] = frozenset({"conv"})
#: Nodes that cost no synaptic operation, each by name; a node in neither set is refused by the counter.
FREE: frozenset[str] = frozenset(
    {
        "input",
        "bn",
        "act",
        "maxpool",
        "global_avgpool",
        "concat",
        "dropout",
        "split",
        "shuffle",
        "add",
        "sigmoid",
        "scale",
    }
)
#: What passes spikes on as spikes: they move them, drop them or (the maximum) join them by OR.
_KEEPS_SPIKES: frozenset[str] = frozenset({"maxpool", "concat", "dropout", "split", "shuffle"})

Encoding = Literal["direct", "rate", "latency"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation. `inputs` are names of earlier nodes; `shape` is the output's (C, H, W).

    `spikes` and `constant` hold for the spiking network: `spikes` says that every element of the output
    is 0 or 1; `constant` says that it is the same at every time step. Under direct coding the input is
    constant, under the others it is spikes (`Plan.encoded`).
    """

    name: str
    op: OpKind
    inputs: tuple[str, ...]
    shape: Shape
    block: str | None = None
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    start: int = 0
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
    def convolution(self) -> dict[str, Any]:
        """Of a convolution: the arguments with which torch, and what builds on it, makes the layer."""
        return {
            "in_channels": self.in_shape[0],
            "out_channels": self.shape[0],
            "kernel_size": self.kernel,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "bias": self.bias,
        }

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
    architecture: ArchitectureConfig = AS_DEFINED

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

    def encoded(self, encoding: Encoding) -> Plan:
        """The same network under another input coding: what is spikes and what is constant follows from it."""
        direct = encoding == "direct"
        nodes = {"input": replace(self.nodes[0], constant=direct, spikes=not direct)}
        for node in self.nodes[1:]:
            nodes[node.name] = replace(node, **_flags(node.op, [nodes[name] for name in node.inputs]))
        return replace(self, nodes=tuple(nodes.values()))


def _flags(op: str, parents: Iterable[Node]) -> dict[str, bool]:
    """`spikes` and `constant` of a node's output, from those of its inputs."""
    parents = list(parents)
    moves = op in _KEEPS_SPIKES or (op == "global_avgpool" and all(p.shape[1:] == (1, 1) for p in parents))
    return {
        "spikes": op == "act" or (moves and all(parent.spikes for parent in parents)),
        "constant": op != "act" and all(parent.constant for parent in parents),  # neurons have a state that moves
    }


class Layout(NamedTuple):
    """The removable blocks of a definition in network order, and its named masks."""

    blocks: tuple[str, ...]
    masks: dict[str, tuple[str, ...]]


class Unbuildable(ValueError):
    """A shape that does not fit what it arrives at. `trace`: a line for each block up to there, the last says why."""

    def __init__(self, trace: tuple[str, ...]) -> None:
        super().__init__(trace[-1])
        self.trace = trace


class PlanBuilder:
    """Adds nodes one after another; each method returns the new node's name.

    `mask` are the kept blocks. Raises Unbuildable, with a shape trace, where a shape does not fit.
    """

    def __init__(self, input_shape: Shape, mask: tuple[str, ...] = ()) -> None:
        self._nodes: dict[str, Node] = {
            "input": Node(name="input", op="input", inputs=(), shape=input_shape, constant=True)
        }
        self._mask = mask
        self._block: str | None = None  # the removable block that new nodes belong to
        self._trace: list[str] = []

    def shape(self, name: str) -> Shape:
        return self._nodes[name].shape

    def is_activated(self, name: str) -> bool:
        """Whether the value comes from an activation with nothing but moves in between."""
        return self._nodes[name].spikes

    def removable(self, block: str, x: str, build: Callable[[str], str]) -> str:
        """`build(x)`, whose nodes belong to `block`, where the mask keeps it; else x itself passes on."""
        if block not in self._mask:
            self._trace.append(f"{block} left out")
            return x
        self._trace.append(f"{self._arrival(x)} arrives at {block}")
        self._block = block
        out = build(x)
        self._block = None
        return out

    def refuse(self, name: str, x: str, why: str) -> NoReturn:
        """Raise Unbuildable: x cannot be what `name` takes. `why` completes "arrives at name, which ..."."""
        before = self._trace[:-1] if self._block else self._trace  # its own arrival is said below
        raise Unbuildable((*before, f"{self._arrival(x)} arrives at {name}, which {why}"))

    def _arrival(self, x: str) -> str:
        """Where a value comes from, a block or a part of the fixed network, and its shape: `stem 24x32x32`."""
        node = self._nodes[x]
        return f"{node.block or x.partition('.')[0]} {_text(node.shape)}"

    def _add(self, name: str, op: OpKind, xs: tuple[str, ...], shape: Shape, **extra: Any) -> str:
        if name in self._nodes:
            raise ValueError(f"node {name!r} is in the plan twice")
        if min(shape) < 1:
            self.refuse(name, xs[0], "leaves nothing of it")
        parents = [self._nodes[x] for x in xs]
        self._nodes[name] = Node(
            name=name,
            op=op,
            inputs=xs,
            shape=shape,
            block=self._block,
            **({"in_shape": parents[0].shape} | extra | _flags(op, parents)),
        )
        return name

    def conv(
        self,
        name: str,
        x: str,
        channels: int,
        *,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> str:
        c, h, w = self.shape(x)
        if c % groups or channels % groups:
            self.refuse(name, x, f"has {groups} groups: they do not divide {c} and {channels} channels")
        span = dilation * (kernel - 1) + 1
        out = tuple((side + 2 * padding - span) // stride + 1 for side in (h, w))
        return self._add(
            name,
            "conv",
            (x,),
            (channels, *out),
            kernel=kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )

    def bn(self, name: str, x: str) -> str:
        """Batch normalisation, affine: two parameters a channel."""
        return self._add(name, "bn", (x,), self.shape(x))

    def act(self, name: str, x: str) -> str:
        """The activation: spiking neurons or ReLU, the one difference between the twins."""
        return self._add(name, "act", (x,), self.shape(x))

    def dropout(self, name: str, x: str, rate: float) -> str:
        return self._add(name, "dropout", (x,), self.shape(x), rate=rate)

    def maxpool(self, name: str, x: str, *, kernel: int, stride: int, padding: int = 0, ceil_mode: bool = False) -> str:
        """The maximum of spikes is their OR, so spikes stay spikes; padding never wins."""
        c, h, w = self.shape(x)
        out = []
        for side in (h, w):
            span = side + 2 * padding - kernel
            size = (-(-span // stride) if ceil_mode else span // stride) + 1
            if ceil_mode and (size - 1) * stride >= side + padding:  # a window must start inside, as in torch
                size -= 1
            out.append(size)
        return self._add(
            name, "maxpool", (x,), (c, *out), kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil_mode
        )

    def global_avgpool(self, name: str, x: str) -> str:
        """The mean over height and width: a real value even of spikes, but for a map of one pixel, which is its mean."""
        return self._add(name, "global_avgpool", (x,), (self.shape(x)[0], 1, 1))

    def concat(self, name: str, xs: tuple[str, ...]) -> str:
        shapes = [self.shape(x) for x in xs]
        if len({shape[1:] for shape in shapes}) != 1:
            self.refuse(name, xs[0], f"cannot join {' and '.join(map(_text, shapes))}")
        shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
        return self._add(name, "concat", xs, shape, in_shape=shape)

    def split(self, name: str, x: str, *, start: int, channels: int) -> str:
        """Channels start..start + channels - 1."""
        c, h, w = self.shape(x)
        if not 0 <= start < start + channels <= c:
            self.refuse(name, x, f"takes channels {start} to {start + channels - 1}")
        return self._add(name, "split", (x,), (channels, h, w), start=start)

    def shuffle(self, name: str, x: str, *, groups: int) -> str:
        """Channel shuffle (Zhang et al., arXiv:1707.01083): channel g C/groups + i goes to i groups + g."""
        if self.shape(x)[0] % groups:
            self.refuse(name, x, f"has {groups} groups: they do not divide {self.shape(x)[0]} channels")
        return self._add(name, "shuffle", (x,), self.shape(x), groups=groups)

    def add(self, name: str, a: str, b: str) -> str:
        """The sum of two values of one shape: of spikes it is in {0, 1, 2}, so a real value."""
        if self.shape(a) != self.shape(b):
            self.refuse(name, b, f"adds it to {_text(self.shape(a))}")
        return self._add(name, "add", (a, b), self.shape(a))

    def sigmoid(self, name: str, x: str) -> str:
        """A gate in (0, 1); a real value in both twins."""
        return self._add(name, "sigmoid", (x,), self.shape(x))

    def scale(self, name: str, x: str, gate: str) -> str:
        """Every channel of x times its value in gate, [C, 1, 1]: real even where x is spikes."""
        if self.shape(gate) != (self.shape(x)[0], 1, 1):
            self.refuse(name, gate, f"multiplies it with {_text(self.shape(x))}")
        return self._add(name, "scale", (x, gate), self.shape(x))

    def finish(self, *, backbone: str, definition: str, blocks: tuple[str, ...], mask: tuple[str, ...]) -> Plan:
        return Plan(
            backbone=backbone, definition=definition, blocks=blocks, mask=mask, nodes=tuple(self._nodes.values())
        )


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
