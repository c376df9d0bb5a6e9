"""What a person sees of a search: bars on a terminal, tables, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from core.cli.console import print_json
from core.measured import MeasuredRun
from core.schemas.results import Event
from core.schemas.results import Progress as Step
from core.search.masks import MaskTable
from core.search.predict import MIN_MASKS, Prediction, Predictions
from core.search.study import Outcome, open_study, outcomes
from core.search.suggest import Suggestions
from core.units import format_count, format_energy

CHOSEN_ON = "Chosen on validation accuracy; test accuracy is not looked at."


class Bar:
    """A bar of trials and one of the present run on a terminal; a line a trial on standard error."""

    def __init__(self, trials: int) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._trials = self._progress.add_task("trials", total=trials)
        self._run = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, event: Event) -> None:
        if isinstance(event, Step):
            self._progress.update(
                self._run,
                description=f"{event.phase}, epoch {event.epoch}/{event.max_epochs}",
                completed=event.step,
                total=event.steps,
            )

    def trial(self, outcome: Outcome) -> None:
        self._progress.update(self._trials, completed=outcome.number + 1)
        if outcome.reason is not None:
            line = f"failed: {outcome.reason}"
        else:
            line = (
                f"validation {outcome.validation_accuracy:.2%}  {format_energy(outcome.energy_pj)}  {_chosen(outcome)}"
            )
        self._console.print(f"trial {outcome.number:>3}  {escape(line)}")


@contextmanager
def bar(title: str) -> Iterator[Any]:
    console = Console(stderr=True)
    with Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def report(folder: Path, *, as_json: bool) -> None:
    study, wanted = open_study(folder)
    rows = outcomes(study)
    done = [row for row in rows if row.reason is None]
    if as_json:
        print_json(
            {
                "chosen_on": "validation accuracy",
                "storage": str(folder / "optuna.db"),
                "search": wanted.model_dump(mode="json"),
                "trials": [asdict(row) for row in rows],
            }
        )
        return
    console = Console(highlight=False)
    ranked = sorted(done, key=lambda row: -row.validation_accuracy)
    shown = [row for row in ranked if row.on_front] if wanted.masks else ranked[:10]
    title = "Pareto front" if wanted.masks else f"Best {len(shown)} of {len(done)}"
    table = Table(
        title=f"{title}: {wanted.base.backbone}, {wanted.base.kind}, {wanted.base.dataset}", title_justify="left"
    )
    for name in ("trial", "validation", "energy", "params", "chosen", "bundle"):
        table.add_column(name, overflow="fold")
    for row in shown:
        table.add_row(
            str(row.number),
            f"{row.validation_accuracy:.2%}",
            format_energy(row.energy_pj),
            format_count(row.params),
            escape(_chosen(row)),
            str(row.bundle),
        )
    console.print(table)
    console.print(
        f"{len(done)} runs, {len(rows) - len(done)} failed. Energy: estimated, mode {wanted.mode}, profile "
        f"{wanted.profile}, per image. One seed ({wanted.base.seed}) each, n = 1. {CHOSEN_ON}"
    )
    for row in rows:
        if row.reason is not None:
            console.print(f"trial {row.number}: {escape(row.reason)}", style="dim")


def _chosen(row: Outcome) -> str:
    fields = {name.rpartition(".")[2]: value for name, value in row.chosen.items() if not name.startswith("keep.")}
    words = [f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in fields.items()]
    return ", ".join(([",".join(row.mask)] if any(name.startswith("keep.") for name in row.chosen) else []) + words)


def _label(mask: tuple[str, ...], name: str | None) -> str:
    return f"{','.join(mask)} ({name})" if name else ",".join(mask)


def _errors(predictions: Predictions) -> dict[str, Any]:
    return {
        "n_runs": predictions.n_runs,
        "n_masks": predictions.n_masks,
        "accuracy_error": predictions.accuracy_error,
        "accuracy_error_of_mean": predictions.accuracy_error_of_mean,
        "energy_error": predictions.energy_error,
    }


def _prediction_json(row: Prediction) -> dict[str, Any]:
    point = row.point
    return {
        "mask": list(point.mask), "name": point.name, "params": point.params, "dense_ops": point.dense_ops,
        "validation_accuracy": row.accuracy, "validation_accuracy_sd": row.accuracy_sd, "energy_pj": row.energy_pj,
        "energy_log10_sd": row.energy_log10_sd, "n_runs": row.n_runs,
    }  # fmt: skip


def masks_json(
    table: MaskTable, predictions: Predictions | None, found: list[MeasuredRun], mode: str, profile: str
) -> dict[str, Any]:
    if predictions is None:
        rows = [
            {"mask": list(p.mask), "name": p.name, "params": p.params, "dense_ops": p.dense_ops} for p in table.points
        ]
    else:
        rows = [_prediction_json(row) for row in predictions.rows]
    return {
        "possible": table.possible, "sampled": table.sampled, "impossible": [list(mask) for mask in table.impossible],
        "mode": mode, "profile": profile, "predicted": None if predictions is None else _errors(predictions),
        "why_not": None if predictions else _why_not(found), "masks": rows,
    }  # fmt: skip


def _why_not(found: list[MeasuredRun]) -> str:
    seen = len({run.config.mask for run in found})
    return f"No prediction: the runs have {seen} comparable masks, and at least {MIN_MASKS} are needed."


def print_masks(
    table: MaskTable, predictions: Predictions | None, found: list[MeasuredRun], *, limit: int | None, mode: str,
    profile: str,
) -> None:  # fmt: skip
    console = Console(highlight=False)
    shown = Table()
    names = ["mask", "params", "dense ops"] + (["validation", f"energy, {mode}", "runs"] if predictions else [])
    for name in names:
        shown.add_column(name, overflow="fold")
    if predictions is None:
        for point in sorted(table.points, key=lambda point: point.dense_ops)[:limit]:
            shown.add_row(_label(point.mask, point.name), f"{point.params:,}", f"{point.dense_ops:,}")
    else:
        for row in sorted(predictions.rows, key=lambda row: -row.accuracy)[:limit]:
            factor = 10**row.energy_log10_sd
            shown.add_row(
                _label(row.point.mask, row.point.name),
                f"{row.point.params:,}",
                f"{row.point.dense_ops:,}",
                f"{row.accuracy:.1%} ± {row.accuracy_sd:.1%}",
                f"{format_energy(row.energy_pj)} x/÷ {factor:.2f}",
                str(row.n_runs or ""),
            )
    console.print(shown)
    of = f"a random sample of {table.possible:,}" if table.sampled else f"all {table.possible:,} that there are"
    order = "the best predicted first" if predictions else "the fewest dense ops first"
    console.print(
        f"{len(table.points):,} masks, {of}; {len(table.impossible):,} impossible. Shown: {shown.row_count:,}, {order}."
    )
    console.print(_basis(found, predictions) if predictions else _why_not(found))


def _basis(found: list[MeasuredRun], predictions: Predictions) -> str:
    config, summary = found[0].config, found[0].summary
    part = "" if summary.dataset_complete else " (a subset)"
    return (
        f"From {predictions.n_runs} runs of {predictions.n_masks} masks on {config.dataset}{part}, recipe "
        f"{config.recipe}, {summary.n_train:,} training images. Leaving one mask out, validation accuracy was off by "
        f"{predictions.accuracy_error:.1%} on average (their plain mean: {predictions.accuracy_error_of_mean:.1%}), "
        f"energy by {predictions.energy_error:.0%}. ± is one standard deviation of a single new run."
    )


def suggestions_json(suggestions: Suggestions, predictions: Predictions, mode: str, profile: str) -> dict[str, Any]:
    return {
        "mode": mode, "profile": profile, **_errors(predictions), "hypervolume": suggestions.hypervolume,
        "reference": {"energy_pj": suggestions.worst_energy_pj, "accuracy": suggestions.worst_accuracy},
        "suggestions": [
            {
                **_prediction_json(row.prediction), "gain": row.gain, "gain_per_hour": row.gain_per_hour,
                "cost_s": row.cost_s, "reason": row.reason,
            }
            for row in suggestions.rows
        ],
    }  # fmt: skip


def print_suggestions(
    suggestions: Suggestions, predictions: Predictions, found: list[MeasuredRun], *, mode: str, profile: str
) -> None:
    console = Console(highlight=False)
    for place, row in enumerate(suggestions.rows, start=1):
        console.print(f"{place}. {_label(row.prediction.point.mask, row.prediction.point.name)}", style="bold")
        console.print(f"   {escape(row.reason)}")
    console.print(_basis(found, predictions))
    console.print(
        f"Area dominated now: {suggestions.hypervolume:.4g} accuracy x decades of energy ({mode}, {profile}), up to "
        f"{format_energy(suggestions.worst_energy_pj)} and {suggestions.worst_accuracy:.1%}. {CHOSEN_ON}"
    )
