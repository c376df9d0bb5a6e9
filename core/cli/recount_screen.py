"""`spikefront bundle recount` for people: the verdict, a row a layer, and why theirs is not what exact charges."""

from __future__ import annotations

from rich.console import Console

from core.report.recount_words import COLUMNS, by_whom, faults, headline, notes, row
from core.schemas.recount import Recount

WORDS = (0, 1, 8)  # columns that are no numbers


def print_recount(found: Recount) -> None:
    """On standard output; red where anything differs that should not."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(headline(found), style="green" if found.equal else "bold red")
    for sentence in faults(found):
        console.print(sentence, style="red")
    steps = f"T = {found.time_steps}, " if found.time_steps > 1 else ""
    console.print(
        f"{found.n_images} test images, {steps}sums over images and steps. Both networks run in float64; the rebuilt "
        f"one is counted by {by_whom(found)}."
    )
    rows = [COLUMNS, *(row(layer) for layer in found.layers)]
    widths = [max(len(cells[place]) for cells in rows) for place in range(len(COLUMNS))]
    for cells, layer in zip(rows, (None, *found.layers), strict=True):
        aligned = [
            cell.ljust(width) if place in WORDS else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        console.print("  ".join(aligned).rstrip(), style="red" if layer is not None and not layer.equal else None)
    for sentence in notes(found):
        console.print(f"- {sentence}")
