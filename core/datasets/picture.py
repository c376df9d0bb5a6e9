"""A picture that somebody brings, as the image of a data set: checked, turned upright, cropped, made small."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from core.datasets.upright import read, upright
from core.errors import BadValue
from core.schemas.inference import MAX_PICTURE_BYTES, Picture

#: The decoders that are let at a picture from outside; Pillow has more, some of them start other programs.
FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 24_000_000  # a phone's photograph; Pillow keeps four bytes of a pixel, 96 MB, and never three copies here
BAND_ROWS = 64
PREVIEW_SIDE = 256


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """image: [H, W, 3] uint8."""

    image: np.ndarray
    picture: Picture


def fit(content: bytes, *, height: int, width: int, invert: bool = False) -> Fitted:
    """The largest centred part of the data set's proportions, brought to its size (Lanczos).

    A picture of that size already stays as it is, bit for bit. What is transparent becomes white. `invert` takes
    the negative, after the crop. Raises BadValue for what is no PNG, JPEG or WebP, is damaged, or has too many pixels.
    """
    if len(content) > MAX_PICTURE_BYTES:
        raise _refused(f"{len(content):,} bytes", f"at most {MAX_PICTURE_BYTES:,} bytes")
    rgb = _upright(content)
    box = _centred(rgb.size, width, height)
    small = rgb.crop(box)  # first, so that nothing beside it bleeds in
    if small.size != (width, height):
        small = small.resize((width, height), Image.Resampling.LANCZOS)
    image = np.asarray(small)
    across, down = rgb.size
    rgb.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))  # in its place: a copy would be as large as the picture
    picture = Picture(width=across, height=down, crop=box, preview=png_uri(np.asarray(rgb)))
    return Fitted(image=255 - image if invert else image, picture=picture)


def png_uri(image: np.ndarray) -> str:
    """image: [H, W, 3] uint8 -> a data URI that a browser shows."""
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def png(image: np.ndarray) -> bytes:
    """image: [H, W, 3] uint8 -> a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def _upright(content: bytes) -> Image.Image:
    """The picture in RGB, turned as its EXIF says; the first one of an animation."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit is above ours, and worded otherwise
            return read(content, FORMATS, _rgb)
    except BadValue:
        raise
    except Image.DecompressionBombError:
        raise _refused("far too large", f"at most {MAX_PIXELS:,} pixels") from None
    except Exception:  # noqa: BLE001  a damaged file can fail in any way that its decoder can
        raise _refused("unreadable", "a whole PNG, JPEG or WebP file") from None


def _rgb(opened: Image.Image) -> Image.Image:
    if opened.width * opened.height > MAX_PIXELS:  # by its header: nothing was decoded yet
        raise _refused(f"{opened.width:,} x {opened.height:,} pixels", f"at most {MAX_PIXELS:,} pixels")
    image = upright(opened)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    rgb = Image.new("RGB", image.size)
    for top in range(0, image.height, BAND_ROWS):  # so that what is between the two modes is never there whole
        rows = image.crop((0, top, image.width, min(top + BAND_ROWS, image.height)))
        if rows.mode.startswith("I;16"):  # Pillow would cut every value at 255
            rows = Image.fromarray((np.asarray(rows).astype(np.uint16) >> 8).astype(np.uint8))
        if rows.has_transparency_data:
            rows = rows.convert("RGBA")
            rows = Image.alpha_composite(Image.new("RGBA", rows.size, "white"), rows)
        rgb.paste(rows.convert("RGB"), (0, top))
    return rgb


def _centred(size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """The largest box with the proportions width : height in the middle of a picture of `size`."""
    scale = min(size[0] / width, size[1] / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size[0] - across) // 2, (size[1] - down) // 2
    return left, top, left + across, top + down


def _refused(value: str, expected: str) -> BadValue:
    return BadValue(field="picture", value=value, expected=expected)
