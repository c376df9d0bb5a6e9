"""Losses over the outputs of all time steps."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def cross_entropy_of_mean(outputs_TNC: Tensor, labels_N: Tensor) -> Tensor:
    """Cross-entropy of the output averaged over time: L = CE(1/T sum_t o[t], y), mean over the batch.

    outputs_TNC: float, raw (no softmax); labels_N: int64 in [0, C). A CNN has T = 1.
    """
    return F.cross_entropy(outputs_TNC.mean(0), labels_N)
