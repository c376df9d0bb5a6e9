"""Which test images a finished run is looked at again on."""

from __future__ import annotations

import numpy as np

from core.bundle import Predictions
from core.errors import BadValue


def require_tested_on(stored: Predictions, labels: np.ndarray, *, name: str) -> None:
    """labels: [M], those of the test set that is here under the data set's `name`. Raises BadValue where the run was
    tested on another."""
    n = len(stored.label)
    if len(labels) != n or not np.array_equal(labels[stored.index], stored.label):
        expected = f"the data set that the run was tested on, with the same {n} test images"
        raise BadValue(field="data", value=name, expected=expected)


def spread(total: int, n: int, *, first: bool) -> np.ndarray:
    """`n` places of `total`, as far apart as they can be, or the first ones.

    Rate coding draws its spikes image after image, so only from the first one on are they those of the test.
    """
    n = min(n, total)
    return np.arange(n) if first else (np.arange(n) * total) // n
