"""What a person sees of a stack: one bar for all runs, a line an epoch of each, and a table of the results."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from core.errors import SpikefrontError
from core.schemas.results import EpochDone, Event, Finished, Started, Summary
from core.schemas.results import Progress as Step
from core.units import format_duration, format_energy


class Screen:
    """Takes events of runs by their place in `names`. Without a terminal there is no bar, only the lines."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._shares = [0.0] * len(names)
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID = self._bar.add_task("starting", total=1.0, detail="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, number: int, event: Event) -> None:
        match event:
            case Started():
                if event.resumed_epoch is not None:
                    self._say(number, f"resumed at epoch {event.resumed_epoch}, step {event.resumed_step}")
            case Step():
                self._step(number, event)
            case EpochDone():
                validated = "" if event.validation_accuracy is None else f"  validation {event.validation_accuracy:.2%}"
                self._say(
                    number,
                    f"epoch {event.epoch:>3}  loss {event.train_loss:.4f}  train {event.train_accuracy:.2%}{validated}"
                    f"{' *' if event.is_best else ''}",
                )
            case Finished():
                self._shares[number] = 1.0

    def results(self, results: Sequence[Summary | SpikefrontError]) -> None:
        """The end: figures of each run, or why there are none."""
        self._bar.stop()
        table = Table(box=None, padding=(0, 2))
        for column in ("run", "accuracy", "F1, macro", "energy per image", "epochs", "share of the time"):
            table.add_column(column, overflow="fold")
        for name, one in zip(self._names, results, strict=True):
            if isinstance(one, SpikefrontError):
                table.add_row(escape(name), escape(f"failed: {one.message}"))
                continue
            table.add_row(
                escape(name),
                f"{one.accuracy:.2%}",
                f"{one.f1_macro:.4f}",
                format_energy(one.energy_pj),
                str(one.epochs_run),
                format_duration(one.train_wall_s),
            )
        self._console.print(table)

    def _step(self, number: int, event: Step) -> None:
        self._shares[number] = event.share or 0.0
        mean = sum(self._shares) / len(self._shares)
        self._bar.update(
            self._task, description=f"{event.phase}, {len(self._names)} runs", completed=mean, detail=f"{mean:>4.0%}"
        )

    def _say(self, number: int, line: str) -> None:
        self._console.print(f"{escape(self._names[number])}  {line}")
