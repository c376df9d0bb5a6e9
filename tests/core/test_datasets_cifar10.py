"""Reading CIFAR-10: every layout it comes in, every way it can be damaged, and what a hostile file can do (nothing)."""

import lzma
import os
import pickle
import pickletools
import shutil
import subprocess
import sys

import numpy as np
import pytest

from core.datasets import array_cache as cache
from core.datasets import cifar, unpickle
from core.datasets.load import load, status, verify
from core.errors import DatasetCorrupt, DatasetMissing

pytestmark = pytest.mark.usefixtures("small_cifar10")
ROWS = 20
LAYOUT = "cifar-10-batches-py"


@pytest.mark.parametrize("protocol", ["python2", 0, 1, 2, 3, 4, 5])
def test_a_complete_set_is_read_from_every_pickle_protocol(tmp_path, cifar10_files, cifar10_batch, protocol):
    cifar10_files(tmp_path / "cifar10" / LAYOUT, protocol=protocol)
    data = load("cifar10", tmp_path)
    assert data.complete and data.note is None
    assert data.train_images.shape == (5 * ROWS, 32, 32, 3) and data.test_images.shape == (ROWS, 32, 32, 3)
    assert data.train_images.dtype == np.uint8 and data.train_labels.dtype == np.int64
    first = cifar10_batch(1)[b"data"][0]
    # a row holds 1024 red values, then green, then blue; pixel (2, 3) is number 2 * 32 + 3 of each
    assert data.train_images[0, 2, 3].tolist() == [first[67], first[1024 + 67], first[2048 + 67]]
    assert data.train_labels[:12].tolist() == [*range(10), 0, 1]


def test_the_python_2_files_of_these_tests_are_pickled_as_the_authors_are(tmp_path, cifar10_files):
    """Byte strings under the opcodes of Python 2, and NumPy under its old name."""
    content = (cifar10_files(tmp_path) / "data_batch_1").read_bytes()
    opcodes = {opcode.name: argument for opcode, argument, _ in pickletools.genops(content)}
    assert opcodes["PROTO"] == 2
    assert "BINSTRING" in opcodes and not {"BINUNICODE", "BINBYTES", "SHORT_BINBYTES"} & opcodes.keys()
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in content


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_found_without_the_layouts_own_folder_and_packed(tmp_path, cifar10_files, packed):
    folder = cifar10_files(tmp_path / "cifar10")
    if packed:
        for file in list(folder.iterdir()):
            (folder / f"{file.name}.xz").write_bytes(lzma.compress(file.read_bytes(), preset=0))
            file.unlink()
    assert load("cifar10", tmp_path).complete


def test_text_keys_and_label_arrays_are_read_too(tmp_path, cifar10_files, cifar10_batch, write_pickle):
    folder = cifar10_files(tmp_path / "cifar10")
    content = {key.decode(): value for key, value in cifar10_batch(1).items()}
    content["labels"] = np.array(content["labels"], dtype=np.int64)
    content["data"] = np.asfortranarray(content["data"])
    write_pickle(content, folder / "data_batch_1", 4)
    data = load("cifar10", tmp_path)
    assert data.complete and data.train_labels[:3].tolist() == [0, 1, 2]
    assert data.train_images[0, 0, 0, 0] == content["data"][0, 0]


def test_missing_training_files_make_a_subset_that_says_so(tmp_path, cifar10_files):
    cifar10_files(tmp_path / "cifar10", train=2)
    data = load("cifar10", tmp_path)
    assert not data.complete and len(data.train_labels) == 2 * ROWS
    state = status("cifar10", tmp_path)
    assert (state.ready, state.complete, state.n_train, state.n_test) == (True, False, 2 * ROWS, ROWS)
    assert state.note == "A subset: 40 of 100 training and 20 of 20 test images."
    assert verify("cifar10", tmp_path).state == "subset"


def test_files_with_fewer_images_make_a_subset(tmp_path, cifar10_files):
    cifar10_files(tmp_path / "cifar10", rows=10)
    data = load("cifar10", tmp_path)
    assert not data.complete and "50 of 100 training" in data.note


def test_classes_of_unequal_size_are_not_the_published_set(tmp_path, cifar10_files, cifar10_batch, write_pickle):
    folder = cifar10_files(tmp_path / "cifar10")
    content = cifar10_batch(3) | {b"labels": [0] * ROWS}
    write_pickle(content, folder / "data_batch_3")
    data = load("cifar10", tmp_path)
    assert not data.complete and "not equally large" in data.note


@pytest.mark.parametrize("gone", ["test_batch", "training"])
def test_a_set_without_training_or_test_files_is_missing(tmp_path, cifar10_files, gone):
    folder = cifar10_files(tmp_path / "cifar10", train=1)
    (folder / ("test_batch" if gone == "test_batch" else "data_batch_1")).unlink()
    assert not status("cifar10", tmp_path).ready
    with pytest.raises(DatasetMissing, match="data add"):
        load("cifar10", tmp_path)
    assert verify("cifar10", tmp_path).state == "missing"


def test_an_empty_data_folder_is_no_error_for_status(tmp_path):
    state = status("cifar10", tmp_path / "nothing")
    assert not state.ready and "data fetch" in state.note


def damages():
    def rows(content):
        return content | {b"data": content[b"data"][:, :3000]}

    return {
        "label-10": (lambda c: c | {b"labels": [*c[b"labels"][:-1], 10]}, "labels go from 0 to 10"),
        "label-minus-1": (lambda c: c | {b"labels": [*c[b"labels"][:-1], -1]}, "labels go from -1 to 9"),
        "label-text": (lambda c: c | {b"labels": [*c[b"labels"][:-1], b"cat"]}, "no list of whole numbers"),
        "label-fraction": (lambda c: c | {b"labels": [*c[b"labels"][:-1], 0.5]}, "BINFLOAT"),
        "too-few-labels": (lambda c: c | {b"labels": c[b"labels"][:-1]}, "20 images but 19 labels"),
        "short-rows": (rows, "rows have 3000 values"),
        "no-images": (lambda c: c | {b"data": c[b"data"][:0], b"labels": []}, "holds 0 images"),
        "too-many": (
            lambda c: c | {b"data": np.tile(c[b"data"], (2, 1)), b"labels": c[b"labels"] * 2},
            "40 images; such a file has 1 to 20",
        ),
        "no-data": (lambda c: {b"labels": c[b"labels"]}, "no table of bytes"),
        "floats": (lambda c: c | {b"data": c[b"data"].astype(np.float32)}, "something else than integers"),
        "wide": (lambda c: c | {b"data": c[b"data"].astype(np.int64)}, "no table of bytes"),
        "objects": (lambda c: c | {b"data": np.array([[1, None]], dtype=object)}, "cannot be used"),
        "no-dict": (lambda c: [1, 2], "no table of named parts"),
    }


@pytest.mark.parametrize("damage", damages())
def test_a_file_that_contradicts_itself_is_corrupt_with_file_and_reason(
    tmp_path, cifar10_files, cifar10_batch, write_pickle, damage
):
    change, reason = damages()[damage]
    folder = cifar10_files(tmp_path / "cifar10")
    write_pickle(change(cifar10_batch(2)), folder / "data_batch_2", 4)
    with pytest.raises(DatasetCorrupt, match=reason) as caught:
        load("cifar10", tmp_path)
    assert caught.value.fields["file"] == "data_batch_2"
    report = verify("cifar10", tmp_path)
    assert report.state == "corrupt"
    assert {file.file for file in report.files if file.state == "corrupt"} == {"data_batch_2"}


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, 61_000])
def test_a_truncated_file_is_corrupt_wherever_it_ends(tmp_path, cifar10_files, keep):
    file = cifar10_files(tmp_path / "cifar10") / "test_batch"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DatasetCorrupt, match="test_batch.*(cut off|no pickle)"):
        load("cifar10", tmp_path)


def test_a_truncated_packed_file_is_corrupt(tmp_path, cifar10_files):
    file = cifar10_files(tmp_path / "cifar10") / "test_batch"
    (file.parent / "test_batch.xz").write_bytes(lzma.compress(file.read_bytes(), preset=0)[:-100])
    file.unlink()
    with pytest.raises(DatasetCorrupt, match=r"test_batch.xz.*cut off"):
        load("cifar10", tmp_path)


def test_a_training_file_that_is_the_test_file_under_another_name_is_corrupt(tmp_path, cifar10_files):
    folder = cifar10_files(tmp_path / "cifar10")
    (folder / "data_batch_4").write_bytes((folder / "test_batch").read_bytes())
    with pytest.raises(DatasetCorrupt, match="the same images as data_batch_4"):
        load("cifar10", tmp_path)


def test_class_names_of_another_set_are_corrupt(tmp_path, cifar10_files, write_pickle):
    folder = cifar10_files(tmp_path / "cifar10")
    write_pickle({b"label_names": [b"apple"] * 10}, folder / "batches.meta")
    with pytest.raises(DatasetCorrupt, match="batches.meta.*class names"):
        load("cifar10", tmp_path)


def test_a_file_far_too_large_is_not_read_into_memory(tmp_path, cifar10_files, monkeypatch):
    cifar10_files(tmp_path / "cifar10")
    monkeypatch.setattr(cifar, "MAX_FILE_BYTES", 1000)
    with pytest.raises(DatasetCorrupt, match="more than"):
        load("cifar10", tmp_path)


# A hostile file. Each one would leave a mark if anything of it ran.


class Runs:
    """Pickles to a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def hostile(mark):
    return {
        "system": pickle.dumps(Runs(os.system, f"touch {mark}")),
        "eval": pickle.dumps(Runs(eval, f"open({str(mark)!r}, 'w')")),
        "open": pickle.dumps(Runs(open, str(mark), "w"), protocol=0),
        "inside": pickle.dumps({b"data": Runs(os.mkdir, str(mark)), b"labels": []}, protocol=4),
        "getattr": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
        "numpy-load": b"cnumpy\nload\n(S'x'\ntR.",
        "instance": f"(S'touch {mark}'\nios\nsystem\n.".encode(),
        "object": b"(cos\nsystem\nS'true'\no.",
        "persistent": b"Pabc\n.",
        "extension": b"\x80\x02\x82\x01.",
        "newobj": b"\x80\x02cnumpy\nndarray\n)\x81.",
        "scalar": b"cnumpy.core.multiarray\nscalar\n.",
    }


@pytest.mark.parametrize("attack", hostile("x"))
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, cifar10_files, attack):
    mark = tmp_path / "mark"
    (cifar10_files(tmp_path / "cifar10") / "data_batch_1").write_bytes(hostile(mark)[attack])
    with pytest.raises(DatasetCorrupt, match="never needs|no pickle"):
        load("cifar10", tmp_path)
    assert not mark.exists()


def test_the_attacks_of_these_tests_do_run_under_plain_pickle(tmp_path):
    mark = tmp_path / "mark"
    pickle.loads(hostile(mark)["system"])
    assert mark.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x02r\xff\xff\xff\xff.", "memo"),  # would reserve memory for four billion entries
        (b"\x80\x02}.trailing", "bytes follow"),
        (b"\x80\x02c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.", "odd way"),  # bytes(2147483647)
        (b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "odd way"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "cut off"),  # promises 9 exabytes
        (b"", "cut off"),
    ],
)
def test_a_pickle_that_would_fill_the_memory_is_refused(content, reason):
    with pytest.raises(unpickle.Refused, match=reason):
        unpickle.loads(content)


def test_a_file_cannot_alter_the_reader_for_the_next_file(write_pickle, tmp_path):
    """BUILD sets attributes of whatever it is given; here it gives our own function other default arguments."""
    defaults = b"X\x0c\x00\x00\x00__defaults__(K\x01K\x02t"
    attack = b"\x80\x02}X\x01\x00\x00\x00xc_codecs\nencode\nN}" + defaults + b"s\x86bs."
    altered = unpickle.loads(attack)["x"]
    assert altered.__defaults__ == (1, 2)  # the attack works, on a function that nobody uses again
    write_pickle({"data": np.arange(3, dtype=np.uint8), "text": b"abc"}, tmp_path / "x", 2)
    content = unpickle.loads((tmp_path / "x").read_bytes())
    assert content["data"].tolist() == [0, 1, 2] and content["text"] == b"abc"


@pytest.mark.parametrize(
    "state",
    [
        (1, (10**12,), "u1", False, b"ab"),
        (1, (-1,), "u1", False, b"ab"),
        (1, ("2",), "u1", False, b"ab"),
        (1, (2,), "O", False, b"ab"),
        (1, (2,), "u1", False, [1, 2]),
        (1, (2,), "u1"),
    ],
)
def test_an_arrays_claims_about_itself_are_checked(state):
    _, names = unpickle._vocabulary()
    made = names["numpy._core.multiarray", "_reconstruct"]()
    dtype = names["numpy", "dtype"](state[2])
    made.__setstate__((*state[:2], dtype, *state[3:]))
    with pytest.raises(unpickle.Refused):
        made.value()


# The cache.


def test_the_second_load_maps_the_cache_and_reads_no_source(tmp_path, cifar10_files, monkeypatch):
    cifar10_files(tmp_path / "cifar10")
    first = load("cifar10", tmp_path)

    def refuse(*_):
        raise AssertionError("a source file was read again")

    monkeypatch.setattr(cifar, "read_bounded", refuse)
    second = load("cifar10", tmp_path)
    assert np.array_equal(first.train_images, second.train_images) and second.complete
    assert np.array_equal(first.test_labels, second.test_labels)


def test_writing_to_a_mapped_array_never_reaches_the_disk(tmp_path, cifar10_files):
    cifar10_files(tmp_path / "cifar10")
    load("cifar10", tmp_path)
    mapped = load("cifar10", tmp_path)
    before = mapped.train_images[0, 0, 0, 0]
    mapped.train_images[0, 0, 0, 0] = 255 - before
    assert load("cifar10", tmp_path).train_images[0, 0, 0, 0] == before


def test_a_changed_source_file_makes_a_new_cache_and_drops_the_old_one(
    tmp_path, cifar10_files, cifar10_batch, write_pickle
):
    folder = cifar10_files(tmp_path / "cifar10")
    load("cifar10", tmp_path)
    (old,) = (folder / "cache").iterdir()
    content = cifar10_batch(99)
    write_pickle(content, folder / "data_batch_1")
    os.utime(folder / "data_batch_1", ns=(1, 1))
    assert load("cifar10", tmp_path).train_images[0, 0, 0, 0] == content[b"data"][0, 0]
    (new,) = (folder / "cache").iterdir()
    assert new != old


@pytest.mark.parametrize("damage", ["cut", "gone", "no-info"])
def test_a_damaged_cache_is_made_again(tmp_path, cifar10_files, damage):
    folder = cifar10_files(tmp_path / "cifar10")
    whole = load("cifar10", tmp_path)
    (cache,) = (folder / "cache").iterdir()
    images = cache / "train_images.npy"
    match damage:
        case "cut":
            os.truncate(images, 5000)
        case "gone":
            images.unlink()
        case "no-info":
            (cache / "info.json").unlink()
    again = load("cifar10", tmp_path)
    assert np.array_equal(whole.train_images, again.train_images)
    assert status("cifar10", tmp_path).complete
    assert np.load(images).shape == (5 * ROWS, 32, 32, 3)


def test_a_folder_that_cannot_be_written_is_read_without_a_cache(tmp_path, cifar10_files, caplog):
    folder = cifar10_files(tmp_path / "cifar10")
    (folder / "cache").write_text("a file where the cache's folder should be")
    assert load("cifar10", tmp_path).complete
    assert "datasets.cache_unwritable" in caplog.text


def test_the_second_of_two_writers_keeps_what_the_first_wrote(tmp_path, caplog):
    arrays = {"x": np.arange(5)}
    assert cache.write(tmp_path, "key", arrays, {"n": 1})
    inode = (tmp_path / "key").stat().st_ino
    assert cache.write(tmp_path, "key", arrays, {"n": 1})
    assert (tmp_path / "key").stat().st_ino == inode
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"] and caplog.text == ""


def test_a_writer_beaten_in_the_last_moment_is_content(tmp_path, caplog, monkeypatch):
    """The other process renames its folder between this one's look and its rename."""
    arrays = {"x": np.arange(5)}
    real_rename = os.rename

    def lose(temp, target):
        shutil.copytree(temp, target)
        real_rename(temp, target)

    monkeypatch.setattr(cache.os, "rename", lose)
    assert cache.write(tmp_path, "key", arrays, {"n": 1})
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"] and caplog.text == ""


def test_status_reads_no_image(tmp_path, cifar10_files, monkeypatch):
    cifar10_files(tmp_path / "cifar10")
    monkeypatch.setattr(cifar, "read_bounded", None)
    state = status("cifar10", tmp_path)
    assert state.ready and state.complete is None and "first use" in state.note


def test_processes_that_load_at_once_all_get_the_data(tmp_path, cifar10_files):
    """Six processes decode the same new files and race for the cache."""
    folder = cifar10_files(tmp_path / "cifar10")
    code = (
        "import dataclasses, sys; from pathlib import Path; from core.datasets.catalog import DATASETS\n"
        "spec = DATASETS['cifar10']\n"
        "data = spec.reader.load(spec, Path(sys.argv[1]))\n"
        "assert len(data.train_labels) == 100, len(data.train_labels)"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(folder)]) for _ in range(6)]
    assert [process.wait(120) for process in processes] == [0] * 6
    assert len([entry for entry in (folder / "cache").iterdir()]) == 1
