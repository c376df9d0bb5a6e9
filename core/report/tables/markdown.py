"""Tables of the pages that commands write, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.schemas.sweep import Aggregate


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: range) -> str:
    """A table; columns of the places `right` are aligned to the right."""
    lines = [head, ["---:" if place in right else "---" for place in range(len(head))], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def count(value: float | None) -> str:
    """12,345,678, or a dash."""
    return "-" if value is None else f"{round(value):,}"


def seeds(given: Sequence[int]) -> str:
    """3 (seeds 0, 1, 2)."""
    return f"{len(given)} (seed{'s' if len(given) > 1 else ''} {', '.join(map(str, given))})"


def spread(value: Aggregate, factor: float, form: str, unit: str) -> str:
    """Mean ± sample deviation; the mean alone of one seed."""
    mean = form % (value.mean * factor)
    return f"{mean}{unit}" if value.deviation is None else f"{mean} ± {form % (value.deviation * factor)}{unit}"
