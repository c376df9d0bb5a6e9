"""How an uploaded bundle is refused: which file, which field, what it says, and what would be right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from backend.problems import UploadCorrupt
from core.showing import clipped, shown


def require(file: str, field: str, value: Any, fits: bool, expected: str) -> None:
    """Raises UploadCorrupt unless `fits`."""
    if not fits:
        raise UploadCorrupt(file=file, field=field, value=value, expected=expected)


def within(file: str, field: str, value: float | None, low: float, high: float) -> None:
    """A finite number from low to high."""
    fits = value is not None and math.isfinite(value) and low <= value <= high
    require(file, field, value, fits, f"a number from {low:g} to {high:g}")


def same(
    file: str, pairs: Mapping[str, tuple[object, object]], *, source: str = "the rest of the bundle gives"
) -> None:
    """Each field (said, true) as it must be."""
    for name, (said, true) in pairs.items():
        if said != true:
            why = f"{name} is {_word(said)}, where {source} {_word(true)}."
            raise UploadCorrupt(file=file, why=why, field=name, value=said, expected=_word(true))


def close(file: str, pairs: Mapping[str, tuple[float | None, float | None]], *, source: str) -> None:
    """Each figure (said, recomputed) as it follows, up to rounding."""
    for name, (said, true) in pairs.items():
        if said is None or true is None:
            follows = said is true
        else:
            follows = math.isclose(said, true, rel_tol=1e-9, abs_tol=1e-9)
        if not follows:
            told, found = ("none" if number is None else f"{number:g}" for number in (said, true))
            why = f"{name} is {told}, where {source} {found}."
            raise UploadCorrupt(file=file, why=why, field=name, value=said, expected=found)


def _word(value: object) -> str:
    return clipped(value) if isinstance(value, str) else shown(value)
