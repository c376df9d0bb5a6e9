"""A spiking network as a NIR graph (Pedersen et al., Nature Communications 15:8122, 2024, doi:10.1038/s41467-024-52259-9).

NIR has convolutions, sums (edges that meet), sum- and average-pools, a threshold and neurons in continuous time; one of
our steps is DT seconds of Euler's method:

    lif, plif   tau dv/dt = -v + R I     tau = DT x ours, R = 1: v + (I - v) / tau, as ours
    if          dv/dt = R I              R = 1 / DT: v + I

What it has no word for is said with what it has, exactly:

    normalisation                folded into the convolution before it
    concat, split, shuffle       nothing: which channels a convolution reads is in its weights; of several values, one
                                 convolution each, whose outputs meet
    groups                       one group with zeros, since NIR 1.0 takes the second axis of the weights for all channels
    max-pool of spikes           their OR: a sum-pool and a threshold of 1/2

A ReLU, a product of two values (squeeze-and-excitation), a soft reset, and a max-pool of real values cannot be said so.
A membrane fires at v >= v_threshold here and at v > v_threshold there: the same but where it lands on it exactly.
The image is the input of every step (or the spikes that code it); the answer is the largest mean output.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.backbones.plan import Node
from core.errors import NotExpressible
from core.exchange.package import needed
from core.exchange.source import Source

DT = 1e-4  # seconds a step: what readers take where they are told nothing
INPUT, OUTPUT = "input", "output"


class Channel(NamedTuple):
    """One channel of a value: that of a NIR node, or of the sum of several nodes whose edges meet."""

    nodes: tuple[str, ...]
    place: int


Value = list[Channel]


def write(source: Source, out: Path) -> list[Path]:
    """Write the file and return its path. Raises PackageMissing, or NotExpressible for what NIR has no word for."""
    nir = needed("nir", "NIR")
    _refuse(source)
    graph = _Graph(source, nir)
    for node in source.plan.nodes:
        rule = _RULES.get(node.op)
        if rule is None:
            raise _cannot(node, "it has no such node.")
        graph.values[node.name] = rule(graph, node)
    graph.finish()
    out.parent.mkdir(parents=True, exist_ok=True)
    nir.write(out, nir.NIRGraph(graph.nodes, graph.edges, metadata=_metadata(source)))
    return [out]


def _refuse(source: Source) -> None:
    """What a whole network cannot be, said before anything is built."""
    if not source.spiking:
        raise NotExpressible(target="NIR", what="a CNN", why="it has no rectifier (ReLU).")
    neuron = source.config.neuron
    if neuron.reset != "hard":
        raise NotExpressible(
            target="NIR", what=f"the {neuron.reset} reset", why="its neurons are set to v_reset when they fire."
        )
    if neuron.model not in ("lif", "plif", "if"):
        raise NotExpressible(target="NIR", what=f"the neuron {neuron.model}", why="it has no such node.")


def _cannot(node: Node, why: str) -> NotExpressible:
    return NotExpressible(target="NIR", what=f"{node.name} ({node.op})", why=why)


def _metadata(source: Source) -> dict[str, Any]:
    return {
        "title": source.title,
        "time_steps": source.config.steps,
        "dt": DT,
        "encoding": source.encoding,
        "scale": source.scale,
        "shift": source.shift,
        "classes": json.dumps(list(source.classes)),
    }


class _Graph:
    """Collects NIR's nodes and edges; `values` says which of their channels make up the value of a node of the plan."""

    def __init__(self, source: Source, nir: Any) -> None:
        self.source, self.nir = source, nir
        shape = source.plan.input_shape
        self.nodes: dict[str, Any] = {INPUT: nir.Input(input_type={"input": np.array(shape)})}
        self.edges: list[tuple[str, str]] = []
        self.values: dict[str, Value] = {}
        self._channels = {INPUT: shape[0]}
        users = [(name, node) for node in source.plan.nodes for name in node.inputs]
        self._plan = {node.name: node for node in source.plan.nodes}
        #: Convolution -> the normalisation that it takes in, where nothing else reads it.
        self.folded = {
            name: node
            for name, node in users
            if node.op == "bn" and self._plan[name].op == "conv" and sum(n == name for n, _ in users) == 1
        }

    def x(self, node: Node) -> Value:
        return self.values[node.inputs[0]]

    def put(self, name: str, made: Any, sources: tuple[str, ...], channels: int) -> Value:
        """Add a node whose input is the sum of `sources`; its channels."""
        self.nodes[name] = made
        self._channels[name] = channels
        self.edges += [(source, name) for source in sources]
        return [Channel((name,), place) for place in range(channels)]

    def width(self, nodes: tuple[str, ...]) -> int:
        return self._channels[nodes[0]]

    def groups(self, value: Value) -> dict[tuple[str, ...], list[int]]:
        """The nodes that a value comes from, with the places of the value that they fill."""
        found: dict[tuple[str, ...], list[int]] = {}
        for place, channel in enumerate(value):
            found.setdefault(channel.nodes, []).append(place)
        return found

    def whole(self, value: Value, node: Node, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Nodes whose sum is the whole value in its order; a convolution that sorts its channels where there are none."""
        first = value[0].nodes
        if value == [Channel(first, place) for place in range(self.width(first))]:
            return first
        name = f"{node.name}.sorted"
        while name in self.nodes:
            name += "_"
        eye = np.eye(len(value), dtype=np.float32)[:, :, None, None]
        return self.conv(name, value, eye, None, shape)[0].nodes

    def conv(
        self, name: str, value: Value, weight: np.ndarray, bias: np.ndarray | None, in_shape: tuple[int, ...],
        stride: int = 1, padding: int = 0, dilation: int = 1,
    ) -> Value:  # fmt: skip
        """A convolution of a value, weight [C_out, C_in, K, K]: one node for each source, whose outputs meet."""
        groups = self.groups(value)
        names = []
        for number, (nodes, places) in enumerate(groups.items()):
            own = np.zeros((len(weight), self.width(nodes), *weight.shape[2:]), np.float32)
            np.add.at(own, (slice(None), [value[place].place for place in places]), weight[:, places])
            names.append(name if len(groups) == 1 else f"{name}.{number}")
            given = bias is not None and number == 0  # once, whatever meets
            made = self.nir.Conv2d(
                input_shape=tuple(int(side) for side in in_shape[1:]),
                weight=own,
                stride=(stride, stride),
                padding=(padding, padding),
                dilation=(dilation, dilation),
                groups=1,
                bias=bias.astype(np.float32) if given else np.zeros(len(weight), np.float32),
            )
            self.put(names[-1], made, nodes, len(weight))
        return [Channel(tuple(names), place) for place in range(len(weight))]

    def pool(self, node: Node, make: Callable[[str, tuple[str, ...], int], Value]) -> Value:
        """A pool of each source by itself, `make(name, nodes, channels)`, channel by channel."""
        value = self.x(node)
        groups = self.groups(value)
        out = list(value)
        for number, (nodes, places) in enumerate(groups.items()):
            name = node.name if len(groups) == 1 else f"{node.name}.{number}"
            made = make(name, nodes, self.width(nodes))
            for place in places:
                out[place] = made[value[place].place]
        return out

    def finish(self) -> None:
        """The last value as a vector, one output a class."""
        last = self.source.plan.nodes[-1]
        flat = self.nir.Flatten({"input": np.array(last.shape)}, start_dim=0, end_dim=-1)
        self.put("flatten", flat, self.whole(self.values[last.name], last, last.shape), last.shape[0])
        self.put(OUTPUT, self.nir.Output(output_type={"output": np.array([last.numel])}), ("flatten",), last.numel)


def _conv(graph: _Graph, node: Node) -> Value:
    weight = _ungrouped(graph.source.weight(node, "weight"), node)
    bias = graph.source.weight(node, "bias").astype(np.float64) if node.bias else np.zeros(node.shape[0])
    if (bn := graph.folded.get(node.name)) is not None:
        a, b = graph.source.affine(bn)
        weight, bias = weight * a[:, None, None, None], bias * a + b
    return graph.conv(node.name, graph.x(node), weight, bias, node.in_shape, node.stride, node.padding, node.dilation)


def _ungrouped(weight: np.ndarray, node: Node) -> np.ndarray:
    """[C_out, C_in / groups, K, K] -> [C_out, C_in, K, K] float64, zero where a group does not look."""
    outs, ins = node.shape[0] // node.groups, node.in_shape[0] // node.groups
    full = np.zeros((node.shape[0], node.in_shape[0], node.kernel, node.kernel))
    for group in range(node.groups):
        rows = slice(group * outs, (group + 1) * outs)
        full[rows, group * ins : (group + 1) * ins] = weight[rows]
    return full


def _bn(graph: _Graph, node: Node) -> Value:
    if graph.folded.get(node.inputs[0]) is node:
        return graph.x(node)
    a, b = graph.source.affine(node)
    return graph.conv(node.name, graph.x(node), np.diag(a)[:, :, None, None], b, node.shape)


def _act(graph: _Graph, node: Node) -> Value:
    neuron, nir = graph.source.config.neuron, graph.nir
    each = np.ones(node.shape, np.float64)
    shared = {"v_threshold": neuron.v_threshold * each, "v_reset": 0 * each}
    if neuron.model == "if":
        made = nir.IF(r=each / DT, **shared)
    else:
        made = nir.LIF(tau=each * DT / graph.source.leak(node), r=each, v_leak=0 * each, **shared)
    return graph.put(node.name, made, graph.whole(graph.x(node), node, node.shape), node.shape[0])


def _maxpool(graph: _Graph, node: Node) -> Value:
    source = graph.source.plan.node(node.inputs[0])
    if not source.spikes:
        raise _cannot(node, "it has no maximum of real values; of spikes it is a sum and a threshold.")
    span = (node.in_shape[1] + 2 * node.padding - node.kernel, node.in_shape[2] + 2 * node.padding - node.kernel)
    if tuple(side // node.stride + 1 for side in span) != node.shape[1:]:
        raise _cannot(node, "its pools have no window that stands over the edge (ceil_mode).")
    window = {
        "kernel_size": np.array([node.kernel] * 2),
        "stride": np.array([node.stride] * 2),
        "padding": np.array([node.padding] * 2),
    }

    def pooled(name: str, nodes: tuple[str, ...], channels: int) -> Value:
        graph.put(f"{name}.sum", graph.nir.SumPool2d(**window), nodes, channels)
        threshold = np.full((channels, *node.shape[1:]), 0.5)
        return graph.put(name, graph.nir.Threshold(threshold=threshold), (f"{name}.sum",), channels)

    return graph.pool(node, pooled)


def _global_avgpool(graph: _Graph, node: Node) -> Value:
    sides = np.array(node.in_shape[1:])
    if (sides == 1).all():
        return graph.x(node)
    window = {"kernel_size": sides, "stride": sides, "padding": np.array([0, 0])}
    return graph.pool(
        node, lambda name, nodes, channels: graph.put(name, graph.nir.AvgPool2d(**window), nodes, channels)
    )


def _add(graph: _Graph, node: Node) -> Value:
    a, b = (graph.whole(graph.values[name], node, node.shape) for name in node.inputs)
    if set(a) & set(b):  # an edge cannot be there twice
        eye = np.eye(node.shape[0], dtype=np.float32)[:, :, None, None]
        b = graph.conv(f"{node.name}.again", graph.values[node.inputs[1]], eye, None, node.shape)[0].nodes
    return [Channel((*a, *b), place) for place in range(node.shape[0])]


def _shuffle(graph: _Graph, node: Node) -> Value:
    order = np.arange(node.shape[0]).reshape(node.groups, -1).T.ravel()
    return [graph.x(node)[place] for place in order]


def _product(graph: _Graph, node: Node) -> Value:
    raise _cannot(node, "it has no product of two values and no sigmoid, which squeeze-and-excitation is made of.")


_RULES: dict[str, Callable[[_Graph, Node], Value]] = {
    "input": lambda graph, node: [Channel((INPUT,), place) for place in range(node.shape[0])],
    "conv": _conv,
    "bn": _bn,
    "act": _act,
    "maxpool": _maxpool,
    "global_avgpool": _global_avgpool,
    "concat": lambda graph, node: [channel for name in node.inputs for channel in graph.values[name]],
    "dropout": lambda graph, node: graph.x(node),
    "split": lambda graph, node: graph.x(node)[node.start : node.start + node.shape[0]],
    "shuffle": _shuffle,
    "add": _add,
    "sigmoid": _product,
    "scale": _product,
}
