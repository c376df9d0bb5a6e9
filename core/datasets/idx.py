"""The IDX files of Fashion-MNIST, as its authors publish them: four files, grey images and labels apart.

Format: http://yann.lecun.com/exdb/mnist/. Two zero bytes, the type (8: unsigned byte), the number of axes, each
axis's length as four bytes, big end first, then the values.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from core.datasets.official import CachedReader, flat_files
from core.datasets.spec import DatasetSpec, FileReport, Progress, Report, completeness, no_progress
from core.errors import DatasetCorrupt

MAX_FILE_BYTES = 64 << 20  # the largest of the four has 47 MB unpacked
UNSIGNED_BYTE = 8


@dataclass(frozen=True, kw_only=True)
class IdxLayout:
    """The four files: (images, labels) of training and test. `md5` are the authors' own, packed."""

    train: tuple[str, str]
    test: tuple[str, str]
    md5: dict[str, str]

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, *self.test)


FASHION_MNIST = IdxLayout(
    train=("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    test=("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    md5={
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)


class IdxReader(CachedReader):
    """Grey images as RGB with three equal channels. Each file may be there as it is or packed as `.gz`."""

    def __init__(self, layout: IdxLayout) -> None:
        self.layout = layout

    def place(self, member: str) -> str | None:
        name = PurePosixPath(member).name
        return name if name.removesuffix(".gz") in self.layout.files else None

    def files_of(self, home: Path) -> dict[str, Path]:
        return flat_files(home, self.place)

    def find(self, folder: Path) -> dict[str, Path]:
        places = {name: [folder / f"{name}.gz", folder / name] for name in self.layout.files}
        found = {name: next((path for path in paths if path.is_file()), None) for name, paths in places.items()}
        return {name: path for name, path in found.items() if path is not None}

    def lacking(self, files: dict[str, Path]) -> str | None:
        missing = [name for name in self.layout.files if name not in files]
        return f"Not there: {', '.join(missing)}." if missing else None

    def decode(self, spec: DatasetSpec, files: dict[str, Path], progress: Progress) -> dict[str, np.ndarray]:
        arrays = {}
        for done, (part, names) in enumerate((("train", self.layout.train), ("test", self.layout.test))):
            progress(names[0], done, 2)
            images, labels = (read_idx(spec.name, files[name]) for name in names)
            self._check(spec, names, images, labels)
            arrays[f"{part}_images"] = np.repeat(images[..., None], 3, axis=-1)
            arrays[f"{part}_labels"] = labels.astype(np.int64)
        _check_repeated(spec, self.layout, arrays)
        progress("done", 2, 2)
        return arrays

    def verify(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Report:
        files, reports, labels = self.find(folder), {}, {}
        for done, name in enumerate(self.layout.files):
            progress(name, done, len(self.layout.files))
            if name not in files:
                reports[name] = FileReport(file=name, state="missing")
                continue
            try:
                content = read_idx(spec.name, files[name])
                packed = files[name].suffix == ".gz"
                official = _md5(files[name]) == self.layout.md5.get(name) if packed else None
                reports[name] = FileReport(file=name, state="ok", n=len(content), official=official)
                if name in (self.layout.train[1], self.layout.test[1]):
                    labels[name] = content.astype(np.int64)
            except DatasetCorrupt as error:
                reports[name] = FileReport(file=name, state="corrupt", why=error.fields["why"])
        why = self.advice(files)
        if why is None and all(report.state == "ok" for report in reports.values()):
            try:  # each file is sound: do they fit together?
                self.decode(spec, files, no_progress)
            except DatasetCorrupt as error:
                name = error.fields["file"]
                reports[name] = FileReport(file=name, state="corrupt", why=error.fields["why"])
        progress("done", len(self.layout.files), len(self.layout.files))
        corrupt = any(report.state == "corrupt" for report in reports.values())
        train, test = (
            labels.get(part[1], np.zeros(0, dtype=np.int64)) for part in (self.layout.train, self.layout.test)
        )
        if corrupt or why:
            return Report(
                name=spec.name,
                state="corrupt" if corrupt else "missing",
                n_train=len(train),
                n_test=len(test),
                files=tuple(reports.values()),
                note=why,
            )
        complete, note = completeness(spec, train, test)
        state = "complete" if complete else "subset"
        files_ = tuple(reports.values())
        return Report(name=spec.name, state=state, n_train=len(train), n_test=len(test), files=files_, note=note)

    def _check(self, spec: DatasetSpec, names: tuple[str, str], images: np.ndarray, labels: np.ndarray) -> None:
        """Whether images and labels are those of this set and of each other. Raises DatasetCorrupt."""
        side = spec.image_shape[1:]
        most = spec.n_train if names == self.layout.train else spec.n_test
        if images.ndim != 3 or images.shape[1:] != side:
            why = f"it holds values of shape {'x'.join(map(str, images.shape))}; images of {side[0]}x{side[1]} are due."
            raise DatasetCorrupt(name=spec.name, file=names[0], why=why)
        if not 1 <= len(images) <= most:
            why = f"it holds {len(images):,} images; such a file has 1 to {most:,}."
            raise DatasetCorrupt(name=spec.name, file=names[0], why=why)
        if labels.ndim != 1 or len(labels) != len(images):
            why = f"it holds {len(labels):,} labels for {len(images):,} images."
            raise DatasetCorrupt(name=spec.name, file=names[1], why=why)
        if labels.max() >= spec.n_classes:
            why = f"its labels go up to {labels.max()}; they must be 0 to {spec.n_classes - 1}."
            raise DatasetCorrupt(name=spec.name, file=names[1], why=why)


def read_idx(dataset: str, path: Path) -> np.ndarray:
    """The values of one IDX file of bytes, uint8, in its own shape. Raises DatasetCorrupt."""

    def corrupt(why: str) -> DatasetCorrupt:
        return DatasetCorrupt(name=dataset, file=path.name.removesuffix(".gz"), why=why)

    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise corrupt(f"it is cut off or no .gz file ({error}).") from None
    except OSError as error:
        raise corrupt(f"it cannot be read: {error.strerror}.") from None
    if len(data) > MAX_FILE_BYTES:
        raise corrupt(f"it unpacks to more than {MAX_FILE_BYTES >> 20} MB, which no such file does.")
    axes = data[3] if len(data) > 3 else 0
    if data[:3] != bytes((0, 0, UNSIGNED_BYTE)) or not 1 <= axes <= 3 or len(data) < 4 + 4 * axes:
        raise corrupt("it does not begin as an IDX file of bytes does.")
    shape = tuple(np.frombuffer(data, dtype=">u4", count=axes, offset=4).tolist())
    found = len(data) - 4 - 4 * axes
    if found != math.prod(shape):
        raise corrupt(f"it holds {found:,} values; its beginning promises {math.prod(shape):,}.")
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def _check_repeated(spec: DatasetSpec, layout: IdxLayout, arrays: dict[str, np.ndarray]) -> None:
    if np.array_equal(arrays["train_images"], arrays["test_images"]):
        raise DatasetCorrupt(name=spec.name, file=layout.test[0], why=f"it holds the same images as {layout.train[0]}.")


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
