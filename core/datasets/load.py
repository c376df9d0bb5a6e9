"""The questions the rest asks of data: what is here, and give it to me."""

from __future__ import annotations

from pathlib import Path

from core.datasets.catalog import find
from core.datasets.spec import Dataset, DatasetSpec, DatasetStatus, Progress, Reader, Report, no_progress
from core.errors import DatasetMissing
from core.schemas.catalog import DatasetInfo

COUNTING_ONLY = "Networks for it can be counted; training on it is not possible yet."


def status(name: str, data_dir: Path) -> DatasetStatus:
    """What of the data set is in `data_dir/<name>`, from names and sizes alone. Raises UnknownName."""
    spec = find(name, data_dir)
    if spec.reader is None:
        return DatasetStatus(ready=False, note=COUNTING_ONLY)
    return spec.reader.status(spec, Path(data_dir) / name)


def info(name: str, data_dir: Path) -> DatasetInfo:
    """A data set's facts and its state on this machine."""
    spec, state = find(name, data_dir), status(name, data_dir)
    return DatasetInfo(
        name=name,
        title=spec.title,
        n_classes=spec.n_classes,
        image_shape=spec.image_shape,
        ready=state.ready,
        complete=state.complete,
        n_train=state.n_train,
        n_test=state.n_test,
        note=state.note,
        fetchable=bool(spec.remotes),
        trainable=spec.reader is not None,
        citation=spec.citation,
        licence=spec.licence,
    )


def load(name: str, data_dir: Path, progress: Progress = no_progress) -> Dataset:
    """The data set from `data_dir/<name>`; the first load decodes and checks it, later ones map a cache.

    Raises UnknownName, DatasetMissing or DatasetCorrupt.
    """
    spec = find(name, data_dir)
    return reader_of(spec, data_dir).load(spec, Path(data_dir) / name, progress)


def verify(name: str, data_dir: Path, progress: Progress = no_progress) -> Report:
    """Read every byte and report on the set and each of its files. Raises UnknownName or DatasetMissing."""
    spec = find(name, data_dir)
    return reader_of(spec, data_dir).verify(spec, Path(data_dir) / name, progress)


def reader_of(spec: DatasetSpec, data_dir: Path) -> Reader:
    """The reader, or DatasetMissing for a set that can only be counted for."""
    if spec.reader is None:
        raise DatasetMissing(name=spec.name, folder=str(Path(data_dir) / spec.name), how=COUNTING_ONLY)
    return spec.reader
