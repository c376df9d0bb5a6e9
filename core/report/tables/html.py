"""Tables as HTML: the shapes that pages and shares have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from core.report.markup import render


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, label: str, kind: str = "") -> str:
    """A table in a box that scrolls; the first cell of a row is its heading. `label`: what a screen reader calls it."""
    return render("table.html", head=head, rows=rows, label=label, kind=kind)


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and what they are, in words."""
    return render("facts.html", rows=rows)


def cells(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    kind: str = "",
    focus: bool = False,
    tall: bool = False,
    faults: Collection[int] = (),
) -> str:
    """Rows of equal cells in a box that scrolls: by keyboard too with `focus`, in its height with `tall`.

    `faults`: places of the rows that are red.
    """
    return render("cells.html", head=head, rows=rows, kind=kind, focus=focus, tall=tall, faults=faults)


def named(
    rows: Sequence[tuple[str, str, Sequence[str]]], *, head: Sequence[str] = (), below_kind: str = "sf-dim"
) -> str:
    """(name, what stands small below it, cells) row by row."""
    return render("named.html", head=head, rows=rows, below_kind=below_kind)
