"""Averaged weights: an exponential moving average over training steps, and the statistics that belong to it.

    a[n] = sum_i d^(n - i) w[i] / sum_i d^(n - i),  i = 1..n

after n steps with decay d: the mean of the weights visited so far, the newest weighing most. Divided by the sum of
what was weighed, so that the weights before the first step have no part in it. Batch normalisation's running
statistics are of other weights, so they are taken anew before such weights are evaluated (Izmailov et al., UAI 2018,
arXiv:1803.05407, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from core.datasets.splits import limited
from core.engine.data import LIMIT_SEED, Images, Normaliser, batch_bounds, stream
from core.engine.network import Network, in_float32
from core.forecast import STATISTICS_IMAGES


class Average:
    """The moving average of a network's parameters. `values` are [parameters] tensors, `steps` how many went in."""

    def __init__(self, network: Network, decay: float) -> None:
        self._parameters = dict(network.named_parameters())
        self._decay = decay
        self.values = {name: torch.zeros_like(value) for name, value in self._parameters.items()}
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights in as they are now."""
        self.steps += 1
        share = (1 - self._decay) / (1 - self._decay**self.steps)  # 1 for the first
        torch._foreach_lerp_(list(self.values.values()), list(self._parameters.values()), share)

    def restore(self, values: dict[str, Tensor], steps: int) -> None:
        """Go on from a checkpoint."""
        for name, value in values.items():
            self.values[name].copy_(value)
        self.steps = steps

    @contextmanager
    def in_place(self, network: Network) -> Iterator[dict[str, Tensor]]:
        """The network holds the average while the block runs, and its own state, which is given, again afterwards."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.values, strict=False)
        try:
            yield own
        finally:
            network.load_state_dict(own)


def statistics_images(train: Images) -> Tensor:
    """The images from which statistics are taken: [M, H, W, 3] uint8, classes mixed, the same for every seed."""
    chosen = limited(np.arange(len(train)), train.labels.cpu().numpy(), STATISTICS_IMAGES, LIMIT_SEED)
    mixed = torch.randperm(len(chosen), generator=stream("statistics")).numpy()
    return train.images[torch.from_numpy(chosen[mixed]).to(train.images.device)]


@torch.no_grad()
def take_statistics(
    network: Network, images: Tensor, normalise: Normaliser, batch_size: int, look: Callable[[], None]
) -> None:
    """Replace every running mean and variance by the mean over batches of `images`, as they are, not augmented.

    Batches are as large as in training, since a layer sees its batch normalised; products are in float32, as in an
    evaluation. `look` is called after each batch and may raise. All else of the network stays as it is.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    training = network.training
    kept = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    network.train()
    network.seed_encoding("statistics")
    try:
        with in_float32(network):
            for number, (low, high) in enumerate(batch_bounds(len(images), batch_size), start=1):
                for norm in norms:
                    norm.momentum = 1 / number  # a cumulative mean: the first batch replaces what was there
                network(normalise(images[low:high]))
                look()
    finally:
        for norm, (momentum, tracked) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(tracked)
        network.train(training)
