"""Fashion-MNIST: the IDX files, packed and plain, whole and damaged."""

import gzip
import os
import struct
import tarfile

import numpy as np
import pytest

from core.backbones.catalog import parse_mask, plan_for
from core.datasets import idx
from core.datasets.add import add
from core.datasets.catalog import DATASETS
from core.datasets.load import load, status, verify
from core.errors import DatasetCorrupt, DatasetMissing

pytestmark = pytest.mark.usefixtures("small_fashion")
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize("packed", [True, False])
def test_grey_images_become_three_equal_channels(tmp_path, idx_files, packed):
    folder = idx_files(tmp_path / "fashion_mnist", packed=packed)
    content = (folder / (f"{IMAGES}.gz" if packed else IMAGES)).read_bytes()
    raw = gzip.decompress(content) if packed else content
    data = load("fashion_mnist", tmp_path)
    assert data.complete and data.train_images.shape == (40, 28, 28, 3) and data.test_images.shape == (20, 28, 28, 3)
    # 16 bytes of head (4 + 3 axes of 4), then image by image, row by row: image 1, row 2, column 3
    assert data.train_images[1, 2, 3].tolist() == [raw[16 + 784 + 2 * 28 + 3]] * 3
    assert data.train_labels[:12].tolist() == [*range(10), 0, 1] and data.train_labels.dtype == np.int64


def test_its_input_has_three_channels_and_every_squeezenet_mask_name_builds(tmp_path):
    spec = DATASETS["fashion_mnist"]
    for mask in ("Full", "Ref-1"):
        kept = parse_mask("squeezenet", mask)
        plan = plan_for(
            backbone="squeezenet", mask=kept, input_shape=spec.image_shape, n_classes=10, definition="small"
        )
        assert plan.nodes[0].shape == (3, 28, 28) and plan.params > 0


def test_a_folder_or_an_archive_of_the_four_files_is_added(tmp_path, idx_files):
    folder = idx_files(tmp_path / "fashion")
    with tarfile.open(tmp_path / "f.tar", "w") as tar:
        tar.add(folder, "data/fashion")
    assert add("fashion_mnist", folder, tmp_path / "a").complete
    assert add("fashion_mnist", tmp_path / "f.tar", tmp_path / "b").complete


def test_fewer_images_are_a_subset(tmp_path, idx_files):
    state = add("fashion_mnist", idx_files(tmp_path / "part", train=30), tmp_path / "data")
    assert state.complete is False and state.note == "A subset: 30 of 40 training and 20 of 20 test images."
    assert load("fashion_mnist", tmp_path / "data").complete is False
    assert verify("fashion_mnist", tmp_path / "data").state == "subset"


@pytest.mark.parametrize("gone", [IMAGES, "t10k-labels-idx1-ubyte"])
def test_a_missing_file_is_named(tmp_path, idx_files, gone):
    (idx_files(tmp_path / "fashion_mnist") / f"{gone}.gz").unlink()
    assert not status("fashion_mnist", tmp_path).ready
    with pytest.raises(DatasetMissing, match=f"Not there: {gone}"):
        load("fashion_mnist", tmp_path)
    report = verify("fashion_mnist", tmp_path)
    assert report.state == "missing" and [f.file for f in report.files if f.state == "missing"] == [gone]


def changed(name, values):
    return name, lambda folder, pack: (folder / f"{name}.gz").write_bytes(gzip.compress(pack(values)))


def raw(name, content):
    return name, lambda folder, pack: (folder / f"{name}.gz").write_bytes(content)


ones = np.ones(40, dtype=np.uint8)
DAMAGES = {
    "label out of range": (*changed(LABELS, np.full(40, 10, dtype=np.uint8)), "labels go up to 10"),
    "too few labels": (*changed(LABELS, ones[:39]), "39 labels for 40 images"),
    "labels of two axes": (*changed(LABELS, ones.reshape(40, 1)), "40 labels for 40 images"),
    "images of 27x28": (*changed(IMAGES, np.zeros((40, 27, 28), dtype=np.uint8)), "40x27x28"),
    "no image": (*changed(IMAGES, np.zeros((0, 28, 28), dtype=np.uint8)), "0 images"),
    "too many": (*changed(IMAGES, np.zeros((41, 28, 28), dtype=np.uint8)), "41 images; such a file has 1 to 40"),
    "no gzip": (*raw(LABELS, b"hello"), "no .gz file"),
    "not IDX": (*raw(LABELS, gzip.compress(b"hello, hello")), "does not begin as"),
    "floats": (*raw(LABELS, gzip.compress(bytes((0, 0, 13, 1)) + struct.pack(">If", 1, 1.0))), "does not begin as"),
    "four axes": (*raw(LABELS, gzip.compress(bytes((0, 0, 8, 4)) + bytes(16))), "does not begin as"),
    "promises more": (
        *raw(LABELS, gzip.compress(bytes((0, 0, 8, 1)) + struct.pack(">I", 40) + bytes(39))),
        "promises 40",
    ),
    "holds more": (*raw(LABELS, gzip.compress(bytes((0, 0, 8, 1)) + struct.pack(">I", 40) + bytes(41))), "41 values"),
    "empty": (*raw(LABELS, b""), "does not begin as"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_corrupt_with_file_and_reason(tmp_path, idx_files, idx_bytes, damage):
    name, write, reason = DAMAGES[damage]
    write(idx_files(tmp_path / "fashion_mnist"), idx_bytes)
    with pytest.raises(DatasetCorrupt, match=reason) as caught:
        load("fashion_mnist", tmp_path)
    assert caught.value.fields["file"] == name
    report = verify("fashion_mnist", tmp_path)
    assert report.state == "corrupt" and [file.file for file in report.files if file.state == "corrupt"] == [name]


@pytest.mark.parametrize("keep", [5, 30, 0.5, -1])
def test_a_truncated_file_is_corrupt(tmp_path, idx_files, keep):
    file = idx_files(tmp_path / "fashion_mnist") / f"{IMAGES}.gz"
    size = file.stat().st_size
    os.truncate(file, int(size * keep) if isinstance(keep, float) else keep % size)
    with pytest.raises(DatasetCorrupt, match=f"{IMAGES}.*cut off"):
        load("fashion_mnist", tmp_path)


def test_test_images_that_are_the_training_images_are_corrupt(tmp_path, idx_files):
    folder = idx_files(tmp_path / "fashion_mnist", train=20)
    for kind in ("images-idx3", "labels-idx1"):
        content = (folder / f"train-{kind}-ubyte.gz").read_bytes()
        (folder / f"t10k-{kind}-ubyte.gz").write_bytes(content)
    with pytest.raises(DatasetCorrupt, match="the same images"):
        load("fashion_mnist", tmp_path)


def test_a_bomb_is_not_unpacked_into_memory(tmp_path, idx_files, monkeypatch):
    monkeypatch.setattr(idx, "MAX_FILE_BYTES", 1000)
    idx_files(tmp_path / "fashion_mnist")
    with pytest.raises(DatasetCorrupt, match="more than"):
        load("fashion_mnist", tmp_path)
