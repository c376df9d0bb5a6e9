"""`spikefront gc`: what nobody needs any more is removed, in place of this process."""

from __future__ import annotations

import typer

from core.cli.handing_over import become


def gc(
    days: float | None = typer.Option(None, "--days", min=0, help="What is older; by default SPIKEFRONT_GC_DAYS."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would go, and how much room that gives."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Remove old checkpoints of runs without a result, old events, rows of workers that are gone, and leftovers."""
    asked = [] if days is None else ["--days", str(days)]
    asked += [name for name, wanted in (("--dry-run", dry_run), ("--json", as_json)) if wanted]
    become("backend.store", "gc", *asked)
