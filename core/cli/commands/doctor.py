"""`spikefront doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.console import Console

from core.cli.console import EXIT_FAILED, print_json
from core.launcher.checks import examine
from core.settings import Settings
from core.showing import printable

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(as_json: bool = typer.Option(False, "--json", help="Print the checks as one JSON object.")) -> None:
    """Check this machine and say what is missing. Exit code 1 when something must be mended."""
    settings = Settings()
    console = Console(highlight=False, markup=False, soft_wrap=True)
    checks = []
    for check in examine(settings):
        checks.append(check)
        if not as_json:
            console.print(f"{check.status:<4}", style=STYLES[check.status], end=" ")
            console.print(f"{check.name:<15} {printable(check.found)}")
            if check.advice:
                console.print(f"{'':<20} {printable(check.advice)}")
    ok = all(check.status != "fail" for check in checks)
    if as_json:
        print_json({"ok": ok, "checks": [asdict(check) for check in checks]})
    if not ok:
        raise typer.Exit(EXIT_FAILED)
