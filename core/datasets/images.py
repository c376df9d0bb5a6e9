"""One image file, of a kind and size that nobody vouches for, to RGB bytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from core.datasets.upright import read, upright

T = TypeVar("T")

#: The decoders that are let at a file; Pillow has more, some of them start other programs.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


class Unreadable(ValueError):
    """No image, a damaged one, or one that is not decoded on trust; says why."""


def read_rgb(source: Path | bytes, side: int | None = None) -> np.ndarray:
    """The image in a file, or in a file's bytes, as [H, W, 3] uint8, turned as its EXIF says; the first one of an animation.

    With `side`, the centre is cut out along the longer side and brought to side x side (Lanczos). Grey becomes three
    equal channels, palettes their colours, and what is transparent white. 16-bit grey keeps its upper eight bits.
    Raises Unreadable.
    """
    rgb = _read(source, lambda image: _rgb(upright(image)))
    if side is not None and rgb.size != (side, side):
        short = min(rgb.size)
        left, top = ((length - short) // 2 for length in rgb.size)
        square = rgb.crop((left, top, left + short, top + short))  # first, so that nothing beside it bleeds in
        rgb = square.resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(rgb)


def shorter_side(path: Path) -> int:
    """Of the image, in pixels, from its header alone. Raises Unreadable."""
    return _read(path, lambda image: min(image.size))


def _read(source: Path | bytes, use: Callable[[Image.Image], T]) -> T:
    """`use` of the image, not yet decoded; whatever goes wrong with it becomes Unreadable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is beside the pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # Pillow's limit, not twice it
            return read(source, FORMATS, use)
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001  a damaged file can fail in any way that its decoder can
        raise Unreadable(_why(source, error)) from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BIT:  # Pillow would cut every value at 255
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise Unreadable("its values have 32 bits, and nothing says which of them are black and white")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _why(source: Path | bytes, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, UnidentifiedImageError):
        try:
            empty = (len(source) if isinstance(source, bytes) else source.stat().st_size) == 0
        except OSError:
            empty = False
        return "it is empty" if empty else f"it is no image of a kind that is read ({', '.join(FORMATS)})"
    if isinstance(error, OSError) and error.errno is not None:
        return f"it cannot be read: {error.strerror}"
    return f"it is damaged or cut off ({str(error)[:100] or type(error).__name__})"
