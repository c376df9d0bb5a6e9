"""One image file of any kind to RGB bytes: what each kind becomes, and what is refused."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image

from core.datasets.images import Unreadable, read_rgb, shorter_side


def save(image: Image.Image, path, **options):
    image.save(path, **options)
    return path


def test_grey_becomes_three_equal_channels(tmp_path):
    image = read_rgb(save(Image.new("L", (5, 4), 77), tmp_path / "x.png"))
    assert image.shape == (4, 5, 3) and image.dtype == np.uint8 and (image == 77).all()


def test_black_and_white_becomes_0_and_255(tmp_path):
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert read_rgb(save(image, tmp_path / "x.png"))[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_a_palette_becomes_its_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert read_rgb(save(image, tmp_path / "x.png"))[0].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_what_is_transparent_becomes_white(tmp_path):
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (10, 20, 30, 255))
    image.putpixel((2, 0), (0, 0, 0, 51))  # a fifth black, four fifths white: 255 * 0.8 = 204
    assert read_rgb(save(image, tmp_path / "x.png"))[0].tolist() == [[255] * 3, [10, 20, 30], [204] * 3]


def test_a_transparent_palette_colour_becomes_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    path = save(image, tmp_path / "x.gif", transparency=0)
    assert read_rgb(path)[0].tolist() == [[255, 255, 255], [200, 100, 50]]


def test_16_bit_grey_keeps_its_upper_eight_bits(tmp_path):
    """Cutting at 255, as a plain conversion would, makes nearly all of it white."""
    values = np.array([[0, 255, 256, 32_768, 65_535]], dtype=np.uint16)
    image = read_rgb(save(Image.fromarray(values), tmp_path / "x.png"))
    assert image[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_values_of_32_bits_are_refused(tmp_path):
    path = save(Image.fromarray(np.ones((2, 2), dtype=np.float32)), tmp_path / "x.tif")
    with pytest.raises(Unreadable, match="32 bits"):
        read_rgb(path)


def test_an_image_is_turned_as_its_exif_says(tmp_path):
    """Orientation 6: the camera was turned, so the first row of the file is the right column of the picture."""
    image = Image.new("RGB", (3, 2), "white")
    for x in range(3):
        image.putpixel((x, 0), (0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = read_rgb(save(image, tmp_path / "x.png", exif=exif))
    assert turned.shape == (3, 2, 3)
    assert (turned[:, 1] == 0).all() and (turned[:, 0] == 255).all()


def test_the_centre_is_cut_out_along_the_longer_side(tmp_path):
    """12x4: the middle 4x4, columns 4 to 7, and nothing of what lies beside it."""
    image = Image.new("RGB", (12, 4), "red")
    image.paste((0, 0, 255), (4, 0, 8, 4))
    assert (read_rgb(save(image, tmp_path / "x.png"), 4) == (0, 0, 255)).all()
    halved = read_rgb(save(image, tmp_path / "x.png"), 2)
    assert halved.shape == (2, 2, 3) and (halved == (0, 0, 255)).all()


def test_a_small_image_is_enlarged(tmp_path):
    assert (read_rgb(save(Image.new("L", (1, 1), 9), tmp_path / "x.png"), 16) == 9).all()


def test_an_animation_gives_its_first_image(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(frames[0], tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert (read_rgb(path) == (255, 0, 0)).all()


@pytest.mark.parametrize("end", ["jpg", "png", "bmp", "gif", "webp", "tif"])
def test_a_truncated_image_is_refused_in_every_format(tmp_path, end):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(Image.fromarray(pixels), tmp_path / f"x.{end}")
    assert read_rgb(path).shape == (64, 64, 3)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(Unreadable):
        read_rgb(path)


@pytest.mark.parametrize(("content", "why"), [(b"", "it is empty"), (b"plain text", "no image of a kind")])
def test_what_is_no_image_is_refused(tmp_path, content, why):
    (tmp_path / "x.png").write_bytes(content)
    for read in (read_rgb, shorter_side):
        with pytest.raises(Unreadable, match=why):
            read(tmp_path / "x.png")


def test_postscript_is_refused(tmp_path):
    """Pillow knows it, and would start another program to draw it."""
    Image.new("RGB", (20, 20)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(Unreadable, match="no image of a kind"):
        shorter_side(tmp_path / "x.png")


def test_a_decompression_bomb_is_refused_at_pillows_limit(tmp_path, monkeypatch):
    path = save(Image.new("L", (40, 30)), tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 30)
    assert read_rgb(path).shape == (30, 40, 3)
    for limit in (40 * 30 - 1, 10):  # Pillow warns beyond the limit and refuses beyond twice it; here both are refused
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(Unreadable, match=f"more than {limit:,} pixels"):
                read_rgb(path)
