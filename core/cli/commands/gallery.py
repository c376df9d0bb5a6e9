"""`spikefront gallery`: the finished runs that come with the product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from core.bundle import Bundle, whole_paths
from core.cli.console import EXIT_FAILED, print_json, say
from core.cli.image_bar import image_bar
from core.datasets.catalog import DATASETS
from core.datasets.load import load
from core.errors import DatasetMissing
from core.gallery.catalog import GalleryRun, gallery, unpacked
from core.gallery.pack import add
from core.recipes.build import command
from core.report.run_words import trained_on
from core.settings import Settings
from core.units import format_energy

app = typer.Typer(help="The finished runs that come with Spikefront: list them, test them again.", no_args_is_help=True)


@app.command("list")
def list_runs(as_json: bool = typer.Option(False, "--json", help="Print as JSON.")) -> None:
    """Every run with its figures, where it was trained and how long, and the command that repeats it."""
    listed = gallery()
    rows = []
    for run in listed.runs:
        with unpacked(run) as bundle:
            rows.append(_row(run, bundle))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        say(f"{row['label']}, {row['dataset']}, recipe {row['recipe']}, seed {row['seed']}: {row['name']}")
        energy = format_energy(row["energy_pj"])
        say(f"  {row['accuracy']:.2%} on {row['n_test']:,} test images, {energy} per image ({row['mode']})")
        say(f"  {row['trained']}{'; a record: its weights are not here' if row['record'] else ''}")
        say(f"  {row['command']}")
    say(f"{len(rows)} runs, {listed.bytes / 1e6:.1f} MB")


def _row(run: GalleryRun, bundle: Bundle) -> dict[str, Any]:
    summary, config = bundle.summary(), bundle.config()
    return {
        "name": run.name,
        "label": run.label,
        "dataset": config.dataset,
        "recipe": config.recipe,
        "seed": config.seed,
        "accuracy": summary.accuracy,
        "n_test": summary.n_test,
        "energy_pj": summary.energy_pj,
        "mode": summary.mode,
        "profile": summary.profile,
        "trained": trained_on(summary, bundle.environment()),
        "command": command(config),
        "record": run.record,
        "bytes": run.bytes,
        "sha256": run.sha256,
    }


@app.command()
def verify(
    names: list[str] = typer.Argument(None, help="Runs, as `gallery list` names them [default: all]."),
    images: int | None = typer.Option(None, min=1, help="Test images of each run [default: all]."),
    data: Path | None = typer.Option(None, "--data", help="Folder with the data sets [default: SPIKEFRONT_DATA]."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Hold every file against its SHA-256; where the data set is, test each network again and count it again.

    Ends with 1 where a network answers or counts otherwise than rounding explains.
    """
    data = data or Settings().data
    failed, rows = 0, []
    for run in gallery().chosen(names):
        with unpacked(run) as bundle, DATASETS.looking_in(data), image_bar(run.name) as progress:
            row, text, equal = _verified(bundle, data, images, progress)
        failed += not equal
        rows.append({"name": run.name, "agrees": equal} | row)
        if not as_json:
            say(f"{run.name}: files as listed. {text}")
    if as_json:
        print_json(rows)
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _verified(
    bundle: Bundle, data: Path, images: int | None, progress: Callable[[int, int], None]
) -> tuple[dict[str, Any], str, bool]:
    """The second test and recount as JSON, as a sentence, and whether both agree; files alone without the data set."""
    try:
        dataset = load(bundle.config().dataset, data)
    except DatasetMissing as error:
        return {"test": None, "recount": None}, f"Not tested again: {error.message}", True
    from core.engine.retest import retest  # torch, and SpikingJelly for the recount: only now
    from core.oracles.recount import rebuilds, recount

    again = retest(bundle, dataset, n=images, progress=progress)
    counted = None
    if rebuilds(bundle.config()):
        counted = recount(bundle, dataset.test_images, dataset.test_labels, n=min(64, images or 64))
    tool = "SpikingJelly has no neuron that counts"
    if counted is not None:
        tool = f"counted again by {counted.counter}: {'all equal' if counted.equal else 'DIFFERS'}"
    how = "OTHERWISE"
    if again.agrees:
        how = "bit for bit" if again.same_bits else "as near as another processor's rounding"
    text = (
        f"Tested again on {again.n:,} images: {again.answers_equal:,} answers equal, {again.accuracy_again:.2%} where "
        f"{again.accuracy:.2%} is stored, {how}; {tool}."
    )
    counts = None if counted is None else counted.model_dump(mode="json") | {"equal": counted.equal}
    return {"test": asdict(again), "recount": counts}, text, again.agrees and (counted is None or counted.equal)


@app.command()
def pack(
    paths: list[Path] = typer.Argument(..., help="Folders of finished bundles."),
    into: Path = typer.Option(..., "--into", help="Folder of a gallery: zips and their index."),
    record: bool = typer.Option(
        False, "--record", help="Figures and curves alone, some 20 kB: no weights, no single answers."
    ),
) -> None:
    """Add finished runs to a gallery, without any image of their data sets."""
    for path in paths:
        with whole_paths(path):
            run = add(Bundle(path), into, record=record)
        say(f"{run.file}: {run.bytes / 1e6:.3g} MB, {run.label}")
