"""Confusion matrix and the scores that follow from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.schemas.diagnostics import Confusion


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]) -> Confusion:
    """matrix[i][j]: test images of class i that were answered j.

    labels, predictions: [N] int in 0..len(classes)-1. precision_k = M_kk / column sum, recall_k = M_kk / row sum,
    f1_k = 2 M_kk / (row sum + column sum); each is 0 where its denominator is 0. Raises ValueError otherwise.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    k = len(classes)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(f"labels and predictions differ in shape: {labels.shape}, {predictions.shape}")
    if len(labels) and not (min(labels.min(), predictions.min()) >= 0 and max(labels.max(), predictions.max()) < k):
        raise ValueError(f"a label or prediction is outside 0..{k - 1}")
    matrix = np.bincount(labels.astype(np.int64) * k + predictions, minlength=k * k).reshape(k, k)
    hits, rows, columns = np.diag(matrix), matrix.sum(1), matrix.sum(0)

    def ratio(over: np.ndarray, under: np.ndarray) -> list[float]:
        return np.divide(over, under, out=np.zeros(k), where=under > 0).tolist()

    return Confusion(
        classes=list(classes),
        matrix=matrix.tolist(),
        n=len(labels),
        precision=ratio(hits, columns),
        recall=ratio(hits, rows),
        f1=ratio(2 * hits, rows + columns),
        support=rows.tolist(),
    )


def accuracy(table: Confusion) -> float:
    """Top-1 accuracy in [0, 1]; 0 for no images."""
    return sum(table.matrix[i][i] for i in range(len(table.classes))) / table.n if table.n else 0.0


def f1_macro(table: Confusion) -> float:
    """Mean F1 over the classes that occur among labels or answers, each class weighing the same."""
    answered = np.asarray(table.matrix).sum(0) if table.classes else np.zeros(0)
    scores = [f1 for f1, n, m in zip(table.f1, table.support, answered, strict=True) if n or m]
    return sum(scores) / len(scores) if scores else 0.0
