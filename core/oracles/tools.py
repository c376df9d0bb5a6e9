"""The tools that count a network again, one row each: what they are given, how they count, and by which rules.

A tool's `rule` says what it must find on the values of our own network: the difference between that and what it did
find is a fault of somebody's, while the difference from the mode `exact` is one of definition, and `reason` names it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version

from torch import Tensor, nn

from core.backbones.plan import Node
from core.engine.compress import plain_state
from core.engine.count import nonzero_map, operations, reached_outputs
from core.engine.network import Network
from core.errors import PackageMissing
from core.exchange.source import SUMMED
from core.oracles import spikingjelly_counts, syops_counts
from core.oracles.rebuild import Rebuilt
from core.registry import Registry

#: (ACs, MACs) of one layer: sums over the images and steps of a batch.
Found = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A layer of our network at work: its node, and the values of one batch, [T, N, C, H, W] each."""

    network: Network
    node: Node
    x: Tensor
    out: Tensor

    @property
    def effective(self) -> int:
        """Kept taps that a non-zero element reaches, over all of them: the rule of the mode exact, at every step."""
        return self._reaching(self.network.mask(self.node.name))

    @property
    def unpruned(self) -> int:
        """The same as if no weight were pruned."""
        return self._reaching(None)

    def _reaching(self, mask: Tensor | None) -> int:
        x = self.x.flatten(0, 1)
        pixels, _ = nonzero_map(x)
        return int(operations(x, pixels, reached_outputs(self.node, mask).to(pixels.device)).sum())

    @property
    def dense(self) -> int:
        return self.node.dense_ops * self.x.shape[0] * self.x.shape[1]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """`measure` lets `model(network)` evaluate batches [T, N, C, H, W] and gives each layer that it has a rule for."""

    title: str
    package: str
    model: Callable[[Network], nn.Module]
    measure: Callable[[nn.Module, Iterable[Tensor]], dict[str, Found]]
    rule: Callable[[Call], Found | None]  # None: no rule for such a layer
    reason: Callable[[Node, Network], str]  # why it differs from the mode exact, where it does
    tolerance: float = 0.0  # relative
    not_known: tuple[str, ...] = ()
    extra: str | None = None  # of our package, where it is not one of its own dependencies

    @property
    def version(self) -> str:
        """Raises PackageMissing where it is not installed."""
        try:
            if self.extra is not None:
                import_module(self.package)
            return version(self.package)
        except ModuleNotFoundError:
            why = f"A recount by {self.title}"
            raise PackageMissing(package=self.package, extra=self.extra or "test", why=why) from None


def rebuilt(network: Network) -> nn.Module:
    """In SpikingJelly's own layers, with the weights of `network`."""
    model = Rebuilt(network.plan, network.config)
    model.load_state_dict(plain_state(network))
    return model.to(next(network.parameters())).eval()


def plain(network: Network) -> nn.Module:
    """In torch's layers and SpikingJelly's neurons, step by step. A copy: what a tool hooks must not be ours."""
    return syops_counts.PlainNetwork(copy.deepcopy(network)).eval()


# SpikingJelly


def spikingjelly_rule(call: Call) -> Found | None:
    """One call over all steps of a batch: ACs where the whole input is 0 and 1, else a MAC a weight and output.

    It looks at no weight: a pruned one is charged as any other.
    """
    if call.node.op == "bn":
        return 0, call.x.numel()
    if call.node.op != "conv":
        return None
    spikes = bool(((call.x == 0) | (call.x == 1)).all())
    return (call.unpruned, 0) if spikes else (0, call.dense)


def spikingjelly_reason(node: Node, network: Network) -> str:
    if node.op == "bn":
        return "SpikingJelly counts normalisations; exact folds them into the weights."
    if network.spiking and network.mask(node.name) is not None and network.plan.node(node.inputs[0]).spikes:
        return "SpikingJelly charges pruned weights as others; exact charges the kept ones alone."
    return _dense_reason("SpikingJelly", node, network)


def _dense_reason(tool: str, node: Node, network: Network) -> str:
    constant = network.spiking and all(network.plan.node(name).constant for name in node.inputs)
    once = ", and computes the constant current once" if constant and network.steps > 1 else ""
    return f"{tool} charges every element of a real input, zeros and padding too; exact skips both{once}."


# syops


def syops_rule(call: Call) -> Found | None:
    """Its hooks fire at every step: dense operations times the input's rate where the step's input is 0 and 1 alone."""
    node, spiking = call.node, call.network.spiking
    x = call.x.cumsum(0) if call.network.is_converted and node.op in SUMMED else call.x
    each = {"conv": node.dense_ops + node.bias_ops, "bn": 2 * node.numel}
    if node.op in each or node.op in ("maxpool", "global_avgpool"):
        return _at_rates(list(x), each.get(node.op, node.in_numel) * x.shape[1])
    if node.op != "act":
        return None
    if spiking:
        return call.x.numel(), 0
    # a ReLU is judged by the first image of each batch alone, as syops 0.0.5 is written
    return _at_rates([step[0] for step in call.out], node.numel * x.shape[1])


def _at_rates(judged: list[Tensor], operations: int) -> Found:
    acs = macs = 0.0
    for values in judged:
        if is_two_valued(values):
            acs += operations * (values.sum() / values.numel()).item()
        else:
            macs += operations
    return acs, macs


def is_two_valued(values: Tensor) -> bool:
    """What syops takes for spikes: at most two different values, all in [0, 1]."""
    low, high = values.aminmax()
    return bool(low >= 0 and high <= 1 and ((values == low) | (values == high)).all())


def syops_reason(node: Node, network: Network) -> str:
    match node.op:
        case "conv" if network.spiking and all(network.plan.node(name).spikes for name in node.inputs):
            return (
                "syops multiplies dense operations and biases by the firing rate, as if every input reached as many "
                "outputs; exact counts the outputs that each spike reaches."
            )
        case "conv":
            return _dense_reason("syops", node, network)
        case "bn":
            return "syops charges two operations an element for normalisations; exact folds them into the weights."
        case "act" if network.spiking:
            return "syops charges one AC a neuron and step; exact leaves neurons to exact+neuron."
        case "act":
            return "syops charges every output of a ReLU; exact none."
    return "syops charges pools by what enters them; exact does not."


def _syops_measured(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, Found]:
    images = 0

    def counted() -> Iterable[Tensor]:
        nonlocal images
        for batch in batches:
            images += batch.shape[1]
            yield batch

    found = syops_counts.measure(model, counted())
    return {_plan_name(name): (acs * images, macs * images) for name, (acs, macs) in found.layers.items()}


def _plan_name(name: str) -> str:
    return name.removeprefix("layers.").replace("__", ".")


# NeuroBench


def neurobench_rule(call: Call) -> Found | None:
    """At every step the taps that a non-zero element reaches; ACs where the step's input is -1, 0 and 1 alone."""
    if call.node.op != "conv":
        return None
    acs = macs = 0
    for x in call.x:
        found = Call(network=call.network, node=call.node, x=x.unsqueeze(0), out=call.out).effective
        if bool(((x == 0) | (x.abs() == 1)).all()):
            acs += found
        else:
            macs += found
    return acs, macs


def neurobench_reason(node: Node, network: Network) -> str:
    if network.spiking and all(network.plan.node(name).constant for name in node.inputs):
        return "NeuroBench counts the constant current at every step; exact once."
    return "NeuroBench judges by values: real numbers that happen to be 0 or 1 alone are spikes to it."


def _neurobench_measured(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, Found]:
    from core.oracles.neurobench_counts import measure

    return {_plan_name(name): found for name, found in measure(model, batches).layers.items()}


TOOLS: Registry[Tool] = Registry("counter")
TOOLS.add(
    "spikingjelly",
    Tool(
        title="SpikingJelly",
        package="spikingjelly",
        model=rebuilt,
        measure=spikingjelly_counts.measure,
        rule=spikingjelly_rule,
        reason=spikingjelly_reason,
        not_known=(
            "SynOpCounter and MACCounter count convolutions and normalisations; exact charges no other layer either.",
            "Which elements of a real input are zero, so which MACs exact skips, is not looked at; NeuroBench does that.",
        ),
    ),
)
TOOLS.add(
    "syops",
    Tool(
        title="syops",
        package="syops",
        model=plain,
        measure=_syops_measured,
        rule=syops_rule,
        reason=syops_reason,
        tolerance=1e-6,  # it multiplies by rates
        not_known=(
            "syops watches modules: sums, gates and concatenations are none, so it charges them nothing.",
            "syops gives rates and no spikes: those here are of SpikingJelly's neurons in the network that it counts.",
        ),
    ),
)
TOOLS.add(
    "neurobench",
    Tool(
        title="NeuroBench",
        package="neurobench",
        extra="test",
        model=plain,
        measure=_neurobench_measured,
        rule=neurobench_rule,
        reason=neurobench_reason,
        not_known=(
            "NeuroBench's SynapticOperations counts convolutions alone; exact charges the others nothing either.",
        ),
    ),
)
