"""From a trained CNN to a spiking network: data-based threshold balancing, by weights alone.

Diehl et al., IJCNN 2015 (doi:10.1109/IJCNN.2015.7280696); percentiles and batch normalisation: Rueckauer et al.,
Frontiers in Neuroscience 11:682, 2017. The ReLU outputs of layer l over calibration images have the percentile
lambda_l. An IF neuron with soft reset that starts at v_threshold / 2 and gets the input z at every step fires at
the rate clip(z / v_threshold, 0, 1), rounded to 1 / T. So with z = v_threshold y / lambda_l its rate is
y / lambda_l, y the ReLU's output; what is above lambda_l is cut.

Every value x of the graph gets a scale s, one a channel, with

    s x_snn = x_cnn        (x_snn: the mean over the T steps)

and the weights take up what changes between two values. What each operation asks of the scales of its inputs (s)
and of its output (s'):

    conv              free     W' = W s / s',  b' = b / s'
    bn                free     gamma' = gamma / s',  beta' = beta / s',  mean' = mean / s,  var' = var / s^2
    act               s' = g v_threshold s; s' = lambda; g = 1, or tau where the input decays by it (lif, plif)
    pools, dropout    s' = s
    concat, split, shuffle     s' = s, channel by channel
    add               s' = s of both
    scale             s' = s of its first input, gate s = 1
    sigmoid           s = s' = 1, since it is not linear
    input             s' = 1

Values tied by an operation without weights share one scale; where that ties several activations, the largest of
their lambdas, so that none saturates. Values without an activation keep the CNN's units, the logits among them.

In a network of counts (`core.engine.thermometer`) x_snn is the sum over the T steps instead, of which the largest
count, T, stands for lambda: s' = lambda / T. Its readout works step by step: what it reads has the scale T s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from core.backbones.plan import Node, Plan
from core.backbones.readout import readout
from core.engine.network import Network, observe
from core.errors import BadValue
from core.schemas.run import RunConfig

UNITS = 0  # the class of values whose scale is fixed: here they stay in the CNN's units


def require_convertible(config: RunConfig) -> None:
    """Raise BadValue, naming the field, where a converted network would not stand for its CNN.

    The input must be the CNN's own, so direct. Without training after it, neurons must be integrate-and-fire with
    soft reset: with a leak, or with a reset that forgets, a rate is not the ReLU's value. With training they may
    be any; conversion then only balances the thresholds.
    """
    if config.encoding != "direct":
        raise BadValue(field="encoding", value=config.encoding, expected="direct for a converted network")
    if config.training.max_epochs == 0:
        for field, wanted in (("model", "if"), ("reset", "soft")):
            if (value := getattr(config.neuron, field)) != wanted:
                raise BadValue(
                    field=f"neuron.{field}", value=value, expected=f"{wanted} for a converted network without training"
                )


def convert(
    cnn: Network, plan: Plan, config: RunConfig, images: Iterable[Tensor], percentile: float | None = None
) -> Network:
    """The spiking network of `plan` and `config` with the weights of its trained twin `cnn`, thresholds balanced.

    images: calibration batches [N, C, H, W] as the CNN takes them, without labels, of the training split only.
    percentile: in (0, 100], else the config's. The CNN is unchanged. Raises BadValue (`require_convertible`), or
    where the plan adds a current to the spikes that it makes and v_threshold does not let both have one scale.
    """
    require_convertible(config)
    lambdas = activation_percentiles(cnn, images, config.conversion_percentile if percentile is None else percentile)
    scales = channel_scales(plan, config, lambdas)
    network = Network(plan, config, fused=cnn.fused).to(next(cnn.parameters()))
    network.load_state_dict(cnn.state_dict(), strict=False)  # what neurons learn is not the CNN's
    by_step = _by_step(plan, config)
    for node in plan.nodes:
        if node.op in ("conv", "bn"):
            before = scales[node.inputs[0]] * by_step(node, node.inputs[0])
            rescale(network.get_submodule(node.name), before, scales[node.name])
    return network.train(cnn.training)


@torch.no_grad()
def activation_percentiles(cnn: Network, images: Iterable[Tensor], percentile: float) -> dict[str, float]:
    """lambda of every activation: the percentile of all its outputs over all images, zeros included.

    Exact, with linear interpolation as numpy.percentile; holds the outputs above it only. Where the percentile
    is 0 the maximum stands for it, and 1 where a layer is silent.
    """
    batches = list(images)
    total = sum(len(batch) for batch in batches)
    ranks = {node.name: percentile / 100 * (total * node.numel - 1) for node in cnn.act_nodes}
    top: dict[str, Tensor] = {}

    def keep(node: Node, inputs: tuple[Tensor, ...], output: Tensor | None) -> None:
        if node.op == "act" and output is not None:
            values = torch.cat((top.get(node.name, output.new_empty(0)), output.flatten()))
            wanted = total * node.numel - math.floor(ranks[node.name])
            top[node.name] = values.topk(min(wanted, len(values))).values

    training = cnn.training
    with observe(cnn.eval(), keep):
        for batch in batches:
            cnn(batch)
    cnn.train(training)
    lambdas = {}
    for name, values in top.items():
        below, above = float(values[-1]), float(values[-2] if len(values) > 1 else values[-1])
        found = below + (above - below) * (ranks[name] % 1)
        lambdas[name] = found or float(values[0]) or 1.0
    return lambdas


class Classes:
    """Classes of channels whose scales stand in fixed ratios: a union-find in which s = ratio x s of the root."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._parent, self._ratio = [UNITS], [1.0]

    def new(self, count: int) -> list[tuple[int, float]]:
        """Fresh channels, free of all others."""
        first = len(self._parent)
        self._parent += range(first, first + count)
        self._ratio += [1.0] * count
        return [(channel, 1.0) for channel in range(first, first + count)]

    def root(self, channel: tuple[int, float]) -> tuple[int, float]:
        """The root of a channel's class and s / s of the root."""
        place, ratio = channel
        while self._parent[place] != place:
            ratio *= self._ratio[place]
            place = self._parent[place]
        return place, ratio

    def tie(self, a: tuple[int, float], b: tuple[int, float]) -> None:
        """From here on both channels have one scale; the CNN's units stay a root."""
        (root_a, ratio_a), (root_b, ratio_b) = self.root(a), self.root(b)
        if root_a == root_b:
            if not math.isclose(ratio_a, ratio_b):
                neuron = self._config.neuron
                raise BadValue(
                    field="neuron.v_threshold",
                    value=neuron.v_threshold,
                    expected=f"{1 / gain(self._config):g}: this network adds spikes to the current that makes them",
                )
            return
        if root_a == UNITS:
            root_a, ratio_a, root_b, ratio_b = root_b, ratio_b, root_a, ratio_a
        self._parent[root_a], self._ratio[root_a] = root_b, ratio_b / ratio_a


def gain(config: RunConfig) -> float:
    """What a neuron's input is divided by before it reaches the membrane: 1, or tau where the input decays."""
    neuron = config.neuron
    return neuron.tau if neuron.model in ("lif", "plif") and neuron.decay_input else 1.0


def _by_step(plan: Plan, config: RunConfig) -> Callable[[Node, str], int]:
    """T where a node of the readout reads a value that is a sum over T steps, step by step; else 1."""
    tail = readout(plan) if config.layer_synchronous else frozenset()
    constant = {node.name for node in plan.nodes if node.constant}
    return lambda node, read: config.time_steps if node.name in tail and read not in tail | constant else 1


def channel_scales(plan: Plan, config: RunConfig, lambdas: dict[str, float]) -> dict[str, Tensor]:
    """The scale s of every node's output, [C] float64 > 0, by the rules at the head of this file."""
    classes = Classes(config)
    channels: dict[str, list[tuple[int, float]]] = {}
    units = (UNITS, 1.0)
    by_step = _by_step(plan, config)
    full = config.time_steps if config.layer_synchronous else 1  # what an activation gives where it stands for lambda
    for node in plan.nodes:
        xs = [[(place, ratio * by_step(node, name)) for place, ratio in channels[name]] for name in node.inputs]
        match node.op:
            case "input":
                out = [units] * node.shape[0]
            case "conv" | "bn":
                out = classes.new(node.shape[0])
            case "act":
                ratio = gain(config) * config.neuron.v_threshold
                out = [(place, known * ratio) for place, known in xs[0]]
            case _:
                out = passed_on(classes, node, xs)
        channels[node.name] = out
    known: dict[int, float] = {}
    for name, value in lambdas.items():
        for root, ratio in map(classes.root, channels[name]):
            known[root] = max(known.get(root, 0.0), value / full / ratio)
    known[UNITS] = 1.0
    return {
        name: torch.tensor(
            [ratio * known.get(root, 1.0) for root, ratio in map(classes.root, found)], dtype=torch.float64
        )
        for name, found in channels.items()
    }


def passed_on(classes: Classes, node: Node, xs: list[list[tuple[int, float]]]) -> list[tuple[int, float]]:
    """The channels of a node without weights, from those of its inputs; ties what it asks to be equal."""
    units = (UNITS, 1.0)
    match node.op:
        case "concat":
            return [channel for x in xs for channel in x]
        case "split":
            return xs[0][node.start : node.start + node.shape[0]]
        case "shuffle":
            order = np.arange(node.shape[0]).reshape(node.groups, -1).T.ravel()
            return [xs[0][i] for i in order]
        case "add":
            for a, b in zip(*xs, strict=True):
                classes.tie(a, b)
        case "scale" | "sigmoid":
            for channel in xs[-1]:
                classes.tie(channel, units)
            if node.op == "sigmoid":
                return [units] * node.shape[0]
    return xs[0]


@torch.no_grad()
def rescale(layer: nn.Module, before: Tensor, after: Tensor) -> None:
    """Make a layer take x / before and give y / after, channel by channel; exact but for rounding."""
    before, after = (s.to(layer.weight.device) for s in (before, after))
    if isinstance(layer, nn.Conv2d):
        per_output = before.reshape(layer.groups, -1).repeat_interleave(layer.out_channels // layer.groups, 0)
        layer.weight.copy_(layer.weight.double() * (per_output / after[:, None])[:, :, None, None])
        if layer.bias is not None:
            layer.bias.copy_(layer.bias.double() / after)
        return
    variance = layer.running_var.double()
    scaled = variance / before.square()
    # eps does not scale with the variance, so gamma makes up for it
    kept = before * ((scaled + layer.eps) / (variance + layer.eps)).sqrt()
    layer.weight.copy_(layer.weight.double() * kept / after)
    layer.bias.copy_(layer.bias.double() / after)
    layer.running_mean.copy_(layer.running_mean.double() / before)
    layer.running_var.copy_(scaled)
