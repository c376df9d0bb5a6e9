"""What a recipe asks of a data set. One that is no longer here is taken for large and not to be mirrored."""

from __future__ import annotations

from core.datasets.catalog import DATASETS

SMALL = 10_000  # training images


def mirrors(dataset: str) -> bool:
    """Whether its pictures may be mirrored: a mirrored digit is another sign."""
    return dataset in DATASETS and DATASETS[dataset].mirrors


def is_small(dataset: str) -> bool:
    """Whether a whole epoch takes seconds."""
    return dataset in DATASETS and DATASETS[dataset].n_train <= SMALL
