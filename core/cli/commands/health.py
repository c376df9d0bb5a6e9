"""`spikefront health`: whether one part of an installation is well, for a container's health check."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from core.cli.console import EXIT_FAILED
from core.cli.handing_over import become
from core.launcher.health import api_unready, dashboard_waits
from core.settings import Settings
from core.showing import printable

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """Exit code 0 when a part of this machine is well, else 1 and a sentence."""


@app.command()
def api() -> None:
    """Whether the API answers here, and its database and its broker do."""
    _end(api_unready)


@app.command()
def dashboard() -> None:
    """Whether the dashboard answers here."""
    _end(dashboard_waits)


@app.command()
def worker() -> None:
    """Whether a worker of this host name gave the database a sign of life lately."""
    # A worker's machine may not reach the API, but its database.
    become("worker.health")


def _end(why_not: Callable[[Settings], str | None]) -> None:
    if (why := why_not(Settings())) is not None:
        print(printable(why), file=sys.stderr)
        raise typer.Exit(EXIT_FAILED)
    print("ok")
