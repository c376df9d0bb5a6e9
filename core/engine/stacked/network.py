"""K networks of one plan in training, as one: each node is computed once for all members.

The weights of all members lie in one matrix [K, P], a row a member, and so do their gradients; a layer sees its own part
as [K, ...]. Members are ordinary networks: `take` copies their weights and statistics here, `give` copies them back, and all
that is not training (validation, probe, test, counts) is done by those, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.backbones.catalog import plan_for
from core.backbones.plan import Node, Plan
from core.engine.fast.triton_there import triton_norm
from core.engine.network import Network
from core.engine.stacked import layers
from core.engine.stacked.masks import skips
from core.errors import BadValue

Values = dict[str, Tensor]


class StackedNetwork:
    """The training mode of several networks that differ in weights, and in which removable blocks they keep.

    Batch normalisation's own arithmetic is that of the compiled CPU path (`core.engine.fast.fused_norm`): the bias of a
    convolution before it is not added, enters the running mean, and has a gradient of exactly zero.
    `triton`: a normalisation and the neurons that alone read it run as one kernel, where there is one.
    Raises BadValue for an operation that is not known here, and for masks that cannot be one network.
    """

    def __init__(self, networks: Sequence[Network], device: torch.device, *, triton: bool = False) -> None:
        first = networks[0]
        self.config, self.steps, self.spiking, self.v_start = first.config, first.steps, first.spiking, first.v_start
        self.plan, self.plans = common_plan(networks), [network.plan for network in networks]
        require_known(self.plan)
        self._mixed = self.config.training.precision == "mixed"
        self._skips = {
            skip.out: (skip.source, torch.tensor(skip.keeps, device=device).view(-1, 1, 1, 1, 1))
            for skip in skips(self.plan, self.plans)
        }
        template = Network(self.plan, self.config)
        parameters = dict(template.named_parameters())
        size, k = sum(value.numel() for value in parameters.values()), len(networks)
        self.values_KP = torch.zeros(k, size, device=device)
        self.gradients_KP = torch.zeros(k, size, device=device)
        self._leaves: Values = {}
        self._gradients: Values = {}
        self.places: dict[str, slice] = {}
        start = 0
        for name, value in parameters.items():
            self.places[name] = place = slice(start, start + value.numel())
            start = place.stop
            leaf, self._gradients[name] = (
                each[:, place].view(k, *value.shape) for each in (self.values_KP, self.gradients_KP)
            )
            self._leaves[name] = leaf.requires_grad_()
        self._statistics = {
            name: torch.zeros(k, *value.shape, device=device, dtype=value.dtype)
            for name, value in template.named_buffers()
        }
        self._norms = {name: module for name, module in template.named_modules() if isinstance(module, nn.BatchNorm2d)}
        readers = [name for node in self.plan.nodes for name in node.inputs]
        self._biases = {  # of convolutions that nothing but a normalisation reads
            node.name: f"{node.inputs[0]}.bias"
            for node in self.plan.nodes
            if node.op == "bn"
            and readers.count(node.inputs[0]) == 1
            and f"{node.inputs[0]}.bias" in self._leaves
            and self.plan.node(node.inputs[0]).op == "conv"
        }

        twice = any(network.config.training.differentiates_twice for network in networks)
        self._kernels = triton_norm(device, wanted=triton and self.spiking and not twice)
        self._joined: dict[str, tuple[Tensor, Tensor]] = {}  # statistics of a normalisation that its neurons do
        self._joins = set() if self._kernels is None else self._joinable(readers)

    def _joinable(self, readers: list[str]) -> set[str]:
        """Normalisations that neurons of a kind with a kernel read, and nothing else."""
        if not self._kernels.knows(self.config.neuron, self.steps):
            return set()
        return {
            act.inputs[0]
            for act in self.plan.nodes
            if act.op == "act"
            and self.plan.node(act.inputs[0]).op == "bn"
            and readers.count(act.inputs[0]) == 1
            and f"{act.name}.log_threshold" not in self._leaves
        }

    def weight(self, name: str) -> Tensor:
        """A parameter of all members, [K, ...]."""
        return self._leaves[name]

    def gradient(self, name: str) -> Tensor:
        """Its gradient as the last `differentiate` left it."""
        return self._gradients[name]

    def differentiate(self, loss: Tensor) -> None:
        """Write the gradient of `loss`, [], into `gradients_KP`. A bias that is not used keeps its 0."""
        found = torch.autograd.grad(loss, list(self._leaves.values()), allow_unused=True)
        pairs = [(own, new) for own, new in zip(self._gradients.values(), found, strict=True) if new is not None]
        torch._foreach_copy_(*map(list, zip(*pairs, strict=True)))

    @torch.no_grad()
    def take(self, networks: Sequence[Network]) -> None:
        """Copy the members' weights and running statistics here; what a member has not is zero."""
        for k, network in enumerate(networks):
            for name, value in self._of(network):
                _corner(self._all[name][k], value).copy_(value)

    @torch.no_grad()
    def give(self, networks: Sequence[Network]) -> None:
        """Copy them back."""
        for k, network in enumerate(networks):
            for name, value in self._of(network):
                value.copy_(_corner(self._all[name][k], value))

    def row_of(self, network: Network, values: Values) -> Tensor:
        """One number for each of a member's parameters, spread over its values: [P]; 0 for what the member has not."""
        row = torch.zeros_like(self.values_KP[0])
        for name, value in values.items():
            _corner(row[self.places[name]].view(self._leaves[name].shape[1:]), network.get_parameter(name)).copy_(value)
        return row

    def part_of(self, network: Network, row_P: Tensor, name: str) -> Tensor:
        """The inverse for one parameter: what a row holds at its place, in the member's shape."""
        return _corner(row_P[self.places[name]].view(self._leaves[name].shape[1:]), network.get_parameter(name))

    @property
    def _all(self) -> Values:
        return self._leaves | self._statistics

    def _of(self, network: Network) -> list[tuple[str, Tensor]]:
        return [*network.named_parameters(), *network.named_buffers()]

    def __call__(self, x: Tensor) -> Tensor:
        """x: [K, N, H, W, 3] as `Normaliser` scales it; returns every step's outputs, [T, K, N, classes].

        A training pass: statistics are the batch's, and the running ones follow them.
        """
        values: Values = {}
        for node in self.plan.nodes:
            inputs = tuple(values[name] for name in node.inputs) if node.inputs else (x,)
            if node.op in ("concat", "add", "scale") and not self._is_constant(node):
                inputs = tuple(self._every_step(self.plan.node(n), v) for n, v in zip(node.inputs, inputs, strict=True))
            value = RULES[node.op](self, node, inputs)
            if node.name in self._skips:
                source, keeps = self._skips[node.name]
                passed = self._every_step(self.plan.node(source), values[source])
                value = torch.where(keeps, value, F.pad(passed, (0, value.shape[4] - passed.shape[4])))
            values[node.name] = value
        out = self._every_step(node, value).unflatten(1, (self.steps, -1))  # [K, T, N, 1, 1, classes]
        return out.transpose(0, 1).flatten(3)

    def _is_constant(self, node: Node) -> bool:
        return self.spiking and node.constant

    def _every_step(self, node: Node, value: Tensor) -> Tensor:
        """The value with T x N rows."""
        if not self._is_constant(node):
            return value
        return value.unsqueeze(1).expand(-1, self.steps, *value.shape[1:]).flatten(1, 2)

    def _input(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0]

    def _conv(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        out = layers.convolve(inputs[0], self._leaves[f"{node.name}.weight"], node, mixed=self._mixed)
        bias = f"{node.name}.bias"
        if bias not in self._leaves or bias in self._biases.values():
            return out
        return out + self._leaves[bias][:, None, None, None]

    def _bn(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        (x,) = inputs
        norm, name = self._norms[node.name], node.name
        if name in self._joins:
            with torch.no_grad():
                self._joined[name] = layers.moments(x)
                self._follow(node, x, *self._joined[name])
            return x
        mean, variance = layers.moments(x)
        self._follow(node, x, mean.detach(), variance.detach())
        scale = torch.rsqrt(variance + norm.eps) * self._leaves[f"{name}.weight"]
        return layers.affine(x, scale, self._leaves[f"{name}.bias"] - mean * scale)

    @torch.no_grad()
    def _follow(self, node: Node, x: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Bring the running statistics up to date. One evaluation of a constant value stands for T copies of it."""
        n = x[0, ..., 0].numel() * (self.steps if self._is_constant(node) else 1)
        if node.name in self._biases:
            mean = mean + self._leaves[self._biases[node.name]]
        momentum = self._norms[node.name].momentum
        self._statistics[f"{node.name}.running_mean"].lerp_(mean, momentum)
        self._statistics[f"{node.name}.running_var"].lerp_(variance * (n / (n - 1)), momentum)
        self._statistics[f"{node.name}.num_batches_tracked"].add_(1)

    def _act(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        (x,) = inputs
        if not self.spiking:
            return x.relu()
        if node.inputs[0] in self._joins:
            return self._norm_fire(self.plan.node(node.inputs[0]), x)
        threshold = self._leaves.get(f"{node.name}.log_threshold")
        if threshold is not None:
            x = x * threshold.neg().exp().view(-1, 1, 1, 1, 1)
        return layers.fire(
            x,
            self.steps,
            constant=self._is_constant(self.plan.node(node.inputs[0])),
            neuron=self.config.neuron,
            w_K=self._leaves.get(f"{node.name}.w"),
            v_start=self.v_start,
        )

    def _norm_fire(self, norm: Node, x: Tensor) -> Tensor:
        return self._kernels.norm_fire(
            x,
            self._leaves[f"{norm.name}.weight"],
            self._leaves[f"{norm.name}.bias"],
            *self._joined.pop(norm.name),
            eps=self._norms[norm.name].eps,
            steps=self.steps,
            constant=self._is_constant(norm),
            neuron=self.config.neuron,
            v_start=self.v_start,
        )

    def _maxpool(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return layers.max_pool(inputs[0], node)

    def _global_avgpool(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0].mean((2, 3), keepdim=True)

    def _concat(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return torch.cat(inputs, 4)

    def _add(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0] + inputs[1]

    def _scale(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0] * inputs[1]

    def _sigmoid(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0].sigmoid()

    def _split(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0][..., node.start : node.start + node.shape[0]]

    def _shuffle(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return layers.shuffle(inputs[0], node.groups)

    def _dropout(self, node: Node, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0]  # of rate 0: another is refused


RULES: dict[str, Callable[[StackedNetwork, Node, tuple[Tensor, ...]], Tensor]] = {
    "input": StackedNetwork._input,
    "conv": StackedNetwork._conv,
    "bn": StackedNetwork._bn,
    "act": StackedNetwork._act,
    "maxpool": StackedNetwork._maxpool,
    "global_avgpool": StackedNetwork._global_avgpool,
    "concat": StackedNetwork._concat,
    "dropout": StackedNetwork._dropout,
    "split": StackedNetwork._split,
    "shuffle": StackedNetwork._shuffle,
    "add": StackedNetwork._add,
    "sigmoid": StackedNetwork._sigmoid,
    "scale": StackedNetwork._scale,
}


def require_known(plan: Plan) -> None:
    """Raise BadValue for a node that a stack cannot compute."""
    for node in plan.nodes:
        if node.op not in RULES or (node.op == "dropout" and node.rate > 0):  # whose random numbers are of one network
            raise BadValue(
                field="backbone",
                value=f"{plan.backbone}, {plan.definition}",
                expected=f"a network that can be trained in a stack: {node.name} is a {node.op}, which cannot",
            )


def common_plan(networks: Sequence[Network]) -> Plan:
    """The plan with every block that one of the networks keeps."""
    plans = [network.plan for network in networks]
    kept = {block for plan in plans for block in plan.mask}
    fullest = max(plans, key=lambda plan: len(plan.mask))
    if set(fullest.mask) == kept:
        return fullest
    return plan_for(
        architecture=fullest.architecture,
        backbone=fullest.backbone,
        mask=tuple(block for block in fullest.blocks if block in kept),
        input_shape=fullest.input_shape,
        n_classes=fullest.n_classes,
        definition=fullest.definition,
        encoding=networks[0].encoding,
    )


def _corner(whole: Tensor, like: Tensor) -> Tensor:
    """The first part of `whole` along every axis, in the shape of `like`: a member's own channels."""
    return whole[tuple(slice(side) for side in like.shape)]
