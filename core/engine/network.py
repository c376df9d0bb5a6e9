"""A plan as a torch module, spiking or CNN: an interpreter over the plan's graph.

Time is folded into the batch: every value is [T x N, C, H, W] with time outermost, so that a
convolution or a batch normalisation sees T x N images at once. With direct coding the image is the
same current at every step: what depends on it alone (the stem's convolution and normalisation) is
computed once over N, and only the neurons see T steps of it. With the other codings
(`core.engine.encodings`) the image becomes T steps of spikes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.backbones.litesnn import edge_of_norm
from core.backbones.plan import Node, Plan
from core.compression import bits_of
from core.engine.compress import CompressedConv, kernel_of, mask_of
from core.engine.data import stream
from core.engine.encodings import ENCODINGS
from core.engine.events import Events
from core.engine.fast.fused import DTYPES, FusedMaxPool, is_compiled, spikes
from core.engine.fast.fused_norm import Part, norm_act
from core.engine.fast.groups import Group, find_groups
from core.engine.neurons import Learned, run_steps
from core.engine.searching import MixedConv, Searched
from core.engine.thermometer import Code, counted, gain, unrolled
from core.errors import BadValue, UnknownLayer
from core.schemas.base import digest
from core.schemas.compression import CompressionConfig, written
from core.schemas.run import Kind, NeuronConfig, RunConfig
from core.search_costs import compression_in_search, searched_layers, with_bits

#: Called after each node with (node, inputs, output); see `observe`.
Observer = Callable[[Node, tuple[Tensor, ...], Tensor | None], None]


class Network(nn.Module):
    """The network of `plan` under `config` (kind, time steps, neuron, seed).

    Parameters and buffers are named after the plan's nodes (`F4.squeeze.conv.weight`), equal for a
    network and its twin, but for what neurons learn (`F4.squeeze.act.w`, `Learned`). Neurons hold no state
    between calls: a forward pass starts from V = `v_start`. `fused=False` runs everything in plain torch, which can be
    differentiated twice. `encoding` is the config's, and direct for a CNN.

    In a network that is converted and never trained rates stand for values. There max-pooling and gates work on
    the sums so far, and V starts at v_threshold / 2, so that a rate is rounded and not cut (Bu et
    al., AAAI 2022, arXiv:2202.01440).

    A compressed network (`core.engine.compress`) keeps what its kernels are made of and computes with them.

    A network of counts (`core.engine.thermometer`) passes them on in training, and in evaluation the same as T binary
    steps; within `passing_counts` counts there too.
    """

    def __init__(self, plan: Plan, config: RunConfig, *, fused: bool = True) -> None:
        super().__init__()
        self.config = config
        self.fused = fused
        self.spiking = config.kind is Kind.SNN
        self.encoding = config.encoding if self.spiking else "direct"
        self.plan = plan = plan.encoded(self.encoding)
        self.steps = config.steps
        self.is_converted, self.v_start = config.is_converted, config.v_start
        self._code = Code(plan) if self.spiking and config.neuron.model == "count" else None
        self._passes_counts = False  # in evaluation
        self._unrolls = False  # within a pass by events, which knows spikes alone
        self._compiled = not self.spiking or is_compiled(config.neuron)
        self._mixed = config.training.precision == "mixed"
        self.kernels: ModuleType | None = None  # `core.engine.fast.triton_norm`, where training is to use it
        self._joined: dict[str, tuple[Tensor, Tensor]] = {}  # mean and variance of normalisations that their neurons do
        self._observers: list[Observer] = []
        self._every_node = 0  # observers that want each node by itself
        self._every_value = 0  # observers that look at values
        self._events: Events | None = None
        self.uses_events = True
        self.evaluated_by: Literal["events", "plain"] | None = None  # how the last forward pass went
        self.event_limit: float | None = None  # the rate up to which a convolution takes spikes singly; None: its own
        self._maps: dict[str, Tensor] | None = None  # non-zero channels of each pixel by activation, for a counter
        self._layers: dict[str, nn.Module] = {}
        self.seed_encoding()
        learned = Learned(config.neuron) if self.spiking else nn.Module()
        learns = any(True for _ in learned.parameters())
        self.searched = Searched(config) if config.seeks.is_on else None
        self._mixes = searched_layers(plan, config)
        self._edges = edge_of_norm(plan) if config.seeks.cell else {}
        bits = bits_of(plan, compression_in_search(config)) if config.changes_weights else None
        for node in plan.nodes:
            if node.op not in _RULES:
                raise UnknownLayer(layer=node.name, kind=node.op)
            if node.name in self._mixes:
                layer: nn.Module | None = MixedConv(node, config.compression, self.searched, self._mixes[node.name])
            elif node.op == "conv" and bits is not None:
                layer = CompressedConv(node, config.compression, bits[node.name])
            else:
                layer = _layer(node, config.neuron if learns else None)
            if layer is not None:
                attach(self, node.name, layer)
                self._layers[node.name] = layer
        last_use = {name: node.name for node in plan.nodes for name in node.inputs}
        self._spent = {node.name: [n for n in node.inputs if last_use[n] == node.name] for node in plan.nodes}
        names = ((group, chain) for group in find_groups(plan) for chain in group.chains)
        self._chained: dict[str, Group] = {}
        self._alone: dict[str, Node] = {}  # by a normalisation's name, the activation that alone reads it
        for group, chain in names:
            self._alone[chain.bn.name] = chain.act
            self._chained |= {node.name: group for node in (chain.conv, chain.bn, chain.act, group.out)}
        initialise(self, config.seed)

    @property
    def act_nodes(self) -> tuple[Node, ...]:
        """The activations in network order: the neuron layers of a spiking network."""
        return tuple(node for node in self.plan.nodes if node.op == "act")

    @property
    def compression(self) -> CompressionConfig:
        """What its weights are in evaluation: the config's compression, with the bits that a search has last decoded."""
        if not self._mixes:
            return self.config.compression
        chosen = zip(self.searched.blocks, self.searched.chosen.tolist(), strict=True)
        return with_bits(self.config, written(dict(chosen)))

    @property
    def _stepped(self) -> set[str]:
        """Of a network of counts: the nodes with a row for every step."""
        passes = self._passes_counts and not self._unrolls
        return self._code.counts if self.training or passes else self._code.spikes

    @property
    def levels(self) -> int:
        """How many spikes one value of an activation may stand for: T where counts pass on, else 1."""
        return self.steps if self._code and self._stepped is self._code.counts else 1

    def is_constant(self, node: Node) -> bool:
        """Whether the node's value is kept once for all time steps."""
        if self._code:
            return node.name not in self._stepped
        return self.spiking and node.constant

    def gives_one_output(self, node: Node) -> bool:
        """Whether `node`, no neuron, gives one output for all T steps, from the sum of its input: layer-synchronous."""
        return self._code is not None and node.op != "act" and node.name not in self._code.spikes

    def into_neurons(self, node: Node, x: Tensor) -> Tensor:
        """The input of activation `node` over its threshold, in units of the config's (of counts: over theta)."""
        factor = self._gain(node)
        return x if factor is None else x * factor

    def _gain(self, node: Node) -> Tensor | None:
        """[]: what multiplies the input of activation `node`; None where nothing does."""
        learned = self.learned(node.name)
        if learned is None or learned.log_threshold is None:
            return None
        if self._code:
            return gain(learned, self.config.neuron, node.numel * self.steps)
        return learned.log_threshold.neg().exp()

    def mask(self, convolution: str) -> Tensor | None:
        """Which weights of a convolution are kept, bool in the kernel's shape; None where all are."""
        return mask_of(self._layers[convolution])

    def learned(self, activation: str) -> Learned | None:
        """What the neurons of an activation learn; None where they learn nothing."""
        return self._layers.get(activation)

    def leak(self, activation: str) -> Tensor | None:
        """[]: the learned w of 1 / tau = sigmoid(w); None where the leak is not learned."""
        return getattr(self.learned(activation), "w", None)

    def seed_encoding(self, *key: int | str) -> None:
        """Start the random numbers of rate coding anew from (seed, "encoding", *key); other codings draw none.

        Successive forward passes go on where the last one stopped, image by image. So one call before an
        evaluation (say with "test") makes it repeatable whatever its batch size, and one call a training step
        with (epoch, step) makes a resumed run equal to an uninterrupted one. A new network stands where a call
        without a key puts it.
        """
        self._draw = stream(self.config.seed, "encoding", *key)

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, H, W] real, as `Normaliser(..., encoding)` gives it; returns the output of every step,
        [T, N, classes].

        A CNN has T = 1. Raises BadValue for images of another shape.
        """
        if x.dim() != 4 or tuple(x.shape[1:]) != self.plan.input_shape:
            raise BadValue(
                field="images", value=str(tuple(x.shape)), expected=f"[N, {', '.join(map(str, self.plan.input_shape))}]"
            )
        events = self._by_events(x)
        self.evaluated_by = "plain" if events is None else "events"
        if events is not None:
            self._unrolls = True
            try:
                out = self._every_step(self.plan.nodes[-1], events.run(self, x))
            finally:
                self._unrolls = False
            return out.reshape(self.steps, x.shape[0], -1)
        values: dict[str, Tensor] = {}
        fast = self._may_fuse(x) and self._compiled and not self._every_node
        for node in self.plan.nodes:
            inputs = tuple(values[name] for name in node.inputs if name in values) if node.inputs else (x,)
            if fast and node.name in self._chained:
                values |= self._run_chained(node, inputs, values)
            else:
                values[node.name] = self.plain(node, inputs)
                if node.name not in self._joined:
                    self.tell(node, inputs, values[node.name])
            for name in self._spent[node.name]:
                values.pop(name, None)
        return self._every_step(node, values[node.name]).reshape(self.steps, x.shape[0], -1)

    def _may_fuse(self, x: Tensor) -> bool:
        """Whether the compiled kernels take such a tensor."""
        return self.fused and x.device.type == "cpu" and x.dtype in DTYPES

    def fitted(self, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The inputs with as many rows as the node works on."""
        if not node.inputs:
            return inputs
        if self._code:
            return self._code.fitted(node, inputs, self._stepped, self.steps)
        return self._alike(node, inputs) if node.op in ("concat", "add", "scale") else inputs

    def tell(self, node: Node, inputs: tuple[Tensor, ...], output: Tensor | None) -> None:
        """Let the observers see a node."""
        unrolls, self._unrolls = self._unrolls, False
        for observer in self._observers:
            observer(node, inputs, output)
        self._unrolls = unrolls

    @property
    def is_observed(self) -> bool:
        return bool(self._observers)

    @property
    def shows_values(self) -> bool:
        """Whether an observer looks at the values themselves."""
        return self._every_value > 0

    def shows_sums(self, node: Node) -> bool:
        """Whether observers are to see the counts of a node, where a pass by events has its spikes."""
        return self._code is not None and self._passes_counts and node.spikes and node.name not in self._code.counts

    @property
    def is_counted(self) -> bool:
        return self._maps is not None

    def note_map(self, name: str, filled: Tensor) -> None:
        """Leave for a counter how many channels of each pixel spike: [T x N, H x W] int32 (see `mapping`)."""
        self._maps[name] = filled

    def plain(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        """The value of a node by itself in torch, from numbers."""
        value = _RULES[node.op](self, node, self.fitted(node, inputs))
        return value * self.searched.scale(self._edges[node.name]) if node.name in self._edges else value

    def convolved(self, node: Node, x: Tensor) -> Tensor:
        """The convolution of `node` without its bias."""
        layer = self._layers[node.name]
        return F.conv2d(x, kernel_of(layer), None, layer.stride, layer.padding, layer.dilation, layer.groups)

    def _by_events(self, x: Tensor) -> Events | None:
        """The evaluation that adds up what fires, where it can take the place of `forward`: no gradient is kept, no node
        is to be run by itself, and every weight is there as it is stored."""
        able = self.uses_events and self.spiking and self._compiled and self._may_fuse(x) and x.dtype == torch.float32
        if (
            not able
            or self.config.changes_weights
            or self._edges
            or self.training
            or self._every_node
            or torch.is_grad_enabled()
        ):
            return None
        self._events = Events.of(self, self._events)
        return self._events

    def __getstate__(self) -> dict[str, Any]:
        """For a copy: it lays out its own weights."""
        return super().__getstate__() | {"_events": None}

    def _run_chained(self, node: Node, inputs: tuple[Tensor, ...], values: dict[str, Tensor]) -> dict[str, Tensor]:
        """One node of a group. Its convolutions run without bias; everything after them at the group's end."""
        group = self._chained[node.name]
        if node.op == "conv":
            self.tell(node, inputs, None)
            return {f"{node.name} without bias": self.convolved(node, *self.fitted(node, inputs))}
        if node is not group.out:
            return {}
        xs = [values.pop(f"{chain.conv.name} without bias") for chain in group.chains]
        parts = tuple(
            Part(
                norm=self._layers[chain.bn.name],
                bias=self._layers[chain.conv.name].bias,
                gain=self._gain(chain.act),
                w=self.leak(chain.act.name),
            )
            for chain in group.chains
        )
        if self.training:
            for chain, x in zip(group.chains, xs, strict=True):
                self._demand_several(chain.bn, x)
        if self._code:
            counts = norm_act(
                xs, parts, steps=1, constant=False, training=self.training, neuron=None, levels=self.steps
            )
            out = counts if self.is_constant(group.out) else unrolled(counts, self.steps)
            return self._told(group, xs, out, counts if self.is_constant(group.chains[0].act) else out)
        maps: list[Tensor] | None = None if self._maps is None else []
        out = norm_act(
            xs,
            parts,
            steps=self.steps,
            constant=self.is_constant(group.chains[0].conv),
            training=self.training,
            neuron=self.config.neuron if self.spiking else None,
            v_start=self.v_start,
            maps=maps,
        )
        if self._maps is not None and maps:
            self._maps |= {chain.act.name: part for chain, part in zip(group.chains, maps, strict=True)}
        return self._told(group, xs, out, out)

    def _told(self, group: Group, xs: list[Tensor], out: Tensor, acts: Tensor) -> dict[str, Tensor]:
        """The value of the group's last node; observers hear of its activations, the pieces of `acts`, first."""
        if self._observers:
            pieces = acts.split([x.shape[1] for x in xs], 1)
            for chain, piece in zip(group.chains, pieces, strict=True):
                self.tell(chain.act, (), piece)
            if group.out.op == "concat":
                self.tell(group.out, pieces, out)
        return {group.out.name: out}

    def _demand_several(self, node: Node, x: Tensor) -> None:
        """A normalisation over a single value would give 0 whatever the input."""
        if x.numel() == x.shape[1]:
            raise BadValue(
                field="training.batch_size",
                value=x.shape[0],
                expected=f"at least 2, since {node.name} would see one value only",
            )

    def _every_step(self, node: Node, value: Tensor) -> Tensor:
        """The value with T x N rows."""
        if not self.is_constant(node):
            return value
        return value.expand(self.steps, *value.shape).flatten(0, 1)

    def _input(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        out = ENCODINGS[self.encoding](inputs[0], self.steps, self._draw)
        return out.contiguous(memory_format=torch.channels_last) if out.device.type == "cpu" else out

    def _conv(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        layer, (x,) = self._layers[node.name], inputs
        if not (self._mixed and self.training):
            return layer(x)
        # bfloat16 keeps float32's range, so no loss has to be scaled; all but the products stays in float32
        with torch.autocast(x.device.type, torch.bfloat16):
            return layer(x).float()

    def _bn(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        """Normalises over T x N x H x W. One evaluation over N has the mean and variance of T copies."""
        layer, (x,) = self._layers[node.name], inputs
        if not self.training:
            return F.batch_norm(
                x, layer.running_mean, layer.running_var, layer.weight, layer.bias, False, 0.0, layer.eps
            )
        self._demand_several(node, x)
        if self._joins(node):
            self._joined[node.name] = self._follow(node, x)
            return x
        n = x.numel() // x.shape[1]
        layer.num_batches_tracked.add_(1)
        repeats = self.steps if self.is_constant(node) and not self._code else 1
        variance = layer.running_var.clone() if repeats > 1 else layer.running_var
        out = F.batch_norm(x, layer.running_mean, variance, layer.weight, layer.bias, True, layer.momentum, layer.eps)
        if repeats > 1:
            # torch stores the unbiased variance, v n / (n - 1); over T copies it would be v nT / (nT - 1)
            ratio = (n - 1) / n * (n * repeats) / (n * repeats - 1)
            kept = (1 - layer.momentum) * (1 - ratio) * layer.running_var
            layer.running_var.copy_(variance * ratio + kept)
        return out

    def _joins(self, bn: Node) -> bool:
        """Whether the neurons that alone read a normalisation do it too, in one kernel. First derivatives only."""
        if self.kernels is None or self._every_node or self.config.training.differentiates_twice:
            return False
        act = self._alone.get(bn.name)
        return act is not None and self._gain(act) is None and self.kernels.knows(self.config.neuron, self.steps)

    @torch.no_grad()
    def _follow(self, bn: Node, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of a batch, [1, C] each; the running ones follow. A constant value stands for T copies."""
        layer, n = self._layers[bn.name], x.numel() // x.shape[1] * (self.steps if self.is_constant(bn) else 1)
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        layer.num_batches_tracked.add_(1)
        layer.running_mean.lerp_(mean, layer.momentum)
        layer.running_var.lerp_(variance * (n / (n - 1)), layer.momentum)
        return mean.unsqueeze(0), variance.unsqueeze(0)

    def _norm_fire(self, bn: Node, x: Tensor) -> Tensor:
        layer = self._layers[bn.name]
        spiked = self.kernels.norm_fire(
            x.permute(0, 2, 3, 1).unsqueeze(0), layer.weight.unsqueeze(0), layer.bias.unsqueeze(0),
            *self._joined.pop(bn.name), eps=layer.eps, steps=self.steps, constant=self.is_constant(bn),
            neuron=self.config.neuron, v_start=self.v_start,
        )  # fmt: skip
        return spiked.squeeze(0).permute(0, 3, 1, 2)

    def _act(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        (x,) = inputs
        if not self.spiking:
            return F.relu(x)
        if node.inputs[0] in self._joined:
            return self._norm_fire(self.plan.node(node.inputs[0]), x)
        x = self.into_neurons(node, x)
        if self._code:
            counts = counted(x, self.steps)
            return counts if self.is_constant(node) else unrolled(counts, self.steps)
        constant = self.is_constant(self.plan.node(node.inputs[0]))
        w = self.leak(node.name)
        if self._may_fuse(x) and self._compiled:
            return spikes(x, self.steps, constant, self.config.neuron, w, self.v_start)
        unfolded = x.unsqueeze(0) if constant else x.unflatten(0, (self.steps, -1))
        return run_steps(unfolded, self.steps, self.config.neuron, w, self.v_start).flatten(0, 1)

    def _so_far(self, node: Node, x: Tensor) -> Tensor | None:
        """The sums of x over the steps so far, [T, N, ...], where rates stand for values: in a converted network."""
        if not self.is_converted or self.is_constant(node):
            return None
        return x.unflatten(0, (self.steps, -1)).cumsum(0)

    def _maxpool(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        """Max-pooling. Of spikes it is their OR, whose rate is above every rate that goes in.

        In a converted network it is what the maximum of the sums so far grows by: still 0 or 1 for spikes, and
        its rate is the largest rate (the purpose of the gate in Rueckauer et al. 2017, met exactly).
        """
        (x,) = inputs
        if (sums := self._so_far(node, x)) is not None:
            most = F.max_pool2d(sums.flatten(0, 1), node.kernel, node.stride, node.padding, ceil_mode=node.ceil_mode)
            most = most.unflatten(0, sums.shape[:2])
            return most.diff(dim=0, prepend=torch.zeros_like(most[:1])).flatten(0, 1)
        if self._may_fuse(x) and not node.padding:
            return FusedMaxPool.apply(x, node.kernel, node.stride, node.shape[1:])
        return F.max_pool2d(x, node.kernel, node.stride, node.padding, ceil_mode=node.ceil_mode)

    def _global_avgpool(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0].mean((2, 3), keepdim=True)

    def _alike(self, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The inputs of `node`, all with T x N rows unless all are constant."""
        if self.is_constant(node):
            return inputs
        return tuple(
            self._every_step(self.plan.node(name), value) for name, value in zip(node.inputs, inputs, strict=True)
        )

    def _concat(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return torch.cat(inputs, 1)

    def _add(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        a, b = inputs
        return a + b

    def _scale(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        x, gate = inputs
        return x * gate

    def _sigmoid(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        """The gate of each step; in a converted network that of the mean over the steps so far."""
        (x,) = inputs
        if (sums := self._so_far(node, x)) is not None:
            steps = torch.arange(1, self.steps + 1, device=x.device, dtype=x.dtype)
            return (sums / steps.view(-1, 1, 1, 1, 1)).sigmoid().flatten(0, 1)
        return x.sigmoid()

    def _split(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0][:, node.start : node.start + node.shape[0]]

    def _shuffle(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return F.channel_shuffle(inputs[0], node.groups)

    def _dropout(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        """One mask for all time steps, as SpikingJelly's Dropout: a dropped connection stays dropped."""
        (x,) = inputs
        if not self.training or node.rate == 0:
            return x
        repeats = 1 if self.is_constant(node) else self.steps
        one = x.new_ones(x.shape[0] // repeats, *x.shape[1:])
        return (x.unflatten(0, (repeats, -1)) * F.dropout(one, node.rate)).flatten(0, 1)


_RULES: dict[str, Callable[[Network, Node, tuple[Tensor, ...]], Tensor]] = {
    "input": Network._input,
    "conv": Network._conv,
    "bn": Network._bn,
    "act": Network._act,
    "maxpool": Network._maxpool,
    "global_avgpool": Network._global_avgpool,
    "concat": Network._concat,
    "dropout": Network._dropout,
    "split": Network._split,
    "shuffle": Network._shuffle,
    "add": Network._add,
    "sigmoid": Network._sigmoid,
    "scale": Network._scale,
}


def _layer(node: Node, learning: NeuronConfig | None) -> nn.Module | None:
    """The module that holds a node's weights, uninitialised; None where it has none. `learning`: neurons that do."""
    if node.op == "act" and learning:
        return Learned(learning)
    if node.op == "conv":
        return _empty_conv(node)
    return nn.BatchNorm2d(node.shape[0]) if node.op == "bn" else None


def _empty_conv(node: Node) -> nn.Conv2d:
    """As `nn.utils.skip_init` makes it, which loads sympy to copy a shape: half a second of every process."""
    layer = nn.Conv2d(**node.convolution, device="meta")
    for name, value in list(layer.named_parameters()):
        setattr(layer, name, nn.Parameter(torch.empty(value.shape)))
    return layer


def attach(root: nn.Module, path: str, layer: nn.Module) -> None:
    """Put `layer` at the dotted path, so that state_dict keys, and those of a bundle, are the plan's names."""
    *folders, leaf = path.split(".")
    for folder in folders:
        if folder not in root._modules:
            root.add_module(folder, nn.Module())
        root = root.get_submodule(folder)
    root.add_module(leaf, layer)


@torch.no_grad()
def initialise(network: Network, seed: int) -> None:
    """Set every weight from `seed`; the same on every machine and for a layer of equal name and shape in any mask.

    Convolutions before a normalisation or without neurons: torch's default, weights and biases uniform
    in +-1 / sqrt(fan_in). Convolutions that feed an activation directly: He et al. 2015 (arXiv:1502.01852),
    uniform in +-sqrt(6 / fan_in), biases 0. Normalisations: weight 1, bias 0. Neurons: tau and threshold of the config.
    """
    feeds_act = {name for node in network.plan.nodes if node.op == "act" for name in node.inputs}
    for node in network.plan.nodes:
        layer = network._layers.get(node.name)
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        if isinstance(layer, Learned):
            layer.start(network.config.neuron)
        if not isinstance(layer, nn.Conv2d):
            continue
        generator = torch.Generator().manual_seed(int(digest([seed, node.name])[:15], 16))
        direct = node.name in feeds_act
        bound = math.sqrt(6 / node.fan_in) if direct else 1 / math.sqrt(node.fan_in)
        weight = torch.empty(layer.weight.shape).uniform_(-bound, bound, generator=generator)
        layer.weight.copy_(weight)
        if isinstance(layer, CompressedConv):
            layer.start_scores()
        if layer.bias is not None:
            bias = torch.empty(layer.bias.shape).uniform_(-bound, bound, generator=generator)
            layer.bias.copy_(torch.zeros_like(bias) if direct else bias)


@contextmanager
def observe(network: Network, observer: Observer, *, every_node: bool = False, values: bool = True) -> Iterator[None]:
    """Call `observer(node, inputs, output)` after every node while the block runs; leaves nothing behind.

    Values are folded, [T x N, C, H, W] with time outermost; where `network.is_constant(node)` they have
    N rows. The observer must not change them. On the CPU conv, bn and act run as one operation: then a
    conv comes with its input but without an output (None), its bn does not come, its act comes without
    inputs. `every_node=True` runs each node by itself instead, and all values are there. With `values=False` None stands
    for spikes that are kept as bits: for an observer to which their maps say enough (`mapping`).
    """
    network._observers.append(observer)
    network._every_node += every_node
    network._every_value += values
    try:
        yield
    finally:
        network._observers.remove(observer)
        network._every_node -= every_node
        network._every_value -= values


@contextmanager
def passing_counts(network: Network) -> Iterator[None]:
    """Let a network of counts pass them on in evaluation too, as in training; others are as they were.

    The outputs are the same, bit for bit, without the spikes that nobody looks at.
    """
    before = network._passes_counts
    network._passes_counts = True
    try:
        yield
    finally:
        network._passes_counts = before


@contextmanager
def mapping(network: Network, maps: dict[str, Tensor]) -> Iterator[None]:
    """Let activations that run as one operation with others leave in `maps`, by name, what a counter would count of
    them: the non-zero channels of each pixel, [rows, H x W] int32."""
    network._maps = maps
    try:
        yield
    finally:
        network._maps = None


@contextmanager
def in_float32(network: Network) -> Iterator[None]:
    """Let a network of mixed precision train in float32, as it is evaluated."""
    before, network._mixed = network._mixed, False
    try:
        yield
    finally:
        network._mixed = before


@contextmanager
def own_encoding(network: Network, *key: int | str) -> Iterator[None]:
    """Random numbers of rate coding of the block's own (see `seed_encoding`); afterwards they go on as if it had not
    been."""
    before = network._draw
    network.seed_encoding(*key)
    try:
        yield
    finally:
        network._draw = before
