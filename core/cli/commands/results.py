"""`spikefront results`: trained networks with all that is needed to believe and to repeat them, as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean

import typer

from core.bundle import WEIGHTS, Bundle, write_atomic
from core.datasets.catalog import title_of
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.gallery.catalog import gallery, unpacked
from core.measured import MeasuredRun, read_runs, same_but_seed
from core.paper.measured import MeasuredRow, measured_rows
from core.recipes.build import command
from core.report.run_words import neuron_words, trained_on
from core.report.tables.markdown import count, markdown, seeds, spread
from core.schemas.prices import DEFAULT_PROFILE
from core.units import pj_to_mj

#: Of the accounting modes, those that the page shows: neuron updates are in `memory` too.
SHOWN = ("paper", "syops", "exact", "memory")


def results(
    runs: list[Path] = typer.Option([], "--runs", help="Folder with bundles, at any depth [default: the gallery]."),
    profile: str = typer.Option(DEFAULT_PROFILE, help="Hardware profile of the energies."),
    out: Path | None = typer.Option(None, "--out", help="Write the page to this file instead of printing it."),
) -> None:
    """Per network: definition, recipe, epochs, seeds, accuracy, firing rate, operations, energies, time, printed figure.

    The output is Markdown, with the command that repeats each run.
    """
    prices = profiles()[profile]
    with _folders(runs) as folders:
        groups = _groups(read_runs(folders, modes=MODES.values(), profile=prices))
        text = page(groups, profile)
    if out:
        write_atomic(out, text.encode())
        print(f"{out}: networks {len(groups)}, runs {sum(map(len, groups))}")
    else:
        print(text, end="")


@contextmanager
def _folders(given: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """The folders given, or those of the gallery's runs while they are unpacked."""
    if given:
        yield given
        return
    with ExitStack() as stack:
        yield [stack.enter_context(unpacked(run)).path for run in gallery().runs]


def _groups(runs: Sequence[MeasuredRun]) -> list[list[MeasuredRun]]:
    """Runs that differ in their seed alone together; data sets, then the most accurate first."""
    found: dict[str, list[MeasuredRun]] = {}
    for run in runs:
        found.setdefault(same_but_seed(run), []).append(run)
    return sorted(found.values(), key=lambda group: (group[0].config.dataset, -_accuracy(group)))


def _accuracy(group: Sequence[MeasuredRun]) -> float:
    return fmean(run.summary.accuracy for run in group)


def page(groups: Sequence[Sequence[MeasuredRun]], profile: str) -> str:
    """The whole page in Markdown."""
    rows = [(group, [row for row in measured_rows(group, profile) if row.mode in SHOWN]) for group in groups]
    return (
        "# Results\n\n"
        "Made by `spikefront results` from finished runs; do not edit. Accuracy is top-1 on the whole test set, which "
        "chose nothing; ± is the sample deviation over the seeds. Printed figures are those of Kabir et al., "
        "arXiv:2602.09717. Of a run that is called a record, the figures and curves come with the product, not the weights.\n\n"
        "## Accuracy\n\n" + markdown(ACCURACY, [_accuracy_row(*row) for row in rows], right=range(2, 3)) + "\n"
        "## Operations and energy\n\n"
        f"Per inference, means over the test set and the seeds, all T steps but in `paper`, which holds one; estimated "
        f"at the prices of {profile}, not read from a meter. How a mode counts: [accounting.md](accounting.md).\n\n"
        + markdown(ENERGY, [line for row in rows for line in _energy_rows(*row)], right=range(3, 7))
        + "\n## To repeat them\n\nWhere a command has a `start_bundle`, `--from DIR` names the bundle whose weights have "
        "that SHA-256; epochs and time of that run come on top.\n\n```sh\n"
        + "".join(f"{command(run.config)}\n" for group in groups for run in group)
        + "```\n"
    )


ACCURACY = (
    "network", "kind", "parameters", "data set", "neuron, T", "recipe", "training images", "n", "accuracy", "printed",
    "firing rate", "trained",
)  # fmt: skip


def _accuracy_row(group: Sequence[MeasuredRun], rows: Sequence[MeasuredRow]) -> list[str]:
    row, first = rows[0], group[0]
    rates = [run.summary.firing_rate for run in group if run.summary.firing_rate is not None]
    subset = "" if row.dataset_complete else " (subset)"
    return [
        row.network, row.kind.upper(), f"{first.summary.params:,}", title_of(row.dataset) + subset,
        neuron_words(first.config), f"{row.recipe}, {row.epochs:.3g} epochs{_after(first)}", f"{row.n_train:,}", seeds(row.seeds),
        spread(row.accuracy, 100, "%.2f", " %"),
        "-" if row.printed_accuracy is None else f"{row.printed_accuracy:.0%}",
        f"{fmean(rates):.3f}" if rates else "-",
        "; ".join(dict.fromkeys(_trained(run) for run in group)),
    ]  # fmt: skip


def _trained(run: MeasuredRun) -> str:
    bundle = Bundle(run.path)
    return trained_on(run.summary, bundle.environment()) + ("" if bundle.file(WEIGHTS).is_file() else ", a record")


def _after(run: MeasuredRun) -> str:
    """What a run's epochs leave out: those of the run that it went on from."""
    return " on from a finished run" if run.config.start == "bundle" else ""


ENERGY = ("network", "kind", "mode", "ACs", "MACs", "energy, mJ", "printed, mJ", "difference")


def _energy_rows(group: Sequence[MeasuredRun], rows: Sequence[MeasuredRow]) -> Iterator[list[str]]:
    for row in rows:
        yield [
            row.network, row.kind.upper(), row.mode, count(row.acs), count(row.macs),
            spread(row.energy_pj, pj_to_mj(1), "%.4g", ""),
            "-" if row.printed_energy_pj is None else f"{pj_to_mj(row.printed_energy_pj):.4g}", row.difference,
        ]  # fmt: skip
