"""Text that goes into a table which a spreadsheet may open: it must start no formula."""

from __future__ import annotations

from typing import Any

#: What begins a formula, or is passed over before one, in one spreadsheet or another; the last four are full-width.
FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def inert(value: Any) -> Any:
    """Text marked as text, where it would be read as something else; numbers as they are."""
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULA else value
