"""What the readers of published files share: decode once, keep the arrays, say whether the set is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.datasets import array_cache as cache
from core.datasets.spec import Dataset, DatasetSpec, DatasetStatus, Progress, completeness, no_progress
from core.errors import DatasetMissing

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
HOW_TO_GET = "Fetch it with 'spikefront data fetch', or add a copy with 'spikefront data add'."


class CachedReader:
    """`status` and `load` over a cache of decoded arrays; a format fills in `find`, `lacking` and `decode`.

    A set with fewer images than published, or with classes of unequal size, is usable and never called complete.
    """

    built_in = False
    arrays: tuple[str, ...] = ARRAYS  # what `decode` gives and the cache keeps: fields of a Dataset

    def find(self, folder: Path) -> dict[str, Path]:
        """What is there of the set, by official name. The cache holds as long as these keep size and time."""
        raise NotImplementedError

    def lacking(self, files: dict[str, Path]) -> str | None:
        """Why these files are not enough to train and test on, as a sentence; None when they are."""
        raise NotImplementedError

    def missing(self, folder: Path) -> str | None:
        return self.lacking(self.find(folder))

    def advice(self, files: dict[str, Path]) -> str | None:
        """`lacking`, with the way to mend it, for who wants to use the set."""
        why = self.lacking(files)
        return None if why is None else f"{why} {HOW_TO_GET}"

    def decode(self, spec: DatasetSpec, files: dict[str, Path], progress: Progress) -> dict[str, np.ndarray]:
        """The `arrays`, checked. Raises DatasetCorrupt."""
        raise NotImplementedError

    def named(self, spec: DatasetSpec, files: dict[str, Path]) -> DatasetSpec:
        """`spec` with its class names, for a format that carries them."""
        return spec

    def convert(self, spec: DatasetSpec, home: Path, folder: Path, progress: Progress) -> bool:
        return False

    def remark(self, files: dict[str, Path]) -> str | None:
        """What sets a copy apart from the published set beyond its numbers, as a sentence."""
        return None

    def whole(
        self, spec: DatasetSpec, files: dict[str, Path], arrays: dict[str, np.ndarray]
    ) -> tuple[bool, str | None]:
        """Whether these arrays are all of the published set, and if not, the sentence that sets them apart."""
        return self.completeness(spec, files, arrays["train_labels"], arrays["test_labels"])

    def completeness(
        self, spec: DatasetSpec, files: dict[str, Path], train: np.ndarray, test: np.ndarray
    ) -> tuple[bool, str | None]:
        """As `core.datasets.spec.completeness` of these labels; what has a remark is never complete."""
        remark = self.remark(files)
        return completeness(spec, train, test) if remark is None else (False, remark)

    def status(self, spec: DatasetSpec, folder: Path) -> DatasetStatus:
        files = self.find(folder)
        if (why := self.advice(files)) is not None:
            return DatasetStatus(ready=False, note=why)
        info = cache.read_info(folder / "cache", cache.key_of(files.values()))
        if info is not None:
            return DatasetStatus(ready=True, **info)
        return DatasetStatus(ready=True, note="Not read yet; its images are counted and checked at the first use.")

    def load(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Dataset:
        files = self.find(folder)
        if (why := self.advice(files)) is not None:
            raise DatasetMissing(name=spec.name, folder=str(folder), how=why)
        spec = self.named(spec, files)
        key = cache.key_of(files.values())
        info, arrays = cache.read_info(folder / "cache", key), cache.read(folder / "cache", key, self.arrays)
        if info is None or arrays is None:
            arrays = self.decode(spec, files, progress)
            complete, note = self.whole(spec, files, arrays)
            n_train, n_test = len(arrays["train_labels"]), len(arrays["test_labels"])
            info = {"complete": complete, "n_train": n_train, "n_test": n_test, "note": note}
            cache.write(folder / "cache", key, arrays, info)
        return Dataset(spec=spec, classes=spec.classes, complete=info["complete"], note=info["note"], **arrays)


def flat_files(home: Path, place: Callable[[str], str | None]) -> dict[str, Path]:
    """Place -> file, of the files that lie in `home` itself; a plain file goes before a packed one."""
    found: dict[str, Path] = {}
    files = sorted(file for file in home.iterdir() if file.is_file())
    for file in sorted(files, key=lambda file: file.suffix in (".xz", ".gz")):
        if (where := place(file.name)) is not None:
            found.setdefault(where, file)
    return found
