"""`spikefront up`: everything on this machine with one command."""

from __future__ import annotations

import os
import sys

import typer

from core.addresses import origin
from core.launcher.screen import Screen
from core.launcher.supervise import Launcher
from core.settings import Settings


def up(
    demo: bool = typer.Option(True, "--demo/--no-demo", help="Queue the demo pair on the very first start."),
    gallery: bool = typer.Option(
        True, "--gallery/--no-gallery", help="Bring in the finished runs of the gallery on the very first start."
    ),
    host: str | None = typer.Option(None, help="Address to listen on; SPIKEFRONT_HOST. Loopback by default."),
) -> None:
    """Start broker, API, worker and dashboard; print the address; stop all on Ctrl-C."""
    settings = Settings(host=host) if host else Settings()
    os.environ.update(inner_addresses(settings))
    sys.exit(Launcher(settings, screen=Screen(), demo=demo, gallery=gallery).run())


def inner_addresses(settings: Settings) -> dict[str, str]:
    """Variables for the services, which stand on this machine and reach one another here, whatever browsers call them.

    SPIKEFRONT_API_URL alone says how browsers call the API, as it did before SPIKEFRONT_PUBLIC_URL was there.
    """
    if settings.api_url_override is None or settings.public_url_override is not None:
        return {}
    return {
        "SPIKEFRONT_PUBLIC_URL": settings.api_url_override,
        "SPIKEFRONT_API_URL": origin(settings.host, settings.api_port),
    }
