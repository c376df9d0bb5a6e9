"""The rules behind the accounting modes: what one layer's integers are charged, and what its plan says beforehand.

Each mode has a rule for counted layers and a static one for the nodes of a plan. Every rule gives
operations per inference: accumulates (AC) and multiply-accumulates (MAC). A comparison is priced as an
add, hence as an AC. Memory traffic stands beside these rules, in `core.energy.memory`. Not modelled in
any rule: routing, control, leakage.
"""

from __future__ import annotations

from collections.abc import Callable

from core.backbones.plan import Node, Plan
from core.backbones.readout import readout
from core.errors import UnknownLayer
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind

#: One layer of `counts` -> (acs, macs) per inference.
Rule = Callable[[LayerCounts, Counts], tuple[float, float]]
#: One node of a plan, its kind of network, T and the neuron's model -> MACs per inference.
StaticRule = Callable[[Node, Plan, Kind, int, str], int]

#: Layers with weights: they are charged synaptic operations.
SYNAPTIC = frozenset({"conv", "linear"})
#: Layers that only move, pass or drop values: nothing to charge in any mode, each named so that a new one raises.
FREE = frozenset({"concat", "dropout", "flatten", "input", "split", "shuffle"})
NEURONS = frozenset({"neuron", "if_neuron"})
RECTIFIERS = frozenset({"relu"})
MAX_POOLS = frozenset({"maxpool"})
AVERAGE_POOLS = frozenset({"avgpool"})
NORMALISERS = frozenset({"bn"})
#: Arithmetic between whole values: sums of branches or of currents (membrane shortcuts, a bypass before the neurons), and
#: the gates of squeeze-and-excitation. None reads a weight, so none is a synaptic operation.
ELEMENTWISE = frozenset({"add", "scale", "sigmoid"})
KNOWN = SYNAPTIC | FREE | NEURONS | RECTIFIERS | MAX_POOLS | AVERAGE_POOLS | NORMALISERS | ELEMENTWISE

#: (ACs, MACs) of one output element and step, whatever it is given. A LIF neuron leaks and integrates with one
#: multiply-accumulate and compares with its threshold; an IF neuron adds and compares; a ReLU only compares. A sum of
#: two branches adds, a gate multiplies. The sigmoid is priced as one multiply-accumulate, a table with a linear
#: piece a place: our assumption, of no weight, since a gate has one element a channel.
EACH_STEP = {"neuron": (1, 1), "if_neuron": (2, 0), "relu": (1, 0), "add": (1, 0), "scale": (0, 1), "sigmoid": (0, 1)}
#: What an update of such a neuron is called among the other operations of a tally.
UPDATES = {"neuron": "lif-update", "if_neuron": "if-update"}
#: What an accumulate beside the MACs of a real-valued layer is called there.
HOST_ADD = "host-add"
#: Entries of `Tally.other` that are counted in ACs and MACs too; all others are memory and addresses.
REPRICED = frozenset({*UPDATES.values(), HOST_ADD})


def layer_kind(node: Node, kind: Kind, neuron: str = "lif") -> str:
    """A plan's op in the words of LayerCounts: an activation is a ReLU, or a neuron with a leak or without."""
    if node.op == "act":
        if kind is Kind.CNN:
            return "relu"
        return "if_neuron" if neuron in ("if", "count") else "neuron"  # a count is fired as an IF neuron does
    return "avgpool" if node.op == "global_avgpool" else node.op


def _input_is_spikes(node: Node, plan: Plan, kind: Kind) -> bool:
    return kind is Kind.SNN and bool(node.inputs) and all(plan.node(name).spikes for name in node.inputs)


def _passes(kind: Kind, time_steps: int) -> int:
    """How often the network runs for one inference; a CNN has no time."""
    return time_steps if kind is Kind.SNN else 1


# `paper`: the rules of syops 0.0.5 (ops.py) over one time step, as the printed tables need them.


def input_nonzero(layer: LayerCounts, counts: Counts) -> float:
    """Non-zero input elements of one sample and step, the mean over both.

    Raises UnknownLayer where they were not counted: a rate that nobody measured is not 0.
    """
    if not layer.input_nonzero:
        raise UnknownLayer(layer=layer.name, kind=f"{layer.kind} of spikes, whose input spikes were not counted")
    return sum(layer.input_nonzero) / (len(layer.input_nonzero) * counts.n_samples)


def paper(layer: LayerCounts, counts: Counts) -> tuple[float, float]:
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
            return dense * input_nonzero(layer, counts) / layer.input_numel, 0.0
        return 0.0, float(dense)
    if layer.kind in NORMALISERS:
        return 0.0, 2.0 * layer.output_numel
    if layer.kind in MAX_POOLS | AVERAGE_POOLS:
        if spiking and layer.input_is_spikes:
            return input_nonzero(layer, counts), 0.0
        compared = layer.kind in MAX_POOLS and not spiking
        return 0.0, 0.0 if compared else float(layer.input_numel)
    if layer.kind in NEURONS:
        return float(layer.output_numel), 0.0
    return 0.0, 0.0


def paper_static(node: Node, plan: Plan, kind: Kind, time_steps: int, neuron: str = "lif") -> int:
    """MACs of `paper`: they need no data, and one step has no T."""
    word, of_spikes = layer_kind(node, kind), _input_is_spikes(node, plan, kind)
    if word in SYNAPTIC:
        return 0 if of_spikes else node.dense_ops + node.bias_ops
    if word in NORMALISERS:
        return 2 * node.numel
    if word in AVERAGE_POOLS or (word in MAX_POOLS and kind is Kind.SNN):
        return 0 if of_spikes else node.in_numel
    return 0


# `syops`: the same rules over all T steps, as the package gives them for a network that runs them.


def syops(layer: LayerCounts, counts: Counts) -> tuple[float, float]:
    """T times `paper`. Its hooks fire at every step, so what is constant is charged T times too."""
    acs, macs = paper(layer, counts)
    return counts.time_steps * acs, counts.time_steps * macs


def syops_static(node: Node, plan: Plan, kind: Kind, time_steps: int, neuron: str = "lif") -> int:
    """MACs of `syops`: those of one step at every step."""
    return _passes(kind, time_steps) * paper_static(node, plan, kind, time_steps)


# `exact`: effective synaptic operations over all T steps.


def exact(layer: LayerCounts, counts: Counts) -> tuple[float, float]:
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
            0 <= place * node.stride - node.padding + tap * node.dilation < size
            for place in range(outputs)
            for tap in range(node.kernel)
        )
    return taps * node.in_shape[0] // node.groups * node.shape[0]


def exact_static(node: Node, plan: Plan, kind: Kind, time_steps: int, neuron: str = "lif") -> int:
    """MACs of `exact` if no real-valued input element is zero."""
    if layer_kind(node, kind) not in SYNAPTIC or _input_is_spikes(node, plan, kind):
        return 0
    once = all(is_once(plan.node(name), plan, neuron) for name in node.inputs)
    return in_bounds_ops(node) * (1 if once else _passes(kind, time_steps))


def is_once(node: Node, plan: Plan, neuron: str) -> bool:
    """Whether the node's value is one for all steps: constant, or a real one of a layer-synchronous network."""
    return node.constant or gives_one_output(node, plan, neuron)


def gives_one_output(node: Node, plan: Plan, neuron: str) -> bool:
    """Whether a layer-synchronous network makes the node's value once, from the sum of its input over all steps."""
    return neuron == "count" and not node.spikes and node.name not in readout(plan)


# `exact+neuron`: `exact`, and the arithmetic that is done whether or not anything fires.


def exact_neuron(layer: LayerCounts, counts: Counts) -> tuple[float, float]:
    """`exact` and, for every element, silent or not:

      conv, linear   ACs  bias, one add per output and step; per output alone where there is one output for all steps
      LIF neuron     MACs 1 per neuron and step (leak and integrate); ACs 1 (compare with the threshold)
      IF neuron      ACs  2 per neuron and step (integrate, compare)
      ReLU           ACs  1 per output (compare with 0)
      sum, gate      ACs  1 per output of a sum of branches; MACs 1 per output of a gate or its product

    A constant input's result is kept with its bias in it, so that bias is added once. The neurons behind it
    hold a state that moves at every step, so they are charged T times. Batch normalisation is folded: its
    scale goes into the weights and its shift into the bias, which is one and the same add; a shift that finds no
    bias before it is that add by itself. Pooling, like concatenation, is not charged.
    """
    acs, macs = exact(layer, counts)
    if layer.kind in SYNAPTIC | NORMALISERS:
        return acs + layer.bias_ops * outputs_given(layer, counts), macs
    each_acs, each_macs = EACH_STEP.get(layer.kind, (0, 0))
    elements = layer.output_numel * steps_run(layer, counts)
    return acs + each_acs * elements, macs + each_macs * elements


def steps_run(layer: LayerCounts, counts: Counts) -> int:
    """How often the layer works for one inference: once where its input is constant, unless it has a state."""
    return 1 if layer.constant_input and layer.kind not in NEURONS else counts.time_steps


def outputs_given(layer: LayerCounts, counts: Counts) -> int:
    """How many outputs the layer gives for one inference, each with its bias: a layer-synchronous one gives its one
    output after the last step, whatever came before."""
    return 1 if layer.one_output else steps_run(layer, counts)


def exact_neuron_static(node: Node, plan: Plan, kind: Kind, time_steps: int, neuron: str = "lif") -> int:
    """MACs of `exact+neuron` if no real-valued input element is zero; a bias or a comparison is no MAC."""
    _, each_macs = EACH_STEP.get(layer_kind(node, kind, neuron), (0, 0))
    once = node.op != "act" and is_once(node, plan, neuron)  # a neuron works at every step
    passes = 1 if once else _passes(kind, time_steps)
    return exact_static(node, plan, kind, time_steps, neuron) + each_macs * node.numel * passes


def repriced(layer: LayerCounts, counts: Counts) -> dict[str, float]:
    """Of the arithmetic of `exact_neuron`, what a neuromorphic chip does not do as synaptic operations.

      lif-update, if-update   neuron updates: a chip that publishes the price of one is billed it instead
      host-add                accumulates of layers without spikes (biases, ReLUs, sums), done where the MACs are

    They are counted in acs and macs already; `price.other_pj` prices the difference, which is 0 on hardware
    that does everything in one place.
    """
    if layer.kind in NEURONS:
        return {UPDATES[layer.kind]: float(layer.output_numel * counts.time_steps)}
    acs, _ = exact_neuron(layer, counts)
    return {} if is_event_driven(layer, counts) or not acs else {HOST_ADD: acs}


def is_event_driven(layer: LayerCounts, counts: Counts) -> bool:
    """Whether spikes drive the layer; a shift left by normalisation is added where the neurons are."""
    if layer.kind in NORMALISERS:
        return counts.kind is Kind.SNN and not layer.constant_input
    return counts.kind is Kind.SNN and layer.input_is_spikes
