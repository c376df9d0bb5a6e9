"""Two networks on the same test images."""

from __future__ import annotations

import numpy as np

from core.analysis.predictions import predict
from core.bundle import Predictions
from core.schemas.compare import Gain, Paired

Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
INDICES_SHOWN = 100
INTERVAL = (
    "95 %, over the same test images: adjusted Wald interval of a paired difference (Agresti and Min, 2005). It is "
    "about the images of the test set; what another seed would change is not in it."
)


def paired(first: Predictions, second: Predictions) -> Paired | None:
    """How the second network's accuracy differs from the first's; None unless both saw the same images and labels.

    first, second: index, label [N] int, outputs [N, T, C] float32; N and the images must agree, T need not.
    With b = images gained, c = images lost, the difference is (b - c) / N. Its interval adds 1/2 to each of the four
    cells of the paired table, so that it does not collapse to a point where no answer differs:
        b' = b + 1/2, c' = c + 1/2, N' = N + 2, d' = (b' - c') / N'
        d' -+ z sqrt(b' + c' - (b' - c')^2 / N') / N',  z = 1.96, cut at -1 and 1
    SOURCE: Agresti and Min, Statistics in Medicine 24 (2005) 729-740, the adjusted Wald interval for matched pairs.
    """
    orders = same_images(first, second)
    if orders is None:
        return None
    one, other = orders
    index, label = first.index[one], first.label[one]
    was = predict(first.outputs)[one] == label
    now = predict(second.outputs)[other] == label
    return Paired(
        **gain(was, now).model_dump(),
        gained_indices=index[now & ~was][:INDICES_SHOWN].tolist(),
        lost_indices=index[was & ~now][:INDICES_SHOWN].tolist(),
    )


def same_images(first: Predictions, second: Predictions) -> tuple[np.ndarray, np.ndarray] | None:
    """Orders of the rows, [N] int64 each, that bring both to the same images, rising by their place in the test set.

    None where images, labels or classes differ, and where there is no image.
    """
    one, other = np.argsort(first.index), np.argsort(second.index)
    same = (
        first.classes == second.classes
        and np.array_equal(first.index[one], second.index[other])
        and np.array_equal(first.label[one], second.label[other])
    )
    return (one, other) if same and len(one) else None


def gain(was: np.ndarray, now: np.ndarray) -> Gain:
    """What answering another way changes, with the interval of `paired`: [N], [N] bool, right or not, N >= 1."""
    n, gained, lost = len(was), int((now & ~was).sum()), int((was & ~now).sum())
    low, high = interval(gained=gained, lost=lost, n=n)
    return Gain(n=n, accuracy=(gained - lost) / n, low=low, high=high, gained=gained, lost=lost)


def interval(*, gained: int, lost: int, n: int) -> tuple[float, float]:
    """The 95 % interval of `paired`, from the two counts of the N images on which the networks differ."""
    b, c, total = gained + 0.5, lost + 0.5, n + 2
    centre = (b - c) / total
    half = Z * (b + c - (b - c) ** 2 / total) ** 0.5 / total
    return max(-1.0, centre - half), min(1.0, centre + half)


def ratio(over: float, under: float) -> float | None:
    """over / under; None where `under` is 0."""
    return over / under if under else None
