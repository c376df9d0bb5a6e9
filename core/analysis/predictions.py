"""Answers and confidences from what a network gave at each step, and where two networks differ.

outputs: [N, T, C] float32, the raw output of each step. The loss and the answer use the mean over time, so
after t steps the network's opinion is the mean of steps 1..t. Confidences are softmax values, not calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.bundle import Predictions


def running_mean(outputs: np.ndarray) -> np.ndarray:
    """The network's opinion after 1..T steps: [N, T, C] -> [N, T, C] float64, the mean of steps 1..t."""
    steps = np.arange(1, outputs.shape[1] + 1, dtype=np.float64)[None, :, None]
    return np.cumsum(outputs, axis=1, dtype=np.float64) / steps


def confidences(outputs: np.ndarray) -> np.ndarray:
    """Softmax of the running mean over steps 1..t: [N, T, C] -> [N, T, C] float64, each row summing to 1."""
    mean = running_mean(outputs)
    exponent = np.exp(mean - mean.max(axis=-1, keepdims=True))  # shifted: a large output must not overflow
    return exponent / exponent.sum(axis=-1, keepdims=True)


def predict(outputs: np.ndarray) -> np.ndarray:
    """The answer after all T steps: [N, T, C] -> [N] int64; the lowest class of equal ones."""
    return outputs.mean(axis=1, dtype=np.float64).argmax(axis=-1)


def answer_confidences(outputs: np.ndarray) -> np.ndarray:
    """Confidence in the final answer's class after 1..T steps: [N, T, C] -> [N, T] float64 in [0, 1]."""
    answers = predict(outputs)[:, None, None]
    return np.take_along_axis(confidences(outputs), answers, axis=-1)[..., 0]


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Two runs on the test images that both answered. Arrays: positions in the test set, int64, rising."""

    n: int
    only_a: np.ndarray  # a got them right, b did not
    only_b: np.ndarray
    both: np.ndarray
    neither: np.ndarray


def disagreement(a: Predictions, b: Predictions) -> Disagreement:
    """Which images run `a` got right and run `b` did not, and the other way round.

    Images are paired by `index`. Raises ValueError where a shared index has two labels: other data sets.
    """
    index, at_a, at_b = np.intersect1d(a.index, b.index, assume_unique=True, return_indices=True)
    labels_a, labels_b = ([run.classes[k] for k in run.label[at]] for run, at in ((a, at_a), (b, at_b)))
    if labels_a != labels_b:
        raise ValueError("the two runs have other labels for the same images")
    right_a, right_b = (predict(run.outputs[at]) == run.label[at] for run, at in ((a, at_a), (b, at_b)))
    return Disagreement(
        n=len(index),
        only_a=index[right_a & ~right_b],
        only_b=index[right_b & ~right_a],
        both=index[right_a & right_b],
        neither=index[~right_a & ~right_b],
    )
