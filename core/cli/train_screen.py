"""What a person sees of a run: a bar and a line an epoch on standard error, then the result."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from core.schemas.results import EpochDone, Event, Finished, Started, Summary
from core.schemas.results import Progress as Step
from core.units import format_count, format_duration, format_energy


class Show:
    """Takes events. Without a terminal there is no bar, only the lines."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description:<16}"),
                BarColumn(),
                TextColumn("{task.fields[detail]}"),
                console=self._console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None, detail="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self._started(event)
            case Step():
                self._step(event)
            case EpochDone():
                self._epoch(event)
            case Finished():
                if self._bar:
                    self._bar.stop()
                self._console.print(result_table(event.summary))
                self._console.print(f"bundle: {self._out}")

    def _started(self, event: Started) -> None:
        if event.part == "teacher":
            self._console.print("first the CNN twin, which this run learns from")
        self._console.print(
            f"{event.n_train} training, {event.n_validation} validation, {event.n_test} test images; "
            f"{event.steps_per_epoch} steps an epoch, at most {event.max_epochs} epochs, on {event.device}"
        )
        if event.resumed_epoch is not None:
            self._console.print(f"resumed at epoch {event.resumed_epoch}, step {event.resumed_step}")

    def _step(self, event: Step) -> None:
        if not self._bar:
            return
        parts = [f"{event.step / event.steps:>4.0%}"]
        if event.loss is not None:
            parts.append(f"loss {event.loss:.3f}")
        if event.images_per_s is not None:
            parts.append(f"{event.images_per_s:.0f} images/s")
        if event.eta_s is not None:
            parts.append(f"{format_duration(event.eta_s)} left")
        name = f"epoch {event.epoch}/{event.max_epochs}" if event.phase == "training" else event.phase
        if event.part == "teacher":
            name = f"twin {name}"
        self._bar.update(self._task, description=name, completed=event.step, total=event.steps, detail="  ".join(parts))

    def _epoch(self, event: EpochDone) -> None:
        rate = "" if event.firing_rate is None else f"  firing rate {event.firing_rate:.3f}"
        twin = "twin " if event.part == "teacher" else ""
        validated = "" if event.validation_accuracy is None else f"validation {event.validation_accuracy:.2%}"
        self._console.print(
            f"{twin}epoch {event.epoch:>3}  loss {event.train_loss:.4f}  train {event.train_accuracy:.2%}  "
            f"{validated:<17}{' *' if event.is_best else '  '}{rate}  {event.wall_s:.1f} s"
        )


def result_table(summary: Summary) -> Table:
    """The figures of a run with their units and what they rest on."""
    part = "" if summary.dataset_complete else " (a subset)"
    table = Table(show_header=False, box=None, padding=(0, 2))
    rows = {
        "accuracy": f"{summary.accuracy:.2%} on {summary.n_test} test images of {summary.dataset}{part}",
        "F1, macro": f"{summary.f1_macro:.4f}",
        "parameters": format_count(summary.params),
        "ACs per image": f"{format_count(summary.acs)}, mode {summary.mode}, T = {summary.time_steps}",
        "MACs per image": format_count(summary.macs),
        "energy per image": f"{format_energy(summary.energy_pj)}, estimated, {summary.profile}",
        "firing rate": "none: a CNN" if summary.firing_rate is None else f"{summary.firing_rate:.3f}",
        "weights of epoch": f"{summary.best_epoch} of {summary.epochs_run}, "
        f"validation {summary.best_validation_accuracy:.2%}",
        "training": f"{format_duration(summary.train_wall_s)}, {summary.train_images_per_s:.0f} images/s, "
        f"seed {summary.seed} (n = 1)",
    }
    if not summary.epochs_run:  # a network that is taken as it comes
        del rows["weights of epoch"]
        rows["training"] = f"none: the weights as they came, seed {summary.seed} (n = 1)"
    for name, value in rows.items():
        table.add_row(name, value)
    return table
