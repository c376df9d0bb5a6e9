"""`spikefront worker`: a worker in the foreground, in place of this process."""

from __future__ import annotations

import typer

from core.cli.handing_over import become


def worker(
    queue: str = typer.Option("auto", "--queue", "-Q", help="Train on cpu or gpu; auto: the GPUs here, else the CPU."),
    slots: int | None = typer.Option(None, help="Runs side by side; by default by the cores, or one a GPU."),
    lease: float | None = typer.Option(None, help="Seconds of silence after which others may take a run over."),
    standby: bool = typer.Option(True, "--standby/--no-standby", help="Keep a trainer waiting, for quick starts."),
) -> None:
    """Train the runs of the queue until Ctrl-C; several workers may share one broker and database."""
    args = ["-Q", queue]
    args += ["--slots", str(slots)] if slots is not None else []
    args += ["--lease", str(lease)] if lease is not None else []
    args += [] if standby else ["--no-standby"]
    become("worker", *args)
