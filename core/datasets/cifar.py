"""The python layout of the CIFAR sets: pickled batches of image rows, as their authors publish them."""

from __future__ import annotations

import hashlib
import lzma
import os
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from core.datasets import unpickle
from core.datasets.cifar_forms import take
from core.datasets.cifar_layout import ORIGIN, ROW, SIDE, Layout
from core.datasets.official import CachedReader, flat_files
from core.datasets.parts import shown
from core.datasets.spec import DatasetSpec, FileReport, Progress, Report, no_progress
from core.errors import DatasetCorrupt
from core.text import text_of

MAX_REMARK = 400
MAX_FILE_BYTES = 256 << 20  # CIFAR-100's one training file has 155 MB; anything far beyond is no batch


class CifarReader(CachedReader):
    """Reads a layout from the data set's folder, or from the layout's own folder inside it.

    Each file may be there as it is or packed as `.xz`. A set that lacks training files is a subset, and so is one
    whose files hold fewer images than published.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def place(self, member: str) -> str | None:
        plain = PurePosixPath(member).name.removesuffix(".xz")
        return f"{self.layout.folder}/{plain}" if plain in self.layout.files else None

    def files_of(self, home: Path) -> dict[str, Path]:
        return flat_files(home, self.place)

    def convert(self, spec: DatasetSpec, home: Path, folder: Path, progress: Progress) -> bool:
        return take(self.layout, spec, home, folder, progress)

    def remark(self, files: dict[str, Path]) -> str | None:
        if ORIGIN not in files:
            return None
        try:
            return shown(text_of(files[ORIGIN].read_bytes()[:MAX_REMARK]), MAX_REMARK)
        except (OSError, UnicodeDecodeError):
            return f"Its {ORIGIN} cannot be read."

    def find(self, folder: Path) -> dict[str, Path]:
        """The files that are there, by their official names."""
        found = {}
        homes = (os.path.join(folder, self.layout.folder), folder)
        for name in (*self.layout.files, ORIGIN):
            places = [os.path.join(home, f"{name}{end}") for home in homes for end in ("", ".xz")]
            if (path := next((place for place in places if os.path.isfile(place)), None)) is not None:
                found[name] = Path(path)  # words till here: every preview asks, and 28 paths take longer than all else
        return found

    def verify(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Report:
        files, reports, batches = self.find(folder), [], {}
        for done, name in enumerate(self.layout.files):
            progress(name, done, len(self.layout.files))
            if name not in files:
                reports.append(FileReport(file=name, state="missing"))
                continue
            try:
                data = read_bounded(spec.name, files[name])
                if name == self.layout.meta:
                    self._check_names(spec, name, data)
                    n = None
                else:
                    images, labels = self._batch(spec, name, data)
                    self._check_repeated(spec, name, images, batches)
                    batches[name] = (_fingerprint(images), labels)
                    n = len(labels)
            except DatasetCorrupt as error:
                reports.append(FileReport(file=name, state="corrupt", why=error.fields["why"]))
                continue
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            reports.append(FileReport(file=name, state="ok", n=n, official=digest == self.layout.md5.get(name)))
        progress("done", len(self.layout.files), len(self.layout.files))
        train = [batches[name][1] for name in self.layout.train if name in batches]
        test = [batches[self.layout.test][1]] if self.layout.test in batches else []
        complete, note = self.completeness(spec, files, _joined(train), _joined(test))
        missing = self.advice(files)
        corrupt = any(report.state == "corrupt" for report in reports)
        return Report(
            name=spec.name,
            state="corrupt" if corrupt else "missing" if missing else "complete" if complete else "subset",
            n_train=sum(map(len, train)),
            n_test=sum(map(len, test)),
            files=tuple(reports),
            note=missing or note,
        )

    def lacking(self, files: dict[str, Path]) -> str | None:
        if not any(name in files for name in self.layout.train):
            return "None of its training files is there."
        if self.layout.test not in files:
            return f"Its test file {self.layout.test} is not there."
        return None

    def decode(self, spec: DatasetSpec, files: dict[str, Path], progress: Progress) -> dict[str, np.ndarray]:
        parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        prints: dict[str, tuple[bytes, np.ndarray]] = {}
        for done, (name, path) in enumerate(files.items()):
            progress(name, done, len(files))
            if name == ORIGIN:
                continue
            data = read_bounded(spec.name, path)
            if name == self.layout.meta:
                self._check_names(spec, name, data)
                continue
            parts[name] = self._batch(spec, name, data)
            self._check_repeated(spec, name, parts[name][0], prints)
            prints[name] = (_fingerprint(parts[name][0]), parts[name][1])
        progress("done", len(files), len(files))
        train = [parts[name] for name in self.layout.train if name in parts]
        return {
            "train_images": np.concatenate([images for images, _ in train]),
            "train_labels": np.concatenate([labels for _, labels in train]),
            "test_images": np.ascontiguousarray(parts[self.layout.test][0]),
            "test_labels": parts[self.layout.test][1],
        }

    def _batch(self, spec: DatasetSpec, name: str, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        """(images [n, 32, 32, 3] uint8, labels [n] int64) of one file. Raises DatasetCorrupt."""
        content = _unpickled(spec.name, name, data)
        rows, labels = content.get("data"), content.get(self.layout.label_key)
        if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2:
            raise DatasetCorrupt(name=spec.name, file=name, why="it holds no table of bytes named 'data'.")
        if rows.shape[1] != ROW:
            why = f"its rows have {rows.shape[1]} values; a 32x32 colour image has {ROW}."
            raise DatasetCorrupt(name=spec.name, file=name, why=why)
        if not 1 <= len(rows) <= self.layout.rows(name):
            why = f"it holds {len(rows):,} images; such a file has 1 to {self.layout.rows(name):,}."
            raise DatasetCorrupt(name=spec.name, file=name, why=why)
        if isinstance(labels, np.ndarray) and labels.ndim == 1:
            labels = labels.tolist()
        if not isinstance(labels, list) or not all(type(label) is int for label in labels):
            why = f"it holds no list of whole numbers named {self.layout.label_key!r}."
            raise DatasetCorrupt(name=spec.name, file=name, why=why)
        if len(labels) != len(rows):
            why = f"it holds {len(rows):,} images but {len(labels):,} labels."
            raise DatasetCorrupt(name=spec.name, file=name, why=why)
        if not (0 <= min(labels) and max(labels) < spec.n_classes):
            why = f"its labels go from {min(labels)} to {max(labels)}; they must be 0 to {spec.n_classes - 1}."
            raise DatasetCorrupt(name=spec.name, file=name, why=why)
        images = rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        return images, np.array(labels, dtype=np.int64)

    def _check_names(self, spec: DatasetSpec, name: str, data: bytes) -> None:
        names = _unpickled(spec.name, name, data).get(self.layout.names_key)
        texts = [item.decode("latin1") if isinstance(item, bytes) else item for item in names or ()]
        if texts != list(spec.classes):
            why = f"its class names are {texts!r}; {spec.title} has {list(spec.classes)!r}."
            raise DatasetCorrupt(name=spec.name, file=name, why=why[:600])

    def _check_repeated(
        self, spec: DatasetSpec, name: str, images: np.ndarray, others: dict[str, tuple[bytes, np.ndarray]]
    ) -> None:
        """A file copied under a second name would put test images into training, or count images twice."""
        mine = _fingerprint(images)
        for other, (theirs, _) in others.items():
            if theirs == mine:
                raise DatasetCorrupt(name=spec.name, file=name, why=f"it holds the same images as {other}.")


def _joined(labels: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(labels) if labels else np.zeros(0, dtype=np.int64)


def _fingerprint(images: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(images)).digest()


def _unpickled(dataset: str, file: str, data: bytes) -> dict[str, Any]:
    try:
        return unpickle.loads(data)
    except unpickle.Refused as error:
        raise DatasetCorrupt(name=dataset, file=file, why=f"{error}.") from None


def read_bounded(dataset: str, path: Path) -> bytes:
    """The file's bytes, unpacked where it ends in .xz; raises DatasetCorrupt beyond what a batch can have."""
    try:
        with (lzma.open if path.suffix == ".xz" else open)(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise DatasetCorrupt(name=dataset, file=path.name, why=f"it is cut off or no .xz file ({error}).") from None
    except OSError as error:
        raise DatasetCorrupt(name=dataset, file=path.name, why=f"it cannot be read: {error.strerror}.") from None
    if len(data) > MAX_FILE_BYTES:
        why = f"it unpacks to more than {MAX_FILE_BYTES >> 20} MB, which no such file does."
        raise DatasetCorrupt(name=dataset, file=path.name, why=why)
    return data
