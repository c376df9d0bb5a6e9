"""What is watched while training: gradient norms per layer, the firing rate, and images worth keeping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from core.backbones.plan import SYNAPTIC, Node
from core.engine.network import Network, observe


class GradientNorms:
    """L2 norms of dL/dW for every layer that holds synaptic weights, in network order."""

    def __init__(self, network: Network) -> None:
        self.layers = [node.name for node in network.plan.nodes if node.op in SYNAPTIC]
        self._weights = [network.get_parameter(f"{name}.weight") for name in self.layers]

    def read(self) -> Tensor:
        """[L] float32, of the gradients that the last backward pass left."""
        return torch.stack(torch._foreach_norm([weight.grad for weight in self._weights]))


class FiringRate:
    """Spikes / (neurons x T), over all batches seen. None for a CNN, which has no spikes."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._spikes: Tensor | None = None
        self._places = 0  # neurons x T x N

    def _observe(self, node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if node.op == "act":
            levels = self._network.levels
            # counts are summed in float64, where whole numbers are exact
            spikes = output.count_nonzero() if levels == 1 else output.sum(dtype=torch.float64)
            self._spikes = spikes if self._spikes is None else self._spikes + spikes
            self._places += output.numel() * levels

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Count while the block runs."""
        if not self._network.spiking:
            yield
            return
        with observe(self._network, self._observe):
            yield

    def read(self) -> float | None:
        """The rate in [0, 1]; waits for the device."""
        return None if self._spikes is None else int(self._spikes) / self._places


def choose_examples(
    labels: np.ndarray, predictions: np.ndarray, fixed: np.ndarray, *, per_cell: int = 3, limit: int = 1000
) -> np.ndarray:
    """Positions of the images to keep: the `fixed` ones, and the first of every kind of error.

    labels, predictions: [N] int64. From each off-diagonal cell of the confusion matrix up to
    `per_cell` images, the fullest cells first, one image a cell and round, until `limit` are kept.
    Returns rising positions, int64.
    """
    kept = set(fixed.tolist())
    wrong = np.flatnonzero(labels != predictions)
    cells: dict[tuple[int, int], list[int]] = {}
    for position in wrong.tolist():
        cells.setdefault((int(labels[position]), int(predictions[position])), []).append(position)
    by_size = sorted(cells.items(), key=lambda item: (-len(item[1]), item[0]))
    for rank in range(per_cell):
        for _, positions in by_size:
            if len(kept) >= limit:
                break
            if rank < len(positions):
                kept.add(positions[rank])
    return np.array(sorted(kept), dtype=np.int64)
