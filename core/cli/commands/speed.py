"""`spikefront speed`: times a small network on this machine, for a worker that says what it can do."""

from __future__ import annotations

import json
from typing import Literal

import typer

from core.cli.train_here import step_back

MOST_S = 10.0


def speed(
    device: Literal["cpu", "cuda"] = typer.Option("cpu", help="Where to train."),
    threads: int = typer.Option(1, min=1, help="Of one run."),
    seconds: float = typer.Option(2.0, min=0.0, max=MOST_S, help="How long to look."),
) -> None:
    """Print training images a second as one JSON line."""
    step_back()
    from core.engine.speed import NETWORK, images_per_s

    print(json.dumps({"images_per_s": images_per_s(device, threads, limit_s=seconds), "measured": NETWORK}))
