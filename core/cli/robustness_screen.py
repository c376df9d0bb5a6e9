"""`spikefront bundle robustness` for people: a row a strength, and what the figures rest on."""

from __future__ import annotations

from core.cli.console import say, say_columns
from core.report.robustness_words import COLUMNS, SAYS_NOT, basis, rows
from core.schemas.robustness import PricedRobustness


def print_robustness(found: PricedRobustness) -> None:
    """On standard output."""
    say_columns([COLUMNS, *(cells for _, cells in rows(found))])
    say(
        f"{', '.join(basis(found))}, noise drawn from seed {found.seed}; energy per inference, estimated; intervals are about "
        "the images alone."
    )
    say(SAYS_NOT)
