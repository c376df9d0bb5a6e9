"""What may be shown of text that came from elsewhere: nothing that steers a terminal or a spreadsheet, and not all of a
long one."""

from __future__ import annotations

import re
from typing import Any

LIMIT = 200  # characters of one value in a message

#: Control characters but for the line's end and the tab, what turns the direction of text or breaks its lines, and halves
#: of characters, which bytes of a file name that are no text become.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

#: What begins a formula, or is passed over before one, in one spreadsheet or another; the last four are full-width.
_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def printable(text: str) -> str:
    """`text` with its steering characters written out, such as `\\x1b`."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    """The same for JSON, which stays the same value: `\\u001b`."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def clipped(text: str, limit: int = LIMIT) -> str:
    """The beginning of a long text, and how long it is."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"


def shown(value: Any) -> str:
    """A value as a message names it, as in Python and of bounded length."""
    if isinstance(value, str):
        return repr(value) if len(value) <= LIMIT else f"{value[:LIMIT]!r}... ({len(value):,} characters)"
    try:
        return clipped(repr(value))
    except ValueError:  # Python does not write out a number of more than 4,300 digits
        return "a very large number" if isinstance(value, int) else f"a {type(value).__name__} with a very large number"


def plain(value: Any) -> str | int | float | bool | None:
    """A value that JSON has, of bounded length."""
    if isinstance(value, str):
        return clipped(value)
    if isinstance(value, float | bool | None) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return shown(value)


def inert(value: Any) -> Any:
    """A table's cell that starts no formula: text marked as text where it would be read as one, numbers as they are."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value
