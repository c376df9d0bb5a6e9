"""Small files of each data set in its official layout, for every test that reads, adds or fetches them."""

import dataclasses
import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from core.datasets.catalog import DATASETS
from core.datasets.cifar import CifarReader
from core.datasets.cifar_layout import CIFAR10

ROWS = 20  # images a file, where the real ones have 10,000
NAMES = (b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck")


class Python2Pickler(pickle._Pickler):
    """Writes protocol 2 as the authors' Python 2 did: every string is a byte string, NumPy is the old one."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def save_python2_string(self, text):
        data = text.encode("latin1") if isinstance(text, str) else text
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_python2_string

    def save_global(self, thing, name=None):
        module = thing.__module__.replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{thing.__name__}\n".encode())
        self.memoize(thing)

    dispatch[type(len)] = dispatch[type] = dispatch[type(lambda: 0)] = save_global


def dump(content, path: Path, protocol: int | str = "python2") -> None:
    with open(path, "wb") as file:
        if protocol == "python2":
            Python2Pickler(file, 2).dump(content)
        else:
            pickle.dump(content, file, protocol)


def batch(seed: int, rows: int = ROWS) -> dict:
    """Random images with every class equally often."""
    random = np.random.default_rng(seed)
    return {
        b"batch_label": b"some batch",
        b"labels": [i % 10 for i in range(rows)],
        b"data": random.integers(0, 256, (rows, 3072), dtype=np.uint8),
        b"filenames": [b"image_%d.png" % i for i in range(rows)],
    }


def write_set(folder: Path, *, train: int = 5, protocol: int | str = "python2", rows: int = ROWS) -> Path:
    """A set with `train` of the five training files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, train + 1):
        dump(batch(number, rows), folder / f"data_batch_{number}", protocol)
    dump(batch(0, rows), folder / "test_batch", protocol)
    dump({b"label_names": list(NAMES), b"num_vis": 3072}, folder / "batches.meta", protocol)
    return folder


@pytest.fixture
def cifar10_files() -> Callable[..., Path]:
    return write_set


@pytest.fixture
def cifar10_batch() -> Callable[..., dict]:
    return batch


@pytest.fixture
def write_pickle() -> Callable[..., None]:
    return dump


@pytest.fixture
def small_cifar10(monkeypatch):
    """CIFAR-10 as if its files had ROWS images each, so that a complete set is a few hundred kilobytes."""
    layout = dataclasses.replace(CIFAR10, train_rows=ROWS, test_rows=ROWS)
    spec = dataclasses.replace(DATASETS["cifar10"], n_train=5 * ROWS, n_test=ROWS, reader=CifarReader(layout))
    monkeypatch.setitem(DATASETS._entries, "cifar10", spec)
    return spec


def idx(values: np.ndarray) -> bytes:
    """Bytes of an IDX file: 0, 0, 8 (bytes), the number of axes, their lengths as big-endian words, the values."""
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write_idx_set(folder: Path, *, train: int = 40, test: int = 20, packed: bool = True) -> Path:
    """The four files of Fashion-MNIST with random images; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    for part, n in (("train", train), ("t10k", test)):
        images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        for name, values in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx(values)
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.fixture
def idx_files() -> Callable[..., Path]:
    return write_idx_set


@pytest.fixture
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    return idx


@pytest.fixture
def small_fashion(monkeypatch):
    """Fashion-MNIST as if it had 40 training and 20 test images."""
    spec = dataclasses.replace(DATASETS["fashion_mnist"], n_train=40, n_test=20)
    monkeypatch.setitem(DATASETS._entries, "fashion_mnist", spec)
    return spec


def write_class_folders(folder: Path, classes: dict[str, int], *, side: int = 20, end: str = "png") -> Path:
    """`classes[name]` images of side x side in each folder `name`, which may be a path; returns the folder."""
    random = np.random.default_rng(3)
    for name, n in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.{end}")
    return folder


@pytest.fixture
def class_folders() -> Callable[..., Path]:
    return write_class_folders
