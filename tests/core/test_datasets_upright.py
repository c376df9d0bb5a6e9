"""Pixels out of files whose other parts are not whole, and the way up: for images of a set and for pictures to try."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.datasets.images import Unreadable, read_rgb, shorter_side
from core.datasets.picture import fit
from core.datasets.upright import PNG
from core.errors import BadValue

PIXELS = np.random.default_rng(5).integers(0, 256, (12, 9, 3), dtype=np.uint8)
SIX = 6  # EXIF's number for: turn it a quarter to the right
TURNED = np.rot90(PIXELS, -1)
TEXT = b"Comment\0\0" + zlib.compress(bytes(2 << 20))  # a short chunk that unpacks to 2 MB
PROFILE = b"icc\0\0" + zlib.compress(bytes(2 << 20))


def encoded(kind: str, **how) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, **how)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    table = Image.Exif()
    table[0x0112] = orientation
    return table.tobytes()


def chunk(kind: bytes, body: bytes, *, crc: int = 0) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ crc)


def with_chunk(content: bytes, added: bytes, *, before: bytes = b"IDAT") -> bytes:
    at = content.index(before) - 4
    return content[:at] + added + content[at:]


def segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + struct.pack(">H", len(body) + 2) + body


def both_ways(tmp_path, content: bytes) -> np.ndarray:
    """The image as a data set reads it, which must be as Try it does."""
    (tmp_path / "x").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of it is for the terminal
        image = read_rgb(tmp_path / "x")
        assert shorter_side(tmp_path / "x") == 9
        tried = fit(content, height=image.shape[0], width=image.shape[1]).image
    assert np.array_equal(tried, image)
    return image


BESIDE = {
    "an EXIF that is no EXIF": chunk(b"eXIf", b"\0\x08\0\x02\x01\x12\0\x03"),
    "an EXIF cut off": chunk(b"eXIf", exif(SIX)[6:20]),
    "an empty EXIF": chunk(b"eXIf", b""),
    "an EXIF with a wrong checksum": chunk(b"eXIf", exif(1)[6:], crc=1),
    "a profile of 2 MB": chunk(b"iCCP", PROFILE),
    "a profile that is none": chunk(b"iCCP", b"icc\0\0nothing"),
    "a text of 2 MB": chunk(b"zTXt", TEXT),
    "a text with a wrong checksum": chunk(b"tEXt", b"a\0b", crc=1),
    "a size cut off": chunk(b"pHYs", b"\0"),
    "a gamma cut off": chunk(b"gAMA", b"\0"),
    "colours cut off": chunk(b"cHRM", b"\0\0\0"),
    "an international text of 2 MB": chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(2 << 20))),
}


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("beside", BESIDE)
def test_what_is_wrong_beside_the_pixels_of_a_png_does_not_cost_them(tmp_path, beside, before):
    assert np.array_equal(both_ways(tmp_path, with_chunk(encoded("PNG"), BESIDE[beside], before=before)), PIXELS)


@pytest.mark.parametrize("beside", [name for name in BESIDE if "EXIF" not in name])
def test_the_orientation_counts_though_something_else_is_wrong(tmp_path, beside):
    content = with_chunk(encoded("PNG", exif=exif(SIX)), BESIDE[beside])
    assert np.array_equal(both_ways(tmp_path, content), TURNED)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_an_exif_of_any_bytes_leaves_the_pixels_as_they_lie(tmp_path, kind):
    how = {"lossless": True} if kind == "WEBP" else {}
    plain = both_ways(tmp_path, encoded(kind, **how))
    for body in (b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", os.urandom(40), exif(SIX)[:20], b"II*\0\x08\0\0\0\xff\xff"):
        assert np.array_equal(both_ways(tmp_path, encoded(kind, exif=b"Exif\0\0" + body, **how)), plain)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_orientation_is_turned_upright(tmp_path, kind, orientation):
    """By NumPy: 2 and 4 are mirrored, 3 stands on its head, 5 and 7 swap rows and columns, 6 and 8 lie on a side."""
    upright = {
        1: PIXELS, 2: PIXELS[:, ::-1], 3: PIXELS[::-1, ::-1], 4: PIXELS[::-1], 5: PIXELS.transpose(1, 0, 2),
        6: TURNED, 7: PIXELS[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(PIXELS, 1),
    }[orientation]  # fmt: skip
    (tmp_path / "x").write_bytes(encoded(kind, exif=exif(orientation)))
    assert np.array_equal(read_rgb(tmp_path / "x"), upright)


@pytest.mark.parametrize("kind", [0xE2, 0xED, 0xE1, 0xFE])
def test_what_is_wrong_beside_the_pixels_of_a_jpeg_does_not_cost_them(tmp_path, kind):
    content = encoded("JPEG", exif=exif(SIX), quality=95)
    for body in (
        b"MPF\0",
        b"MPF\0II*\0\x08\0\0\0\x02\0" + bytes(range(40)),
        b"ICC_PROFILE\0\1",
        b"Photoshop 3.0\0" + b"8BIM\4" * 9,
    ):
        damaged = content[:2] + segment(kind, body) + content[2:]
        assert np.array_equal(both_ways(tmp_path, damaged), both_ways(tmp_path, content))


@given(at=st.integers(0, 10_000), change=st.integers(1, 255))
def test_no_byte_beside_the_pixels_of_a_png_matters(at, change, tmp_path_factory):
    bodies = {b"tEXt": b"Comment\0made here", b"iCCP": b"icc\0\0" + zlib.compress(b"x" * 200), b"pHYs": bytes(9)}
    content = encoded("PNG")
    for kind, body in bodies.items():
        content = with_chunk(content, chunk(kind, body))
    free = []  # the bytes of contents and checksums; a changed length or kind is another file
    for kind, body in bodies.items():
        start = content.index(kind) + 4
        free += range(start, start + len(body) + 4)
    damaged = bytearray(content)
    damaged[free[at % len(free)]] ^= change
    assert np.array_equal(both_ways(tmp_path_factory.mktemp("p"), bytes(damaged)), PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_pixels_stay_refused(tmp_path, kind):
    content = bytearray(with_chunk(encoded("PNG"), BESIDE["a text of 2 MB"]) if kind == "PNG" else encoded(kind))
    if kind == "PNG":
        content[content.index(b"IDAT") + 30] ^= 1
    else:
        content = content[: len(content) // 2]
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(Unreadable, match="damaged or cut off"):
        read_rgb(tmp_path / "x")
    with pytest.raises(BadValue):
        fit(bytes(content), height=4, width=4)


def test_colours_that_a_png_calls_transparent_are_white_in_both(tmp_path):
    content = with_chunk(encoded("PNG"), chunk(b"tRNS", struct.pack(">HHH", *PIXELS[3, 4].tolist())))
    expected = PIXELS.copy()
    expected[3, 4] = 255
    assert np.array_equal(both_ways(tmp_path, content), expected)


PEAK = """
import resource, sys
from core.datasets.picture import fit
content = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit(content, height=32, width=32)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize(("depth", "colour", "wide"), [(8, 2, 3), (16, 6, 8), (8, 3, 1), (16, 0, 2)])
def test_the_largest_picture_is_never_in_memory_three_times(tmp_path, depth, colour, wide):
    """24 million pixels at four bytes each are 96 MB (92 MiB); twice that and a little is the most."""
    rows = zlib.compressobj(1)
    packed = b"".join(rows.compress(b"\0" + bytes(6000 * wide)) for _ in range(4000)) + rows.flush()
    palette = chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(9)) if colour == 3 else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 6000, 4000, depth, colour, 0, 0, 0))
    (tmp_path / "x.png").write_bytes(PNG + header + palette + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "x.png")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 2 * 92 + 40
