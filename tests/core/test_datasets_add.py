"""Adding a copy: from every form it comes in, whole or not at all, and never more than a data set."""

import errno
import io
import lzma
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from core.datasets import add as add_module
from core.datasets import archive as archive_module
from core.datasets.add import add
from core.datasets.load import load, status
from core.errors import BadValue, DatasetCorrupt, DatasetMissing, HomeUnusable, UnsafeArchive

pytestmark = pytest.mark.usefixtures("small_cifar10")
LAYOUT = "cifar-10-batches-py"


def pack_tar(folder: Path, target: Path, mode: str) -> Path:
    with tarfile.open(target, mode) as tar:
        tar.add(folder, LAYOUT)
    return target


def pack_zip(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
        for file in folder.iterdir():
            zipped.write(file, f"{LAYOUT}/{file.name}")
    return target


def pack_xz(folder: Path) -> Path:
    for file in list(folder.iterdir()):
        if file.name != "batches.meta":
            (folder / f"{file.name}.xz").write_bytes(lzma.compress(file.read_bytes(), preset=0))
            file.unlink()
    return folder


FORMS = {
    "official layout": lambda files, here: files(here / "copy" / LAYOUT).parent,
    "the layout's own folder": lambda files, here: files(here / LAYOUT),
    "packed files": lambda files, here: pack_xz(files(here / "packed")),
    "tar.gz": lambda files, here: pack_tar(files(here / "a"), here / "cifar-10-python.tar.gz", "w:gz"),
    "tar.xz": lambda files, here: pack_tar(files(here / "a"), here / "c.tar.xz", "w:xz"),
    "tar.bz2": lambda files, here: pack_tar(files(here / "a"), here / "c.tar.bz2", "w:bz2"),
    "tar": lambda files, here: pack_tar(files(here / "a"), here / "c.tar", "w:"),
    "tar of packed files": lambda files, here: pack_tar(pack_xz(files(here / "a")), here / "c.tar", "w:"),
    "zip": lambda files, here: pack_zip(files(here / "a"), here / "c.zip"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_complete_set_is_added_from_every_form(tmp_path, cifar10_files, form):
    source = FORMS[form](cifar10_files, tmp_path)
    state = add("cifar10", source, tmp_path / "data")
    assert (state.ready, state.complete, state.n_train, state.n_test) == (True, True, 100, 20)
    assert load("cifar10", tmp_path / "data").complete
    assert source.exists()
    # nothing but the set and the lock is left in the data folder
    assert {entry.name for entry in (tmp_path / "data").iterdir()} == {"cifar10", ".cifar10.lock"}
    names = {file.name for file in (tmp_path / "data" / "cifar10" / LAYOUT).iterdir()}
    assert names == {*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"}


def test_a_subset_is_added_and_called_one(tmp_path, cifar10_files):
    state = add("cifar10", cifar10_files(tmp_path / "part", train=1), tmp_path / "data")
    assert state.ready and state.complete is False and "A subset" in state.note


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_what_systems_leave_behind_is_no_part_of_the_set(tmp_path, cifar10_files, form):
    """A deleted copy in a bin, the companions of macOS, the thumbnails of a file server."""
    home = cifar10_files(tmp_path / "copy" / LAYOUT)
    for name in (".Trash-1000", "@eaDir", "__MACOSX", "$RECYCLE.BIN"):
        cifar10_files(tmp_path / "copy" / name, train=1)
        (home / name).mkdir()
        (home / name / "test_batch").write_bytes(b"x")
    (home / "._test_batch").write_bytes(b"\0\5\x16\7")
    source = home.parent
    if form == "tar":
        source = tmp_path / "c.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(home.parent, "copy")
    assert add("cifar10", source, tmp_path / "data").complete


def test_files_of_two_copies_are_never_mixed(tmp_path, cifar10_files):
    """The folder with more of the set is taken whole; the other's different test file stays out."""
    cifar10_files(tmp_path / "both" / "a", train=1)
    cifar10_files(tmp_path / "both" / "b", train=3)
    (tmp_path / "both" / "a" / "data_batch_5").write_bytes(b"of another copy")
    assert add("cifar10", tmp_path / "both", tmp_path / "data").n_train == 3 * 20


@pytest.mark.parametrize("where", ["a", "a/b", "a/b/c/d/e", "raw/b/.."])
def test_a_folder_is_searched_as_deep_as_an_archive(tmp_path, cifar10_files, idx_files, small_fashion, where):
    cifar10_files(tmp_path / "s" / where / "cifar-10-batches-py")
    (tmp_path / "s" / "raw" / "b").mkdir(parents=True, exist_ok=True)
    idx_files(tmp_path / "s" / where / "FashionMNIST" / "raw")
    for name in ("cifar10", "fashion_mnist"):
        assert add(name, tmp_path / "s", tmp_path / "data").complete


def test_a_search_ends_where_links_lead_round_in_a_ring(tmp_path, cifar10_files):
    folder = cifar10_files(tmp_path / "s" / "a" / "b")
    (folder / "up").symlink_to(tmp_path / "s")
    (tmp_path / "s" / "nowhere").symlink_to(tmp_path / "gone")
    assert add("cifar10", tmp_path / "s", tmp_path / "data").complete


@pytest.mark.parametrize("form", ["folder", "tar"])
@pytest.mark.parametrize("gone", ["test", "training"])
def test_a_copy_that_lacks_a_part_is_named_by_its_own_path(tmp_path, cifar10_files, form, gone):
    """Not by that of the copy under way, and without the advice to do what was just done."""
    source = cifar10_files(tmp_path / "a", train=1)
    (source / ("test_batch" if gone == "test" else "data_batch_1")).unlink()
    if form == "tar":
        source = pack_tar(source, tmp_path / "c.tar", "w")
    with pytest.raises(DatasetMissing) as caught:
        add("cifar10", source, tmp_path / "data")
    lacks = "Its test file test_batch is not there." if gone == "test" else "None of its training files is there."
    assert caught.value.message == f"The data set 'cifar10' is not in {source}. {lacks}"


def test_a_copy_of_fashion_mnist_that_lacks_a_file_is_named_by_its_own_path(tmp_path, idx_files, small_fashion):
    source = idx_files(tmp_path / "f")
    (source / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DatasetMissing) as caught:
        add("fashion_mnist", source, tmp_path / "data")
    assert caught.value.message.endswith(f"is not in {source}. Not there: t10k-labels-idx1-ubyte.")


def test_a_complete_set_is_not_exchanged_for_a_subset_unless_asked(tmp_path, cifar10_files):
    data = tmp_path / "data"
    add("cifar10", cifar10_files(tmp_path / "whole"), data)
    part = cifar10_files(tmp_path / "part", train=2)
    with pytest.raises(BadValue, match="--replace"):
        add("cifar10", part, data)
    assert status("cifar10", data).complete
    assert add("cifar10", part, data, replace=True).complete is False


def test_a_subset_is_exchanged_for_the_whole(tmp_path, cifar10_files):
    data = tmp_path / "data"
    add("cifar10", cifar10_files(tmp_path / "part", train=2), data)
    assert add("cifar10", cifar10_files(tmp_path / "whole"), data).complete


@pytest.mark.parametrize("kind", ["file", "empty", "nothing", "text"])
def test_a_source_that_holds_no_such_set_is_named(tmp_path, kind):
    source = tmp_path / "source"
    match kind:
        case "file":
            source.write_bytes(b"hello")
        case "empty":
            source.mkdir()
        case "text":
            source.mkdir()
            (source / "readme.txt").write_text("no images")
    with pytest.raises(BadValue, match="path"):
        add("cifar10", source, tmp_path / "data")
    assert not (tmp_path / "data" / "cifar10").exists()


def test_a_corrupt_copy_leaves_what_was_there(tmp_path, cifar10_files):
    data = tmp_path / "data"
    add("cifar10", cifar10_files(tmp_path / "part", train=2), data)
    bad = cifar10_files(tmp_path / "bad")
    (bad / "data_batch_4").write_bytes(b"\x80\x02}.")
    with pytest.raises(DatasetCorrupt, match="data_batch_4"):
        add("cifar10", bad, data)
    assert status("cifar10", data).n_train == 40
    assert {entry.name for entry in data.iterdir()} == {"cifar10", ".cifar10.lock"}


@pytest.mark.parametrize("form", ["tar.gz", "tar.xz", "tar", "zip"])
def test_a_truncated_archive_is_corrupt_and_adds_nothing(tmp_path, cifar10_files, form):
    source = FORMS[form](cifar10_files, tmp_path)
    os.truncate(source, source.stat().st_size // 2)
    with pytest.raises(DatasetCorrupt, match="cut off|ends after"):
        add("cifar10", source, tmp_path / "data")
    assert not (tmp_path / "data" / "cifar10").exists()


def test_digits_cannot_be_added(tmp_path):
    with pytest.raises(BadValue, match="not built in"):
        add("digits", tmp_path, tmp_path / "data")


# Archives that nobody should extract.


def tar_with(target: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(target, "w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member, b""


HOSTILE = {
    "parent": ((tarfile.TarInfo("../../data_batch_1"), b"x"), "leads out"),
    "absolute": ((tarfile.TarInfo("/etc/data_batch_1"), b"x"), "leads out"),
    "backslash": ((tarfile.TarInfo("..\\data_batch_1"), b"x"), "leads out"),
    "drive": ((tarfile.TarInfo("C:\\data_batch_1"), b"x"), "leads out"),
    "symlink": (special("data_batch_1", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
    "hard link": (special("data_batch_1", tarfile.LNKTYPE, "/etc/passwd"), "is a link"),
    "device": (special("test_batch", tarfile.CHRTYPE), "special file"),
    "fifo": (special("elsewhere", tarfile.FIFOTYPE), "special file"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_tar_with_a_dangerous_member_is_refused_whole(tmp_path, attack):
    member, why = HOSTILE[attack]
    source = tar_with(tmp_path / "x.tar.gz", member)
    with pytest.raises(UnsafeArchive, match=why):
        add("cifar10", source, tmp_path / "data")
    assert not list(tmp_path.rglob("data_batch_1")) and not (tmp_path / "data" / "cifar10").exists()


@pytest.mark.parametrize("name", ["../data_batch_1", "/data_batch_1", "C:/data_batch_1"])
def test_a_zip_with_a_path_out_of_the_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.writestr(name, b"x")
    with pytest.raises(UnsafeArchive, match="leads out"):
        add("cifar10", tmp_path / "x.zip", tmp_path / "data")


def test_a_zip_with_a_link_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        link = zipfile.ZipInfo("test_batch")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeArchive, match="is a link"):
        add("cifar10", tmp_path / "x.zip", tmp_path / "data")


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, form):
    """A bomb of zeros: small on disk, larger than the limit unpacked."""
    monkeypatch.setattr(archive_module, "MAX_BYTES", 100_000)
    if form == "zip":
        source = tmp_path / "x.zip"
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("data_batch_1", bytes(10_000_000))
    else:
        source = tar_with(tmp_path / "x.tar.gz", (tarfile.TarInfo("data_batch_1"), bytes(10_000_000)))
    assert source.stat().st_size < 100_000
    with pytest.raises(UnsafeArchive, match="more than"):
        add("cifar10", source, tmp_path / "data")
    assert not list((tmp_path / "data").rglob("data_batch_1"))


def test_a_bomb_in_a_tars_own_headers_is_refused(tmp_path, monkeypatch):
    """A header of ten megabytes never shows as a member, yet is unpacked to read the next one."""
    monkeypatch.setattr(archive_module, "MAX_BYTES", 1 << 20)
    member = tarfile.TarInfo("data_batch_1")
    member.pax_headers = {"comment": "a" * 10_000_000}
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member)
    with pytest.raises(UnsafeArchive, match="more than"):
        add("cifar10", tmp_path / "x.tar.gz", tmp_path / "data")


def test_an_archive_with_too_many_members_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_MEMBERS", 3)
    members = [(tarfile.TarInfo(f"file{n}"), b"") for n in range(5)]
    with pytest.raises(UnsafeArchive, match="member number 4"):
        add("cifar10", tar_with(tmp_path / "x.tar.gz", *members), tmp_path / "data")


def test_an_archive_with_a_file_twice_is_refused(tmp_path):
    members = [(tarfile.TarInfo(f"{folder}/test_batch"), b"x") for folder in "ab"]
    with pytest.raises(UnsafeArchive, match="twice"):
        add("cifar10", tar_with(tmp_path / "x.tar.gz", *members), tmp_path / "data")


def test_a_packed_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(add_module, "MAX_FILE_BYTES", 1000)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "test_batch.xz").write_bytes(lzma.compress(bytes(1 << 21)))
    with pytest.raises(DatasetCorrupt, match="more than"):
        add("cifar10", tmp_path / "s", tmp_path / "data")


# Disks and interruptions.


def test_a_full_disk_is_told_clearly_and_leaves_nothing(tmp_path, cifar10_files, monkeypatch):
    source = cifar10_files(tmp_path / "s")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(add_module, "_copy", full)
    with pytest.raises(HomeUnusable, match=r"disk is full \([\d,]+ MB free\). Nothing was added"):
        add("cifar10", source, tmp_path / "data")
    assert {entry.name for entry in (tmp_path / "data").iterdir()} == {".cifar10.lock"}


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_while_copying_is_told_clearly(tmp_path, cifar10_files, monkeypatch):
    """The real error of a real full device."""
    source = cifar10_files(tmp_path / "s")
    real_copy = add_module._copy
    monkeypatch.setattr(
        add_module, "_copy", lambda spec, file, target, progress: real_copy(spec, file, Path("/dev/full"), progress)
    )
    with pytest.raises(HomeUnusable, match="disk is full"):
        add("cifar10", source, tmp_path / "data")


def test_a_data_folder_that_is_a_file_is_told_clearly(tmp_path, cifar10_files):
    (tmp_path / "data").write_text("")
    with pytest.raises(HomeUnusable, match="data"):
        add("cifar10", cifar10_files(tmp_path / "s"), tmp_path / "data")


def test_what_a_killed_add_left_is_cleared_by_the_next(tmp_path, cifar10_files):
    left = tmp_path / "data" / ".cifar10-deadbeef"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x")
    add("cifar10", cifar10_files(tmp_path / "s"), tmp_path / "data")
    assert not left.exists()


def test_a_set_moved_aside_by_a_killed_add_comes_back(tmp_path, cifar10_files):
    """Killed between the two renames: the old set waits under another name, the new one never arrived."""
    data = tmp_path / "data"
    add("cifar10", cifar10_files(tmp_path / "s"), data)
    (data / "cifar10").rename(data / ".cifar10-deadbeef-old")
    with pytest.raises(BadValue):
        add("cifar10", tmp_path / "s" / "nothing", data)  # refused before it touches the folder
    with pytest.raises(DatasetCorrupt):
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "test_batch").write_bytes(b"x")
        (tmp_path / "bad" / "data_batch_1").write_bytes(b"x")
        add("cifar10", tmp_path / "bad", data)
    assert status("cifar10", data).complete


def test_a_failed_exchange_puts_the_old_set_back(tmp_path, cifar10_files, monkeypatch):
    data = tmp_path / "data"
    add("cifar10", cifar10_files(tmp_path / "part", train=2), data)
    real_rename = Path.rename

    def fail_to_move_in(self, target):
        if Path(target) == data / "cifar10" and not self.name.endswith("-old"):
            raise OSError(errno.EIO, "Input/output error")
        return real_rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_to_move_in)
    with pytest.raises(HomeUnusable, match="Input/output error"):
        add("cifar10", cifar10_files(tmp_path / "whole"), data)
    monkeypatch.undo()
    assert {entry.name for entry in data.iterdir()} == {"cifar10", ".cifar10.lock"}


def test_progress_names_each_file_and_reaches_its_end(tmp_path, cifar10_files):
    seen: dict[str, tuple[int, int]] = {}
    add(
        "cifar10",
        cifar10_files(tmp_path / "s"),
        tmp_path / "data",
        progress=lambda what, done, total: seen.update({what: (done, total)}),
    )
    size = (tmp_path / "s" / "test_batch").stat().st_size
    assert "test_batch" in seen and seen["done"][0] == seen["done"][1]
    assert size > 20 * 3072
