"""Tiny ImageNet: the official layout with three classes of a few images, and every way it can be wrong."""

import dataclasses
import os
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.datasets.add import add
from core.datasets.catalog import DATASETS
from core.datasets.load import load, status, verify
from core.errors import BadValue, DatasetCorrupt, DatasetMissing

WNIDS = ("n02124075", "n01443537", "n02012849")  # not in alphabetical order, as in the official file
WORDS = "n01443537\tgoldfish, Carassius auratus\nn02012849\tcrane\nn02124075\tEgyptian cat\nn03126707\tcrane\n"
LAYOUT = "tiny-imagenet-200"


@pytest.fixture(autouse=True)
def small_tiny(monkeypatch):
    """Tiny ImageNet as if it had 3 classes with 4 training and 2 validation images each."""
    spec = dataclasses.replace(DATASETS["tiny_imagenet"], class_count=3, n_train=12, n_test=6)
    monkeypatch.setitem(DATASETS._entries, "tiny_imagenet", spec)


def picture(path: Path, value: int, *, side: int = 64, mode: str = "RGB") -> None:
    """One even colour: JPEG keeps it to a unit or two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (side, side), value if mode == "L" else (value, 255 - value, 10)).save(path, format="JPEG")


def write(home: Path, *, train: int = 4) -> Path:
    """Training image n of class k has red 40k + n; the third class is grey. Validation: red 200 + number."""
    home.mkdir(parents=True)
    (home / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WNIDS))
    (home / "words.txt").write_text(WORDS)
    for label, wnid in enumerate(WNIDS):
        for n in range(train):
            mode = "L" if label == 2 else "RGB"
            picture(home / "train" / wnid / "images" / f"{wnid}_{n * 5}.JPEG", 40 * label + 9 * n, mode=mode)
        (home / "train" / wnid / f"{wnid}_boxes.txt").write_text("x\t0\t0\t1\t1\n")
    rows = []
    for n in range(6):
        picture(home / "val" / "images" / f"val_{n * 2}.JPEG", 200 + n * 5)
        rows.append(f"val_{n * 2}.JPEG\t{WNIDS[n % 3]}\t0\t0\t63\t63\n")
    (home / "val" / "val_annotations.txt").write_text("".join(reversed(rows)))
    picture(home / "test" / "images" / "test_0.JPEG", 7)  # without a label: no part of the set
    return home


@pytest.fixture
def home(tmp_path) -> Path:
    return write(tmp_path / "tiny_imagenet" / LAYOUT)


def test_classes_are_in_the_order_of_wnids_and_named_by_words(tmp_path, home):
    data = load("tiny_imagenet", tmp_path)
    assert data.complete and data.note is None
    assert data.classes == data.spec.classes == ("Egyptian cat", "goldfish", "crane")
    assert data.train_labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    red = data.train_images[:, 32, 32, 0].astype(int)
    expected = [40 * label + 9 * n for label in range(3) for n in range(4)]  # image number 15 stands after 5 and 10
    assert np.abs(red - expected).max() <= 2


def test_the_validation_set_is_the_test_set_by_its_table(tmp_path, home):
    data = load("tiny_imagenet", tmp_path)
    assert data.test_labels.tolist() == [0, 1, 2, 0, 1, 2]  # val_0, val_2, ... val_10, the table's order aside
    assert np.abs(data.test_images[:, 5, 5, 0].astype(int) - [200 + 5 * n for n in range(6)]).max() <= 2


def test_grey_files_become_three_equal_channels(tmp_path, home):
    grey = load("tiny_imagenet", tmp_path).train_images[8:]
    assert grey.shape == (4, 64, 64, 3)
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_its_tables_may_have_a_byte_order_mark_and_lines_of_windows(tmp_path, home, encoding):
    plain = load("tiny_imagenet", tmp_path)
    for table in ("wnids.txt", "words.txt", "val/val_annotations.txt"):
        (home / table).write_bytes((home / table).read_text().replace("\n", "\r\n").encode(encoding))
    marked = load("tiny_imagenet", tmp_path)
    assert marked.classes == plain.classes and np.array_equal(marked.test_labels, plain.test_labels)


def test_a_word_of_two_classes_is_told_apart(tmp_path, home):
    (home / "wnids.txt").write_text("n02012849\nn03126707\nn02124075\n")
    (home / "train" / "n01443537").rename(home / "train" / "n03126707")
    for file in (home / "train" / "n03126707" / "images").iterdir():
        file.rename(file.with_name(file.name.replace("n01443537", "n03126707")))
    table = home / "val" / "val_annotations.txt"
    table.write_text(table.read_text().replace("n01443537", "n03126707"))
    assert load("tiny_imagenet", tmp_path).classes == ("crane (n02012849)", "crane (n03126707)", "Egyptian cat")


@pytest.mark.parametrize("form", ["folder", "parent", "zip", "tar.gz"])
def test_the_set_is_added_from_every_form_without_what_has_no_label(tmp_path, form):
    home, data = write(tmp_path / "copy" / LAYOUT), tmp_path / "data"
    match form:
        case "folder":
            source = home
        case "parent":
            source = home.parent
        case "zip":
            source = tmp_path / "t.zip"
            with zipfile.ZipFile(source, "w") as zipped:
                for file in sorted(home.rglob("*")):
                    zipped.write(file, f"{LAYOUT}/{file.relative_to(home)}")
        case _:
            source = tmp_path / "t.tar.gz"
            with tarfile.open(source, "w:gz") as tar:
                tar.add(home, f"./{LAYOUT}")
    state = add("tiny_imagenet", source, data)
    assert (state.ready, state.complete, state.n_train, state.n_test) == (True, True, 12, 6)
    assert not list(data.rglob("test_0.JPEG")) and not list(data.rglob("*_boxes.txt"))
    assert verify("tiny_imagenet", data).state == "complete"


def rearrange(home: Path, *, deep: bool, keep: str) -> None:
    """The validation set in class folders, as scripts for programs that want such make them; and training flat."""
    table = home / "val" / "val_annotations.txt"
    for row in table.read_text().splitlines():
        image, wnid = row.split("\t")[:2]
        folder = home / "val" / wnid / ("images" if deep else "")
        folder.mkdir(parents=True, exist_ok=True)
        (shutil.copy if keep == "everything" else shutil.move)(home / "val" / "images" / image, folder / image)
    if keep != "everything":
        table.unlink() if keep == "nothing" else None
        (home / "val" / "images").rmdir() if keep == "nothing" else None
    if not deep:
        for wnid in WNIDS:
            for image in list((home / "train" / wnid / "images").iterdir()):
                image.rename(home / "train" / wnid / image.name)
            (home / "train" / wnid / "images").rmdir()


@pytest.mark.parametrize("form", ["in place", "folder", "parent", "zip", "gztar"])
@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("keep", ["nothing", "the table", "everything"])
def test_a_set_rearranged_into_class_folders_is_the_same_set(tmp_path, home, form, deep, keep):
    official = load("tiny_imagenet", tmp_path)
    arranged = write(tmp_path / "copy" / ("tiny_imagenet" if form == "in place" else "x") / LAYOUT)
    rearrange(arranged, deep=deep, keep=keep)
    data = tmp_path / "data"
    match form:
        case "in place":
            data = tmp_path / "copy"
        case "folder":
            add("tiny_imagenet", arranged, data)
        case "parent":
            add("tiny_imagenet", tmp_path / "copy", data)
        case _:
            add("tiny_imagenet", Path(shutil.make_archive(str(tmp_path / "t"), form, arranged.parent)), data)
    same = load("tiny_imagenet", data)
    assert same.complete and same.classes == official.classes
    for array in ("train_images", "train_labels", "test_images", "test_labels"):
        assert np.array_equal(getattr(same, array), getattr(official, array))
    report = verify("tiny_imagenet", data)
    assert report.state == "complete" and status("tiny_imagenet", data).complete


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_test_images_beside_their_table_are_the_same_set(tmp_path, home, form):
    official = load("tiny_imagenet", tmp_path)
    arranged = write(tmp_path / "copy" / LAYOUT)
    for image in list((arranged / "val" / "images").iterdir()):
        image.rename(arranged / "val" / image.name)
    (arranged / "val" / "images").rmdir()
    source = arranged if form == "folder" else Path(shutil.make_archive(str(tmp_path / "t"), form, arranged.parent))
    assert add("tiny_imagenet", source, tmp_path / "data").complete
    assert np.array_equal(load("tiny_imagenet", tmp_path / "data").test_images, official.test_images)


@pytest.mark.parametrize(
    ("spoil", "file", "why"),
    [
        (lambda h: picture(h / "val/n99999999/val_77.JPEG", 1), "val/n99999999", "no class n99999999"),
        (lambda h: picture(h / "val/n02124075/val_2.JPEG", 1), "val/n02124075/val_2.JPEG", "gives it another class"),
        (lambda h: truncate(h / "val/n02124075/val_0.JPEG"), "val/n02124075/val_0.JPEG", "cut off"),
        (
            lambda h: ((h / "val/val_annotations.txt").unlink(), picture(h / "val/n02124075/val_2.JPEG", 1)),
            "val/n02124075/val_2.JPEG",
            "and in that of n01443537|in the folder of n01443537",
        ),
    ],
)
def test_a_fault_in_a_rearranged_set_is_named(tmp_path, home, spoil, file, why):
    rearrange(home, deep=False, keep="the table")
    spoil(home)
    with pytest.raises(DatasetCorrupt, match=why) as caught:
        load("tiny_imagenet", tmp_path)
    assert caught.value.fields["file"].rpartition("/")[2] == file.rpartition("/")[2]
    assert verify("tiny_imagenet", tmp_path).state == "corrupt"


def leave_behind(home: Path) -> None:
    """What macOS writes beside every file and folder on a disk that is not its own, and what others keep there."""
    for path in list(home.rglob("*")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7" + bytes(60))
    for folder in (home / "train" / WNIDS[0] / "images", home / "val" / "images"):
        shutil.copytree(folder, folder / "@eaDir")
        (folder / ".DS_Store").write_bytes(b"x")
        (folder / "Thumbs.db").write_bytes(b"x")
    shutil.copytree(home / "train", home / "__MACOSX" / "train")
    shutil.copytree(home / "train" / WNIDS[0], home / "train" / ".git")


@pytest.mark.parametrize("form", ["in place", "folder", "zip", "tar.gz"])
def test_what_systems_leave_behind_is_no_part_of_the_set(tmp_path, form):
    home = write(tmp_path / ("tiny_imagenet" if form == "in place" else "copy") / LAYOUT)
    leave_behind(home)
    data = tmp_path if form == "in place" else tmp_path / "data"
    if form == "folder":
        add("tiny_imagenet", home, data)
    elif form != "in place":
        packed = shutil.make_archive(str(tmp_path / "t"), "zip" if form == "zip" else "gztar", home.parent)
        add("tiny_imagenet", Path(packed), data)
    assert load("tiny_imagenet", data).complete
    assert verify("tiny_imagenet", data).state == "complete"


def test_a_part_is_a_subset_that_says_so(tmp_path):
    add("tiny_imagenet", write(tmp_path / "part", train=2), tmp_path / "data")
    data = load("tiny_imagenet", tmp_path / "data")
    assert not data.complete and data.note == "A subset: 6 of 12 training and 6 of 6 test images."
    report = verify("tiny_imagenet", tmp_path / "data")
    assert report.state == "subset" and (report.n_train, report.n_test) == (6, 6)


def test_classes_of_unequal_size_are_not_the_published_set(tmp_path, home):
    folders = [home / "train" / wnid / "images" for wnid in WNIDS]
    (folders[0] / "n02124075_0.JPEG").unlink()
    shutil.copy(folders[1] / "n01443537_0.JPEG", folders[1] / "n01443537_77.JPEG")
    assert "not equally large" in load("tiny_imagenet", tmp_path).note


@pytest.mark.parametrize("gone", ["wnids.txt", "words.txt", "val/val_annotations.txt", "val/images", "train"])
def test_a_missing_part_is_named(tmp_path, home, gone):
    path = home / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not status("tiny_imagenet", tmp_path).ready
    with pytest.raises(DatasetMissing, match="training folders" if gone == "train" else gone):
        load("tiny_imagenet", tmp_path)
    assert verify("tiny_imagenet", tmp_path).state == "missing"


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


FIRST = f"train/{WNIDS[0]}/images/{WNIDS[0]}_5.JPEG"
DAMAGES = {
    "oddly sized": (lambda h: picture(h / FIRST, 9, side=32), FIRST, "32x32 pixels; images of this set have 64x64"),
    "truncated": (lambda h: truncate(h / FIRST), FIRST, "damaged or cut off"),
    "empty": (lambda h: (h / FIRST).write_bytes(b""), FIRST, "it is empty"),
    "no image": (lambda h: (h / FIRST).write_text("a cat"), FIRST, "no image of a kind"),
    "validation image": (lambda h: truncate(h / "val/images/val_4.JPEG"), "val/images/val_4.JPEG", "cut off"),
    "of another class": (
        lambda h: (h / FIRST).rename((h / FIRST).with_name("n01443537_99.JPEG")),
        f"train/{WNIDS[0]}/images/n01443537_99.JPEG",
        "its name is of another class",
    ),
    "unknown folder": (
        lambda h: picture(h / "train/n99999999/images/n99999999_0.JPEG", 1),
        "train/n99999999/images",
        "no class n99999999",
    ),
    "missing image": (lambda h: (h / "val/images/val_2.JPEG").unlink(), "val/val_annotations.txt", "names val_2.JPEG, which is not"),
    "no row": (lambda h: picture(h / "val/images/val_77.JPEG", 1), "val/val_annotations.txt", "no row for val_77.JPEG"),
    "unknown wnid": (
        lambda h: (h / "val/val_annotations.txt").write_text("val_0.JPEG\tn99999999\t0\t0\t1\t1\n"),
        "val/val_annotations.txt",
        "class n99999999, which wnids.txt does not have",
    ),
    "a row twice": (
        lambda h: (h / "val/val_annotations.txt").write_text("val_0.JPEG\tn02012849\nval_0.JPEG\tn02124075\n"),
        "val/val_annotations.txt",
        "val_0.JPEG twice",
    ),
    "a row without a class": (
        lambda h: (h / "val/val_annotations.txt").write_text("val_0.JPEG\n"), "val/val_annotations.txt", "without a class"
    ),
    "classes missing": (lambda h: (h / "wnids.txt").write_text("n02124075\n"), "wnids.txt", "1 classes.* has 3"),
    "a class twice": (lambda h: (h / "wnids.txt").write_text("n02124075\n" * 3), "wnids.txt", "twice"),
    "no wnid": (lambda h: (h / "wnids.txt").write_text("cat\n"), "wnids.txt", "no WordNet id"),
    "no word": (lambda h: (h / "words.txt").write_text("n02124075\tcat\n"), "words.txt", "no word for n01443537"),
    "no text": (lambda h: (h / "words.txt").write_bytes(b"\xff\xfe\x00"), "words.txt", "no text"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_faulty_set_is_corrupt_with_file_and_reason(tmp_path, home, damage):
    spoil, file, reason = DAMAGES[damage]
    spoil(home)
    with pytest.raises(DatasetCorrupt, match=reason) as caught:
        load("tiny_imagenet", tmp_path)
    assert caught.value.fields["file"] == file
    report = verify("tiny_imagenet", tmp_path)
    assert report.state == "corrupt" and [f.file for f in report.files if f.state == "corrupt"] == [file]


def test_verify_lists_every_damaged_image_and_counts_the_sound_ones(tmp_path, home):
    load("tiny_imagenet", tmp_path)  # the cache hides nothing from verify
    for file in (FIRST, "val/images/val_0.JPEG"):
        truncate(home / file)
    report = verify("tiny_imagenet", tmp_path)
    assert {f.file for f in report.files if f.state == "corrupt"} == {FIRST, "val/images/val_0.JPEG"}
    assert (report.n_train, report.n_test) == (11, 5)
    assert {f.file: f.n for f in report.files if f.state == "ok"}[f"train/{WNIDS[0]}/images"] == 3


@pytest.mark.parametrize("gone", ["wnids.txt", "val/val_annotations.txt"])
def test_a_copy_that_lacks_a_part_is_named_by_its_own_path(tmp_path, gone):
    home = write(tmp_path / "some" / "folder" / "copy")
    (home / gone).unlink()
    with pytest.raises(DatasetMissing) as caught:
        add("tiny_imagenet", tmp_path / "some", tmp_path / "data")
    assert caught.value.message == f"The data set 'tiny_imagenet' is not in {tmp_path / 'some'}. Not there: {gone}."


def test_a_corrupt_copy_is_not_added(tmp_path):
    home = write(tmp_path / "copy")
    truncate(home / FIRST)
    with pytest.raises(DatasetCorrupt, match=re.escape(FIRST)):
        add("tiny_imagenet", home, tmp_path / "data")
    assert not (tmp_path / "data" / "tiny_imagenet").exists()


def test_an_added_or_removed_image_is_noticed_past_the_cache(tmp_path, home):
    load("tiny_imagenet", tmp_path)
    assert status("tiny_imagenet", tmp_path).complete
    folder = home / "train" / WNIDS[0] / "images"
    (folder / f"{WNIDS[0]}_0.JPEG").unlink()
    os.utime(folder, ns=(1, 1))  # coarse clocks
    assert status("tiny_imagenet", tmp_path).complete is None
    assert len(load("tiny_imagenet", tmp_path).train_labels) == 11


def test_a_folder_of_something_else_is_told(tmp_path):
    (tmp_path / "copy").mkdir()
    with pytest.raises(BadValue, match="none of its files"):
        add("tiny_imagenet", tmp_path / "copy", tmp_path / "data")
