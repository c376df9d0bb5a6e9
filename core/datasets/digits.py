"""The offline default: handwritten digits that come with scikit-learn (UCI Optical Recognition, test part)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from core.datasets.spec import (
    Dataset,
    DatasetSpec,
    DatasetStatus,
    FileReport,
    NeverAdded,
    Progress,
    Report,
    no_progress,
)
from core.datasets.splits import stratified
from core.errors import DatasetMissing

N_TEST = 360  # a fifth of 1,797
SPLIT_SEED = 0  # part of the data set's definition: never change it


def upsample(images: np.ndarray) -> np.ndarray:
    """Double height and width, bilinear with pixel centres aligned to areas (as `align_corners=False`).

    images: [N, H, W] int -> [N, 2H, 2W] int64, times 16: each new pixel is (9a + 3b + 3c + d) / 16 of its
    four nearest old ones, the edge repeated, so the whole stays exact in integers.
    """

    def double(x: np.ndarray, axis: int) -> np.ndarray:
        edge = [(0, 0)] * x.ndim
        edge[axis] = (1, 1)
        padded = np.pad(x, edge, mode="edge")
        n = x.shape[axis]
        before, after = (np.take(padded, range(start, start + n), axis=axis) for start in (0, 2))
        pairs = np.stack((3 * x + before, 3 * x + after), axis=axis + 1)
        return pairs.reshape(*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])

    return double(double(images.astype(np.int64), 1), 2)


def _raw() -> tuple[np.ndarray, np.ndarray]:
    """(images [1797, 8, 8] in 0..16, labels [1797]).

    The table is read where scikit-learn keeps it, without importing scikit-learn: that takes seconds and
    this takes a tenth of one. Where a release has moved the file, its own loader answers.
    """
    found = find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise DatasetMissing(name="digits", folder="scikit-learn", how="Install scikit-learn, which carries it.")
    table = Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    if table.is_file():
        rows = np.loadtxt(table, delimiter=",", dtype=np.int64)
        return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    from sklearn.datasets import load_digits  # slow to import, so only when needed

    loaded = load_digits()
    return loaded.images.astype(np.int64), loaded.target.astype(np.int64)


class DigitsReader(NeverAdded):
    """8x8 grey digits as 16x16 RGB, all three channels equal, with a fixed stratified test set of 360."""

    built_in = True

    def status(self, spec: DatasetSpec, folder: Path) -> DatasetStatus:
        return DatasetStatus(ready=True, complete=True, n_train=spec.n_train, n_test=spec.n_test)

    def load(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Dataset:
        images, labels = _raw()
        # 0..16 times 16 from the upsampling -> 0..255, rounded half up in integers
        grey = ((upsample(images) * 255 + 128) // 256).astype(np.uint8)
        rgb = np.repeat(grey[..., None], 3, axis=-1)
        test, train = stratified(np.arange(len(labels)), labels, N_TEST, SPLIT_SEED)
        return Dataset(
            spec=spec,
            classes=spec.classes,
            train_images=rgb[train],
            train_labels=labels[train],
            test_images=rgb[test],
            test_labels=labels[test],
            complete=True,
        )

    def verify(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Report:
        dataset = self.load(spec, folder)
        n_train, n_test = len(dataset.train_labels), len(dataset.test_labels)
        whole = (n_train, n_test) == (spec.n_train, spec.n_test)
        return Report(
            name=spec.name,
            state="complete" if whole else "corrupt",
            n_train=n_train,
            n_test=n_test,
            files=(FileReport(file="digits.csv.gz", state="ok" if whole else "corrupt", n=n_train + n_test),),
        )
