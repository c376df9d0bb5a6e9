"""What a data set is, as data: facts, where it comes from, and who reads it. Nothing here opens a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from core.datasets.log_mel import LogMel
from core.errors import BadValue

#: Called as `progress(what, done, total)`; `total` is 0 where nobody knows it.
Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """For callers that show nothing."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file of the authors' own site. `bytes` only bounds what is taken; `md5` decides.

    `bytes` is None where the size was not verified: then the server's word is taken, up to a fixed bound.
    """

    url: str
    md5: str
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set in memory (or mapped from disk; writing to the arrays never reaches the files).

    train_images: [N, H, W, 3] uint8; train_labels: [N] int64 in 0..n_classes-1; the same for test.
    `complete` is False where the files are only a part of the published set: every result says so.
    validation: [V] int64, the training images that its authors set aside; None, or empty, where a share of them is drawn.
    """

    spec: DatasetSpec
    classes: tuple[str, ...]
    train_images: np.ndarray = field(repr=False)
    train_labels: np.ndarray = field(repr=False)
    test_images: np.ndarray = field(repr=False)
    test_labels: np.ndarray = field(repr=False)
    complete: bool
    note: str | None = None
    validation: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class DatasetStatus:
    """What is on this machine. `complete` and the numbers are None where that needs a full read first."""

    ready: bool
    complete: bool | None = None
    n_train: int | None = None
    n_test: int | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """One file of a data set after a full read. `official`: bit for bit the authors' file; None if nobody can say."""

    file: str
    state: Literal["ok", "missing", "corrupt"]
    n: int | None = None
    official: bool | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of `verify`: the whole set and each file."""

    name: str
    state: Literal["complete", "subset", "corrupt", "missing"]
    n_train: int
    n_test: int
    files: tuple[FileReport, ...]
    note: str | None = None


class Reader(Protocol):
    """Reads one format. `folder` is the data set's own folder in the data folder.

    `status` looks at names and sizes only. `load` raises DatasetMissing or DatasetCorrupt.
    `verify` reads every byte and raises neither: it reports.
    """

    #: Always there, with nothing to add or fetch.
    built_in: bool

    def status(self, spec: DatasetSpec, folder: Path) -> DatasetStatus: ...

    def load(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Dataset: ...

    def verify(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Report: ...

    def missing(self, folder: Path) -> str | None:
        """What a set that cannot be trained and tested on lacks in `folder`, as a sentence; None when it can."""

    def place(self, member: str) -> str | None:
        """Where the file of an archive belongs below `folder`; None for a file that is no part of the set."""

    def files_of(self, home: Path) -> dict[str, Path]:
        """The set's files in `home`, itself taken as the layout's own folder: place below `folder` -> file."""

    def convert(self, spec: DatasetSpec, home: Path, folder: Path, progress: Progress) -> bool:
        """Whether `home` itself holds the set in another form, which is then written to `folder` in this one."""


class NeverAdded:
    """The part of a Reader that adds files, of a set that has none to add."""

    def missing(self, folder: Path) -> str | None:
        return None

    def place(self, member: str) -> str | None:
        return None

    def files_of(self, home: Path) -> dict[str, Path]:
        return {}

    def convert(self, spec: DatasetSpec, home: Path, folder: Path, progress: Progress) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """One row of the catalogue.

    mean, std: of each channel of the training images, as pixel / 255. `mirrors`: whether a picture seen in a
    mirror is still one of the same class, so that training may flip it. `remotes` are the authors' files, all of
    them needed. `class_count` stands in for `classes` where the names are known from the set's own files alone.
    `reader` is None for a data set whose geometry is known, so that networks for it can be counted, but that
    cannot be trained on yet. `sound`: its images are pictures of sounds, made so; their columns are moments.
    `n_validation`: of the training images, where its authors say which are for validation. `most_bytes`: what no
    archive of it unpacks beyond, where that is more than of others (core.datasets.archive).
    """

    name: str
    title: str
    classes: tuple[str, ...] = field(default=(), repr=False)
    class_count: int | None = None
    image_shape: tuple[int, int, int]
    n_train: int
    n_test: int
    n_validation: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    citation: str
    licence: str
    home: str
    mirrors: bool = True
    sound: LogMel | None = None
    most_bytes: int | None = None
    remotes: tuple[Remote, ...] = ()
    reader: Reader | None = field(default=None, repr=False, compare=False)

    @property
    def n_classes(self) -> int:
        return self.class_count if self.class_count is not None else len(self.classes)

    def validation_share(self, drawn: float) -> float:
        """Of the training images: what the authors set aside, or else `drawn`, which a run draws."""
        return drawn if self.n_validation is None else self.n_validation / self.n_train

    def require_augment(self, augment: str) -> None:
        """Raises BadValue where training would play sounds backwards."""
        if self.sound is not None and "flip" in augment:
            expected = f"none or crop for {self.title}: a word in a mirror is spoken backwards; crop shifts it in time"
            raise BadValue(field="training.augment", value=augment, expected=expected)


def completeness(spec: DatasetSpec, train_labels: np.ndarray, test_labels: np.ndarray) -> tuple[bool, str | None]:
    """Whether labels [N] int64 are those of the whole published set, and if not, the sentence that sets them apart."""
    n_train, n_test = len(train_labels), len(test_labels)
    if (n_train, n_test) != (spec.n_train, spec.n_test):
        return False, (
            f"A subset: {n_train:,} of {spec.n_train:,} training and {n_test:,} of {spec.n_test:,} test images."
        )
    for labels in (train_labels, test_labels):
        if (np.bincount(labels, minlength=spec.n_classes) != len(labels) // spec.n_classes).any():
            return False, "Not the published set: its classes are not equally large."
    return True, None
