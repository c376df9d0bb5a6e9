"""`spikefront search`: find hyper-parameters and masks worth their training time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from core.cli.commands.train import parse_settings
from core.cli.console import print_json
from core.cli.search_screen import Bar, bar, masks_json, print_masks, print_suggestions, report, suggestions_json
from core.cli.train_here import recounter, stop_on_signals
from core.datasets.catalog import DATASETS
from core.datasets.splits import split_sizes
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.errors import BadValue
from core.forecast import training_ops
from core.measured import MeasuredRun, largest_group, read_runs
from core.recipes.build import build_config, plan_of
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE
from core.schemas.request import RunRequest
from core.schemas.run import Kind, RunConfig
from core.search.masks import MaskTable, mask_table
from core.search.predict import MIN_MASKS, known, predict
from core.search.space import PAPER_SPACE, changed, read_toml
from core.search.study import Search, search
from core.search.suggest import suggest
from core.settings import Settings

app = typer.Typer(help="Search hyper-parameters and masks.", no_args_is_help=True)

OUT = typer.Option(..., "--out", help="Folder of the search; the same command goes on with what is in it.")
BACKBONE = typer.Option("squeezenet", help="Backbone.")
DEFINITION = typer.Option("small", help="small or imagenet; of mnasnet also paper and paper-cifar10.")
KIND = typer.Option(Kind.SNN, help="Spiking network or its CNN twin.")
DATASET = typer.Option("digits", help="Data set.")
RECIPE = typer.Option("smoke", help="Recipe that gives every field which is not searched.")
SEED = typer.Option(0, min=0, max=2**31 - 1, help="Seed of the runs.")
SEARCH_SEED = typer.Option(0, min=0, help="Seed of the search's own choices.")
TRIALS = typer.Option(20, min=1, help="Trials in all, those from before and failed ones included.")
SET = typer.Option([], "--set", metavar="FIELD=VALUE", help="Change a field of the recipe; repeatable.")
SPACE = typer.Option(
    [], "--space", metavar="FIELD=LOW:HIGH[:log]", help="Search a field, or FIELD=A,B,C; adds or replaces; repeatable."
)
SPACE_FILE = typer.Option(None, "--space-file", help="TOML with a table [space] instead of the paper's space.")
MODE = typer.Option(DEFAULT_MODE, help="Accounting mode of the energy.")
PROFILE = typer.Option(DEFAULT_PROFILE, help="Hardware profile.")
DATA = typer.Option(None, "--data", help="Folder with the data sets [default: SPIKEFRONT_DATA].")
DEVICE = typer.Option("auto", help="auto, cpu or cuda.")
THREADS = typer.Option(None, min=1, help="CPU threads [default: all, or OMP_NUM_THREADS].")
JSON = typer.Option(False, "--json", help="Print JSON instead of a table.")
RUNS = typer.Option([], "--runs", help="Folder with bundles, at any depth; repeatable.")


@app.command()
def random(
    context: typer.Context, out: Path = OUT, backbone: str = BACKBONE, definition: str = DEFINITION, kind: Kind = KIND,
    mask: str = typer.Option("Full", help="Kept blocks such as F4,F6,F8,F9, or a mask's name such as Ref-1."),
    dataset: str = DATASET, recipe: str = RECIPE, seed: int = SEED, search_seed: int = SEARCH_SEED,
    trials: int = TRIALS, settings: list[str] = SET, space: list[str] = SPACE, space_file: Path | None = SPACE_FILE,
    mode: str = MODE, profile: str = PROFILE, data: Path | None = DATA, device: str = DEVICE,
    threads: int | None = THREADS, as_json: bool = JSON,
) -> None:  # fmt: skip
    """Random search over the paper's space: learning rate, tau, threshold, surrogate.

    One mask, each trial a run with its bundle. The best by validation accuracy is printed.
    """
    data = data or Settings().data
    context.with_resource(DATASETS.looking_in(data))  # the user's own data sets are those of this folder
    base = _base(backbone, definition, kind, mask, dataset, recipe, seed, settings)
    wanted = _search(
        base, space, space_file, paper=True, masks=False, sampler="random", seed=search_seed, population=1, mode=mode,
        profile=profile,
    )  # fmt: skip
    _run(wanted, out=out, trials=trials, data=data, device=device, threads=threads)
    report(out, as_json=as_json)


@app.command()
def pareto(
    context: typer.Context, out: Path = OUT, backbone: str = BACKBONE, definition: str = DEFINITION, kind: Kind = KIND, dataset: str = DATASET,
    recipe: str = RECIPE, seed: int = SEED, search_seed: int = SEARCH_SEED, trials: int = TRIALS,
    sampler: str = typer.Option("nsga2", help="nsga2, tpe or random."),
    population: int = typer.Option(10, min=2, help="Of nsga2; the first trials of tpe, drawn at random."),
    masks_only: bool = typer.Option(False, "--masks-only", help="Keep the recipe's hyper-parameters; search masks."),
    settings: list[str] = SET, space: list[str] = SPACE, space_file: Path | None = SPACE_FILE, mode: str = MODE,
    profile: str = PROFILE, data: Path | None = DATA, device: str = DEVICE, threads: int | None = THREADS,
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Masks and hyper-parameters together: more validation accuracy for less energy.

    Each removable block is a choice of its own. The Pareto front of validation accuracy against energy is printed.
    """
    if sampler not in ("nsga2", "tpe", "random"):
        raise BadValue(field="--sampler", value=sampler, expected="nsga2, tpe or random")
    if masks_only and (space or space_file):
        raise BadValue(field="--masks-only", value=True, expected="left out beside --space and --space-file")
    data = data or Settings().data
    context.with_resource(DATASETS.looking_in(data))  # the user's own data sets are those of this folder
    base = _base(backbone, definition, kind, "Full", dataset, recipe, seed, settings)
    wanted = _search(
        base, space, space_file, paper=not masks_only, masks=True, sampler=sampler, seed=search_seed,
        population=population, mode=mode, profile=profile,
    )  # fmt: skip
    _run(wanted, out=out, trials=trials, data=data, device=device, threads=threads)
    report(out, as_json=as_json)


@app.command()
def show(folder: Path = typer.Argument(..., help="Folder of the search."), as_json: bool = JSON) -> None:
    """What a search found so far."""
    report(folder, as_json=as_json)


@app.command()
def masks(
    backbone: str = BACKBONE, definition: str = DEFINITION, kind: Kind = KIND,
    dataset: str = typer.Option("cifar10", help="Data set; its files are not needed."), recipe: str = RECIPE,
    settings: list[str] = SET, runs: list[Path] = RUNS, mode: str = MODE, profile: str = PROFILE,
    limit: int = typer.Option(20, min=0, help="Rows to print; 0 for all. JSON always has all."),
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """Every mask by exact parameters and dense ops, and what the runs so far let expect of it.

    Predictions are those of validation accuracy, and of energy in one mode and profile, each with a deviation.
    """
    base = _base(backbone, definition, kind, "Full", dataset, recipe, 0, settings)
    found = _comparable(runs, base, mode, profile)
    table = _table(base, found)
    predictions = predict(table.points, known(found, mode)) if found else None
    if as_json:
        print_json(masks_json(table, predictions, found, mode, profile))
    else:
        print_masks(table, predictions, found, limit=limit or None, mode=mode, profile=profile)


@app.command("next")
def next_masks(
    backbone: str = BACKBONE, definition: str = DEFINITION, kind: Kind = KIND,
    dataset: str = typer.Option("cifar10", help="Data set; its files are not needed."), runs: list[Path] = RUNS,
    n: int = typer.Option(3, "-n", min=1, help="How many masks to suggest."), mode: str = MODE, profile: str = PROFILE,
    as_json: bool = JSON,
) -> None:  # fmt: skip
    """The masks most worth training next: expected hypervolume gain for each hour of training.

    Needs runs of at least 4 masks that differ in mask and seed only; of several such groups the largest is taken.
    """
    base = _base(backbone, definition, kind, "Full", dataset, "smoke", 0, [])
    found = _comparable(runs, base, mode, profile)
    table = _table(base, found)
    predictions = predict(table.points, known(found, mode)) if found else None
    if predictions is None:
        seen = len({run.config.mask for run in found})
        raise BadValue(
            field="--runs",
            value=f"runs of {seen} comparable masks",
            expected=f"folders with runs of at least {MIN_MASKS}, or no prediction can be made",
        )
    suggestions = suggest(
        predictions, known(found, mode), n, chance=1 / DATASETS[dataset].n_classes, ops_per_s=_ops_per_s(found)
    )
    if as_json:
        print_json(suggestions_json(suggestions, predictions, mode, profile))
    else:
        print_suggestions(suggestions, predictions, found, mode=mode, profile=profile)


# What a search is


def _base(
    backbone: str, definition: str, kind: Kind, mask: str, dataset: str, recipe: str, seed: int, settings: list[str]
) -> RunConfig:
    return build_config(
        RunRequest(
            backbone=backbone, definition=definition, kind=kind, mask=mask, dataset=dataset, recipe=recipe, seed=seed,
            overrides=parse_settings(settings),
        )
    )  # fmt: skip


def _search(base: RunConfig, space: list[str], space_file: Path | None, *, paper: bool, **rest: Any) -> Search:
    MODES[rest["mode"]], profiles()[rest["profile"]]  # raises UnknownName before anything is written
    start = read_toml(space_file) if space_file else PAPER_SPACE if paper else ()
    return Search(base=base, space=changed(start, space, base), **rest)


def _run(wanted: Search, *, out: Path, trials: int, data: Path, device: str, threads: int | None) -> None:
    from core.engine.environment import choose_device
    from core.engine.experiment import run

    choose_device(device)  # a device that is not there would fail every trial alike
    recount = recounter()
    with stop_on_signals() as stop, Bar(trials) as shown:
        search(
            wanted,
            folder=out,
            trials=trials,
            train=lambda config, place: run(
                config, out=place, data_dir=data, device=device, threads=threads, emit=shown.step,
                should_stop=stop.is_set, recount=recount,
            ),
            on_trial=shown.trial,
        )  # fmt: skip


def _comparable(folders: list[Path], base: RunConfig, mode: str, profile: str) -> list[MeasuredRun]:
    """The largest group of runs of this network and data set that differ in mask and seed only."""
    accounting, prices = MODES[mode], profiles()[profile]  # raises UnknownName, without any runs too
    wanted = ("backbone", "definition", "architecture", "kind", "dataset")
    runs = read_runs(folders, modes=[accounting], profile=prices)
    return largest_group(
        run for run in runs if all(getattr(run.config, name) == getattr(base, name) for name in wanted)
    )


def _table(base: RunConfig, found: list[MeasuredRun]) -> MaskTable:
    """All masks as the runs were trained, or, without runs, by the recipe on the whole published set."""
    if found:
        base, summary = found[0].config, found[0].summary
        n_train, n_validation, n_test = summary.n_train, summary.n_validation, summary.n_test
    else:
        spec, training = DATASETS[base.dataset], base.training
        share = spec.validation_share(training.validation_share)
        n_train, n_validation = split_sizes(spec.n_train, share=share, limit=training.train_limit)
        n_test = spec.n_test
    with bar("masks") as progress:
        return mask_table(
            base,
            n_train=n_train,
            n_validation=n_validation,
            n_test=n_test,
            also=[run.config.mask for run in found],
            progress=progress,
        )


def _ops_per_s(found: list[MeasuredRun]) -> float:
    """Training operations a second of the runs, all epochs of each taken as used."""
    ops = wall_s = 0.0
    for run in found:
        summary, config = run.summary, run.config
        whole = training_ops(plan_of(config), config, summary.n_train, summary.n_validation, summary.n_test)
        ops += whole * summary.epochs_run / max(config.training.max_epochs, 1)
        wall_s += summary.train_wall_s + summary.evaluate_wall_s
    return ops / wall_s
