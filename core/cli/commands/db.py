"""`spikefront db`: the database by hand, in place of this process."""

from __future__ import annotations

from pathlib import Path

import typer

from core.cli.handing_over import become

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def upgrade() -> None:
    """Bring the database to this version's schema; for installations with SPIKEFRONT_MIGRATE=off."""
    _do("upgrade")


@app.command()
def check() -> None:
    """Say what answers at SPIKEFRONT_DATABASE_URL; exit code 1 when this version cannot use it."""
    _do("check")


@app.command()
def copy(
    source: Path | None = typer.Option(None, "--from", help="A SQLite file; by default the one in SPIKEFRONT_HOME."),
) -> None:
    """Copy a SQLite database into the empty PostgreSQL one of SPIKEFRONT_DATABASE_URL, and count the rows of both."""
    _do("copy", *(() if source is None else ("--source", str(source))))


def _do(*args: str) -> None:
    become("backend.store", *args)
