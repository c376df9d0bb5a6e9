"""Pictures from outside: what is taken of them, and what is refused before it is decoded."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.datasets.picture import MAX_PIXELS, PREVIEW_SIDE, fit, png
from core.errors import BadValue
from core.schemas.inference import MAX_PICTURE_BYTES


def encoded(image: Image.Image, kind: str = "PNG", **how) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **how)
    return buffer.getvalue()


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_of_the_right_size_goes_in_bit_for_bit():
    image = noise(16, 16)
    fitted = fit(png(image), height=16, width=16)
    assert (fitted.image == image).all()
    assert fitted.picture.crop == (0, 0, 16, 16)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 33), st.integers(1, 33))
def test_the_crop_is_inside_and_in_the_middle_and_as_large_as_can_be(width, height, to_width, to_height):
    fitted = fit(png(noise(height, width)), height=to_height, width=to_width)
    left, top, right, bottom = fitted.picture.crop
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert right - left == width or bottom - top == height  # it touches two sides
    assert abs(left - (width - right)) <= 1 and abs(top - (height - bottom)) <= 1
    assert fitted.image.shape == (to_height, to_width, 3)


def test_nothing_beside_the_crop_bleeds_in():
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :20] = image[:, 60:] = 255  # white on both sides of a black square of 40 x 40
    assert fit(png(image), height=8, width=8).image.max() == 0


def test_a_picture_is_turned_as_its_camera_says():
    image = Image.new("RGB", (20, 10))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter to the right
    picture = fit(encoded(image, "JPEG", exif=exif), height=8, width=8).picture
    assert (picture.width, picture.height) == (10, 20)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_three_kinds_are_read(kind):
    fitted = fit(encoded(Image.new("RGB", (30, 20), "#ff0000"), kind), height=4, width=4)
    assert np.abs(fitted.image.astype(int) - [255, 0, 0]).max() < 8


def test_what_is_transparent_becomes_white_and_the_negative_is_taken_last():
    clear = encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    assert fit(clear, height=4, width=4).image.min() == 255
    assert fit(clear, height=4, width=4, invert=True).image.max() == 0


def test_sixteen_bits_of_grey_keep_their_upper_eight():
    grey = Image.fromarray(np.full((8, 8), 0x8001, np.uint16))
    assert (fit(encoded(grey), height=8, width=8).image == 0x80).all()


def test_the_preview_is_small():
    preview = fit(png(noise(600, 900)), height=8, width=8).picture.preview
    image = Image.open(io.BytesIO(base64.b64decode(preview.partition(",")[2])))
    assert image.size == (PREVIEW_SIDE, round(PREVIEW_SIDE * 600 / 900))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header claims width x height pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [5000, 20_000])  # above our limit, and above the one at which Pillow raises
def test_a_decompression_bomb_is_refused_by_its_header(side):
    with pytest.raises(BadValue) as caught:
        fit(bomb(side, side), height=8, width=8)
    assert caught.value.fields["expected"] == f"at most {MAX_PIXELS:,} pixels"


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF89a", b"not a picture", png(noise(32, 32))[:200], encoded(Image.new("RGB", (4, 4)), "GIF"),
     b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"],
)  # fmt: skip
def test_what_is_no_whole_picture_of_the_three_kinds_is_refused(content):
    with pytest.raises(BadValue) as caught:
        fit(content, height=8, width=8)
    assert caught.value.fields["field"] == "picture"


def test_a_file_above_the_limit_is_refused():
    with pytest.raises(BadValue):
        fit(bytes(MAX_PICTURE_BYTES + 1), height=8, width=8)
