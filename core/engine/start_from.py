"""The weights of one run as the start of another with other neurons or time steps: what can be carried over, is.

The plan must be the same; kind, neuron, T, and everything of the training may differ. Every value x of the graph has a
scale s with s x_target = x_source, where x is the mean over the T steps or, in a network of counts before its readout,
their sum. Weights and normalisations take the scales up (`core.engine.convert.rescale`), or learned thresholds do.

An activation ties the scales of what goes in and comes out. It is at full rate where it gives `full`, 1 a step or T
counts, from an input `unit`, v_threshold tau where the input decays, v_threshold where it does not, theta T for counts:

    s of its output = full_source / full_target,   s of its input = unit_source / unit_target

So a neuron of equal leak and reset gives the same spikes as before: another v_threshold or decay_input, or a threshold
that is learned from here on, changes no answer but for rounding. Where a run of counts goes on as integrate-and-fire
neurons with soft reset and V[0] = v_threshold / 2, each layer is given the same current in total and rounds it the
same way: behind a constant input the same number of spikes; elsewhere they come in another order, a neuron may fire
before all its input has come, and max-pools are ORs of spikes that are no thermometers. A short training makes up for
that. Gates see the mean of the steps so far as a step's value. Other neurons start with the same input over their
threshold.

Weights to be compressed start at those of the source, with its scores where both learn them, else with scores that have
their order. A target without compression takes what a compressed source computes with.

Where no weights stand between two activations that want different scales (a shortcut of currents through layers of
different theta), fixed thresholds cannot follow: there the geometric mean is taken. With `learn_threshold` in the target
every threshold is carried over as it is. Between a CNN and a spiking network weights are copied and neurons start as
the config says: `start = "converted"` is what balances them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.backbones.plan import Node, Plan
from core.backbones.readout import readout
from core.engine.compress import CompressedConv, is_scores, is_searched, plain_state
from core.engine.convert import UNITS, Classes, passed_on, rescale
from core.engine.network import Network
from core.errors import BadValue
from core.recipes.build import plan_of
from core.schemas.run import Kind, RunConfig

State = dict[str, Tensor]


def adapt(state: State, source: RunConfig, target: RunConfig) -> State:
    """The weights of a trained run of `source` as those of `target`, by the names of its network.

    state: as `Network.state_dict` or a bundle's weights; left as it is. Where nothing differs between the two
    neurons the weights come back bit for bit. Raises BadValue where the two are not the same plan.
    """
    plan, other = plan_of(target), plan_of(source)
    for field in ("backbone", "definition", "mask", "dataset"):
        mine, theirs = getattr(target, field), getattr(source, field)
        if mine != theirs and _shapes(plan) != _shapes(other):
            raise BadValue(field=field, value=mine, expected=f"that of the run to start from, {theirs}")
    return adapted(plan, state, source, target)


def _shapes(plan: Plan) -> list[tuple[object, ...]]:
    return [(node.name, node.op, node.inputs, node.shape, node.in_shape, node.params) for node in plan.nodes]


@torch.no_grad()
def adapted(plan: Plan, state: State, source: RunConfig, target: RunConfig) -> State:
    """`adapt` for a plan that both configs share."""
    network = Network(plan, target)
    if source.changes_weights and not target.changes_weights:
        state = _uncompressed(plan, state, source)
    acts = {node.name for node in network.act_nodes}
    shared = {name: value for name, value in state.items() if name.rpartition(".")[0] not in acts}
    network = network.to(next(value.dtype for value in shared.values() if value.is_floating_point()))
    missing = set(network.load_state_dict(shared, strict=False).missing_keys)
    missing -= set(filter(is_searched, missing))  # a search begins where every choice is as probable
    unscored = set(filter(is_scores, missing))
    if lacking := sorted(name for name in missing - unscored if name.rpartition(".")[0] not in acts):
        raise BadValue(field="weights", value=lacking[0], expected="among the weights to start from")
    if source.kind is target.kind is Kind.SNN:
        before = {name: _before(name, state, source) for name in acts}
        after = {name: _after(name, network, before[name], target) for name in acts}
        scales = _scales(network.plan, source, target, before, after)
        for node in network.plan.nodes:
            if node.op in ("conv", "bn"):
                read, made = scales[node.name]
                if bool((read != 1).any() or (made != 1).any()):  # else no bit changes
                    layer = network.get_submodule(node.name)
                    if isinstance(layer, CompressedConv) and source.changes_weights:
                        require_one_scale(layer, read, made, target)
                    rescale(layer, read, made)
    for name in unscored:
        network.get_submodule(name.rpartition(".")[0]).start_scores()
    return {name: value.clone() for name, value in network.state_dict().items()}


def _uncompressed(plan: Plan, state: State, config: RunConfig) -> State:
    """The state of a compressed network with its kernels for weights. Raises BadValue where something is missing."""
    network = Network(plan, config).to(next(value.dtype for value in state.values() if value.is_floating_point()))
    if lacking := network.load_state_dict(state, strict=False).missing_keys:
        raise BadValue(field="weights", value=lacking[0], expected="among the weights to start from")
    return plain_state(network.eval())  # in evaluation a searching network computes with the bits that it chose


def require_one_scale(layer: CompressedConv, read: Tensor, made: Tensor, target: RunConfig) -> None:
    """Raise BadValue where channels would be scaled apart: levels have one distance, and magnitudes one order."""
    apart = bool((read != read[0]).any() or (made != made[0]).any())
    if apart and (layer.bits or layer.scores is None):
        raise BadValue(
            field="neuron",
            value=target.neuron.model,
            expected="as in the run to start from: its thresholds differ, and compressed weights cannot take them up",
        )


@dataclass(frozen=True, kw_only=True)
class _Act:
    """What an activation gives at full rate, and the input that makes it do so at the config's own threshold.

    w, log_threshold: what it learned, as `core.engine.neurons.Learned`.
    """

    full: float
    config_unit: float
    w: float | None
    log_threshold: float

    @property
    def unit(self) -> float:
        return self.config_unit * math.exp(self.log_threshold)


def _before(name: str, state: State, config: RunConfig) -> _Act:
    w, log_threshold = (state.get(f"{name}.{key}") for key in ("w", "log_threshold"))
    return _act(config, None if w is None else float(w), 0.0 if log_threshold is None else float(log_threshold))


def _act(config: RunConfig, w: float | None, log_threshold: float = 0.0) -> _Act:
    neuron, full = config.neuron, _full(config)
    tau = neuron.tau if w is None else 1 + math.exp(-w)
    decays = neuron.model in ("lif", "plif") and neuron.decay_input
    unit = neuron.v_threshold * (tau if decays else full)
    return _Act(full=full, config_unit=unit, w=w, log_threshold=log_threshold)


def _after(name: str, network: Network, before: _Act, target: RunConfig) -> _Act:
    """The target's activation, with what it learns set to what the source's has."""
    learned = network.learned(name)
    if learned is None:
        return _act(target, None)
    if learned.w is not None and before.w is not None:
        learned.w.fill_(before.w)
    start = _act(target, None if learned.w is None else float(learned.w))
    if learned.log_threshold is None:
        return start
    # so that values keep the scale that the code itself gives them, whatever the thresholds
    ratio = before.config_unit / before.full / (start.config_unit / start.full)
    learned.log_threshold.fill_(before.log_threshold + math.log(ratio))
    return replace(start, log_threshold=float(learned.log_threshold))


def _scales(
    plan: Plan, source: RunConfig, target: RunConfig, before: dict[str, _Act], after: dict[str, _Act]
) -> dict[str, tuple[Tensor, Tensor]]:
    """The scales of what a convolution or normalisation reads and of what it gives, [C] float64 each, by node."""
    classes = Classes(target)
    tail = readout(plan)
    sums = _full(source) / _full(target)
    nodes = {node.name: node for node in plan.nodes}
    channels: dict[str, list[tuple[int, float]]] = {}
    reads: dict[str, list[list[tuple[int, float]]]] = {}
    natural: dict[int, float] = {UNITS: 1.0}
    wanted: dict[int, list[float]] = {}

    def scale_of(node: Node) -> float:
        """Of a value that nothing ties: sums and means differ, but in the readout, and of a constant."""
        return 1.0 if node.constant or node.name in tail else sums

    for node in plan.nodes:
        xs = reads[node.name] = [
            _read(channels[name], sums if node.name in tail and scale_of(nodes[name]) != 1 else 1.0)
            for name in node.inputs
        ]
        match node.op:
            case "input":
                out = [(UNITS, scale_of(node))] * node.shape[0]
            case "conv" | "bn":
                out = classes.new(node.shape[0])
                natural |= {place: scale_of(node) for place, _ in out}
            case "act":
                one, other = before[node.name], after[node.name]
                out = [(UNITS, one.full / other.full)] * node.shape[0]
                for root, ratio in map(classes.root, xs[0]):
                    wanted.setdefault(root, []).append(one.unit / other.unit / ratio)
            case _:
                out = passed_on(classes, node, xs)
        channels[node.name] = out

    known = _settled(classes, natural, wanted)

    def values(found: list[tuple[int, float]]) -> Tensor:
        return torch.tensor([ratio * known[root] for root, ratio in map(classes.root, found)], dtype=torch.float64)

    return {
        node.name: (values(reads[node.name][0]), values(channels[node.name]))
        for node in plan.nodes
        if node.op in ("conv", "bn")
    }


def _full(config: RunConfig) -> int:
    return config.time_steps if config.layer_synchronous else 1


def _read(channels: list[tuple[int, float]], over: float) -> list[tuple[int, float]]:
    return channels if over == 1 else [(place, ratio / over) for place, ratio in channels]


def _settled(classes: Classes, natural: dict[int, float], wanted: dict[int, list[float]]) -> dict[int, float]:
    """The scale of every class: what its activations want, the geometric mean where they differ, else its own."""
    known = dict(natural)
    asked: dict[int, list[float]] = {}
    for place, scales in wanted.items():  # the class may have been tied to another since
        root, ratio = classes.root((place, 1.0))
        asked.setdefault(root, []).extend(scale / ratio for scale in scales)
    for root, scales in asked.items():
        if root != UNITS:
            alike = all(math.isclose(scale, scales[0]) for scale in scales)
            known[root] = scales[0] if alike else math.exp(sum(map(math.log, scales)) / len(scales))
    return known
