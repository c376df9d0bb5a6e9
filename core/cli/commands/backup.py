"""`spikefront backup`: a copy of an installation while it runs, in place of this process."""

from __future__ import annotations

from pathlib import Path

import typer

from core.cli.handing_over import become


def backup(
    path: Path = typer.Argument(help="A folder, which may hold an earlier backup, or a file: .tar, .tar.gz, .tgz."),
    data: bool = typer.Option(False, "--data", help="Data sets of your own too."),
    token: bool = typer.Option(False, "--token", help="The key of dashboard and API too; keep the backup secret then."),
    copy: bool = typer.Option(False, "--copy", help="Copy bundles even where hard links would do."),
) -> None:
    """Copy database, bundles, stored links and hardware profiles, while Spikefront runs. Exit code 1 if any is left out."""
    asked = [name for name, wanted in (("--data", data), ("--token", token), ("--copy", copy)) if wanted]
    become("backend.store", "backup", "--path", str(path.absolute()), *asked)
