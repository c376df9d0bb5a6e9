"""Which runs are the same but for something: equal ones, twins, repeats. A config says it, together with the images.

A config names its data set, and a name can come to stand for other images (`core.datasets.identity`). So a row holds
their digest beside the config's own hash, and the hashes that gather twins and repeats are of both. The config's hash
itself stays what it was: it is in every bundle, and says what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Row

from backend.store.models import RunRow
from core.bundle import Bundle
from core.datasets.catalog import DATASETS
from core.datasets.identity import WHOLE, present_digest
from core.datasets.load import load
from core.datasets.spec import Dataset
from core.errors import DatasetCorrupt, DatasetMissing
from core.repeats import repeat_key
from core.schemas.base import digest
from core.schemas.results import Summary
from core.schemas.run import RunConfig

#: A row with a column `data_digest`, read as an object or as columns.
OnImages = TypeVar("OnImages", RunRow, Row[Any])

Load = Callable[[str], Dataset]


def hashes(config: RunConfig, data: str, summary: Summary | None = None) -> dict[str, str]:
    """The columns that tell runs apart. `data`: the digest of the images; `summary`: a finished run's."""
    known = None if summary is None else on_images(summary, data)
    return {
        "config_hash": config.config_hash,
        "data_digest": data,
        "twin_hash": digest([config.twin_hash, data]) if data else config.twin_hash,
        "repeat_hash": repeat_key(config, known),
    }


def on_images(summary: Summary, data: str | None) -> Summary:
    """A summary that says which images it is of, as one from before they were noted does not."""
    return summary.model_copy(update={"data_digest": data})


def is_own(dataset: str) -> bool:
    """Whether the name is that of a set of somebody's own, which may come to stand for other images."""
    return dataset not in DATASETS.built_in


def images_now(dataset: str, data_dir: Path) -> str:
    """The digest of the images that a run made now is on."""
    return present_digest(dataset, data_dir) or WHOLE


def images_of(bundle: Bundle, data_dir: Path, *, loaded: Load | None = None) -> str:
    """The digest of the images that a finished bundle is on. One from before they were noted is looked at: where it
    shows the images that are there now, it is on these. Raises BundleCorrupt."""
    summary = bundle.summary()
    if summary.data_digest is not None:
        return summary.data_digest
    now = present_digest(summary.dataset, data_dir)
    if not now:
        return WHOLE
    try:
        dataset = (loaded or loader(data_dir))(summary.dataset)
    except (DatasetMissing, DatasetCorrupt):
        return WHOLE
    return now if _shows(bundle, dataset) else WHOLE


def on_same_images(rows: Sequence[OnImages], dataset: str, data_dir: Path) -> list[OnImages]:
    """Of runs on a data set of somebody's own, oldest first: those on the images that its name stands for now, or, where
    it was taken away, on those of the newest run. All runs on a published one, of which each says whether it is whole."""
    if not rows or not is_own(dataset):
        return list(rows)
    now = present_digest(dataset, data_dir)
    wanted = rows[-1].data_digest if now is None else now
    return [row for row in rows if row.data_digest == wanted]


def loader(data_dir: Path) -> Load:
    """Reads each data set once."""
    return lru_cache(maxsize=4)(lambda name: load(name, data_dir))


def _shows(bundle: Bundle, dataset: Dataset) -> bool:
    """Whether answers and kept pictures are those of the data set's test images, and its sizes the run's."""
    summary, answers, kept = bundle.summary(), bundle.predictions(), bundle.examples()
    n_train, n_test = len(dataset.train_labels), len(dataset.test_labels)
    if (summary.n_train_available + summary.n_validation, summary.n_test) != (n_train, n_test):
        return False
    if answers.classes != list(dataset.classes) or max(answers.index.max(), kept.index.max(initial=0)) >= n_test:
        return False
    return np.array_equal(answers.label, dataset.test_labels[answers.index]) and np.array_equal(
        kept.image, dataset.test_images[kept.index]
    )
