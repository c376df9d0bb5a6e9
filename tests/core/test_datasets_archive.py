"""Archives: whole to their last byte or refused, whatever in them was changed."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tempfile
import tracemalloc
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from packing import tar_of, zip_of

from core.datasets.add import add
from core.datasets.archive import Damaged, extract
from core.datasets.zip_list import zip_members
from core.errors import DatasetCorrupt, UnsafeArchive

FILES = {f"{folder}/{number}.txt": bytes([65 + number]) * 600 for folder in ("cats", "dogs") for number in range(3)}
FILES["dogs/empty.txt"] = b""  # last, and without a byte of its own: only its header says that it is there


def tar_bytes(files: dict[str, bytes] = FILES, kind: int = tarfile.GNU_FORMAT) -> bytes:
    return tar_of(*files.items(), kind=kind)


def zip_bytes(files: dict[str, bytes] = FILES) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


def unpacked(archive: bytes, wanted=lambda name: name) -> dict[str, bytes]:
    """What `extract` makes of the bytes: path -> content."""
    with tempfile.TemporaryDirectory() as folder:
        source, into = Path(folder, "source"), Path(folder, "into")
        source.write_bytes(archive)
        into.mkdir()
        places = extract(source, wanted, into)
        found = {path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()}
        assert sorted(places) == sorted(found)
        return found


PACKED = {
    "tar": lambda: tar_bytes(),
    "tar.gz": lambda: gzip.compress(tar_bytes(), 0, mtime=0),  # not deflated: every byte lies open to damage
    "tar.bz2": lambda: bz2.compress(tar_bytes()),
    "tar.xz": lambda: lzma.compress(tar_bytes(), preset=0),
    "zip": lambda: zip_bytes(),
}


@pytest.mark.parametrize("kind", PACKED)
def test_every_kind_is_taken_out_whole(kind):
    assert unpacked(PACKED[kind]()) == FILES


@pytest.mark.parametrize("sign", [b"/", b"\\"])
def test_a_file_that_the_list_calls_a_folder_is_damage(sign):
    """One changed byte makes of `cats/1.txt` in the zip's list the folder `cats/1.tx/`."""
    archive = bytearray(zip_bytes())
    at = archive.rindex(b"cats/1.txt") + len("cats/1.tx")
    archive[at : at + 1] = sign
    with pytest.raises((Damaged, UnsafeArchive)):
        unpacked(bytes(archive))


@pytest.mark.parametrize("kind", [kind for kind in PACKED if kind != "tar"])
@hypothesis_settings(max_examples=60)
@given(where=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_changed_byte_is_found_or_changes_nothing(kind, where, change):
    archive = bytearray(PACKED[kind]())
    archive[int(where * len(archive))] ^= change
    try:
        assert unpacked(bytes(archive)) == FILES
    except (Damaged, UnsafeArchive):
        pass


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@hypothesis_settings(max_examples=60)
@given(data=st.data(), change=st.integers(1, 255))
def test_a_changed_byte_in_any_header_of_a_plain_tar_is_found(kind, data, change):
    """The contents of a plain tar have no checksum; its headers do."""
    archive = bytearray(tar_bytes(FILES, kind))
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        contents = [(member.offset_data, member.offset_data + member.size) for member in tar]
    end = contents[-1][1] + 512  # with the first block of the end mark
    open_ = [at for at in range(end) if not any(first <= at < last for first, last in contents)]
    archive[data.draw(st.sampled_from(open_))] ^= change
    try:
        assert unpacked(bytes(archive)) == FILES
    except (Damaged, UnsafeArchive):
        pass


@pytest.mark.parametrize("kind", PACKED)
@hypothesis_settings(max_examples=30)
@given(share=st.floats(0, 1, exclude_max=True))
def test_an_archive_that_was_cut_off_anywhere_is_refused(kind, share):
    archive = PACKED[kind]()
    end = len(archive)
    if kind == "tar":
        end = archive.rindex(b"empty.txt") // 512 * 512 + 512  # the zeros after the last member are padding
    with pytest.raises(Damaged):
        unpacked(archive[: int(share * end)])


@pytest.mark.parametrize("member", range(len(FILES)))
def test_a_plain_tar_with_a_damaged_header_is_refused(member):
    archive = bytearray(tar_bytes())
    archive[archive.index(list(FILES)[member].encode() + b"\0")] ^= 1
    with pytest.raises(Damaged, match="checksum|no archive"):
        unpacked(bytes(archive))


def test_a_tar_cut_off_between_two_members_is_refused():
    archive = tar_bytes()
    end = archive.index(b"dogs/0.txt\0")
    assert end % 512 == 0
    with pytest.raises(Damaged, match="cut off"):
        unpacked(archive[:end])


@pytest.mark.parametrize("behind", [b"x", bytes(512) + tar_bytes(), bytes(3 << 20) + b"\1"])
def test_a_tar_with_something_behind_its_end_is_refused(behind):
    """A second tar joined to the first, for one: its files would be left out without a word."""
    with pytest.raises(Damaged, match="follows its end"):
        unpacked(tar_bytes() + behind)


def test_a_zip_whose_list_swallows_its_own_members_is_refused():
    """The length of a comment, one higher in its upper byte, covers the members that follow."""
    archive = bytearray(zip_bytes())
    third = [at for at in range(len(archive)) if archive[at : at + 4] == b"PK\1\2"][2]
    archive[third + 33] ^= 1
    with pytest.raises(Damaged, match="files and says that it has 7"):
        unpacked(bytes(archive))


@pytest.mark.parametrize("comment", [b"", b"made here", b"PK\5\6" + bytes(30)])
def test_a_zip_may_have_a_comment_and_be_empty(comment):
    for files in (FILES, {}):
        buffer = io.BytesIO(zip_bytes(files))
        with zipfile.ZipFile(buffer, "a") as zipped:
            zipped.comment = comment
        try:
            assert unpacked(buffer.getvalue()) == files
        except Damaged:
            assert comment.startswith(b"PK") and files  # zipfile takes the comment for the record


def test_a_zip_of_more_files_than_its_record_can_say_is_read():
    """zip64, as Python writes it; and without it, where the number begins anew."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for number in range(65_537):
            zipped.writestr(f"{number}.txt", b"")
    with tempfile.NamedTemporaryFile() as file:
        file.write(buffer.getvalue())
        file.flush()
        with zipfile.ZipFile(file.name) as zipped:
            assert len(zip_members(Path(file.name), zipped)) == 65_537


def test_a_tar_may_be_followed_by_zeros_to_any_length():
    assert unpacked(tar_bytes() + bytes(3 << 20)) == FILES
    assert unpacked(gzip.compress(tar_bytes() + bytes(100_000))) == FILES


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_damage_in_a_file_that_is_not_wanted_is_found(kind):
    """It may be a file that is wanted whose name was hit."""
    archive = bytearray(PACKED["tar.gz"]() if kind == "tar.gz" else zip_bytes({"cats/1.txt": b"B" * 9}))
    if kind == "zip":
        at = archive.index(b"PK\3\4") + 30 + len("cats/1.txt")
        archive[at + 2] ^= 8
    else:
        archive[archive.index(b"B" * 600) + 5] ^= 8
    with pytest.raises(Damaged):
        unpacked(bytes(archive), wanted=lambda name: None)


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar"])
def test_a_damaged_archive_makes_no_data_set(tmp_path, class_folders, name):
    folder = class_folders(tmp_path / "s", {"cat": 4, "dog": 4}, end="bmp")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.rglob("*.bmp")):
            tar.add(path, path.relative_to(folder))
    content = bytearray(buffer.getvalue())
    if name == "x.tar":
        content[content.index(b"dog/2.bmp\0")] ^= 1
    else:
        content = bytearray(gzip.compress(bytes(content), 0, mtime=0))
        content[content.index((folder / "cat" / "1.bmp").read_bytes()[60:90])] ^= 255
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetCorrupt, match=name):
        add("pets", tmp_path / name, tmp_path / "data")
    assert not (tmp_path / "data" / "pets").exists()


@pytest.mark.parametrize("field", [12, 16])
def test_a_zip_whose_list_lies_outside_the_file_is_damaged(field):
    archive = bytearray(zip_bytes())
    archive[len(archive) - 22 + field : len(archive) - 22 + field + 4] = b"\xff\xff\xff\x7f"
    with pytest.raises(Damaged):
        unpacked(bytes(archive))


# Headers of a tar that only its reader sees.


def with_header(kind: bytes, size: int, *, times: int = 1, content: bytes = b"") -> bytes:
    """A tar whose first member is preceded by `times` special records of that size, of letters unless `content`."""
    special = tarfile.TarInfo("././@PaxHeader")
    special.type, special.size = kind, size
    padding = bytes(-size % 512)
    record = special.tobuf(tarfile.USTAR_FORMAT) + (content or b"a" * size) + padding
    return record * times + tar_bytes({"cats/0.txt": b"x"})


def pax(**texts: str) -> bytes:
    rows = b""
    for key, text in texts.items():
        body = f" {key}={text}\n".encode()
        length = len(body) + len(str(len(body) + len(str(len(body)))))
        rows += str(length).encode() + body
    return rows


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_long_record_before_a_member_is_refused_before_it_is_in_memory(kind):
    bomb = gzip.compress(with_header(kind, 200 << 20), 1)
    tracemalloc.start()
    with pytest.raises(UnsafeArchive, match="headers of more than"):
        unpacked(bomb)
    assert tracemalloc.get_traced_memory()[1] < 30 << 20
    tracemalloc.stop()


def test_many_short_records_before_a_member_are_refused():
    texts = pax(comment="a" * 90_000)
    bomb = with_header(tarfile.XHDTYPE, len(texts), times=20, content=texts)
    with pytest.raises((UnsafeArchive, Damaged), match="headers of more than|cut off"):
        unpacked(bomb)


def test_texts_for_all_members_do_not_pile_up():
    archive = b""
    for number in range(100):
        texts = pax(**{f"comment{number}": "a" * 1000})
        special = tarfile.TarInfo("global")
        special.type, special.size = tarfile.XGLTYPE, len(texts)
        archive += special.tobuf(tarfile.USTAR_FORMAT) + texts + bytes(-len(texts) % 512)
        archive += tar_bytes({f"cats/{number}.txt": b"x"})[:1024]
    with pytest.raises(UnsafeArchive, match="texts for all members"):
        unpacked(archive + bytes(10_240))


def test_what_the_headers_of_many_members_say_is_not_kept():
    """A hundred members, each with half a megabyte of attributes: 50 MB if they were kept."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as tar:
        for number in range(100):
            member = tarfile.TarInfo(f"cats/{number}.txt")
            member.pax_headers = {"SCHILY.xattr.user.note": "a" * (500 << 10)}
            tar.addfile(member)
    tracemalloc.start()
    assert len(unpacked(buffer.getvalue())) == 100
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_a_sparse_file_is_refused():
    member = tarfile.TarInfo("cats/0.txt")
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 0
    with pytest.raises(UnsafeArchive, match="sparse file"):
        unpacked(member.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))


def test_long_names_and_attributes_of_honest_tars_are_read():
    name = "cats/" + "/".join(["n" * 200] * 15) + "/0.txt"
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert unpacked(tar_bytes({name: b"x"}, kind)) == {name: b"x"}


# Names in a zip, as each system writes them.


@pytest.mark.parametrize(
    "name", [b"set\\cats\\0.txt", b"set/cats\\0.txt", b"set\\cats/0.txt", b".\\set\\\\cats\\0.txt"]
)
def test_strokes_of_windows_part_a_zips_names(name):
    archive = zip_of((b"set\\", b""), (b"set\\cats\\", b""), (name, b"x"))
    assert unpacked(archive) == {"set/cats/0.txt": b"x"}


@pytest.mark.parametrize(
    "name", [b"..\\0.txt", b"\\0.txt", b"C:\\0.txt", b"a/..\\..\\0.txt", b"\\\\host\\share\\0.txt"]
)
def test_the_name_that_is_checked_is_the_name_that_is_used(name):
    with pytest.raises(UnsafeArchive, match="leads out"):
        unpacked(zip_of((name, b"x")))


def test_a_tars_names_are_used_as_they_stand():
    assert unpacked(tar_bytes({"quo\\te/0.txt": b"x"})) == {"quo\\te/0.txt": b"x"}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("utf8", [True, False])
@pytest.mark.parametrize("text", ["café", "naïve Ünïon", "犬", "Ёлка", "emoji 😀"])
def test_names_in_utf8_are_read_with_and_without_the_flag(text, utf8, form):
    name = f"{unicodedata.normalize(form, text)}/0.txt"
    assert unpacked(zip_of((name.encode(), b"x"), utf8=utf8)) == {name: b"x"}


@pytest.mark.parametrize("text", ["café", "Ünïon", "mañana", "Ålborg", "Größe"])
def test_names_in_the_code_page_of_the_standard_are_read(text):
    assert unpacked(zip_of((f"{text}/0.txt".encode("cp437"), b"x"))) == {f"{text}/0.txt": b"x"}


def test_the_name_in_an_extra_field_is_taken_if_it_belongs_to_the_name():
    raw, name = b"d?g/0.txt", "d\u00f6g/0.txt"
    for crc, expected in ((zlib.crc32(raw), name), (zlib.crc32(raw) ^ 1, "d?g/0.txt")):
        content = struct.pack("<BI", 1, crc) + name.encode()
        extra = struct.pack("<HH", 0x7075, len(content)) + content
        assert unpacked(zip_of((raw, b"x"), extra=extra)) == {expected: b"x"}
    content = struct.pack("<BI", 1, zlib.crc32(raw)) + b"../out.txt"
    with pytest.raises(UnsafeArchive, match="leads out"):
        unpacked(zip_of((raw, b"x"), extra=struct.pack("<HH", 0x7075, len(content)) + content))


def test_every_kind_of_set_is_added_from_a_zip_of_windows(
    tmp_path, cifar10_files, small_cifar10, idx_files, small_fashion, class_folders
):
    data = tmp_path / "data"
    sources = {
        "cifar10": cifar10_files(tmp_path / "c" / "cifar-10-batches-py").parent,
        "fashion_mnist": idx_files(tmp_path / "f" / "raw").parent,
        "pets": class_folders(tmp_path / "p", {"set/cat": 5, "set/dog": 5}),
    }
    for name, folder in sources.items():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [str(path.relative_to(folder)).replace("/", "\\").encode() for path in files]
        archive = zip_of(*zip(names, (path.read_bytes() for path in files), strict=True))
        (tmp_path / f"{name}.zip").write_bytes(archive)
        assert add(name, tmp_path / f"{name}.zip", data).complete
