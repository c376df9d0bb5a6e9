"""`spikefront worker`: a worker in the foreground, in place of this process."""

from __future__ import annotations

import os
import sys

import typer


def worker(
    queue: str = typer.Option("cpu", "--queue", "-Q", help="Which runs to take: cpu or gpu."),
    slots: int | None = typer.Option(None, help="Runs side by side; by default one a core up to 4, or one a GPU."),
    lease: float | None = typer.Option(None, help="Seconds of silence after which others may take a run over."),
    standby: bool = typer.Option(True, "--standby/--no-standby", help="Keep a trainer waiting, for quick starts."),
) -> None:
    """Train the runs of the queue until Ctrl-C; several workers may share one broker and database."""
    args = ["-Q", queue]
    args += ["--slots", str(slots)] if slots is not None else []
    args += ["--lease", str(lease)] if lease is not None else []
    args += [] if standby else ["--no-standby"]
    # Not imported: `core` stands below `worker`. Replaced, so that signals reach the worker itself.
    os.execv(sys.executable, [sys.executable, "-m", "worker", *args])
