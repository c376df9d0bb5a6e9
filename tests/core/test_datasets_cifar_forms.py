"""CIFAR as people have it beside the official files: the same images and labels from every form."""

import builtins
import dataclasses
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from core.datasets.add import add
from core.datasets.catalog import DATASETS
from core.datasets.cifar import CifarReader
from core.datasets.cifar_layout import CIFAR100
from core.datasets.load import load, status, verify
from core.errors import BadValue, DatasetCorrupt, DatasetMissing

pytestmark = pytest.mark.usefixtures("small_cifar10")
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@pytest.fixture
def official(tmp_path, cifar10_files):
    cifar10_files(tmp_path / "official" / "cifar10")
    return load("cifar10", tmp_path / "official")


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def parts(data):
    return (("train", data.train_images, data.train_labels), ("test", data.test_images, data.test_labels))


def write_binary(data, folder: Path) -> Path:
    """Rows of a label and the three planes of an image, 20 to a file here."""
    folder.mkdir(parents=True)
    rows = [
        np.concatenate(
            [labels[:, None].astype(np.uint8), images.transpose(0, 3, 1, 2).reshape(len(images), -1)], axis=1
        )
        for _, images, labels in parts(data)
    ]
    for number in range(5):
        rows[0][number * 20 : (number + 1) * 20].tofile(folder / f"data_batch_{number + 1}.bin")
    rows[1].tofile(folder / "test_batch.bin")
    (folder / "batches.meta.txt").write_text("".join(f"{name}\n" for name in data.classes) + "\n")
    return folder


def write_tables(data, folder: Path, *, label=lambda data, number: data.classes[number], test: bool = True) -> Path:
    """Kaggle's train/1.png with trainLabels.csv; and the same for test, which Kaggle itself does not give labels."""
    for part, images, labels in parts(data):
        (folder / part).mkdir(parents=True)
        rows = ["id,label"]
        for number, (image, own) in enumerate(zip(images, labels, strict=True), start=1):
            (folder / part / f"{number}.png").write_bytes(png(image))
            rows.append(f"{number},{label(data, own)}")
        if part == "train" or test:
            (folder / f"{part}Labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "sampleSubmission.csv").write_text("id,label\n1,cat\n2,cat\n")
    return folder


def write_class_folders(data, folder: Path) -> Path:
    for part, images, labels in parts(data):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            home = folder / part / data.classes[label]
            home.mkdir(parents=True, exist_ok=True)
            (home / f"{number:04}.png").write_bytes(png(image))
    return folder


def table(data, images, labels, *, column="img", classes=None) -> pyarrow.Table:
    names = list(classes or data.classes)
    content = pyarrow.table(
        {
            column: [{"bytes": png(image), "path": None} for image in images],
            "label": pyarrow.array([names.index(data.classes[label]) for label in labels], pyarrow.int64()),
        }
    )
    features = {column: {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return content.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write_parquet(data, folder: Path, *, pattern: str = "{part}-0000{shard}-of-00002.parquet", **how) -> Path:
    for part, images, labels in parts(data):
        half = len(labels) // 2
        for shard, rows in enumerate((slice(half), slice(half, None))):
            path = folder / pattern.format(part=part, shard=shard)
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(table(data, images[rows], labels[rows], **how), path, row_group_size=7)
    return folder


FORMS = {
    "binary": lambda data, here: write_binary(data, here / "cifar-10-batches-bin"),
    "tables": write_tables,
    "tables with numbers": lambda data, here: write_tables(data, here, label=lambda _, number: number),
    "class folders": write_class_folders,
    "parquet": lambda data, here: write_parquet(data, here / "plain_text"),
    "parquet by parts": lambda data, here: write_parquet(
        data, here, pattern="{part}/000{shard}.parquet", column="image"
    ),
    "parquet with other numbers": lambda data, here: write_parquet(data, here, classes=sorted(data.classes)[::-1]),
}


def as_set(data) -> list:
    """Images with their labels, in an order that does not depend on that of the files."""
    return [
        sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))
        for _, images, labels in parts(data)
    ]


@pytest.mark.parametrize("packed", ["folder", "deep", "zip", "tar"])
@pytest.mark.parametrize("form", FORMS)
def test_the_same_set_comes_from_every_form(tmp_path, official, form, packed):
    source = tmp_path / "other"
    FORMS[form](official, source / "a" / "b" if packed == "deep" else source)
    if packed in ("zip", "tar"):
        source = Path(shutil.make_archive(str(tmp_path / "packed"), packed, source))
    state = add("cifar10", source, tmp_path / "data")
    assert (state.ready, state.complete, state.n_train, state.n_test, state.note) == (True, True, 100, 20, None)
    same = load("cifar10", tmp_path / "data")
    assert as_set(same) == as_set(official)
    if form != "class folders":  # the others keep the order, too
        for array in ARRAYS:
            assert np.array_equal(getattr(same, array), getattr(official, array))
    assert verify("cifar10", tmp_path / "data").state == "complete"
    assert {entry.name for entry in (tmp_path / "data" / "cifar10").iterdir()} == {"cifar-10-batches-py", "cache"}


def test_kaggles_training_images_alone_are_split_and_never_called_complete(tmp_path, official):
    source = write_tables(official, tmp_path / "other", test=False)
    state = add("cifar10", source, tmp_path / "data")
    assert (state.ready, state.complete, state.n_train, state.n_test) == (True, False, 80, 20)
    assert state.note.startswith("Not the published test set: ") and "a fifth of each class" in state.note
    data = load("cifar10", tmp_path / "data")
    assert np.bincount(data.test_labels).tolist() == [2] * 10 and not data.complete and data.note == state.note
    whole = sorted(image.tobytes() for image in official.train_images)
    assert sorted(image.tobytes() for image in (*data.train_images, *data.test_images)) == whole
    report = verify("cifar10", tmp_path / "data")
    assert report.state == "subset" and report.note == state.note
    shutil.rmtree(tmp_path / "data" / "cifar10" / "cache")
    assert status("cifar10", tmp_path / "data").complete is None and not load("cifar10", tmp_path / "data").complete


def test_a_complete_set_is_not_exchanged_for_one_with_another_test_set(tmp_path, official):
    add("cifar10", tmp_path / "official" / "cifar10", tmp_path / "data")
    with pytest.raises(BadValue, match="--replace"):
        add("cifar10", write_tables(official, tmp_path / "other", test=False), tmp_path / "data")
    assert status("cifar10", tmp_path / "data").complete


def test_official_files_go_before_every_other_form(tmp_path, official, cifar10_files):
    write_tables(official, tmp_path / "both", test=False)
    cifar10_files(tmp_path / "both" / "a")
    assert add("cifar10", tmp_path / "both", tmp_path / "data").complete


@pytest.mark.parametrize("form", ["binary", "tables", "parquet"])
def test_cifar100_comes_from_the_other_forms_with_its_fine_labels(tmp_path, monkeypatch, form):
    layout = dataclasses.replace(CIFAR100, train_rows=100, test_rows=100)
    spec = dataclasses.replace(DATASETS["cifar100"], n_train=100, n_test=100, reader=CifarReader(layout))
    monkeypatch.setitem(DATASETS._entries, "cifar100", spec)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2, 100, 32, 32, 3), dtype=np.uint8)
    fine = np.stack([random.permutation(100), random.permutation(100)])
    source = tmp_path / "other"
    source.mkdir()
    for part, pictures, labels in zip(("train", "test"), images, fine, strict=True):
        match form:
            case "binary":
                planes = pictures.transpose(0, 3, 1, 2).reshape(100, -1)
                both = np.stack([labels // 5, labels], axis=1).astype(np.uint8)  # coarse, then fine
                np.concatenate([both, planes], axis=1).tofile(source / f"{part}.bin")
            case "tables":
                (source / part).mkdir()
                rows = ["filename,coarse_label,fine_label"]
                for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
                    (source / part / f"{number}.png").write_bytes(png(picture))
                    rows.append(f"{part}/{number}.png,{label // 5},{spec.classes[label].replace('_', ' ')}")
                (source / f"{part}.csv").write_text("\ufeff" + "\r\n".join(rows))
            case _:
                content = {
                    "img": [{"bytes": png(picture), "path": None} for picture in pictures],
                    "fine_label": labels.tolist(),
                    "coarse_label": (labels // 5).tolist(),
                }
                parquet.write_table(pyarrow.table(content), source / f"{part}-00000-of-00001.parquet")
    assert add("cifar100", source, tmp_path / "data").complete
    data = load("cifar100", tmp_path / "data")
    assert np.array_equal(data.train_images, images[0]) and np.array_equal(data.test_labels, fine[1])


# What cannot be used.


def rewrite(path: Path, change) -> None:
    path.write_text(change(path.read_text()))


def odd_parquet(folder: Path, content: dict) -> None:
    parquet.write_table(pyarrow.table(content), folder / "train-00000-of-00002.parquet")


PIXELS = png(np.zeros((32, 32, 3), dtype=np.uint8))
TABLE, BIN, SHARD = "trainLabels.csv", "cifar-10-batches-bin", "plain_text"
FAULTS = {
    "image missing": ("tables", lambda h: (h / "train/7.png").unlink(), TABLE, "names '7', and there is no such image in train"),
    "row missing": ("tables", lambda h: rewrite(h / TABLE, lambda t: t.rpartition("\n100,")[0]), TABLE, "no row for 100.png"),
    "row twice": ("tables", lambda h: rewrite(h / TABLE, lambda t: t + "7,cat\n"), TABLE, "names '7' twice"),
    "same image": ("tables", lambda h: rewrite(h / TABLE, lambda t: t + "train/7.png,cat\n"), TABLE, "mean the same image"),
    "odd label": ("tables", lambda h: rewrite(h / TABLE, lambda t: t + "101,house\n"), TABLE, "'house', which is no class of CIFAR-10"),
    "label too high": ("tables", lambda h: rewrite(h / TABLE, lambda t: t + "101,10\n"), TABLE, "'10', which is no class"),
    "no label": ("tables", lambda h: rewrite(h / TABLE, lambda t: t + "101\n"), TABLE, "without a label"),
    "no text": ("tables", lambda h: (h / TABLE).write_bytes(b"id,label\n\xff\xfe"), TABLE, "no table"),
    "two tables": ("tables", lambda h: shutil.copy(h / TABLE, h / "labels_train.csv"), TABLE, "second table"),
    "ambiguous": (
        "tables", lambda h: ((h / "train/x").mkdir(), shutil.copy(h / "train/7.png", h / "train/x")), TABLE, "2 such images",
    ),
    "damaged image": ("tables", lambda h: (h / "train/7.png").write_bytes(PIXELS[:50]), "train/7.png", "damaged or cut off"),
    "large image": (
        "tables", lambda h: (h / "train/7.png").write_bytes(png(np.zeros((64, 64, 3), np.uint8))), "train/7.png", "64x64 pixels",
    ),
    "cut binary": (
        "binary", lambda h: (h / BIN / "test_batch.bin").write_bytes(bytes(3073 * 20 - 1)), "test_batch.bin", "61,459 bytes",
    ),
    "binary too long": (
        "binary", lambda h: (h / BIN / "test_batch.bin").write_bytes(bytes(3073 * 21)), "test_batch.bin", "1 to 20 images",
    ),
    "binary label": ("binary", lambda h: (h / BIN / "data_batch_2.bin").write_bytes(b"\x0a" * 3073), "data_batch_2", "from 10 to 10"),
    "binary names": ("binary", lambda h: (h / BIN / "batches.meta.txt").write_text("cat\ndog\n"), "batches.meta.txt", "class names"),
    "no parquet": ("parquet", lambda h: (h / SHARD / "test-00000-of-00002.parquet").write_bytes(b"PAR1"), "test-00000-of-00002.parquet",
                   "no parquet file"),
    "columns": ("parquet", lambda h: odd_parquet(h / SHARD, {"text": ["a"]}), "train-00000-of-00002.parquet", "its columns are text"),
    "no bytes": (
        "parquet", lambda h: odd_parquet(h / SHARD, {"img": [{"bytes": None, "path": "x"}], "label": [1]}),
        "train-00000-of-00002.parquet", "no image in its bytes",
    ),
    "no image": (
        "parquet", lambda h: odd_parquet(h / SHARD, {"img": [{"bytes": b"x"}], "label": [1]}),
        "train-00000-of-00002.parquet, row 0", "no image of a kind",
    ),
    "parquet label": (
        "parquet", lambda h: odd_parquet(h / SHARD, {"img": [{"bytes": PIXELS}], "label": [-1]}),
        "train-00000-of-00002.parquet", "label '-1'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_another_form_is_named(tmp_path, official, fault):
    form, spoil, file, why = FAULTS[fault]
    source = tmp_path / "other"
    FORMS[form](official, source)
    spoil(source)
    with pytest.raises(DatasetCorrupt, match=why) as caught:
        add("cifar10", source, tmp_path / "data")
    assert caught.value.fields["file"] == file
    assert not (tmp_path / "data" / "cifar10").exists() and "cifar10-" not in caught.value.message


def test_a_binary_copy_without_its_test_file_is_missing_it(tmp_path, official):
    source = write_binary(official, tmp_path / "other")
    (source / "test_batch.bin").unlink()
    with pytest.raises(DatasetMissing, match="test_batch is not there"):
        add("cifar10", source, tmp_path / "data")


def test_more_images_than_the_set_has_are_refused_before_they_are_read(tmp_path, official):
    many = dataclasses.replace(
        official,
        train_images=np.tile(official.train_images, (2, 1, 1, 1)),
        train_labels=np.tile(official.train_labels, 2),
    )
    with pytest.raises(DatasetCorrupt, match="200 training images; CIFAR-10 has 100"):
        add("cifar10", write_parquet(many, tmp_path / "other"), tmp_path / "data")


def test_without_pyarrow_a_parquet_copy_is_told_what_is_needed(tmp_path, official, monkeypatch):
    source = write_parquet(official, tmp_path / "other")
    real_import = builtins.__import__

    def no_pyarrow(name, *arguments, **options):
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", no_pyarrow)
    with pytest.raises(BadValue, match="pyarrow, which is not installed: pip install pyarrow"):
        add("cifar10", source, tmp_path / "data")


def test_a_folder_with_other_tables_and_images_is_no_copy(tmp_path):
    (tmp_path / "s" / "train").mkdir(parents=True)
    (tmp_path / "s" / "prices.csv").write_text("id,price\n1,3\n")
    (tmp_path / "s" / "train" / "1.png").write_bytes(PIXELS)
    with pytest.raises(BadValue, match="none of its files"):
        add("cifar10", tmp_path / "s", tmp_path / "data")


def test_a_member_that_leads_out_is_refused_in_another_form_too(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../trainLabels.csv"))
    with pytest.raises(Exception, match="leads out"):
        add("cifar10", tmp_path / "x.tar", tmp_path / "data")
