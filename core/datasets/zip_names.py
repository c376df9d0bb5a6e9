"""The name of a zip's member as its packer meant it: zips of Windows and macOS say it in ways of their own."""

from __future__ import annotations

import struct
import zipfile
import zlib

UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075  # an extra field of Info-ZIP's: the name in UTF-8, with the CRC of the name that it stands for


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
