"""Images turned the way up that their camera says, and whole pixels taken out of files whose other parts are not whole.

A file may carry text, a colour profile, thumbnails and EXIF beside its pixels. None of it is needed but the
orientation, so none of it may cost the pixels: where the file cannot be read as it is, it is read without them.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import ExifTags, Image

T = TypeVar("T")
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
EXIF = b"Exif\0\0"
MAX_BYTES = 256 << 20  # of a file that is looked through for its pixels


def read(source: Path | bytes, formats: tuple[str, ...], use: Callable[[Image.Image], T]) -> T:
    """`use` of the image in a file, which is not decoded yet; whatever opening and using raise is raised.

    A PNG or JPEG with which that fails is tried once more without what is beside its pixels.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as image:
            return use(image)
    except Exception as first:  # noqa: BLE001  a damaged file can fail in any way that its decoder can
        try:
            bare, exif = _bare(source)
            with Image.open(io.BytesIO(bare), formats=formats) as image:
                image.info["exif"] = exif
                return use(image)
        except Exception:  # noqa: BLE001  it was not that, so the first reason is the reason
            raise first from None


def upright(image: Image.Image) -> Image.Image:
    """The image decoded, turned as its EXIF says; as it lies where that cannot be read."""
    image.load()
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # noqa: BLE001  as above
        turn = None
    return image if turn is None else image.transpose(turn)


def _bare(source: Path | bytes) -> tuple[bytes, bytes]:
    """(the file with nothing but its pixels, its EXIF if any). Raises ValueError for other kinds than PNG and JPEG."""
    if isinstance(source, Path):
        with open(source, "rb") as file:
            source = file.read(MAX_BYTES + 1)
    if len(source) <= MAX_BYTES:
        if source.startswith(PNG):
            return _bare_png(source)
        if source.startswith(JPEG):
            return _bare_jpeg(source)
    raise ValueError("nothing is known of its parts")


def _bare_png(content: bytes) -> tuple[bytes, bytes]:
    """A chunk is a length, four letters, the content and a checksum; a small first letter says that none needs it."""
    kept, exif, at = [PNG], b"", len(PNG)
    while at + 12 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunk = content[at : at + 12 + size]
        kind, body = chunk[4:8], chunk[8:-4]
        if kind[:1].isupper() or kind == b"tRNS":
            kept.append(chunk)
        elif kind == b"eXIf" and zlib.crc32(kind + body) == int.from_bytes(chunk[-4:]):
            exif = body
        at += len(chunk)
    return b"".join(kept), exif


def _bare_jpeg(content: bytes) -> tuple[bytes, bytes]:
    """A segment is 0xFF, its kind, a length that counts itself, and the content; the pixels follow the last."""
    kept, exif, at = [content[:2]], b"", 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:  # the start of the scan
        kind, size = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        body = content[at + 4 : at + 2 + size]
        if kind == 0xE1 and body.startswith(EXIF):
            exif = body
        elif kind in (0xE0, 0xEE) or not (0xE0 <= kind <= 0xEF or kind == 0xFE):  # JFIF, Adobe's; no other note
            kept.append(content[at : at + 2 + size])
        at += 2 + max(size, 2)
    kept.append(content[at:])
    return b"".join(kept), exif
