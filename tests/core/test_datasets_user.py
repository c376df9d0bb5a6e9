"""A data set of one's own: from class folders to a network's input, and every folder that cannot become one."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.datasets.add import add
from core.datasets.catalog import DATASETS, all_specs, find, title_of
from core.datasets.class_names import MAX_CLASSES
from core.datasets.load import load, status, verify
from core.datasets.own import make as add_user
from core.datasets.own.folders import split_by_class
from core.datasets.own.make import moments
from core.errors import BadValue, DatasetCorrupt, DatasetMissing, NoClassFolders, UnknownName, UnsafeArchive
from core.recipes.build import build_config, plan_of
from core.schemas.request import RunRequest
from core.schemas.run import Kind

TWO = {"cat": 10, "dog": 5}


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """An empty data folder, the one of the settings."""
    monkeypatch.setenv("SPIKEFRONT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def source(tmp_path, class_folders) -> Path:
    return class_folders(tmp_path / "pets", TWO)


# What it becomes.


def test_class_folders_alone_are_split_by_class_and_the_note_says_so(data, source):
    state = add("pets", source, data)
    # a fifth of 10 and of 5 images for testing: 2 and 1
    assert (state.ready, state.complete, state.n_train, state.n_test) == (True, True, 12, 3)
    assert "a fifth of each class" in state.note and "seed 0" in state.note
    pets = load("pets", data)
    assert pets.complete and pets.note == state.note and pets.classes == ("cat", "dog")
    assert np.bincount(pets.train_labels).tolist() == [8, 4] and np.bincount(pets.test_labels).tolist() == [2, 1]
    assert pets.train_images.shape == (12, 20, 20, 3) and pets.train_images.dtype == np.uint8
    every = {image.tobytes() for image in (*pets.train_images, *pets.test_images)}
    assert every == {np.asarray(Image.open(path)).tobytes() for path in source.rglob("*.png")}


def test_the_split_is_the_same_every_time(data, source):
    add("pets", source, data)
    add("again", source, data)
    assert np.array_equal(load("pets", data).test_images, load("again", data).test_images)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6))
def test_every_class_keeps_a_training_and_a_test_image(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    train, test = split_by_class(labels)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert np.bincount(labels[test]).tolist() == [max(1, round(n * 0.2)) for n in counts]
    assert (np.bincount(labels[train], minlength=len(counts)) >= 1).all()


@pytest.mark.parametrize("folder", ["test", "val"])
def test_train_and_test_folders_are_taken_as_they_are(data, tmp_path, class_folders, folder):
    counts = {"train/cat": 3, "train/dog": 2, f"{folder}/cat": 1, f"{folder}/dog": 4}
    state = add("pets", class_folders(tmp_path / "s", counts), data)
    assert (state.n_train, state.n_test) == (5, 5) and f"train and {folder}" in state.note
    assert load("pets", data).test_labels.tolist() == [0, 1, 1, 1, 1]
    assert "split_seed" not in tomllib.loads((data / "pets" / "dataset.toml").read_text())


def test_a_val_folder_beside_test_is_left_out_and_the_note_says_so(data, tmp_path, class_folders):
    counts = {f"{part}/{name}": 2 for part in ("train", "val", "test") for name in ("cat", "dog")}
    state = add("pets", class_folders(tmp_path / "s", counts), data)
    assert (state.n_train, state.n_test) == (4, 4) and "val is left out" in state.note


def test_a_train_folder_beside_test_images_without_classes_is_split(data, tmp_path, class_folders):
    folder = class_folders(tmp_path / "s", {"train/cat": 5, "train/dog": 5, "test": 4})
    state = add("pets", folder, data)
    assert (state.n_train, state.n_test) == (8, 2) and load("pets", data).classes == ("cat", "dog")
    assert "a fifth of each class" in state.note and "Only its folder train is taken." in state.note


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "valid", "test"),
        ("Train", "Validation", "Test"),
        ("TRAINING", "eval", "testing"),
        ("training_set", "extra", "test_set"),
        ("train2017", "val2017", "test2017"),
        ("train_images", "dev", "test-images"),
    ],
)
def test_no_folder_beside_the_parts_is_dropped_in_silence(data, tmp_path, class_folders, parts):
    train, left, test = parts
    state = add(
        "pets", class_folders(tmp_path / "s", {f"{part}/{n}": 2 for part in parts for n in ("cat", "dog")}), data
    )
    assert (state.n_train, state.n_test) == (4, 4) and load("pets", data).classes == ("cat", "dog")
    assert f"as its folders {train} and {test} have them. Its folder {left} is left out." in state.note


@pytest.mark.parametrize("test", ["val", "valid", "Validation", "EVAL", "dev", "val_set"])
def test_images_for_validation_are_the_test_images_where_no_others_are(data, tmp_path, class_folders, test):
    folder = class_folders(tmp_path / "s", {f"{part}/{n}": 2 for part in ("Train", test) for n in ("cat", "dog")})
    state = add("pets", folder, data)
    assert (state.n_train, state.n_test) == (4, 4) and f"as its folders Train and {test} have them." in state.note


def test_many_folders_beside_the_parts_are_named_and_counted_and_their_names_are_harmless(
    data, tmp_path, class_folders
):
    counts = {f"{part}/{n}": 2 for part in ("train", "test") for n in ("cat", "dog")}
    counts |= {f"more{number}": 1 for number in range(6)} | {"<b>\x1b[31m": 1}
    note = add("pets", class_folders(tmp_path / "s", counts), data).note
    assert "Its folders ?b?\\x1b[31m, more0, more1, more2 and 3 more are left out." in note
    assert add("odd", class_folders(tmp_path / "o", {"train/a": 2, "train/b": 2, "caf\udce9": 1}), data).ready


def test_two_folders_of_the_same_part_are_refused(data, tmp_path, class_folders):
    counts = {f"{part}/{n}": 2 for part in ("train", "Training", "test") for n in ("cat", "dog")}
    with pytest.raises(DatasetCorrupt, match="Training and train are both that part"):
        add("pets", class_folders(tmp_path / "s", counts), data)
    counts = {f"{part}/{n}": 2 for part in ("train", "val", "valid") for n in ("cat", "dog")}
    with pytest.raises(DatasetCorrupt, match="val and valid are both that part"):
        add("pets", class_folders(tmp_path / "v", counts), data)


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"train": 3, "test": 2}, "test with 2 images; train with 3 images"),
        ({"Train": 3, "Test": 2}, "Test with 2 images; Train with 3 images"),
        ({"train": 3, "val": 1}, "train with 3 images; val with 1 image"),
        ({"train": 3, "valid": 1, "test": 2}, "test with 2 images; train with 3 images; valid with 1 image"),
        ({"images": 3, "masks": 3}, "images with 3 images; masks with 3 images"),
        ({"Images": 3, "Labels": 3, "train": 1}, "Images with 3 images"),
        ({"train_images": 3, "test_images": 2}, "test_images with 2 images"),
        ({"seg_train": 3, "seg_test": 2}, "seg_test with 2 images"),
        ({"trainA": 3, "trainB": 2, "testA": 1, "testB": 1}, "testA with 1 image"),
        ({"train/images": 3, "train/masks": 3, "test/images": 1, "test/masks": 1}, "images with 3 images"),
        ({"images/train": 3, "images/val": 3, "labels/train": 1}, "images with 2 folders; labels with 1 folder"),
        ({"train": 3, "test/cat": 2, "test/dog": 2}, "test with 2 folders; train with 3 images"),
        ({"val/cat": 2, "val/dog": 2, "test/cat": 2, "test/dog": 2}, "test with 2 folders; val with 2 folders"),
        ({"fold1": 3, "fold2": 3}, "fold1 with 3 images"),
        ({"images": 5}, "images with 5 images"),
    ],
)
def test_a_layout_that_is_not_known_is_refused_with_what_was_found(data, tmp_path, class_folders, counts, found):
    folder = class_folders(tmp_path / "s", counts)
    (folder / "trainLabels.csv").write_text("id,label\n0,frog\n1,truck\n")
    with pytest.raises(NoClassFolders, match=rf"train/<class>/\*.*Found: .*{found}"):
        add("pets", folder, data)
    assert not (data / "pets").exists()


@pytest.mark.parametrize(
    "names", [("valid", "invalid"), ("test", "control"), ("bullet train", "steam train"), ("1", "2")]
)
def test_classes_with_names_like_parts_are_classes(data, tmp_path, class_folders, names):
    add("pets", class_folders(tmp_path / "s", dict.fromkeys(names, 3)), data)
    assert load("pets", data).classes == tuple(sorted(names))


def test_class_folders_are_found_below_folders_that_hold_nothing_else(data, tmp_path, class_folders):
    """As an archive of /home/me/data/pets has them; a part may have such a folder, too."""
    folder = class_folders(tmp_path / "s", {"home/me/data/pets/pets/cat": 5, "home/me/data/pets/pets/dog": 5})
    (folder / "home" / "me" / "README.md").write_text("pets")
    assert add("pets", folder, data).n_train == 8
    counts = {f"{part}/{part}/{n}": 2 for part in ("train", "test") for n in ("cat", "dog")}
    assert add("doubled", class_folders(tmp_path / "d", counts), data).n_test == 4


def test_a_class_may_be_called_train(data, tmp_path, class_folders):
    add("toys", class_folders(tmp_path / "s", {"train": 3, "test": 3, "bus": 3}), data)
    assert load("toys", data).classes == ("bus", "test", "train")


def test_the_table_holds_what_a_network_needs(data, source):
    add("pets", source, data, size=32, mirrors=True)
    table = tomllib.loads((data / "pets" / "dataset.toml").read_text())
    spec, pixels = find("pets", data), load("pets", data).train_images / 255
    assert (spec.image_shape, spec.n_classes, spec.mirrors) == ((3, 32, 32), 2, True)
    assert (spec.n_train, spec.n_test, spec.title) == (12, 3, "Pets")
    assert np.allclose(spec.mean, pixels.mean((0, 1, 2)), atol=5e-5)
    assert np.allclose(spec.std, pixels.std((0, 1, 2)), atol=5e-5)
    assert (table["size"], table["channels"], table["split_seed"], table["classes"]) == (32, 3, 0, ["cat", "dog"])


def test_images_are_not_mirrored_unless_their_owner_says_so(data, source):
    add("pets", source, data)
    assert find("pets", data).mirrors is False
    mirrored = {name: spec.mirrors for name, spec in DATASETS.built_in.items()}
    assert {name for name, may in mirrored.items() if not may} == {"digits", "speech_commands", "speech_commands_v1"}


def test_moments_are_those_of_whole_numbers_and_one_colour_divides_by_no_zero():
    images = np.zeros((2, 1, 1, 3), dtype=np.uint8)
    images[1, 0, 0] = (255, 51, 0)
    # of 0 and 1, of 0 and 0.2, of nothing but 0: deviations are half the distance, the last one is kept from zero
    assert moments(images) == ((0.5, 0.1, 0.0), (0.5, 0.1, round(1 / 255, 4)))


@pytest.mark.parametrize(("sides", "expected"), [((20, 20, 30), 20), ((100, 100, 30), 64), ((8, 8, 30), 16)])
def test_the_size_is_the_commonest_one_from_16_to_64(data, tmp_path, class_folders, sides, expected):
    for number, side in enumerate(sides):
        class_folders(tmp_path / "s", {f"train/{number}": 2, f"test/{number}": 1}, side=side)
    add("pets", tmp_path / "s", data)
    assert find("pets", data).image_shape == (3, expected, expected)


def test_grey_odd_and_turned_images_live_side_by_side(data, tmp_path):
    for name, value in (("dark", 10), ("light", 240)):
        (tmp_path / "s" / name).mkdir(parents=True)
        Image.new("L", (20, 50), value).save(tmp_path / "s" / name / "grey.png")
        Image.new("RGBA", (90, 16), (value, value, value, 255)).save(tmp_path / "s" / name / "wide.png")
        Image.new("P", (16, 16), value).convert("RGB").save(tmp_path / "s" / name / "x.jpg")
    add("shades", tmp_path / "s", data, size=16)
    shades = load("shades", data)
    assert shades.train_images.shape == (4, 16, 16, 3)


def test_unicode_class_names_are_kept(data, tmp_path, class_folders):
    names = {"café": 2, "犬": 2, 'quo"te\\': 2, "emoji 😀": 2}
    add("words", class_folders(tmp_path / "s", names), data)
    assert set(load("words", data).classes) == set(names)


def test_letters_that_are_joined_or_parted_by_a_sign_without_width_are_spelt_so(data, tmp_path, class_folders):
    """As Persian and emoji do; where nothing is joined, the name would look like another."""
    names = {"\u0645\u06cc\u200c\u0634\u0648\u062f": 2, "\U0001f469\u200d\U0001f52c": 2}
    add("joined", class_folders(tmp_path / "s", names), data)
    assert set(load("joined", data).classes) == set(names)
    for odd in ("c\u200cat", "\u200c\u0645", "\u0645\u200c", "\u0645\u200c\u200c\u0634", "\u0645\u202e\u0634"):
        with pytest.raises(DatasetCorrupt, match="printable"):
            add("odd", class_folders(tmp_path / odd, {odd: 2, "b": 2}), data)


def test_accents_written_in_two_ways_are_one_class(data, tmp_path, class_folders):
    """macOS writes é as two characters, Linux as one."""
    one, two = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert one != two
    counts = {f"train/{one}": 2, "train/tea": 2, f"test/{two}": 1, "test/tea": 1}
    add("drinks", class_folders(tmp_path / "s", counts), data)
    assert load("drinks", data).classes == (one, "tea")
    with pytest.raises(DatasetCorrupt, match="written differently"):
        add("both", class_folders(tmp_path / "b", {one: 2, two: 2}), data)


def test_what_systems_leave_behind_is_passed_over(data, source):
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "dog/desktop.ini", "cat/._0.png", "README.txt"):
        (source / name).write_bytes(b"not an image")
    shutil.copytree(source, source / ".ipynb_checkpoints")
    for name in ("__MACOSX", "@eaDir", ".git", "$RECYCLE.BIN", "System Volume Information", "lost+found", "#recycle"):
        shutil.copytree(source / "cat", source / name / "cat")
        shutil.copytree(source / name, source / "dog" / name)
    assert add("pets", source, data).n_train == 12


def test_an_image_of_both_parts_is_counted_in_the_note(data, tmp_path, class_folders):
    folder = class_folders(tmp_path / "s", {"train/cat": 2, "train/dog": 2, "test/cat": 2, "test/dog": 1})
    assert "also among" not in add("clean", folder, data).note
    shutil.copy(folder / "train" / "cat" / "0.png", folder / "test" / "cat" / "0.png")
    assert "1 of its test images are also among the training images" in add("leaky", folder, data).note


# From archives.


def packed(folder: Path, target: Path) -> Path:
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as zipped:
            for file in sorted(folder.rglob("*")):
                zipped.write(file, f"some folder/{file.relative_to(folder)}")
    else:
        with tarfile.open(target, "w:gz") as tar:
            tar.add(folder, "./some folder")
    return target


@pytest.mark.parametrize("name", ["p.zip", "p.tar.gz"])
def test_an_archive_with_class_folders_gives_what_the_folder_gives(data, tmp_path, source, name):
    (source / ".DS_Store").write_bytes(b"x")
    archive = packed(source, tmp_path / name)
    add("pets", source, data)
    add("packed", archive, data)
    for array in ("train_images", "train_labels", "test_images", "test_labels"):
        assert np.array_equal(getattr(load("pets", data), array), getattr(load("packed", data), array))
    assert sorted(path.name for path in (data / "packed").iterdir()) == sorted(
        path.name for path in (data / "pets").iterdir()
    )


@pytest.mark.parametrize("name", ["p.zip", "p.tar.gz"])
def test_a_truncated_archive_is_corrupt_and_adds_nothing(data, tmp_path, source, name):
    archive = packed(source, tmp_path / name)
    os.truncate(archive, archive.stat().st_size // 2)
    with pytest.raises(DatasetCorrupt, match="cut off"):
        add("pets", archive, data)
    assert not (data / "pets").exists()


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (("../cat/0.png", b"x", tarfile.REGTYPE), "leads out"),
        (("cat/link.png", b"", tarfile.SYMTYPE), "is a link"),
        (("cat", b"x", tarfile.REGTYPE), "folder that is a file"),
        (("cat/" + "a" * 300 + ".png", b"x", tarfile.REGTYPE), "impossible name"),
    ],
)
def test_an_archive_with_a_dangerous_member_is_refused(data, tmp_path, member, why):
    name, content, kind = member
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for path, body, type_ in ((name, content, kind), ("cat/1.png", b"x", tarfile.REGTYPE)):
            info = tarfile.TarInfo(path)
            info.size, info.type, info.linkname = len(body), type_, "/etc/passwd"
            tar.addfile(info, io.BytesIO(body))
    with pytest.raises(UnsafeArchive, match=why):
        add("pets", tmp_path / "x.tar", data)
    assert not (data / "pets").exists()


# What cannot become one.


def test_every_bad_file_is_found_five_are_named_and_the_rest_counted(data, tmp_path, class_folders):
    source = class_folders(tmp_path / "s", {"cat": 6, "dog": 6})
    for number in range(6):
        (source / "cat" / f"{number}.png").write_bytes(b"")
    os.truncate(source / "dog" / "3.png", 300)
    with pytest.raises(DatasetCorrupt) as caught:
        add("pets", source, data)
    message = caught.value.message
    assert caught.value.fields["file"].startswith("cat/") and "7 files cannot be used" in message
    assert message.count("it is empty") == 5 and "and 2 more" in message
    assert not (data / "pets").exists() and [path.name for path in data.iterdir()] == [".pets.lock"]


def damage(kind: str, source: Path) -> None:
    cat = source / "cat"
    match kind:
        case "truncated":
            os.truncate(cat / "3.png", 300)
        case "text":
            (cat / "notes.txt").write_text("ten cats")
        case "named png":
            (cat / "3.png").write_text("a cat")
        case "folder inside":
            (cat / "kittens").mkdir()
        case "outside":
            shutil.copy(cat / "3.png", source / "3.png")
        case "pipe":
            os.mkfifo(cat / "pipe.png")
        case "link out":
            (source.parent / "secret.png").write_bytes((cat / "3.png").read_bytes())
            (cat / "link.png").symlink_to(source.parent / "secret.png")
        case "folder link out":
            (source.parent / "elsewhere").mkdir()
            (source / "owl").symlink_to(source.parent / "elsewhere")
        case "part link out":
            shutil.copytree(source, source.parent / "elsewhere")
            (source / "train").symlink_to(source.parent / "elsewhere")
        case "broken link":
            (cat / "link.png").symlink_to("nowhere.png")
        case "link to itself":
            (cat / "link.png").symlink_to("link.png")
        case "empty class":
            (source / "owl").mkdir()
        case "one image":
            (source / "owl").mkdir()
            shutil.copy(cat / "3.png", source / "owl")
        case "markup":
            cat.rename(source / "<b>cat")
        case "line break":
            cat.rename(source / "c\nat")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "cat/3.png.*damaged or cut off"),
        ("text", "cat/notes.txt.*no image of a kind"),
        ("named png", "cat/3.png.*no image of a kind"),
        ("folder inside", "cat/kittens.*folder in a class folder"),
        ("outside", "3.png.*outside the class folders"),
        ("pipe", "cat/pipe.png.*no regular file"),
        ("link out", "cat/link.png.*out of the folder"),
        ("folder link out", "owl.*out of the folder"),
        ("part link out", "train.*out of the folder"),
        ("broken link", "cat/link.png.*leads nowhere"),
        ("link to itself", "cat/link.png.*leads nowhere"),
        ("empty class", "owl.*has 0 images; at least 2"),
        ("one image", "owl.*has 1 image; at least 2"),
        ("markup", "printable characters"),
        ("line break", "printable characters"),
    ],
)
def test_a_folder_with_a_fault_is_refused_and_the_fault_named(data, source, kind, words):
    damage(kind, source)
    with pytest.raises(DatasetCorrupt, match=words):
        add("pets", source, data)
    assert not (data / "pets").exists()


def test_a_link_inside_the_folder_is_followed(data, source):
    (source / "cat" / "again.png").symlink_to(source / "cat" / "3.png")
    assert add("pets", source, data).n_train == 13  # 11 and 5 images, less 2 and 1


def test_a_decompression_bomb_is_refused(data, source, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 20 - 1)
    with pytest.raises(DatasetCorrupt, match=r"15 files cannot be used|more than 399 pixels"):
        add("pets", source, data)


def test_one_class_is_not_enough(data, tmp_path, class_folders):
    with pytest.raises(BadValue, match="at least 2"):
        add("pets", class_folders(tmp_path / "s", {"cat": 5}), data)


def test_more_classes_than_any_page_can_show_are_refused_before_an_image_is_read(data, tmp_path):
    for number in range(MAX_CLASSES + 1):
        (tmp_path / "s" / f"c{number}").mkdir(parents=True)
        for file in ("a.png", "b.png"):
            (tmp_path / "s" / f"c{number}" / file).touch()
    with pytest.raises(BadValue, match="at most 1000"):
        add("many", tmp_path / "s", data)


@pytest.mark.parametrize("gone", ["train/dog", "test/dog"])
def test_a_class_of_one_part_alone_is_named(data, tmp_path, class_folders, gone):
    counts = {f"{part}/{name}": 2 for part in ("train", "test") for name in ("cat", "dog", "owl")}
    folder = class_folders(tmp_path / "s", counts)
    shutil.rmtree(folder / gone)
    with pytest.raises(DatasetCorrupt, match=f"'dog' has no image in {gone.split('/')[0]}"):
        add("pets", folder, data)


@pytest.mark.parametrize("kind", ["empty", "text", "images", "code"])
def test_a_folder_without_class_folders_is_told_what_is_expected(data, tmp_path, class_folders, kind):
    folder = tmp_path / "s"
    folder.mkdir()
    match kind:
        case "text":
            (folder / "readme.txt").write_text("x")
        case "images":
            class_folders(tmp_path, {"s": 3})
        case "code":
            (folder / "src").mkdir()
            (folder / "src" / "a.py").write_text("x")
    with pytest.raises(BadValue, match="folder of class folders"):
        add("pets", folder, data)
    with pytest.raises(UnknownName, match="Did you mean cifar10"):  # a slip of the pen, more likely
        add("cifar1", folder, data)


@pytest.mark.parametrize("name", ["Pets", "1pets", "pe ts", "", "../pets", "a" * 41, "downloads", "pets/x", "-p"])
def test_a_name_that_could_not_be_a_folder_is_refused(data, source, name):
    with pytest.raises(BadValue, match="name"):
        add(name, source, data)


def test_a_built_in_name_cannot_be_taken(data, source):
    with pytest.raises(BadValue, match="CIFAR-10"):
        add("cifar10", source, data)
    with pytest.raises(BadValue, match="data set of your own"):
        add("cifar10", source, data, size=32)
    with pytest.raises(BadValue, match="data set of your own"):
        add("cifar10", source, data, mirrors=True)
    # even a table put there by hand does not stand in for the row
    add("pets", source, data)
    (data / "pets").rename(data / "cifar10")
    assert find("cifar10", data).n_classes == 10 and list(all_specs(data)).count("cifar10") == 1


@pytest.mark.parametrize("size", [0, 15, 257, -3])
def test_a_size_out_of_range_is_refused(data, source, size):
    with pytest.raises(BadValue, match="from 16 to 256"):
        add("pets", source, data, size=size)


def test_a_set_is_exchanged_only_when_asked(data, source, tmp_path, class_folders):
    add("pets", source, data)
    other = class_folders(tmp_path / "o", {"cat": 5, "dog": 5, "owl": 5})
    with pytest.raises(BadValue, match="--replace"):
        add("pets", other, data)
    assert find("pets", data).n_classes == 2
    add("pets", other, data, replace=True)
    assert find("pets", data).n_classes == 3


def test_a_killed_add_of_another_set_is_left_alone(data, source):
    """pets-2 begins as pets does; what it is being made in belongs to it."""
    making, old = data / ".pets-2-deadbeef", data / ".pets-2-deadbeef-old"
    making.mkdir(parents=True)
    old.mkdir()
    (data / ".pets-deadbeef").mkdir()
    add("pets", source, data)
    assert making.exists() and old.exists() and not (data / ".pets-deadbeef").exists()


ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from core.datasets.add import add
from core.errors import HomeUnusable
try:
    add("pets", Path(sys.argv[1]), Path(sys.argv[2]), size=int(sys.argv[3]))
except HomeUnusable as error:
    print(error)
print(sorted(path.name for path in Path(sys.argv[2]).iterdir()))
"""


@pytest.mark.parametrize("size", [64, 16])
def test_a_disk_that_fills_up_while_a_set_is_made_is_told_and_leaves_nothing(tmp_path, source, size):
    """On a real file system with less room than the images take (64), or only just enough for them (16)."""
    images = 15 * size * size * 3
    room = images // 2 if size == 64 else images + 4096  # the labels, the table and the lock find none
    room = (room + 4095) // 4096 * 4096
    (tmp_path / "small").mkdir()
    mount = f'mount -t tmpfs -o size={room} tmpfs "$0" && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(tmp_path / "small")]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a file system of its own")
    arguments = ["-c", ON_A_SMALL_DISK, str(source), str(tmp_path / "small"), str(size)]
    done = subprocess.run([*command, sys.executable, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the disk is full (0 MB free). Nothing was added" in done.stdout
    assert done.stdout.endswith("['.pets.lock']\n")


def test_a_full_disk_leaves_nothing(data, source, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(add_user.os, "fsync", full)
    with pytest.raises(Exception, match="disk is full"):
        add("pets", source, data)
    assert [path.name for path in data.iterdir()] == [".pets.lock"]


# Known to the whole program.


def test_a_set_that_is_added_while_the_program_runs_is_known_at_once(data, source):
    assert "pets" not in DATASETS and list(DATASETS) == list(DATASETS.built_in)
    with pytest.raises(UnknownName):
        DATASETS["pets"]
    add("pets", source, data)
    assert "pets" in DATASETS and list(DATASETS) == [*DATASETS.built_in, "pets"] and len(DATASETS) == 9
    request = RunRequest(backbone="squeezenet", kind=Kind.SNN, mask="Ref-1", dataset="pets", recipe="smoke")
    plan = plan_of(build_config(request))
    assert plan.nodes[0].shape == (3, 20, 20) and plan.nodes[-1].shape[0] == 2
    with pytest.raises(UnknownName, match="Did you mean pets"):
        DATASETS["pet"]
    shutil.rmtree(data / "pets")
    assert "pets" not in DATASETS


def test_a_changed_table_is_read_again(data, source):
    add("pets", source, data)
    table = data / "pets" / "dataset.toml"
    assert DATASETS["pets"].title == "Pets" and DATASETS["pets"] is DATASETS["pets"]
    table.write_text(table.read_text().replace('title = "Pets"', 'title = "Cats and dogs"'))
    assert DATASETS["pets"].title == "Cats and dogs"
    with DATASETS.looking_in(table.parents[1]):
        assert title_of("pets") == "Cats and dogs"
        table.write_text("no table")
        assert (title_of("pets"), title_of("gone"), title_of("digits")) == ("pets", "gone", "Digits")


def test_another_data_folder_has_sets_of_its_own(data, source, tmp_path):
    add("pets", source, data)
    other = tmp_path / "other"
    add("zoo", source, other)
    assert "pets" not in all_specs(other) and "zoo" in all_specs(other) and "zoo" not in DATASETS
    assert find("zoo", other).n_classes == 2 and find("cifar10", other) is DATASETS["cifar10"]
    with DATASETS.looking_in(other):
        assert DATASETS["zoo"].name == "zoo" and "pets" not in DATASETS
    assert "zoo" not in DATASETS
    state = status("pets", other)  # known to the program, but not in that folder
    assert not state.ready
    with pytest.raises(DatasetMissing):
        load("pets", other)


# Damaged after it was added.


@pytest.mark.parametrize(
    ("content", "why"),
    [("title = ", "no TOML"), ("\udcff", "no TOML"), ('title = "x"\n', "Field required"), (None, "classes")],
)
def test_a_bad_table_is_named_when_asked_for_and_hides_no_other_set(data, source, content, why, caplog):
    add("pets", source, data)
    add("zoo", source, data)
    table = data / "pets" / "dataset.toml"
    content = table.read_text().replace('["cat", "dog"]', '["cat"]') if content is None else content
    table.write_bytes(content.encode(errors="surrogateescape"))
    for ask in (status, load, verify):
        with pytest.raises(DatasetCorrupt, match=f"dataset.toml.*{why}"):
            ask("pets", data)
    assert [name for name in DATASETS if name not in DATASETS.built_in] == ["zoo"]
    assert "datasets.table_unreadable" in caplog.text
    assert add("pets", source, data, replace=True).ready


@pytest.mark.parametrize("spoil", ["cut", "gone", "bytes", "labels", "other", "pickle"])
def test_verify_finds_every_change_of_the_arrays(data, source, spoil):
    add("pets", source, data)
    assert verify("pets", data).state == "complete"
    name = "train_labels.npy" if spoil in ("labels", "other") else "train_images.npy"
    file, expected = data / "pets" / name, "corrupt"
    match spoil:
        case "cut":
            os.truncate(file, file.stat().st_size - 10_000)
        case "gone":
            file.unlink()
            expected = "missing"
        case "bytes":
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)
        case "labels":
            np.save(file, np.full(12, 2))
        case "other":
            np.save(file, np.zeros((12, 2), dtype=np.int64))
        case "pickle":
            np.save(file, np.array([{"x": "y" * 20_000}] * 12), allow_pickle=True)
    report = verify("pets", data)
    assert report.state == expected and [f.file for f in report.files if f.state != "ok"] == [name]
    if spoil != "bytes":  # one bit in an image is for verify alone to see
        with pytest.raises(DatasetCorrupt, match=name):
            load("pets", data)
    if spoil in ("cut", "gone"):
        assert not status("pets", data).ready


def test_writing_to_a_loaded_array_never_reaches_the_disk(data, source):
    add("pets", source, data)
    load("pets", data).train_images[:] = 0
    assert verify("pets", data).state == "complete"
