"""Answers and confidences from what a network gave at each step, and where two networks differ.

outputs: [N, T, C] float32, the raw output of each step. The loss and the answer use the mean over time, so
after t steps the network's opinion is the mean of steps 1..t. Confidences are softmax values, not calibrated.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.bundle import Predictions

NUMBERS_AT_ONCE = 1 << 22  # float64s of one of several arrays that a softmax takes
#: Of the outputs of a bundle that must be small: twelve bits less of each number, which a softmax does not feel.
OUTPUT_STEP = 2.0**-11


def running_mean(outputs: np.ndarray) -> np.ndarray:
    """The network's opinion after 1..T steps: [N, T, C] -> [N, T, C] float64, the mean of steps 1..t."""
    steps = np.arange(1, outputs.shape[1] + 1, dtype=np.float64)[None, :, None]
    return np.cumsum(outputs, axis=1, dtype=np.float64) / steps


def last_mean(outputs: np.ndarray) -> np.ndarray:
    """The network's opinion after all T steps: [N, T, C] -> [N, C] float64. The last of `running_mean`, to the bit."""
    return outputs.sum(axis=1, dtype=np.float64) / outputs.shape[1]


def softmax(mean: np.ndarray) -> np.ndarray:
    """[..., C] float64, each row summing to 1."""
    exponent = np.exp(mean - mean.max(axis=-1, keepdims=True))  # shifted: a large output must not overflow
    exponent /= exponent.sum(axis=-1, keepdims=True)
    return exponent


def confidences(outputs: np.ndarray) -> np.ndarray:
    """Softmax of the running mean over steps 1..t: [N, T, C] -> [N, T, C] float64, each row summing to 1."""
    return softmax(running_mean(outputs))


def confidences_in_parts(outputs: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The same, some images at a time: of a large test set, T steps and many classes all at once take gigabytes."""
    at_once = max(1, NUMBERS_AT_ONCE // max(1, outputs[:1].size))
    for low in range(0, len(outputs), at_once):
        part = slice(low, low + at_once)
        yield part, confidences(outputs[part])


def predict(outputs: np.ndarray) -> np.ndarray:
    """The answer after all T steps: [N, T, C] -> [N] int64; the lowest class of equal ones."""
    return outputs.mean(axis=1, dtype=np.float64).argmax(axis=-1)


def answer_confidences(outputs: np.ndarray) -> np.ndarray:
    """Confidence in the final answer's class after 1..T steps: [N, T, C] -> [N, T] float64 in [0, 1]."""
    answers, found = predict(outputs)[:, None, None], np.empty(outputs.shape[:2])
    for part, shares in confidences_in_parts(outputs):
        found[part] = np.take_along_axis(shares, answers[part], axis=-1)[..., 0]
    return found


def right_alone(a: Predictions, b: Predictions) -> np.ndarray:
    """Positions in the test set of the images that run `a` got right and run `b` did not: int64, rising.

    Images are paired by `index`; one that only one of them answered is left out. Raises ValueError where a shared index
    has two labels: other data sets.
    """
    index, at_a, at_b = np.intersect1d(a.index, b.index, assume_unique=True, return_indices=True)
    labels_a, labels_b = ([run.classes[k] for k in run.label[at]] for run, at in ((a, at_a), (b, at_b)))
    if labels_a != labels_b:
        raise ValueError("the two runs have other labels for the same images")
    right_a, right_b = (predict(run.outputs[at]) == run.label[at] for run, at in ((a, at_a), (b, at_b)))
    return index[right_a & ~right_b]


def in_steps(outputs: np.ndarray) -> np.ndarray:
    """The outputs to the nearest multiple of OUTPUT_STEP, as float32; what is in steps stays as it is."""
    return (np.round(outputs / OUTPUT_STEP) * OUTPUT_STEP).astype(np.float32)


def with_fewer_bits(outputs: np.ndarray) -> np.ndarray:
    """`in_steps`, but an image whose answer after any number of steps would be another one keeps its outputs as they are."""
    fewer = in_steps(outputs)
    same = running_mean(outputs).argmax(axis=-1) == running_mean(fewer).argmax(axis=-1)
    return np.where(same.all(axis=1)[:, None, None], fewer, outputs)


def as_stored(again: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Outputs of a second test with the bits that the stored ones of the same images have, both [N, T, C].

    Where most images of `stored` are in steps, it is of a bundle that was made small, and those images' bits are compared in steps.
    """
    coarse = (stored == in_steps(stored)).all(axis=(1, 2))
    if coarse.mean() <= 0.5:
        return again
    return np.where(coarse[:, None, None], in_steps(again), again)
