"""Answers and confidences from what a network gave at each step.

outputs: [N, T, C] float32, the raw output of each step. The loss and the answer use the mean over time, so
after t steps the network's opinion is the mean of steps 1..t. Confidences are softmax values, not calibrated.
"""

from __future__ import annotations

import numpy as np


def confidences(outputs: np.ndarray) -> np.ndarray:
    """Softmax of the running mean over steps 1..t: [N, T, C] -> [N, T, C] float64, each row summing to 1."""
    steps = np.arange(1, outputs.shape[1] + 1, dtype=np.float64)[None, :, None]
    mean = np.cumsum(outputs, axis=1, dtype=np.float64) / steps
    exponent = np.exp(mean - mean.max(axis=-1, keepdims=True))  # shifted: a large output must not overflow
    return exponent / exponent.sum(axis=-1, keepdims=True)


def predict(outputs: np.ndarray) -> np.ndarray:
    """The answer after all T steps: [N, T, C] -> [N] int64; the lowest class of equal ones."""
    return outputs.mean(axis=1, dtype=np.float64).argmax(axis=-1)


def answer_confidences(outputs: np.ndarray) -> np.ndarray:
    """Confidence in the final answer's class after 1..T steps: [N, T, C] -> [N, T] float64 in [0, 1]."""
    answers = predict(outputs)[:, None, None]
    return np.take_along_axis(confidences(outputs), answers, axis=-1)[..., 0]
