"""The list at the end of a zip: the name of each member as its packer meant it, and how many there should be."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

FIRST = b"PK\3\4"  # begins a member
END, END_SIZE = b"PK\5\6", 22  # the record that ends a zip; a comment of at most 64 kB may follow it

UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075  # an extra field of Info-ZIP's: the name in UTF-8, with the CRC of the name that it stands for


def zip_members(archive: Path, zipped: zipfile.ZipFile) -> list[tuple[str, zipfile.ZipInfo]]:
    """(name, member) of all. Raises BadZipFile where the list has not as many as the zip's last record says.

    The list has no checksum: one changed length in it, and a member is taken for the comment of another.
    """
    members = zipped.infolist()
    with open(archive, "rb") as file:
        if not members and file.read(len(FIRST)) == FIRST:
            raise zipfile.BadZipFile("it lists no file and holds some")
        file.seek(max(0, file.seek(0, 2) - END_SIZE - (1 << 16)))
        tail = file.read()
    at = len(tail) - END_SIZE if tail[-END_SIZE:].startswith(END) else tail.rfind(END)
    (said,) = struct.unpack("<H", tail[at + 10 : at + 12])
    if said != 0xFFFF and said != len(members) % 0x10000:  # beyond that some packers begin anew at 0, others write this
        raise zipfile.BadZipFile(f"it lists {len(members):,} files and says that it has {said:,}")
    return [(zip_name(member), member) for member in members]


def zip_name(member: zipfile.ZipInfo) -> str:
    """The path with "/" between its parts, at its end for a folder.

    Windows' own packer once wrote "\\", which is no part of a name there. Without the flag that says UTF-8 the bytes
    are code page 437 by the standard, yet macOS writes UTF-8: whatever is UTF-8 and not ASCII is practically never
    text of that code page.
    """
    name = member.orig_filename
    if not member.flag_bits & UTF8_FLAG:
        raw = name.encode("cp437")  # as zipfile decoded it; every byte has a letter there
        name = _unicode_path(member.extra, raw) or _utf8(raw) or name
    return name.replace("\\", "/")


def _utf8(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in an extra field, where there is one and it belongs to this name."""
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        content, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and content[:5] == struct.pack("<BI", 1, zlib.crc32(raw)):
            return _utf8(content[5:])
    return None
