"""Takes named files out of an archive that nobody vouches for.

Nothing is extracted by the archive's own paths: each wanted member is copied to the place that its reader
gives it. A member that looks like an attack (a path out of the folder, a link, a device) or an archive
that unpacks to more than a data set can have stops everything, whether that member is wanted or not.

An archive counts as whole only when it was read to its last byte: every member's bytes against their checksum, wanted
or not, the list of members to its end mark, and what packs them to its own checksum.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from core.datasets.spec import Progress, no_progress
from core.datasets.zip_list import zip_members
from core.errors import UnsafeArchive

#: How the content of a tar may be packed, by the first bytes.
PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open, b"BZh": bz2.open}
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
MAX_MEMBERS = 200_000  # Tiny ImageNet has 120,000 files
MAX_BYTES = 2 << 30  # of everything unpacked, unless a data set is known to be larger; Tiny ImageNet has 250 MB
MAX_HEADERS = 1 << 20  # bytes of headers before one member of a tar: long names, times, attributes
MAX_GLOBALS = 64  # texts that a tar says once for all its members
MAX_NAME = 4096
MAX_PART = 255  # bytes of one folder's or file's name, as file systems have it
CHUNK = 1 << 20


class Damaged(ValueError):
    """Cut off, or no archive of a kind that is read."""


class _Bounded(io.RawIOBase):
    """A readable stream that counts what an archive unpacks to, so that a bomb ends at the limit.

    tarfile keeps the headers before a member in memory, however long they say they are, and shows them only when it
    has read the member's own; `expect` bounds them.
    """

    def __init__(self, inner: IO[bytes], archive: Path, most: int) -> None:
        self._inner, self._archive, self._most, self._seen = inner, archive, most, 0
        self.expect(0)

    def expect(self, content: int | None) -> None:
        """From here on no more is read than a member's content and the headers of the next; None: no headers follow."""
        self._headers_end = self._most if content is None else self._seen + content + MAX_HEADERS

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(min(size, CHUNK) if size >= 0 else CHUNK)
        self._seen += len(data)
        if self._seen > self._most:
            raise UnsafeArchive(
                archive=self._archive.name, member="", why=f"unpacks to more than {_megabytes(self._most)}"
            )
        if self._seen > self._headers_end:
            why = f"holds headers of more than {MAX_HEADERS >> 10:,} kB before one member"
            raise UnsafeArchive(archive=self._archive.name, member="", why=why)
        return data


class _Member(tarfile.TarInfo):
    """A member whose header is sound. tarfile by itself takes a damaged header, or none at all, for the end."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # a block of zeros, the one true end
            raise
        except tarfile.HeaderError as error:
            raise Damaged(f"its list of files is cut off or damaged ({error})") from None


def is_archive(path: Path) -> bool:
    """Whether the file begins as a zip, a packed file or a plain tar does."""
    with open(path, "rb") as file:
        head = file.read(262)
    return head.startswith((*ZIP, *PACKED)) or head[257:262] == b"ustar"


def extract(
    archive: Path,
    place: Callable[[str], str | None],
    into: Path,
    progress: Progress = no_progress,
    most: int | None = None,
) -> list[str]:
    """Copy every member whose path `place` knows to that place below `into`; returns the places filled.

    `most`: bytes that it may unpack to, all members together; MAX_BYTES unless said.

    Raises UnsafeArchive for a dangerous member, Damaged for a broken archive, OSError where the disk refuses.
    """
    with open(archive, "rb") as file:
        head = file.read(6)
    read = _from_zip if head.startswith(ZIP) else _from_tar
    try:
        return read(archive, place, into, progress, MAX_BYTES if most is None else most)
    except Damaged:
        raise
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        NotImplementedError,
        ValueError,  # a number or a text in a header that is none
        OverflowError,
    ) as error:
        raise Damaged(f"it is cut off, damaged or no archive ({error})") from None
    except OSError as error:
        if error.errno in (
            None,
            errno.EINVAL,
        ):  # bad content, not a bad disk: gzip.BadGzipFile, a place before the file
            raise Damaged(f"it is cut off, damaged or no archive ({error})") from None
        raise


def _posix(name: str) -> str:
    return str(PurePosixPath(name))  # without "./" and doubled strokes


def _megabytes(size: int) -> str:
    return f"{size >> 20} MB"


def _check(archive: Path, name: str, *, members: int, size: int, total: int, most: int, kind: str | None) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    why = None
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):  # C: on Windows
        why = "leads out of the folder"
    elif kind is not None:
        why = f"is a {kind}"
    elif len(name) > MAX_NAME or "\0" in name or any(len(os.fsencode(part)) > MAX_PART for part in path.parts):
        why = "has an impossible name"
    elif members > MAX_MEMBERS:
        why = f"is member number {MAX_MEMBERS + 1}; no data set here has as many"
    elif size < 0 or total > most:
        why = f"brings the archive to more than {_megabytes(most)}"
    if why is not None:
        raise UnsafeArchive(archive=archive.name, member=name[:200], why=why)


def _copy(source: IO[bytes], target: Path, size: int, archive: Path, progress: Progress) -> None:
    if target.exists():
        raise UnsafeArchive(archive=archive.name, member=target.name, why="is in it twice")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UnsafeArchive(archive=archive.name, member=target.name, why="lies in a folder that is a file") from None
    done = 0
    with open(target, "xb") as out:
        while chunk := source.read(min(CHUNK, size - done + 1)):
            done += len(chunk)
            if done > size:
                raise UnsafeArchive(archive=archive.name, member=target.name, why="is longer than it says")
            out.write(chunk)
            progress(target.name, done, size)
    if done != size:
        raise Damaged(f"{target.name} ends after {done:,} of {size:,} bytes")


def _from_tar(
    archive: Path, place: Callable[[str], str | None], into: Path, progress: Progress, most: int
) -> list[str]:
    filled, total = [], 0
    with (
        _unpacked(archive) as stream,
        _Bounded(stream, archive, most) as bounded,
        tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Member) as tar,
    ):
        for number, member in enumerate(tar, start=1):
            tar.members.clear()  # tarfile would keep every member, with all that its headers say, to the end
            bounded.expect(max(member.size, 0))
            total += max(member.size, 0)
            link = "link" if member.issym() or member.islnk() else "sparse file" if member.issparse() else None
            odd = link or (None if member.isfile() or member.isdir() else "device or other special file")
            _check(archive, member.name, members=number, size=member.size, total=total, most=most, kind=odd)
            where = place(_posix(member.name)) if member.isfile() else None
            if where is not None and (source := tar.extractfile(member)) is not None:
                _copy(source, into / where, member.size, archive, progress)
                filled.append(where)
            if len(tar.pax_headers) > MAX_GLOBALS:
                why = f"comes after more than {MAX_GLOBALS} texts for all members"
                raise UnsafeArchive(archive=archive.name, member=member.name[:200], why=why)
        bounded.expect(None)
        _read_to_the_end(tar)
    return filled


def _read_to_the_end(tar: tarfile.TarFile) -> None:
    """Behind the last member only zeros may come; a checksum of the packed stream is compared at its last byte."""
    while chunk := tar.fileobj.read(CHUNK):
        if chunk.count(0) != len(chunk):
            raise Damaged("something follows its end, so a part of it is damaged or foreign")


def _unpacked(archive: Path) -> Any:
    with open(archive, "rb") as file:
        head = file.read(6)
    opener = next((opener for magic, opener in PACKED.items() if head.startswith(magic)), open)
    return opener(archive, "rb")


def _from_zip(
    archive: Path, place: Callable[[str], str | None], into: Path, progress: Progress, most: int
) -> list[str]:
    filled, total = [], 0
    with zipfile.ZipFile(archive) as zipped:
        members = zip_members(archive, zipped)
        for number, (name, member) in enumerate(members, start=1):
            total += member.file_size
            mode = member.external_attr >> 16
            special = stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)
            kind = "link" if stat.S_ISLNK(mode) else "device or other special file" if special else None
            _check(archive, name, members=number, size=member.file_size, total=total, most=most, kind=kind)
            if member.flag_bits & 1:
                raise Damaged(f"{name} is encrypted")
        for name, member in members:
            where = None if name.endswith("/") else place(_posix(name))  # None is of a folder too
            with zipped.open(member) as source:
                if where is None:  # its name may be a damaged one of a file that is wanted
                    while source.read(CHUNK):
                        pass
                else:
                    _copy(source, into / where, member.file_size, archive, progress)
                    filled.append(where)
    return filled
