"""`spikefront speed`: times a small network on this machine, for a worker that says what it can do."""

from __future__ import annotations

import json
from typing import Literal

import typer

from core.cli.train_here import step_back
from core.host.machine import cores

MOST_S = 10.0


def speed(
    device: Literal["cpu", "cuda"] = typer.Option("cpu", help="Where to train."),
    threads: int = typer.Option(1, min=1, help="Of one run."),
    slots: int = typer.Option(1, min=1, help="Runs side by side, at most; on the CPU each number of them is timed."),
    seconds: float = typer.Option(2.0, min=0.0, max=MOST_S, help="How long to look at each."),
) -> None:
    """Print training images a second as one JSON line: of one run, and how more threads and more runs pay."""
    step_back()
    from core.engine import packing
    from core.engine.speed import NETWORK

    wanted = packing.points(cores=cores(), slots=slots, threads=threads) if device == "cpu" else [(1, threads)]
    measured = packing.measure(device, wanted, limit_s=seconds)
    own = next(point for point in measured if (point.runs, point.threads) == (1, threads))
    said = {"images_per_s": own.images_per_s, "measured": NETWORK, "speeds": [one.model_dump() for one in measured]}
    print(json.dumps(said))
