"""CIFAR-100: the reader of CIFAR-10 with another layout. What differs is tested here."""

import dataclasses
import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest

from core.datasets.add import add
from core.datasets.catalog import DATASETS
from core.datasets.cifar import CifarReader
from core.datasets.cifar_layout import CIFAR100
from core.datasets.load import load, verify
from core.errors import DatasetCorrupt

LAYOUT = "cifar-100-python"


@pytest.fixture
def small_cifar100(monkeypatch):
    """CIFAR-100 as if it had 200 training and 100 test images."""
    layout = dataclasses.replace(CIFAR100, train_rows=200, test_rows=100)
    spec = dataclasses.replace(DATASETS["cifar100"], n_train=200, n_test=100, reader=CifarReader(layout))
    monkeypatch.setitem(DATASETS._entries, "cifar100", spec)


@pytest.fixture
def files(write_pickle, small_cifar100):
    def write(folder: Path, *, train: int = 200, test: int = 100, names=None) -> Path:
        folder.mkdir(parents=True)
        random = np.random.default_rng(1)
        for name, n in (("train", train), ("test", test)):
            content = {
                b"data": random.integers(0, 256, (n, 3072), dtype=np.uint8),
                b"fine_labels": [i % 100 for i in range(n)],
                b"coarse_labels": [i % 20 for i in range(n)],
                b"filenames": [b"a.png"] * n,
            }
            write_pickle(content, folder / name)
        names = [name.encode() for name in DATASETS["cifar100"].classes] if names is None else names
        write_pickle({b"fine_label_names": names, b"coarse_label_names": [b"fish"] * 20}, folder / "meta")
        return folder

    return write


def test_the_fine_labels_are_the_classes(tmp_path, files):
    files(tmp_path / "cifar100" / LAYOUT)
    data = load("cifar100", tmp_path)
    assert data.complete and data.note is None
    assert data.train_labels[95:103].tolist() == [95, 96, 97, 98, 99, 0, 1, 2]  # the coarse ones end at 19
    assert (len(data.classes), data.classes[0], data.classes[99]) == (100, "apple", "worm")
    assert list(data.classes) == sorted(data.classes)


def test_an_archive_of_a_part_is_added_and_called_a_subset(tmp_path, files):
    with tarfile.open(tmp_path / "part.tar.xz", "w:xz") as tar:
        tar.add(files(tmp_path / "part", train=100), LAYOUT)
    state = add("cifar100", tmp_path / "part.tar.xz", tmp_path / "data")
    assert state.ready and state.complete is False
    assert state.note == "A subset: 100 of 200 training and 100 of 100 test images."
    assert load("cifar100", tmp_path / "data").complete is False
    assert verify("cifar100", tmp_path / "data").state == "subset"


def test_class_names_in_another_order_are_corrupt(tmp_path, files):
    names = [name.encode() for name in reversed(DATASETS["cifar100"].classes)]
    files(tmp_path / "cifar100", names=names)
    with pytest.raises(DatasetCorrupt, match="meta.*class names"):
        load("cifar100", tmp_path)


def test_a_file_of_coarse_labels_alone_is_corrupt(tmp_path, files, write_pickle):
    folder = files(tmp_path / "cifar100")
    rows = np.zeros((100, 3072), dtype=np.uint8)
    write_pickle({b"data": rows, b"coarse_labels": [1] * 100}, folder / "test")
    with pytest.raises(DatasetCorrupt, match="'fine_labels'"):
        load("cifar100", tmp_path)


def test_the_small_set_is_no_official_file_but_a_sound_one(tmp_path, files):
    files(tmp_path / "cifar100")
    report = verify("cifar100", tmp_path)
    assert report.state == "complete" and [file.official for file in report.files] == [False] * 3
    assert set(CIFAR100.md5) == {"train", "test", "meta"}
    assert all(len(bytes.fromhex(md5)) == hashlib.md5().digest_size for md5 in CIFAR100.md5.values())
