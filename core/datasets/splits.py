"""Stratified splits that are the same on every machine and under every NumPy version.

The order comes from `RandomState` (Mersenne Twister), whose stream NumPy has frozen; `Generator` may
change between releases (NEP 19), and a changed split would silently change every result.
"""

from __future__ import annotations

import numpy as np

from core.errors import BadValue


def _quotas(counts: np.ndarray, total: int) -> np.ndarray:
    """`total` divided over the classes in proportion to `counts`: largest remainder, ties to the lower class.

    counts: [K] int, total <= sum(counts) -> [K] int with sum `total` and quota <= count.
    """
    exact = counts * (total / counts.sum())
    quotas = np.floor(exact).astype(np.int64)
    rest = total - int(quotas.sum())
    order = np.argsort(-(exact - quotas), kind="stable")
    quotas[order[:rest]] += 1
    return quotas


def stratified(index: np.ndarray, labels: np.ndarray, total: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`total` elements of `index` with the classes in their proportions, and the others; both sorted.

    index: [M] int64 into labels; labels: [N] int64. Raises BadValue unless 1 <= total <= M.
    """
    if not 1 <= total <= len(index):
        raise BadValue(field="the number of images", value=int(total), expected=f"from 1 to {len(index)}")
    own = labels[index]
    classes, counts = np.unique(own, return_counts=True)
    random = np.random.RandomState(seed)
    taken = [
        random.permutation(np.flatnonzero(own == label))[:quota]
        for label, quota in zip(classes, _quotas(counts, total), strict=True)
    ]
    chosen = np.zeros(len(index), dtype=bool)
    chosen[np.concatenate(taken)] = True
    return np.sort(index[chosen]), np.sort(index[~chosen])


def train_validation(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and validation images: disjoint, together all, stratified, decided by `seed` alone.

    labels: [N] int64; `share` in (0, 1) goes to validation -> (train [N - V], validation [V]) int64, sorted.
    Both sides get at least one image. Raises BadValue for another share or fewer than two images.
    """
    if len(labels) < 2:
        raise BadValue(field="the number of training images", value=len(labels), expected="at least 2")
    if not 0.0 < share < 1.0:
        raise BadValue(field="training.validation_share", value=share, expected="above 0 and below 1")
    validation, train = stratified(
        np.arange(len(labels)), labels, split_sizes(len(labels), share=share, limit=None)[1], seed
    )
    return train, validation


def limited(index: np.ndarray, labels: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """At most `limit` elements of `index`, stratified and sorted; all of it where the limit is None or not reached."""
    if limit is None or limit >= len(index):
        return index
    return stratified(index, labels, limit, seed)[0]


def split_sizes(n: int, *, share: float, limit: int | None) -> tuple[int, int]:
    """(training, validation) images that `train_validation` and then `limited` leave of `n`, without any labels."""
    validation = min(max(round(n * share), 1), n - 1)
    train = n - validation
    return (train if limit is None else min(train, limit)), validation
