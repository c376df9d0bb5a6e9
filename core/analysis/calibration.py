"""Calibration: whether a network that says 80 % is right 80 times in 100.

The confidence p is the softmax of the output averaged over time, at temperature 1: nothing is fitted.
"""

from __future__ import annotations

import numpy as np

from core.analysis.predictions import last_mean, predict, softmax
from core.schemas.diagnostics import Calibration, ReliabilityBin

BINS = 15  # as in Guo et al. 2017, section 3


def calibration(labels: np.ndarray, outputs: np.ndarray, bins: int = BINS) -> Calibration:
    """labels: [N] int64; outputs: [N, T, C], N >= 1; all T steps are used.

    With the bins B_m = ((m - 1) / M, m / M] of the confidence in the answer:
      ECE   = sum_m |B_m| / N |acc(B_m) - conf(B_m)|   (Guo et al., ICML 2017, arXiv:1706.04599, eq. 3), in [0, 1]
      Brier = 1/N sum_i sum_k (p_ik - [k = y_i])^2     (Brier 1950, eq. 2), in [0, 2]
      NLL   = -1/N sum_i ln p_iy_i                     (Guo et al., eq. 6), in nats
    """
    shares = softmax(last_mean(outputs))
    answers = predict(outputs)
    rows = np.arange(len(labels))
    confidence, right = shares[rows, answers], answers == labels
    # the least m with confidence <= m / M; a confidence of 0 would fall below the first bin
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found, ece = [], 0.0
    for m in range(bins):
        inside = place == m
        n = int(inside.sum())
        conf, acc = (float(value[inside].mean()) for value in (confidence, right)) if n else (None, None)
        found.append(ReliabilityBin(low=m / bins, high=(m + 1) / bins, n=n, confidence=conf, accuracy=acc))
        if conf is not None and acc is not None:
            ece += n / len(labels) * abs(acc - conf)
    truth = np.zeros_like(shares)
    truth[rows, labels] = 1.0
    return Calibration(
        n=len(labels),
        accuracy=float(right.mean()),
        confidence=float(confidence.mean()),
        ece=ece,
        brier=float(((shares - truth) ** 2).sum(1).mean()),
        nll=_nll(labels, outputs),
        bins=found,
    )


def _nll(labels: np.ndarray, outputs: np.ndarray) -> float:
    """From the outputs, not from the softmax: ln 0 would be infinite where a large output underflows."""
    mean = last_mean(outputs)
    top = mean.max(axis=1)
    log_sum = top + np.log(np.exp(mean - top[:, None]).sum(1))
    return float((log_sum - mean[np.arange(len(labels)), labels]).mean())
