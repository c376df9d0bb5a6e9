"""`spikefront up`: everything on this machine with one command."""

from __future__ import annotations

import sys

import typer
from pydantic import ValidationError

from core.errors import BadValue
from core.launcher.screen import Screen
from core.launcher.supervise import Launcher
from core.settings import Settings


def up(
    demo: bool = typer.Option(True, "--demo/--no-demo", help="Queue the demo pair on the very first start."),
    host: str | None = typer.Option(None, help="Address to listen on; SPIKEFRONT_HOST. Loopback by default."),
) -> None:
    """Start broker, API, worker and dashboard; print the address; stop all on Ctrl-C."""
    sys.exit(Launcher(load_settings(host=host), screen=Screen(), demo=demo).run())


def load_settings(*, host: str | None = None) -> Settings:
    """Settings from the environment; raises BadValue naming the variable that cannot be read."""
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "?"
        field = name if name.startswith("SPIKEFRONT_") else f"SPIKEFRONT_{name}"
        expected = first["msg"].removeprefix("Input should be ").lower()
        raise BadValue(field=field, value=first["input"], expected=expected) from None
    return settings.model_copy(update={"host": host}) if host else settings
