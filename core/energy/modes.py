"""Accounting modes: from stored integer counts to ACs and MACs per inference.

A mode says which operations are charged and over how many steps; a hardware profile then says what one
costs. Not modelled in any mode here: memory traffic, routing, control, leakage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from core.backbones.plan import Node, Plan
from core.errors import UnknownLayer
from core.registry import Registry
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind

#: Layers with weights: they are charged synaptic operations.
SYNAPTIC = frozenset({"conv", "linear"})
#: Layers that only move, pass or drop values: nothing to charge in any mode, each named so that a new one raises.
FREE = frozenset({"concat", "dropout", "flatten", "input"})
NEURONS = frozenset({"neuron"})
RECTIFIERS = frozenset({"relu"})
MAX_POOLS = frozenset({"maxpool"})
AVERAGE_POOLS = frozenset({"avgpool"})
NORMALISERS = frozenset({"bn"})
KNOWN = SYNAPTIC | FREE | NEURONS | RECTIFIERS | MAX_POOLS | AVERAGE_POOLS | NORMALISERS


@dataclass(frozen=True, kw_only=True)
class LayerTally:
    """One layer's operations per inference: accumulates and multiply-accumulates."""

    name: str
    acs: float
    macs: float


@dataclass(frozen=True, kw_only=True)
class Tally:
    """A network's operations per inference, the mean over the counted samples."""

    acs: float
    macs: float
    layers: tuple[LayerTally, ...] = field(repr=False)


#: One layer of `counts` -> (acs, macs) per inference.
Rule = Callable[[LayerCounts, Counts], tuple[float, float]]
#: One node of a plan, its kind of network and T -> MACs per inference.
StaticRule = Callable[[Node, Plan, Kind, int], int]


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One way to account. `rule` prices counted layers; `static_rule` gives MACs of a plan without data."""

    name: str
    title: str
    description: str
    rule: Rule = field(repr=False)
    static_rule: StaticRule = field(repr=False)

    def tally(self, counts: Counts) -> Tally:
        """ACs and MACs per inference. Raises UnknownLayer for a kind of layer without a rule."""
        layers = []
        for layer in counts.layers:
            if layer.kind not in KNOWN:
                raise UnknownLayer(layer=layer.name, kind=layer.kind)
            acs, macs = self.rule(layer, counts)
            layers.append(LayerTally(name=layer.name, acs=acs, macs=macs))
        return Tally(
            acs=sum(layer.acs for layer in layers), macs=sum(layer.macs for layer in layers), layers=tuple(layers)
        )


def layer_kind(node: Node, kind: Kind) -> str:
    """A plan's op in the words of LayerCounts: an activation is a neuron or a ReLU."""
    if node.op == "act":
        return "neuron" if kind is Kind.SNN else "relu"
    return "avgpool" if node.op == "global_avgpool" else node.op


def static_macs(plan: Plan, kind: Kind, mode: Mode | str, time_steps: int) -> int:
    """MACs per inference of a plan without any data; raises UnknownName or UnknownLayer.

    In `paper` this is what counting gives too. In `exact` it is what counting gives if no real-valued
    input element is zero, so an upper bound.
    """
    chosen = MODES[mode] if isinstance(mode, str) else mode
    return sum(static_layer_macs(plan, kind, chosen, time_steps).values())


def static_layer_macs(plan: Plan, kind: Kind, mode: Mode, time_steps: int) -> dict[str, int]:
    """The same, node by node."""
    for node in plan.nodes:
        if layer_kind(node, kind) not in KNOWN:
            raise UnknownLayer(layer=node.name, kind=layer_kind(node, kind))
    return {node.name: mode.static_rule(node, plan, kind, time_steps) for node in plan.nodes}


def _input_is_spikes(node: Node, plan: Plan, kind: Kind) -> bool:
    return kind is Kind.SNN and bool(node.inputs) and all(plan.node(name).spikes for name in node.inputs)


# `paper`: the rules of syops 0.0.5 (ops.py) over one time step, as the printed tables need them.


def _input_nonzero(layer: LayerCounts, counts: Counts) -> float:
    """Non-zero input elements of one sample and step, the mean over both.

    Raises UnknownLayer where they were not counted: a rate that nobody measured is not 0.
    """
    if not layer.input_nonzero:
        raise UnknownLayer(layer=layer.name, kind=f"{layer.kind} of spikes, whose input spikes were not counted")
    return sum(layer.input_nonzero) / (len(layer.input_nonzero) * counts.n_samples)


def _paper(layer: LayerCounts, counts: Counts) -> tuple[float, float]:
    """syops' rules, one step.

    Spiking network, with rate = non-zero / all input elements:
      conv, linear of spikes     ACs  (dense + bias) x rate
      conv, linear of reals      MACs dense + bias
      batch normalisation        MACs 2 x elements
      pooling of spikes          ACs  elements x rate
      average pooling of reals   MACs elements
      neuron                     ACs  elements, however few of them fire
    CNN (where the paper counts with ptflops): MACs of conv, linear, batch normalisation and average
    pooling as above; ReLU and max-pooling only compare.
    dense x rate is wrong at borders and strides, where elements have fewer taps: see `exact`.
    """
    spiking = counts.kind is Kind.SNN
    if layer.kind in SYNAPTIC:
        dense = layer.dense_ops + layer.bias_ops
        if spiking and layer.input_is_spikes:
            return dense * _input_nonzero(layer, counts) / layer.input_numel, 0.0
        return 0.0, float(dense)
    if layer.kind in NORMALISERS:
        return 0.0, 2.0 * layer.output_numel
    if layer.kind in MAX_POOLS | AVERAGE_POOLS:
        if spiking and layer.input_is_spikes:
            return _input_nonzero(layer, counts), 0.0
        compared = layer.kind in MAX_POOLS and not spiking
        return 0.0, 0.0 if compared else float(layer.input_numel)
    if layer.kind in NEURONS:
        return float(layer.output_numel), 0.0
    return 0.0, 0.0


def _paper_static(node: Node, plan: Plan, kind: Kind, time_steps: int) -> int:
    word, of_spikes = layer_kind(node, kind), _input_is_spikes(node, plan, kind)
    if word in SYNAPTIC:
        return 0 if of_spikes else node.dense_ops + node.bias_ops
    if word in NORMALISERS:
        return 2 * node.numel
    if word in AVERAGE_POOLS or (word in MAX_POOLS and kind is Kind.SNN):
        return 0 if of_spikes else node.in_numel
    return 0


# `exact`: effective synaptic operations over all T steps.


def _exact(layer: LayerCounts, counts: Counts) -> tuple[float, float]:
    """Sum over steps of the effective synaptic operations; a constant input is charged at step 0 alone."""
    if layer.kind not in SYNAPTIC:
        return 0.0, 0.0
    steps = slice(0, 1) if layer.constant_input else slice(None)
    return sum(layer.ac[steps]) / counts.n_samples, sum(layer.mac[steps]) / counts.n_samples


def in_bounds_ops(node: Node) -> int:
    """Dense ops of a convolution without the taps that read padding: sum of F(i) over all input elements."""
    if node.op != "conv":
        return 0
    taps = 1
    for size, outputs in zip(node.in_shape[1:], node.shape[1:], strict=True):
        taps *= sum(
            0 <= place * node.stride - node.padding + tap < size
            for place in range(outputs)
            for tap in range(node.kernel)
        )
    return taps * node.in_shape[0] // node.groups * node.shape[0]


def _exact_static(node: Node, plan: Plan, kind: Kind, time_steps: int) -> int:
    if layer_kind(node, kind) not in SYNAPTIC or _input_is_spikes(node, plan, kind):
        return 0
    constant = kind is Kind.CNN or all(plan.node(name).constant for name in node.inputs)
    return in_bounds_ops(node) * (1 if constant else time_steps)


MODES: Registry[Mode] = Registry("accounting mode")
MODES.add(
    "paper",
    Mode(
        name="paper",
        title="Paper: one step",
        description=(
            "The rules of syops over one time step, as in the printed tables: spikes scale dense operations by the "
            "firing rate, batch normalisation is charged, and a network that runs T steps is billed for one."
        ),
        rule=_paper,
        static_rule=_paper_static,
    ),
)
MODES.add(
    "exact",
    Mode(
        name="exact",
        title="Exact: all T steps",
        description=(
            "Effective synaptic operations over all T steps: every non-zero input element costs the outputs it "
            "reaches, exact at borders and strides; an AC for a spike, a MAC for a real value. The constant input "
            "current is computed once, batch normalisation is folded into the weights and costs nothing. The same "
            "zero-skipping rule holds for spiking networks and CNNs. Bias and neuron updates are not included."
        ),
        rule=_exact,
        static_rule=_exact_static,
    ),
)
DEFAULT_MODE = "exact"
