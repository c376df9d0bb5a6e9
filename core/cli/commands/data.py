"""`spikefront data`: which data sets are here, and how more of them come here."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from core.cli.console import EXIT_FAILED, print_json, say
from core.datasets.add import add as add_dataset
from core.datasets.catalog import all_specs, find
from core.datasets.fetch import fetch as fetch_dataset
from core.datasets.fetch import mirrored
from core.datasets.load import info, status
from core.datasets.load import verify as verify_dataset
from core.datasets.spec import DatasetStatus, Progress, Report
from core.errors import BadValue
from core.homes import expanded
from core.schemas.catalog import DatasetInfo
from core.settings import Settings, prepare_home

app = typer.Typer(no_args_is_help=True, help="List, fetch, add and verify data sets.")

FOLDER = typer.Option(None, "--data", help="Folder of the data sets; else SPIKEFRONT_DATA.")
AS_JSON = typer.Option(False, "--json", help="Print JSON instead of text.")
REPLACE = typer.Option(False, "--replace", help="Exchange a complete copy, even for a subset.")


@app.command("list")
def list_(data: Path | None = FOLDER, as_json: bool = AS_JSON) -> None:
    """What data sets there are, and which of them are on this machine."""
    folder = _folder(data)
    specs = all_specs(folder)
    rows = [info(name, folder) for name in specs]
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "images", "classes", "training", "test", "state")
    for row in rows:
        table.add_row(
            row.name,
            "x".join(map(str, row.image_shape)),
            str(row.n_classes),
            "" if row.n_train is None else f"{row.n_train:,}",
            "" if row.n_test is None else f"{row.n_test:,}",
            _state(row, counting_only=specs[row.name].reader is None),
        )
    console = Console()
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", highlight=False, soft_wrap=True)
    console.print(f"Data folder: {folder}", highlight=False, soft_wrap=True)


@app.command()
def fetch(
    name: str = typer.Argument(help="Such as cifar10."),
    url: str | None = typer.Option(
        None, help="A mirror of the authors' archive, or of the folder of their files; checksums must be the same."
    ),
    replace: bool = REPLACE,
    data: Path | None = FOLDER,
    as_json: bool = AS_JSON,
) -> None:
    """Download a data set from its authors' site; goes on where an earlier try stopped."""
    folder = _folder_to_fill(data)
    remotes = find(name, folder).remotes
    if url and remotes:
        remotes = mirrored(remotes, url)
    with _progress() as progress:
        state = fetch_dataset(name, folder, remotes=remotes, replace=replace, progress=progress)
    _print_state(name, state, folder, as_json)


@app.command()
def add(
    name: str = typer.Argument(help="Such as cifar10, or a new name for images of your own."),
    path: Path = typer.Argument(help="A folder or an archive (.tar.gz, .tar.xz, .tar, .zip) that holds the set."),
    size: int | None = typer.Option(
        None, help="Side of your own images in pixels; else their commonest one, at most 64."
    ),
    mirrors: bool = typer.Option(
        False, "--mirrors", help="Your own images may be mirrored in training: none becomes another thing."
    ),
    replace: bool = REPLACE,
    data: Path | None = FOLDER,
    as_json: bool = AS_JSON,
) -> None:
    """Add a copy that is on this machine: checked whole before it is taken in.

    A name that no data set has makes one of your own, of images in class folders: train/<class>/* and test/<class>/*
    (or val, valid, dev ...), or <class>/* alone, of which a fifth becomes the test set. Images are brought to one
    square size. CIFAR-10 and CIFAR-100 may also be binary files, PNG files with a table of labels or in class folders,
    or parquet files; Tiny ImageNet may be re-arranged into class folders.
    """
    folder = _folder_to_fill(data)
    with _progress() as progress:
        state = add_dataset(name, path, folder, replace=replace, size=size, mirrors=mirrors, progress=progress)
    _print_state(name, state, folder, as_json)


@app.command()
def verify(
    name: str | None = typer.Argument(None, help="One data set; all that are there if left out."),
    data: Path | None = FOLDER,
    as_json: bool = AS_JSON,
) -> None:
    """Read every byte of a data set and report on each file. Exit code 1 if anything is corrupt or missing."""
    folder = _folder(data)
    names = [name] if name else [known for known in all_specs(folder) if status(known, folder).ready]
    reports = []
    with _progress() as progress:
        for known in names:
            reports.append(verify_dataset(known, folder, progress))
    if as_json:
        contents = [dataclasses.asdict(report) for report in reports]
        print_json(contents[0] if name else contents)
    else:
        for report in reports:
            _print_report(report, find(report.name, folder).title)
    if any(report.state in ("corrupt", "missing") for report in reports):
        raise typer.Exit(EXIT_FAILED)


def _folder(data: Path | None) -> Path:
    if data is None:
        return Settings().data
    try:
        return expanded(data)
    except ValueError as error:
        raise BadValue(field="--data", value=str(data), expected=str(error)) from None


def _folder_to_fill(data: Path | None) -> Path:
    """The same; where it lies in the data folder of Spikefront, that one is made first, private as everywhere."""
    folder, settings = _folder(data), Settings()
    if folder.is_relative_to(settings.home):
        prepare_home(settings)
    return folder


def _state(row: DatasetInfo, *, counting_only: bool) -> str:
    if counting_only:
        return "counting only"
    if not row.ready:
        return "not here"
    return {True: "complete", False: "subset", None: "unread"}[row.complete]


def _print_state(name: str, state: DatasetStatus, folder: Path, as_json: bool) -> None:
    row = info(name, folder)
    if as_json:
        print_json(row.model_dump(mode="json"))
        return
    if state.n_train is None or state.n_test is None:
        say(f"{row.title} is in {folder / name}. {state.note or ''}".rstrip())
        return
    what = f"{state.n_train:,} training and {state.n_test:,} test images{', complete' if state.complete else ''}"
    say(f"{row.title} is ready: {what}; {row.image_shape[1]}x{row.image_shape[2]} pixels.")
    if state.note:
        say(state.note)


def _print_report(report: Report, title: str) -> None:
    what = f"{report.n_train:,} training and {report.n_test:,} test images"
    say(f"{title}: {report.state}, {what}.{' ' + report.note if report.note else ''}")
    for file in report.files:
        official = {True: ", the authors' own file", False: ", not bit for bit the authors' file", None: ""}
        images = "" if file.n is None else f" {file.n:,} images{official[file.official]}"
        say(f"  {file.file}: {file.state}{images}{': ' + file.why if file.why else ''}")


@contextmanager
def _progress() -> Iterator[Progress]:
    """A progress bar on a terminal's standard error; silent elsewhere."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield show
