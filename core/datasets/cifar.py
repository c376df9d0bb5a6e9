"""The python layout of the CIFAR sets: pickled batches of image rows, as their authors publish them."""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from core.datasets import unpickle
from core.datasets.official import CachedReader, flat_files
from core.datasets.spec import DatasetSpec, FileReport, Progress, Report, completeness, no_progress
from core.errors import DatasetCorrupt

SIDE = 32
ROW = 3 * SIDE * SIDE  # all red values of an image, then green, then blue, row by row
MAX_FILE_BYTES = 256 << 20  # CIFAR-100's one training file has 155 MB; anything far beyond is no batch


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Names and sizes of one CIFAR set. `md5` are the authors' own files, for `verify` to recognise."""

    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    train_rows: int  # in each training file
    test_rows: int
    label_key: str
    names_key: str
    md5: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test, self.meta)

    def rows(self, file: str) -> int:
        return self.test_rows if file == self.test else self.train_rows


CIFAR10 = Layout(
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    meta="batches.meta",
    train_rows=10_000,
    test_rows=10_000,
    label_key="labels",
    names_key="label_names",
    md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)

CIFAR100 = Layout(
    folder="cifar-100-python",
    train=("train",),
    test="test",
    meta="meta",
    train_rows=50_000,
    test_rows=10_000,
    label_key="fine_labels",
    names_key="fine_label_names",
    md5={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
)


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

    def find(self, folder: Path) -> dict[str, Path]:
        """The files that are there, by their official names."""
        found = {}
        for name in self.layout.files:
            places = [home / f"{name}{end}" for home in (folder / self.layout.folder, folder) for end in ("", ".xz")]
            if (path := next((place for place in places if place.is_file()), None)) is not None:
                found[name] = path
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
        complete, note = completeness(spec, _joined(train), _joined(test))
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
