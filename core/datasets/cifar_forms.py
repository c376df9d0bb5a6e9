"""The other forms that the CIFAR sets go round in, made into files of the layout that is read here.

Binary batches (the authors' own "binary version"), PNG files with a table of labels or in class folders, and parquet
files. The images are the same in all; what is written is read and checked like any official copy.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets import parquet
from core.datasets.cifar_binary import binary_files
from core.datasets.cifar_layout import ORIGIN, ROW, SIDE, Layout
from core.datasets.images import Unreadable, read_rgb
from core.datasets.labelled_files import by_class_folders, by_tables
from core.datasets.own.folders import SPLIT_SEED, split_by_class
from core.datasets.spec import DatasetSpec, Progress
from core.errors import DatasetCorrupt

DRAWN = (
    "Not the published test set: the copy had no labelled test images, so a fifth of each class of its training "
    f"images, drawn with seed {SPLIT_SEED}, is the test set."
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """images: [n, 32, 32, 3] uint8; labels: [n] int64."""

    images: np.ndarray
    labels: np.ndarray


def take(layout: Layout, spec: DatasetSpec, folder: Path, into: Path, progress: Progress) -> bool:
    """Write the set to `into` if it lies in `folder` itself in one of the other forms; else return False.

    Raises DatasetCorrupt where it does and cannot be used, BadValue where it needs a package that is not here.
    """
    if files := binary_files(layout, spec, folder):
        for name, (rows, labels) in files.items():
            _write(layout, into, name, rows, labels)
        return True
    limits = {"training": layout.train_rows * len(layout.train), "test": layout.test_rows}
    parts: list[Part | None] = []
    if listed := by_tables(spec, folder) or by_class_folders(spec, folder):
        for (what, most), rows in zip(limits.items(), listed, strict=True):
            named = [(path.relative_to(folder).as_posix(), path, label) for path, label in rows]
            parts.append(_decoded(spec, named, len(named), what, most, progress))
    elif shards := parquet.shards(folder):
        for (what, most), files_ in zip(limits.items(), shards, strict=True):
            n, rows = parquet.read(spec, files_)
            parts.append(_decoded(spec, rows, n, what, most, progress))
    else:
        return False
    train, test = parts
    if train is None:
        return False
    if test is None:
        train, test = _drawn(train)
        (into / layout.folder).mkdir(parents=True, exist_ok=True)
        (into / layout.folder / ORIGIN).write_text(DRAWN, encoding="utf-8")
    for number, name in enumerate(layout.train):
        rows = slice(number * layout.train_rows, (number + 1) * layout.train_rows)
        if len(train.labels[rows]):
            _write(layout, into, name, _rows_of(train.images[rows]), train.labels[rows])
    _write(layout, into, layout.test, _rows_of(test.images), test.labels)
    return True


def _decoded(
    spec: DatasetSpec, rows: Iterable[tuple[str, Path | bytes, int]], n: int, what: str, most: int, progress: Progress
) -> Part | None:
    """Of n rows (name, image file, label); None of none. Raises DatasetCorrupt."""
    if n > most:
        why = f"there are {n:,} {what} images; {spec.title} has {most:,}."
        raise DatasetCorrupt(name=spec.name, file="the copy", why=why)
    images, labels = np.empty((n, SIDE, SIDE, 3), dtype=np.uint8), np.empty(n, dtype=np.int64)
    for position, (name, source, label) in enumerate(rows):
        progress(f"decoding, {what}", position + 1, n)
        try:
            image = read_rgb(source)
        except Unreadable as error:
            raise DatasetCorrupt(name=spec.name, file=name, why=f"{error}.") from None
        if image.shape != (SIDE, SIDE, 3):
            why = f"it has {image.shape[1]}x{image.shape[0]} pixels; images of this set have {SIDE}x{SIDE}."
            raise DatasetCorrupt(name=spec.name, file=name, why=why)
        images[position], labels[position] = image, label
    return Part(images=images, labels=labels) if n else None


def _drawn(train: Part) -> tuple[Part, Part]:
    """Training and test images where all were training images: split as a set of one's own is."""
    kept, taken = split_by_class(train.labels)
    first, second = (Part(images=train.images[index], labels=train.labels[index]) for index in (kept, taken))
    return first, second


def _rows_of(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), ROW)


def _write(layout: Layout, into: Path, name: str, rows: np.ndarray, labels: np.ndarray) -> None:
    target = into / layout.folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "xb") as file:
        pickle.dump({"data": rows, layout.label_key: labels.tolist()}, file, protocol=2)
