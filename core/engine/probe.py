"""The state of the neurons after each epoch, on a fixed batch: spikes, membranes, and the gradients that arrive.

The probe is the first PROBE images of the training split in split order, without augmentation, the same in every
epoch and for every seed. It runs in evaluation mode (stored statistics, no dropout) and in float32, with the
cross-entropy of the output averaged over time, whatever the run trains with, so that runs can be compared. Nothing
of the training is touched: weights, their gradients, running statistics and random numbers stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from core.backbones.plan import Node
from core.engine.data import Images, Normaliser
from core.engine.network import Network, observe, own_encoding
from core.engine.neurons import RESETS, STEPS, V_RESET
from core.engine.surrogates import SURROGATES
from core.schemas.diagnostics import Diagnostics
from core.schemas.run import NeuronConfig

PROBE = 64  # images: enough to call a neuron dead, and less than 1 % of an epoch of any published data set
AT_ONCE = 16  # images in memory together, or a training batch if that is smaller
#: A neuron is in the surrogate's active zone where sigma'(u) is at least this share of sigma'(0), its maximum: the
#: width at half maximum. For atan at alpha = 2 that is |u| <= 1 / pi. A count is where its gradient passes through,
#: at all steps alike.
ACTIVE = 0.5


@dataclass
class _Seen:
    """What one activation has gathered over the probe. T = 1 for a CNN."""

    gradient: Tensor  # [T] float64: sum of squares
    fired: Tensor  # [T] float64: spikes, or outputs above 0
    active: Tensor  # [T] float64: neurons in the active zone
    ever: Tensor  # [C, H, W] bool: fired at some step for some image
    always: Tensor  # [C, H, W] bool: fired at every step for every image


class Probe:
    """Measures `network` on its probe images; `diagnostics` holds all epochs so far."""

    def __init__(self, network: Network, train: Images, normalise: Normaliser) -> None:
        self._network, self._normalise = network, normalise
        self._images, self._labels = train.images[:PROBE], train.labels[:PROBE]
        self._at_once = min(AT_ONCE, network.config.training.batch_size)
        self.diagnostics = Diagnostics(
            kind=network.config.kind,
            time_steps=network.steps,
            n_probe=len(self._labels),
            layers=[node.name for node in network.act_nodes],
            active=[] if network.spiking else None,
        )

    def measure(self, epoch: int, told: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Add one epoch to `diagnostics`; waits for the device. `told` hears how many images are done."""
        network, n = self._network, len(self._labels)
        seen = [self._nothing(node) for node in network.act_nodes]
        with _undisturbed(network):
            for low in range(0, n, self._at_once):
                chunk = slice(low, low + self._at_once)
                self._see(self._normalise(self._images[chunk]), self._labels[chunk], seen)
                told(min(low + self._at_once, n), n)
        places = [n * node.numel for node in network.act_nodes]  # of one step
        found = self.diagnostics
        found.epochs.append(epoch)
        found.gradient_norm.append([layer.gradient.sqrt().tolist() for layer in seen])
        found.firing_rate.append([(layer.fired / k).tolist() for layer, k in zip(seen, places, strict=True)])
        found.dead.append([1 - float(layer.ever.double().mean()) for layer in seen])
        found.saturated.append([float(layer.always.double().mean()) for layer in seen])
        if found.active is not None:
            found.active.append([(layer.active / k).tolist() for layer, k in zip(seen, places, strict=True)])

    def _nothing(self, node: Node) -> _Seen:
        place = self._labels.device
        zeros = [torch.zeros(self._network.steps, dtype=torch.float64, device=place) for _ in range(3)]
        ever = torch.zeros(node.shape, dtype=torch.bool, device=place)
        return _Seen(gradient=zeros[0], fired=zeros[1], active=zeros[2], ever=ever, always=~ever)

    def _see(self, x: Tensor, labels: Tensor, seen: list[_Seen]) -> None:
        """One forward and backward pass. The loss is a mean over the whole probe, so a chunk has its share of it."""
        network, outputs = self._network, []

        def observer(node: Node, inputs: tuple[Tensor, ...], output: Tensor | None) -> None:
            if node.op == "act":
                outputs.append(output)
                self._count(seen[len(outputs) - 1], node, inputs[0].detach(), output.detach())

        with observe(network, observer, every_node=True):
            loss = F.cross_entropy(network(x).mean(0), labels, reduction="sum") / len(self._labels)
        gradients = torch.autograd.grad(loss, outputs)
        for layer, gradient in zip(seen, gradients, strict=True):
            layer.gradient += self._steps(gradient).double().square().flatten(1).sum(1)

    @torch.no_grad()
    def _count(self, layer: _Seen, node: Node, x: Tensor, output: Tensor) -> None:
        fired_TN = self._steps(output) > 0
        layer.fired += fired_TN.flatten(1).sum(1)
        layer.ever |= fired_TN.flatten(0, 1).any(0)
        layer.always &= fired_TN.flatten(0, 1).all(0)
        network = self._network
        if not network.spiking:
            return
        x, neuron = network.into_neurons(node, x), network.config.neuron
        if neuron.model == "count":
            layer.active += ((x >= 0) & (x <= network.steps)).sum()
            return
        constant = network.is_constant(network.plan.node(node.inputs[0]))
        w = network.leak(node.name)
        x = x.unsqueeze(0) if constant else self._steps(x)
        for t, u in enumerate(membranes(x, network.steps, neuron, w, network.v_start)):
            layer.active[t] += in_active_zone(u, neuron).sum()

    def _steps(self, value: Tensor) -> Tensor:
        """[T x N, ...] -> [T, N, ...]."""
        return value.unflatten(0, (self._network.steps, -1))


@contextmanager
def _undisturbed(network: Network) -> Iterator[None]:
    """Evaluation mode with gradients and the probe's own input spikes; all as before afterwards."""
    training = network.training
    network.eval()
    try:
        with own_encoding(network, "probe"), torch.enable_grad():
            yield
    finally:
        network.train(training)


@torch.no_grad()
def membranes(
    x: Tensor, steps: int, neuron: NeuronConfig, w: Tensor | None = None, v_start: float = V_RESET
) -> Iterator[Tensor]:
    """u[t] = H[t] - v_threshold for each step; arguments as for `core.engine.neurons.run_steps`.

    A step function tells V' alone. After a soft reset V' = H - v_threshold S, from which H follows; the reset that the
    neuron really has then goes on from it.
    """
    soft = neuron.model_copy(update={"reset": "soft"})
    v = torch.full_like(x[0], v_start)
    for t in range(steps):
        s, rest = STEPS[neuron.model](x[t if x.shape[0] > 1 else 0], v, soft, w)
        h = rest + neuron.v_threshold * s
        yield h - neuron.v_threshold
        v = RESETS[neuron.reset](h, s, neuron.v_threshold)


def in_active_zone(u: Tensor, neuron: NeuronConfig) -> Tensor:
    """sigma'(u) >= ACTIVE sigma'(0): [...] bool."""
    derivative = SURROGATES[neuron.surrogate]
    return derivative(u, neuron.alpha) >= ACTIVE * derivative(u.new_zeros(()), neuron.alpha)
