"""Accounting modes: from stored integer counts to ACs and MACs per inference.

A mode says which operations are charged and over how many steps (its rules are in `core.energy.rules`); a
hardware profile then says what one costs. Memory traffic is in the mode `memory` alone. Not modelled in
any mode: routing, control, leakage.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.backbones.plan import Plan
from core.energy import rules
from core.energy.bits import integer_operations
from core.energy.memory import Others, traffic_and_repriced
from core.energy.rules import KNOWN, Rule, StaticRule, layer_kind, repriced
from core.errors import UnknownLayer
from core.registry import Registry
from core.schemas.results import Counts
from core.schemas.run import Kind


@dataclass(frozen=True, kw_only=True)
class LayerTally:
    """One layer's operations per inference: accumulates, multiply-accumulates and others (see Tally)."""

    name: str
    acs: float
    macs: float
    other: dict[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """A network's operations per inference, the mean over the counted samples.

    `other` counts further operations by what a profile prices them as: memory accesses and address
    arithmetic by the name of a constant, neuron updates by kind (`price.other_pj`). Energy is linear
    in acs, macs and each entry of other.
    """

    acs: float
    macs: float
    layers: tuple[LayerTally, ...] = field(repr=False)
    other: dict[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One way to account. `rule` tallies counted layers; `static_rule` gives MACs of a plan without data.

    `others` tallies what is neither an AC nor a MAC; most modes have none.
    """

    name: str
    title: str
    description: str
    rule: Rule = field(repr=False)
    static_rule: StaticRule = field(repr=False)
    others: Others | None = field(default=None, repr=False)

    def tally(self, counts: Counts) -> Tally:
        """ACs and MACs per inference. Raises UnknownLayer for a kind of layer without a rule."""
        layers = []
        for layer in counts.layers:
            if layer.kind not in KNOWN:
                raise UnknownLayer(layer=layer.name, kind=layer.kind)
            acs, macs = self.rule(layer, counts)
            other = self.others(layer, counts) if self.others else {}
            layers.append(LayerTally(name=layer.name, acs=acs, macs=macs, other=other))
        names = dict.fromkeys(name for layer in layers for name in layer.other)
        return Tally(
            acs=sum(layer.acs for layer in layers),
            macs=sum(layer.macs for layer in layers),
            layers=tuple(layers),
            other={name: sum(layer.other.get(name, 0.0) for layer in layers) for name in names},
        )


def static_macs(plan: Plan, kind: Kind, mode: Mode, time_steps: int, neuron: str = "lif") -> int:
    """MACs per inference of a plan without any data; raises UnknownLayer.

    In `paper` and `syops` this is what counting gives too. In the other modes it is what counting gives if
    no real-valued input element is zero, so an upper bound. `neuron` is NeuronConfig.model: an `if` neuron
    has no leak and so no MAC.
    """
    return sum(static_layer_macs(plan, kind, mode, time_steps, neuron).values())


def static_layer_macs(plan: Plan, kind: Kind, mode: Mode, time_steps: int, neuron: str = "lif") -> dict[str, int]:
    """The same, node by node."""
    for node in plan.nodes:
        if layer_kind(node, kind, neuron) not in KNOWN:
            raise UnknownLayer(layer=node.name, kind=layer_kind(node, kind, neuron))
    return {node.name: mode.static_rule(node, plan, kind, time_steps, neuron) for node in plan.nodes}


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
        rule=rules.paper,
        static_rule=rules.paper_static,
    ),
)
MODES.add(
    "syops",
    Mode(
        name="syops",
        title="syops: all T steps",
        description=(
            "The same rules over all T steps, as syops gives them for a network that runs them: T times the mode "
            "paper, with the first convolution charged at every step although its input never changes. For a CNN, "
            "which makes one pass, the two are the same."
        ),
        rule=rules.syops,
        static_rule=rules.syops_static,
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
        rule=rules.exact,
        static_rule=rules.exact_static,
    ),
)
MODES.add(
    "exact+bits",
    Mode(
        name="exact+bits",
        title="Exact at the weights' bits: all T steps",
        description=(
            "The operations of exact, with those of quantised weights priced as integers: a spike's weight of b bits is "
            "an integer add into a sum wide enough for the layer, a pixel times such a weight an 8 x b bit multiply and "
            "an add. Weights in float32, and real values that nothing has rounded, cost what they cost in exact, so "
            "without quantised weights the two modes are the same."
        ),
        rule=rules.exact,
        static_rule=rules.exact_static,
        others=integer_operations,
    ),
)
MODES.add(
    "exact+neuron",
    Mode(
        name="exact+neuron",
        title="Exact with neurons: all T steps",
        description=(
            "Exact, and the arithmetic that is done whether or not anything fires: for each output and step one add "
            "for the bias, for each LIF neuron and step one MAC (leak and integrate) and one comparison, for each "
            "IF neuron and step one add and one comparison, for each ReLU one comparison, for sums and gates one "
            "operation per output. A comparison is priced as an add, so as an AC. The bias of the constant input "
            "current is added once. Memory traffic, such as the write of a neuron's state, is not included."
        ),
        rule=rules.exact_neuron,
        static_rule=rules.exact_neuron_static,
        others=repriced,
    ),
)
MODES.add(
    "memory",
    Mode(
        name="memory",
        title="With memory: all T steps",
        description=(
            "Exact with neurons, and the memory traffic, after Lemaire et al. 2022: each synaptic operation of a spike "
            "reads a weight and reads and writes a membrane potential, each MAC reads a weight and an input, each "
            "neuron's state is read and written at every step, biases are read, outputs and spikes written, addresses "
            "computed. Nothing is reused: every operation fetches its operands from an SRAM as large as the layer "
            "needs. Zeros are skipped for both networks, as in exact."
        ),
        rule=rules.exact_neuron,
        static_rule=rules.exact_neuron_static,
        others=traffic_and_repriced,
    ),
)
