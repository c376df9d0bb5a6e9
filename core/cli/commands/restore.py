"""`spikefront restore`: an installation from a backup, in place of this process."""

from __future__ import annotations

from pathlib import Path

import typer

from core.cli.handing_over import become


def restore(path: Path = typer.Argument(help="The folder or the archive of `spikefront backup`.")) -> None:
    """Fill an empty SPIKEFRONT_HOME, and the database of SPIKEFRONT_DATABASE_URL, after every hash was checked."""
    become("backend.store", "restore", "--path", str(path.absolute()))
