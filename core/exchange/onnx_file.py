"""One time step of a network as an ONNX graph, its state as inputs and outputs.

    image        [N, C, H, W] float32, the input of this step: scale x pixel + shift, or spikes where it is coded
    v.X          the membrane of neuron layer X before the step, [N, C, H, W]; before the first one v_start everywhere
    output       [N, classes], the raw output of this step; the answer is the largest mean over all T steps
    next.v.X     the membrane after it, the next step's v.X

A CNN has no state. In a converted network that is never trained, a max-pool and a gate have a state too: `sum.X` and
`next.sum.X`, the sum of their input over the steps so far, at first 0; with gates, `step`, [] float32, is the number of
the step, from 1 on. T, v_start, scale, shift, the coding and the classes stand in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.backbones.plan import Node
from core.bundle import write_atomic
from core.errors import NotExpressible
from core.exchange.package import needed
from core.exchange.source import BN_EPS, Source

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto

OPSET, IR_VERSION = 17, 8  # of 2022: what runs ONNX at all runs these
INPUT, OUTPUT, STEP = "image", "output", "step"


def write(source: Source, out: Path) -> list[Path]:
    """Write the file and return its path. Raises PackageMissing, or NotExpressible for a part without a rule here."""
    onnx = needed("onnx", "ONNX")
    graph = _Graph(source)
    for node in source.plan.nodes:
        rule = _RULES.get(node.op)
        if rule is None:
            raise NotExpressible(
                target="This ONNX writer", what=f"{node.name} ({node.op})", why="it has no rule for it."
            )
        graph.at[node.name] = rule(graph, node)
    last = source.plan.nodes[-1]
    graph.add("Flatten", [graph.at[last.name]], OUTPUT, axis=1)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            source.title,
            graph.inputs,
            [graph.value(OUTPUT, (source.plan.n_classes,)), *graph.outputs],
            initializer=graph.constants,
        ),
        producer_name="spikefront",
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(model, _metadata(source))
    onnx.checker.check_model(model)
    write_atomic(out, model.SerializeToString())
    return [out]


def _metadata(source: Source) -> dict[str, str]:
    told: dict[str, Any] = {
        "time_steps": source.config.steps,
        "encoding": source.encoding,
        "v_start": source.config.v_start,
        "scale": [float(x) for x in source.scale],
        "shift": [float(x) for x in source.shift],
        "classes": list(source.classes),
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}


class _Graph:
    """Collects nodes, weights and states; `at` says which tensor holds the value of a node of the plan."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.inputs: list[ValueInfoProto] = [self.value(INPUT, source.plan.input_shape)]
        self.outputs: list[ValueInfoProto] = []
        self.at: dict[str, str] = {}

    def value(self, name: str, shape: tuple[int, ...] | None) -> ValueInfoProto:
        """A float tensor, N images in front; None: a single number."""
        from onnx import TensorProto, helper

        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [] if shape is None else ["N", *shape])

    def constant(self, name: str, value: np.ndarray | float) -> str:
        from onnx import numpy_helper

        array = np.asarray(value)
        array = np.ascontiguousarray(array.astype(np.float32) if array.dtype.kind == "f" else array).reshape(
            array.shape
        )
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def x(self, node: Node) -> str:
        """The first input of a node."""
        return self.at[node.inputs[0]]

    def weight(self, node: Node, name: str) -> str:
        return self.constant(f"{node.name}.{name}", self.source.weight(node, name))

    def state(self, kind: str, node: Node, shape: tuple[int, ...]) -> tuple[str, str]:
        """(before, after): names of a state of this node, which is an input and an output of the file."""
        before = f"{kind}.{node.name}"
        after = f"next.{before}"
        self.inputs.append(self.value(before, shape))
        self.outputs.append(self.value(after, shape))
        return before, after

    def step(self) -> str:
        """The number of the step."""
        if all(value.name != STEP for value in self.inputs):
            self.inputs.append(self.value(STEP, None))
        return STEP


def _conv(graph: _Graph, node: Node) -> str:
    weights = [graph.weight(node, name) for name in ("weight", *(("bias",) if node.bias else ()))]
    return graph.add(
        "Conv",
        [graph.x(node), *weights],
        node.name,
        kernel_shape=[node.kernel] * 2,
        strides=[node.stride] * 2,
        pads=[node.padding] * 4,
        dilations=[node.dilation] * 2,
        group=node.groups,
    )


def _bn(graph: _Graph, node: Node) -> str:
    weights = [graph.weight(node, name) for name in ("weight", "bias", "running_mean", "running_var")]
    return graph.add("BatchNormalization", [graph.x(node), *weights], node.name, epsilon=BN_EPS)


def _act(graph: _Graph, node: Node) -> str:
    """charge H, fire S = [H >= v_threshold], reset; the equations of core.engine.neurons."""
    name, x, neuron = node.name, graph.x(node), graph.source.config.neuron
    if not graph.source.spiking:
        return graph.add("Relu", [x], name)
    if neuron.model not in ("lif", "plif", "if"):
        raise NotExpressible(target="This ONNX writer", what=f"the neuron {neuron.model}", why="it has no rule for it.")
    v, after = graph.state("v", node, node.shape)
    threshold = graph.constant(f"{name}.v_threshold", neuron.v_threshold)
    if neuron.model == "if":
        h = graph.add("Add", [v, x], f"{name}.h")
    else:
        drive = graph.add("Sub", [x, v], f"{name}.drive")
        if neuron.model == "lif":
            charge = graph.add("Div", [drive, graph.constant(f"{name}.tau", neuron.tau)], f"{name}.charge")
        else:
            charge = graph.add(
                "Mul", [drive, graph.constant(f"{name}.leak", graph.source.leak(node))], f"{name}.charge"
            )
        h = graph.add("Add", [v, charge], f"{name}.h")
    fired = graph.add("GreaterOrEqual", [h, threshold], f"{name}.fired")
    spikes = graph.add("Cast", [fired], name, to=1)  # FLOAT
    if neuron.reset == "hard":
        kept = graph.add("Sub", [graph.constant(f"{name}.one", 1.0), spikes], f"{name}.kept")
        graph.add("Mul", [h, kept], after)
    else:
        graph.add("Sub", [h, graph.add("Mul", [spikes, threshold], f"{name}.paid")], after)
    return spikes


def _so_far(graph: _Graph, node: Node, shape: tuple[int, ...]) -> tuple[str, str]:
    """(sum before this step, sum with it) of a node's input."""
    before, after = graph.state("sum", node, shape)
    return before, graph.add("Add", [before, graph.x(node)], after)


def _maxpool(graph: _Graph, node: Node) -> str:
    shape = {
        "kernel_shape": [node.kernel] * 2,
        "strides": [node.stride] * 2,
        "pads": [node.padding] * 4,
        "ceil_mode": int(node.ceil_mode),
    }
    if not graph.source.uses_sums(node):
        return graph.add("MaxPool", [graph.x(node)], node.name, **shape)
    before, now = _so_far(graph, node, node.in_shape)
    most = [graph.add("MaxPool", [sums], f"{node.name}.{part}", **shape) for part, sums in (("b", before), ("a", now))]
    return graph.add("Sub", [most[1], most[0]], node.name)


def _sigmoid(graph: _Graph, node: Node) -> str:
    x = graph.x(node)
    if graph.source.uses_sums(node):
        _, now = _so_far(graph, node, node.shape)
        x = graph.add("Div", [now, graph.step()], f"{node.name}.mean")
    return graph.add("Sigmoid", [x], node.name)


def _split(graph: _Graph, node: Node) -> str:
    bounds = {"starts": node.start, "ends": node.start + node.shape[0], "axes": 1}
    names = [graph.constant(f"{node.name}.{name}", np.array([value], np.int64)) for name, value in bounds.items()]
    return graph.add("Slice", [graph.x(node), *names], node.name)


def _shuffle(graph: _Graph, node: Node) -> str:
    """Channels as [groups, C / groups], transposed."""
    channels, height, width = node.shape
    apart = np.array([0, node.groups, channels // node.groups, height, width], np.int64)  # 0: as many images as came
    whole = np.array([0, channels, height, width], np.int64)
    name = node.name
    x = graph.add("Reshape", [graph.x(node), graph.constant(f"{name}.apart", apart)], f"{name}.groups")
    x = graph.add("Transpose", [x], f"{name}.turned", perm=[0, 2, 1, 3, 4])
    return graph.add("Reshape", [x, graph.constant(f"{name}.whole", whole)], name)


def _all(op: str, **attributes: Any) -> Callable[[_Graph, Node], str]:
    """A rule that hands all inputs of a node to one operation."""
    return lambda graph, node: graph.add(op, [graph.at[name] for name in node.inputs], node.name, **attributes)


_RULES: dict[str, Callable[[_Graph, Node], str]] = {
    "input": lambda graph, node: INPUT,
    "conv": _conv,
    "bn": _bn,
    "act": _act,
    "maxpool": _maxpool,
    "global_avgpool": _all("GlobalAveragePool"),
    "concat": _all("Concat", axis=1),
    "dropout": lambda graph, node: graph.x(node),  # passes everything in evaluation
    "split": _split,
    "shuffle": _shuffle,
    "add": _all("Add"),
    "sigmoid": _sigmoid,
    "scale": _all("Mul"),
}
