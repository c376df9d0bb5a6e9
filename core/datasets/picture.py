"""A picture that somebody brings, as the image of a data set: checked, turned upright, cropped, made small."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from core.errors import BadValue
from core.schemas.inference import MAX_PICTURE_BYTES, Picture

#: The decoders that are let at a picture from outside; Pillow has more, some of them start other programs.
FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 24_000_000  # a phone's photograph; decoded that is 72 MB
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
    preview = rgb.copy()
    preview.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    picture = Picture(width=rgb.width, height=rgb.height, crop=box, preview=png_uri(np.asarray(preview)))
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
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:  # by its header: nothing was decoded yet
                    raise _refused(f"{opened.width:,} x {opened.height:,} pixels", f"at most {MAX_PIXELS:,} pixels")
                return _rgb(ImageOps.exif_transpose(opened))
    except BadValue:
        raise
    except Image.DecompressionBombError:
        raise _refused("far too large", f"at most {MAX_PIXELS:,} pixels") from None
    except Exception:  # noqa: BLE001  a damaged file can fail in any way that its decoder can
        raise _refused("unreadable", "a whole PNG, JPEG or WebP file") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would cut every value at 255
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _centred(size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """The largest box with the proportions width : height in the middle of a picture of `size`."""
    scale = min(size[0] / width, size[1] / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size[0] - across) // 2, (size[1] - down) // 2
    return left, top, left + across, top + down


def _refused(value: str, expected: str) -> BadValue:
    return BadValue(field="picture", value=value, expected=expected)
