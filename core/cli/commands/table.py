"""`spikefront table`: every network beside the paper's figures, as a page, JSON or CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from core.bundle import write_atomic
from core.cli.console import print_json
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.errors import BadValue
from core.measured import read_runs
from core.paper.measured import MeasuredRow, measured_rows
from core.paper.networks import PAPER_DATASETS, NetworkRow, network_rows
from core.paper.printed import tables
from core.report.tables.markdown import count, markdown, seeds, spread
from core.schemas.prices import DEFAULT_PROFILE
from core.schemas.run import Kind
from core.showing import inert
from core.units import pj_to_mj


def table(
    runs: list[Path] = typer.Option([], "--runs", help="Folder with bundles, at any depth; repeatable."),
    profile: str = typer.Option(DEFAULT_PROFILE, help="Hardware profile of the measured energies."),
    out: Path | None = typer.Option(None, "--out", help="Write the page to this file instead of printing it."),
    keep: bool = typer.Option(False, "--keep", help="Keep the measured rows of --out for runs that --runs lacks."),
    as_json: bool = typer.Option(False, "--json", help="Print both tables as JSON."),
    as_csv: bool = typer.Option(False, "--csv", help="Print both tables as CSV, one figure a line."),
) -> None:
    """Every backbone, kind and data set with its parameters and operations, next to the printed figures.

    Sizes and MACs come by arithmetic. With --runs the measured ACs, MACs, accuracies and energies of the bundles
    follow in every accounting mode, each with what separates it from the printed figure. The output is Markdown.
    """
    if as_json and as_csv:
        raise BadValue(field="--csv", value=True, expected="left out beside --json")
    if out and (as_json or as_csv):
        raise BadValue(field="--out", value=str(out), expected="left out beside --json and --csv: it takes the page")
    if keep and not (out and out.is_file()):
        raise BadValue(field="--keep", value=True, expected="given with --out and a page that is there")
    networks = network_rows()
    measured = measured_rows(read_runs(runs, modes=MODES.values(), profile=profiles()[profile]), profile)
    if as_json:
        print_json({"networks": [asdict(row) for row in networks], "measured": [_json(row) for row in measured]})
    elif as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(_lines(networks, measured))
    elif out:
        kept = _measured_cells(out.read_text(encoding="utf-8")) if keep else []
        write_atomic(out, page(networks, measured, kept).encode())
        print(f"{out}: {len(networks)} networks, {len(measured) // len(MODES)} measured")
    else:
        print(page(networks, measured), end="")


def page(networks: Sequence[NetworkRow], measured: Sequence[MeasuredRow], kept: Sequence[Sequence[str]] = ()) -> str:
    """The whole page in Markdown. `kept`: cells of measured rows of an earlier page; a measured row replaces its own."""
    return (
        "# Every network beside the paper's figures\n\n"
        "Made by `spikefront table`; do not edit. The printed figures are those of Kabir et al., arXiv:2602.09717.\n\n"
        + static_part(networks)
        + "\n"
        + _measured_part(measured, kept)
    )


def static_part(networks: Sequence[NetworkRow]) -> str:
    """What needs no data, one line a network and data set. Every mode, and the twins apart, are in --json and --csv."""
    head = ["network", "data set", "params", "printed", "dense ops", "SNN: MACs of one step", "printed"]
    head += ["SNN: MACs `exact`, all steps ≤", "CNN: MACs", "against the printed"]
    twins = {(row.network, row.dataset, row.kind): row for row in networks}
    rows = [
        [
            snn.network, DATASETS[snn.dataset].title, f"{snn.params:,}", count(snn.printed_params),
            f"{snn.dense_ops:,}", f"{snn.macs['paper']:,}", count(snn.printed_macs), f"{snn.macs['exact']:,}",
            f"{cnn.macs['paper']:,}", snn.difference + _of_twin(cnn.difference),
        ]
        for snn in networks if snn.kind is Kind.SNN
        for cnn in [twins[snn.network, snn.dataset, Kind.CNN]]
    ]  # fmt: skip
    return (
        "## By arithmetic\n\n"
        "Parameters and dense ops (one pass, no zero skipped, no bias) follow from the plan, and are those of both "
        f"twins. MACs are per inference: of one step and of the CNN by the rules of `paper`; of all T = "
        f"{tables()['time_steps']} steps by those of `exact`, where `≤` marks an upper bound, since real-valued zeros "
        "are known only from data. Definition `small`. How a mode counts: [accounting.md](accounting.md).\n\n"
        + markdown(head, rows, right=range(2, 9))
    )


def _of_twin(difference: str) -> str:
    """What a CNN's row adds to that of its spiking twin."""
    said = difference.removeprefix("Reconstruction.").strip()
    return "" if said == "Not printed." else f" CNN: {said[0].lower()}{said[1:]}"


HEAD = (
    "network", "kind", "data set", "recipe", "training images", "T", "n", "accuracy", "printed", "mode", "profile",
    "ACs", "MACs", "energy, mJ", "printed, mJ", "difference",
)  # fmt: skip


def _measured_part(measured: Sequence[MeasuredRow], kept: Sequence[Sequence[str]]) -> str:
    title = "## Measured\n\n"
    if not measured and not kept:
        return (
            title
            + "Networks that were trained to the end: [results.md](results.md). `--runs FOLDER` puts others here.\n"
        )
    cells = {_run_of(row): row for row in [*kept, *map(_cells, measured)]}
    return (
        title + "Accuracy is that of the test set, with the checkpoint of the best validation accuracy; ± is the "
        "standard deviation over n seeds. ACs, MACs and energies are per inference, counted over all test images and "
        "estimated at the profile's prices, not read from a meter. A short run on few images hardly learns: a row near "
        f"chance ({_chances()}) tells what an untrained network fires, and ranks nothing.\n\n"
        + markdown(HEAD, sorted(cells.values(), key=_place), right=range(11, 15))
    )


def _chances() -> str:
    return ", ".join(f"{DATASETS[name].title} {1 / DATASETS[name].n_classes:.1%}" for name in PAPER_DATASETS)


def _cells(row: MeasuredRow) -> list[str]:
    return [
        row.network, row.kind.upper(), DATASETS[row.dataset].title + ("" if row.dataset_complete else " (subset)"),
        f"{row.recipe}, {row.epochs:.3g} epochs", f"{row.n_train:,} of {row.n_train_available:,}",
        str(row.time_steps), seeds(row.seeds), spread(row.accuracy, 100, "%.2f", " %"),
        "-" if row.printed_accuracy is None else f"{row.printed_accuracy:.0%}", row.mode, row.profile,
        f"{row.acs:,.0f}", f"{row.macs:,.0f}", spread(row.energy_pj, pj_to_mj(1), "%.4g", ""),
        "-" if row.printed_energy_pj is None else f"{pj_to_mj(row.printed_energy_pj):.4g}", row.difference,
    ]  # fmt: skip


def _run_of(cells: Sequence[str]) -> tuple[str, ...]:
    """What says that two rows are of the same runs: all that was chosen, and nothing that was found."""
    chosen = ("network", "kind", "data set", "recipe", "training images", "T", "mode", "profile")
    return tuple(cells[HEAD.index(name)] for name in chosen)


def _place(cells: Sequence[str]) -> tuple:
    """Data sets in their own order, then networks by name, twins together, modes in their order."""
    network, kind, dataset = cells[:3]
    titles = [spec.title for spec in DATASETS.values()]
    mode = cells[HEAD.index("mode")]
    return titles.index(dataset.removesuffix(" (subset)")), network, kind, _run_of(cells)[3:6], list(MODES).index(mode)


def _measured_cells(text: str) -> list[list[str]]:
    """The measured rows of a page that this command made."""
    lines = [line for line in text.partition("## Measured")[2].splitlines() if line.startswith("| ")]
    return [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines[2:]]


def _json(row: MeasuredRow) -> dict[str, Any]:
    content = asdict(row)
    return content | {"accuracy": row.accuracy.model_dump(), "energy_pj": row.energy_pj.model_dump()}


def _lines(networks: Sequence[NetworkRow], measured: Sequence[MeasuredRow]) -> Iterator[list[Any]]:
    """Long form: one figure a line, so that both tables share their columns."""
    yield [
        "source", "network", "kind", "dataset", "recipe", "n", "mode", "profile", "figure", "unit", "value",
        "deviation", "printed", "difference",
    ]  # fmt: skip
    for row in networks:
        start = ["arithmetic", row.network, row.kind, row.dataset, "", ""]
        yield [*start, "", "", "params", "", row.params, "", row.printed_params, row.difference]
        yield [*start, "", "", "dense_ops", "", row.dense_ops, "", "", ""]
        for mode, macs in row.macs.items():
            yield [*start, mode, "", "macs", "", macs, "", row.printed_macs if mode == "paper" else "", ""]
    for row in measured:
        names = (row.network, row.kind, row.dataset, inert(row.recipe))  # a recipe's name is whatever a bundle says
        start = ["measured", *names, len(row.seeds), row.mode, row.profile]
        yield [*start, "accuracy", "", row.accuracy.mean, row.accuracy.deviation, row.printed_accuracy, ""]
        yield [*start, "acs", "", row.acs, "", "", ""]
        yield [*start, "macs", "", row.macs, "", "", ""]
        energy = row.energy_pj
        yield [*start, "energy", "pJ", energy.mean, energy.deviation, row.printed_energy_pj, row.difference]
