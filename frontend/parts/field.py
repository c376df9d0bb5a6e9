"""A field of a config as a form shows it."""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """One field: dotted name, title, and what it is in words."""

    name: str
    title: str
    meaning: str
