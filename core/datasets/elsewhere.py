"""Data sets of somebody's own that are not on this machine: what a worker that has one says of it, and what it stands for.

Such a set can be counted for and asked for in a run, which a worker that has it trains. Its images are not here, so
what needs them says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.datasets.catalog import DATASETS, find
from core.datasets.identity import present_digest
from core.datasets.load import status
from core.datasets.own.reader import UserReader
from core.datasets.spec import Dataset, DatasetSpec, DatasetStatus, NeverAdded, Progress, Report, no_progress
from core.errors import DatasetMissing, SpikefrontError
from core.schemas.workers import OfferedDataset

HERE_NOT = "It is not on this machine. Workers that have it train on it; add it here for what needs its images."


@dataclass(frozen=True, kw_only=True)
class ElsewhereReader(NeverAdded):
    """Knows the facts and has no image."""

    offered: OfferedDataset
    built_in: bool = False

    def status(self, spec: DatasetSpec, folder: Path) -> DatasetStatus:
        return DatasetStatus(ready=False, complete=True, n_train=spec.n_train, n_test=spec.n_test, note=HERE_NOT)

    def load(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Dataset:
        raise DatasetMissing(name=spec.name, folder=str(folder), how=HERE_NOT)

    def verify(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Report:
        raise DatasetMissing(name=spec.name, folder=str(folder), how=HERE_NOT)


def offered(data_dir: Path) -> list[OfferedDataset]:
    """What can be trained on from a data folder, by name; one that cannot be read is left out."""
    found = []
    with DATASETS.looking_in(data_dir):
        for name in sorted(DATASETS):
            try:
                spec, state = find(name, data_dir), status(name, data_dir)
                if state.ready:
                    found.append(_offered(spec, state, data_dir))
            except (SpikefrontError, OSError):
                continue
    return found


def _offered(spec: DatasetSpec, state: DatasetStatus, data_dir: Path) -> OfferedDataset:
    # A part of a published set is read once to be told from other parts: not for this.
    known = state.complete is not False
    common = OfferedDataset(
        name=spec.name,
        n_train=state.n_train,
        n_test=state.n_test,
        complete=state.complete,
        digest=present_digest(spec.name, data_dir) if known else None,
    )
    if not isinstance(spec.reader, UserReader):
        return common
    own = {"title": spec.title, "classes": spec.classes, "size": spec.image_shape[1], "mean": spec.mean}
    return common.model_copy(update={**own, "std": spec.std, "mirrors": spec.mirrors})


def specs(offers: Iterable[OfferedDataset]) -> dict[str, DatasetSpec]:
    """Rows for the sets of somebody's own among them; of one name the first."""
    found: dict[str, DatasetSpec] = {}
    for one in offers:
        if one.classes is None or one.size is None or one.name in DATASETS.built_in:
            continue
        found.setdefault(
            one.name,
            DatasetSpec(
                name=one.name,
                title=one.title or one.name,
                classes=one.classes,
                image_shape=(3, one.size, one.size),
                n_train=one.n_train or 0,
                n_test=one.n_test or 0,
                mean=one.mean,
                std=one.std,
                citation="a data set of your own",
                licence="as its owner says",
                home="",
                mirrors=bool(one.mirrors),
                reader=ElsewhereReader(offered=one),
            ),
        )
    return found
