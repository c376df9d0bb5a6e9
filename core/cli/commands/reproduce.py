"""`spikefront reproduce`: train a printed row and hold the three figures against each other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from core.backbones.catalog import BACKBONES
from core.cli.commands.train import parse_settings
from core.cli.console import print_json
from core.cli.train_here import train_here
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.errors import BadValue
from core.measured import MeasuredRun, read_run
from core.paper.printed import PrintedRow, printed_rows
from core.paper.reproduce import Figure, caveats, figures
from core.recipes.build import build_config, command
from core.schemas.prices import DEFAULT_PROFILE
from core.schemas.request import RunRequest
from core.schemas.run import Kind
from core.settings import Settings
from core.units import format_count, format_energy, pj_to_mj


def reproduce(
    row: str | None = typer.Argument(None, help="A printed row, such as table1/cifar10/SqueezeNet-P."),
    listed: bool = typer.Option(False, "--list", help="List the rows instead."),
    out: Path = typer.Option(Path("reproduced"), "--out", help="Folder of the bundles; finished runs in it are used."),
    recipe: str = typer.Option("paper", help="paper: batch 8, up to 150 epochs; fast or smoke for less."),
    seed: int = typer.Option(0, min=0, max=2**31 - 1, help="Seed of weights, order and augmentation."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="FIELD=VALUE", help="Change a field of the recipe, such as training.max_epochs=3."
    ),
    data: Path | None = typer.Option(None, "--data", help="Folder with the data sets [default: SPIKEFRONT_DATA]."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads [default: all, or OMP_NUM_THREADS]."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Train a printed row of the paper and compare: printed | recomputed | measured.

    A row of tables 1 and 3 trains the spiking network, a row of table 2 the CNN and the spiking network. What the
    printed figures say of each other is recomputed; where the run is not the paper's (recipe, data), that is said.
    """
    if listed:
        _list(as_json=as_json)
        return
    if row is None:
        raise BadValue(field="ROW", value=None, expected="a printed row; `spikefront reproduce --list` lists them")
    printed = printed_rows()[row]
    kinds = [printed.kind] if printed.kind is Kind.SNN else [Kind.CNN, Kind.SNN]
    runs = []
    for kind in kinds:
        config = build_config(
            RunRequest(
                backbone=printed.backbone, kind=kind, mask=_mask(printed), dataset=printed.dataset,
                definition=printed.definition, recipe=recipe, seed=seed, overrides=parse_settings(settings),
            )
        )  # fmt: skip
        place = out / f"{row.replace('/', '-')}-{kind}-{config.config_hash[:8]}"
        train_here(
            config, out=place, data_dir=data or Settings().data, device=device, threads=threads, teacher=None,
            stream=None, as_json=False,
        )  # fmt: skip
        runs.append(read_run(place, modes=MODES.values(), profile=profiles()[DEFAULT_PROFILE]))
    compared, said = figures(printed, *runs), caveats(printed, runs[0])
    if as_json:
        print_json({
            "row": row, "table": printed.table, "model": printed.model, "dataset": printed.dataset,
            "profile": DEFAULT_PROFILE, "figures": [asdict(figure) for figure in compared], "caveats": said,
            "bundles": [str(run.path) for run in runs], "commands": [command(run.config) for run in runs],
        })  # fmt: skip
    else:
        _print(printed, compared, said, runs)


def _mask(row: PrintedRow) -> list[str]:
    BACKBONES[row.backbone]  # an unknown backbone is said before its blocks are asked for
    return list(row.mask)


def _list(*, as_json: bool) -> None:
    rows = [row for row in printed_rows().values() if row.backbone in BACKBONES]
    if as_json:
        print_json([{"row": row.id, "model": row.model, "kind": row.kind, "dataset": row.dataset} for row in rows])
        return
    for row in rows:
        print(f"{row.id:<34} {row.kind:<4} accuracy {row.accuracy:.0%}  {pj_to_mj(row.energy_pj):.4f} mJ")


def _print(row: PrintedRow, compared: list[Figure], said: list[str], runs: list[MeasuredRun]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(title=f"{row.id}: {row.kind.upper()} {row.model} on {row.dataset}", title_justify="left")
    for name in ("figure", "printed", "recomputed", "measured", "difference"):
        table.add_column(name, overflow="fold")
    for figure in compared:
        shown = [_shown(figure, value) for value in (figure.printed, figure.recomputed, figure.measured)]
        table.add_row(figure.name, *shown, escape(figure.note))
    console.print(table)
    console.print(f"Estimated energy, profile {DEFAULT_PROFILE}, per image. Printed energies are of one time step.")
    for sentence in said:
        console.print(escape(sentence), style="bold")
    for run in runs:
        console.print(f"bundle: {escape(str(run.path))}")


def _shown(figure: Figure, value: float | None) -> str:
    if value is None:
        return "-"
    if figure.unit == "pJ":
        return format_energy(value)
    if figure.unit == "x":
        return f"{value:.2f}x"
    return (
        f"{value:.2%}"
        if figure.name in ("accuracy", "SNN accuracy")
        else (f"{value:.3f}" if figure.name == "f1_macro" else format_count(value))
    )
