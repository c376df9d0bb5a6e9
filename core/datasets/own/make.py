"""Makes a data set of the user's own out of images in class folders: every image read, cut and kept as bytes."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from core.datasets.images import Unreadable, read_rgb, shorter_side
from core.datasets.official import ARRAYS
from core.datasets.own.folders import SPLIT_SEED, Found, find_images, refuse
from core.datasets.own.reader import NAME, RESERVED, TABLE, UserFacts, read_table, sha256
from core.datasets.spec import Progress
from core.errors import BadValue

SIDES = (16, 256)  # that may be asked for
LARGEST_DEFAULT = 64
LEAST_STD = 1 / 255  # images of one colour would divide by zero


def require_name(name: str) -> None:
    """Raises BadValue for a name that a data set of one's own cannot have."""
    if not NAME.fullmatch(name) or name in RESERVED:
        expected = "a name of at most 40 of a-z, 0-9, _ and -, beginning with a letter, and not 'downloads'"
        raise BadValue(field="name", value=name, expected=expected)


def require_side(size: int | None) -> None:
    """Raises BadValue for a side that may not be asked for."""
    if size is not None and not SIDES[0] <= size <= SIDES[1]:
        raise BadValue(field="--size", value=size, expected=f"from {SIDES[0]} to {SIDES[1]}")


def build(name: str, source: Path, into: Path, *, size: int | None, mirrors: bool, progress: Progress) -> UserFacts:
    """Read the class folders below `source` and write the arrays and dataset.toml to the empty folder `into`.

    `size`: side in pixels; else the commonest shorter side of the images, from 16 to 64. Raises BadValue, or
    DatasetCorrupt naming the files at fault.
    """
    require_side(size)
    found = find_images(name, source)
    side = size or _common_side(found)
    faults: list[tuple[str, str]] = []
    total, done = len(found.train) + len(found.test), 0
    hashes: dict[str, list[bytes]] = {}
    for part, rows in (("train", found.train), ("test", found.test)):
        hashes[part] = []
        with _array_file(into / f"{part}_images.npy", np.dtype(np.uint8), (len(rows), side, side, 3)) as file:
            for path, _ in rows:
                done += 1
                progress("reading", done, total)
                try:
                    image = read_rgb(path, side).tobytes()
                except Unreadable as error:
                    faults.append((path.relative_to(found.root).as_posix(), str(error)))
                    continue
                file.write(image)
                hashes[part].append(hashlib.blake2b(image, digest_size=16).digest())
        labels = np.array([label for _, label in rows], dtype=np.int64)
        with _array_file(into / f"{part}_labels.npy", labels.dtype, labels.shape) as file:
            file.write(labels.tobytes())
    refuse(name, faults)
    mean, std = moments(np.load(into / "train_images.npy", mmap_mode="r"))
    facts = UserFacts(
        title=name.replace("_", " ").replace("-", " ").capitalize(),
        classes=found.classes,
        size=side,
        mean=mean,
        std=std,
        n_train=len(found.train),
        n_test=len(found.test),
        mirrors=mirrors,
        split_seed=SPLIT_SEED if found.drawn else None,
        note=found.split + _shared(hashes["train"], hashes["test"]),
        sha256={f"{array}.npy": sha256(into / f"{array}.npy") for array in ARRAYS},
    )
    (into / TABLE).write_text(facts.to_toml(), encoding="utf-8")
    assert read_table(name, into / TABLE) == facts
    return facts


def moments(images: np.ndarray) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of each channel of images [N, H, W, 3] uint8, as value / 255, to four places.

    Sums are of whole numbers, so the order of the images does not matter.
    """
    n = images[..., 0].size
    total, squares = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for start in range(0, len(images), 1024):
        part = images[start : start + 1024].astype(np.int64)
        total += part.sum((0, 1, 2))
        squares += (part**2).sum((0, 1, 2))
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, 0)) / 255
    first, second = (tuple(round(float(value), 4) for value in row) for row in (mean / 255, np.maximum(std, LEAST_STD)))
    return first, second  # type: ignore[return-value]  # of three each


@contextmanager
def _array_file(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> Iterator[IO[bytes]]:
    """A .npy file whose values are to be written one after the other.

    Neither mapped nor by np.save: where the disk is full, writing to a mapped page ends the program, and np.save's
    error does not say why it failed.
    """
    with open(path, "xb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield file
        file.flush()
        os.fsync(file.fileno())  # some file systems tell only now that there is no room


def _common_side(found: Found) -> int:
    """The commonest shorter side of the training images, the smaller of two equally common ones; 16 to 64."""
    sides: Counter[int] = Counter()
    for path, _ in found.train:
        try:
            sides[shorter_side(path)] += 1
        except Unreadable:  # told with all others when they are read
            continue
    often = max(sides.values(), default=0)
    common = min((side for side, n in sides.items() if n == often), default=LARGEST_DEFAULT)
    return min(max(common, SIDES[0]), LARGEST_DEFAULT)


def _shared(train: list[bytes], test: list[bytes]) -> str:
    known = set(train)
    n = sum(image in known for image in test)
    return f" {n:,} of its test images are also among the training images." if n else ""
