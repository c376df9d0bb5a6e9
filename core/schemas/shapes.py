"""Lists whose lengths follow from other fields of their model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.schemas.conflicts import Conflict

INNER = "a list in "


def require_shape(name: str, value: Sequence[Any], *sides: int) -> None:
    """Lists in lists of these lengths, the outermost first. Raises a conflict, which pydantic reports."""
    length, *inner = sides
    if len(value) != length:
        raise Conflict(f"the length of {name}", len(value), str(length)).error()
    for part in value if inner else ():
        require_shape(INNER + name.removeprefix(INNER), part, *inner)
