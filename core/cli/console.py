"""What every command shares: how results and errors are printed, and how it ends when it failed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from core.errors import SpikefrontError
from core.showing import printable, printable_json

EXIT_FAILED = 1  # a domain error, told in one sentence


def print_json(value: Any) -> None:
    """One JSON value on standard output, keys in the order given; JSON in every encoding."""
    text = printable_json(json.dumps(value, indent=2, ensure_ascii=False))
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text, flush=True)


def say(text: str) -> None:
    """A line on standard output, in which names from files may stand."""
    print(printable(text))


def say_columns(rows: Sequence[Sequence[str]]) -> None:
    """Rows as lines of equally wide cells: the first of each to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        say("  ".join(cells).rstrip())


def print_error(error: SpikefrontError, *, as_json: bool) -> None:
    """One sentence on standard error; with `as_json` also `{code, message, fields}` on standard output."""
    print(f"spikefront: {printable(error.message)}", file=sys.stderr, flush=True)
    if as_json:
        print_json({"code": error.code, "message": error.message, "fields": error.fields})
