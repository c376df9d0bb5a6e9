"""`spikefront bundle`: look at a run's folder. The engine is loaded by `recount` and `robustness` alone."""

from __future__ import annotations

import math
from pathlib import Path

import typer

from core.analysis import ensemble as ensembles
from core.analysis import exits, steps
from core.analysis import robustness as stood
from core.analysis.calibration import calibration
from core.analysis.findings import diagnostic_findings, gradient_findings
from core.analysis.twin import twin_energy
from core.bundle import Bundle, whole_paths
from core.cli.console import EXIT_FAILED, print_json, say, say_columns
from core.cli.image_bar import image_bar
from core.cli.recount_screen import print_recount
from core.cli.robustness_screen import print_robustness
from core.datasets.catalog import DATASETS
from core.datasets.load import load
from core.energy.modes import MODES
from core.energy.price import layers
from core.energy.profiles import profiles
from core.errors import BadValue
from core.paper.measured import network_name
from core.recipes.build import command, found_overrides, override
from core.report import search_words, size_words
from core.report.ensemble_words import OPTIMISTIC, energy_note, sentences
from core.report.tables import ensemble_tables
from core.schemas.bill import Layers
from core.schemas.diagnostics import Calibration, Exits, StepPoint, Steps
from core.schemas.ensemble import Ensemble
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE
from core.schemas.robustness import DEFAULT_IMAGES, MOST_IMAGES, SEEDS
from core.schemas.run import Kind, RunConfig
from core.schemas.twin import TwinEnergy
from core.settings import Settings
from core.units import PJ_PER_UJ, format_count, format_energy

MOST_POINTS = 100  # of accuracy

app = typer.Typer(
    help="Show, verify, recount, disturb or export a run's bundle, hold it against its twin, or let it answer with "
    "another.",
    no_args_is_help=True,
)


@app.command()
def show(
    path: Path = typer.Argument(..., help="Folder of the bundle."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """The figures of a run, its diagnostics, the command that repeats it, and its files."""
    bundle = Bundle(path)
    config, summary, files = bundle.config(), bundle.summary(), bundle.files()
    counts = bundle.counts()
    predictions = bundle.predictions(counts)
    scores = calibration(predictions.label, predictions.outputs)
    priced = {"mode": MODES[summary.mode], "profile": profiles()[summary.profile]}
    stopped = steps.curve(predictions, counts, **priced)
    left = exits.curve(predictions, counts, bundle.counts_per_sample(counts), **priced)
    bill = layers(counts, {}, priced["mode"], priced["profile"])
    diagnostics, found = bundle.diagnostics(), bundle.search()
    findings = gradient_findings(bundle.gradients()) + (diagnostic_findings(diagnostics) if diagnostics else [])
    if as_json:
        print_json(
            {
                "config": config.model_dump(mode="json"),
                "summary": summary.model_dump(mode="json"),
                "environment": bundle.environment(),
                "command": command(config),
                "size": bill.size.model_dump(),
                "bit_synops": {"exact": bill.total_bit_synops, "by_rate": bill.total_bit_synops_by_rate},
                "calibration": scores.model_dump(mode="json"),
                "steps": stopped.model_dump(mode="json"),
                "exits": left.model_dump(mode="json"),
                "diagnostics": diagnostics.model_dump(mode="json") if diagnostics else None,
                "findings": findings,
                "search": found.model_dump(mode="json") if found else None,
                "files": [entry.model_dump() for entry in files],
            }
        )
        return
    part = "" if summary.dataset_complete else " (a subset)"
    rate = "none" if summary.firing_rate is None else f"{summary.firing_rate:.3f}"
    say(f"{summary.kind.upper()}-{_network(config)}, seed {summary.seed} (n = 1)")
    say(f"accuracy     {summary.accuracy:.2%} on {summary.n_test} test images of {summary.dataset}{part}")
    say(f"F1, macro    {summary.f1_macro:.4f}")
    say(f"parameters   {format_count(summary.params)}")
    say(f"per image    {format_count(summary.acs)} ACs, {format_count(summary.macs)} MACs (mode {summary.mode})")
    say(f"energy       {format_energy(summary.energy_pj)} per image, estimated ({summary.profile})")
    say(f"firing rate  {rate}")
    if config.changes_weights:
        _print_compression(bill)
    _print_diagnostics(scores, stopped, left, findings)
    if found is not None and found.epochs:
        for sentence in search_words.decoded(found):
            say(f"found        {sentence}")
        say(f"train it     {command(override(config, found_overrides(config, found.epochs[-1].decoded)))}")
    say(f"repeat       {command(config)}")
    for entry in files:
        say(f"{entry.bytes:>12}  {entry.name}")


def _print_compression(bill: Layers) -> None:
    for name, value in size_words.rows(bill.size):
        say(f"{name:<24}{value}")
    exactly, by_rate = (format_count(n) for n in (bill.total_bit_synops, bill.total_bit_synops_by_rate))
    say(f"{'Bit-SynOps':<24}{exactly} per image, counted; {by_rate} by the mean rate, spikes alone")


def _print_diagnostics(scores: Calibration, stopped: Steps, left: Exits, findings: list[str]) -> None:
    say(f"calibration  ECE {scores.ece:.4f}, Brier {scores.brier:.4f}, NLL {scores.nll:.4f} nats")
    _print_steps(stopped)
    if stopped.time_steps > 1:
        for point in left.points:
            say(
                f"exit {point.threshold:<8g}{point.accuracy:.2%}, {format_energy(point.energy_pj)} per image, "
                f"{point.mean_steps:.2f} steps"
            )
    for sentence in findings:
        say(f"finding      {sentence}")


@app.command()
def verify(
    path: Path = typer.Argument(..., help="Folder of the bundle."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Read every file and compare its SHA-256 with the manifest."""
    bundle = Bundle(path)
    bundle.verify()
    files = bundle.files()
    if as_json:
        print_json({"ok": True, "files": len(files), "bytes": sum(entry.bytes for entry in files)})
    else:
        say(f"{path}: {len(files)} files, all as the manifest says")


@app.command()
def twin(
    snn_folder: Path = typer.Argument(..., help="Folder of the spiking network's bundle."),
    cnn_folder: Path = typer.Argument(..., help="Folder of its CNN twin's bundle."),
    mode: str = typer.Option(DEFAULT_MODE, help="Accounting mode."),
    profile: str = typer.Option(DEFAULT_PROFILE, help="Hardware profile."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """A spiking network beside its CNN twin: energies, the CNN at few bits, the break-even firing rate."""
    accounting, prices = MODES[mode], profiles()[profile]
    configs, counts, data = [], [], []
    for name, folder, kind in (("SNN_FOLDER", snn_folder, Kind.SNN), ("CNN_FOLDER", cnn_folder, Kind.CNN)):
        with whole_paths(folder):
            configs.append(Bundle(folder).config())
            if configs[-1].kind is not kind:
                raise BadValue(field=name, value=str(folder), expected=f"the bundle of a run of kind {kind.value}")
            counts.append(Bundle(folder).counts())
            unfinished = not (folder / "summary.json").exists()  # counts alone can be compared too
            data.append(None if unfinished else Bundle(folder).summary().data_digest)
    config, other = configs
    if other.twin_hash != config.twin_hash or (None not in data and data[0] != data[1]):
        expected = f"the twin of {snn_folder}: the same network, data, training and seed"
        raise BadValue(field="CNN_FOLDER", value=str(cnn_folder), expected=expected)
    found = twin_energy(*counts, accounting, prices)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    say(f"{_network(config)} on {config.dataset}, seed {config.seed} (n = 1), T = {found.time_steps}")
    _print_twin(found)


def _network(config: RunConfig) -> str:
    return network_name(config.backbone, config.mask, config.definition, config.architecture)


def _print_twin(found: TwinEnergy) -> None:
    rows = [("SNN", found.snn_pj, None, ""), (f"CNN at {found.cnn_bits} bits", found.cnn_pj, found.energy_ratio, "")]
    for one in found.quantised:
        name = f"CNN at {one.bits} bit{'' if one.bits == 1 else 's'}, weights {one.weight_bits}"
        rows.append((name, one.energy_pj, one.energy_ratio, one.status or ""))
    for name, energy, ratio, status in rows:
        figures = "unknown" if energy is None else format_energy(energy)
        beside = "" if ratio is None else f"SNN / CNN {ratio:.3g}"
        say(f"{name:<24}{figures:>12}  {beside:<18}{status}".rstrip())
    level = "none" if found.break_even_rate is None else f"{found.break_even_rate:.3f}"
    say(f"{'firing rate, measured':<24}{found.measured_rate:>12.3f}")
    say(f"{'firing rate, break-even':<24}{level:>12}")
    say(f"estimated per image, mode {found.mode}, profile {found.profile}, n = {found.n_samples} test images")
    for sentence in (found.reason, *dict.fromkeys(one.note for one in found.quantised if one.note), *found.not_said):
        say(sentence)


@app.command("steps")
def stops(
    path: Path = typer.Argument(..., help="Folder of the bundle."),
    at_most: float | None = typer.Option(None, "--at-most", help="The most that an inference may cost, in uJ."),
    within: float | None = typer.Option(
        None, "--within", help="Points of accuracy that may be lost against the best T'."
    ),
    mode: str = typer.Option(DEFAULT_MODE, help="Accounting mode."),
    profile: str = typer.Option(DEFAULT_PROFILE, help="Hardware profile."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Accuracy and energy after each T' <= T steps, and where to stop: best under a price, or soonest within a loss.

    From the stored answers and counts; nothing is run again. A network trained with T' steps is usually better at T'.
    """
    if at_most is not None and not 0 < at_most < math.inf:
        raise BadValue(field="--at-most", value=at_most, expected="a number of uJ above 0")
    if within is not None and not 0 <= within <= MOST_POINTS:
        raise BadValue(field="--within", value=within, expected=f"from 0 to {MOST_POINTS} points")
    bundle = Bundle(path)
    counts = bundle.counts()
    found = steps.curve(bundle.predictions(counts), counts, mode=MODES[mode], profile=profiles()[profile])
    best = None if at_most is None else steps.best_within(found.points, at_most * PJ_PER_UJ)
    soonest = None if within is None else steps.fewest_within(found.points, within / MOST_POINTS)
    if as_json:
        chosen = {"best_at_most": best, "fewest_within": soonest}
        told = {name: point.model_dump(mode="json") if point else None for name, point in chosen.items()}
        print_json(found.model_dump(mode="json") | told)
        return
    _print_steps(found)
    if at_most is not None:
        under = format_energy(at_most * PJ_PER_UJ)
        say(f"best at no more than {under}: {_stop(best) if best else 'none, it costs more after its first step'}")
    if soonest is not None:
        say(f"soonest within {within:g} points of the best: {_stop(soonest)}")
    say(f"estimated per image, mode {found.mode}, profile {found.profile}, n = {found.n:,} test images")


def _stop(point: StepPoint) -> str:
    return f"T' = {point.steps}, {point.accuracy:.2%}, {format_energy(point.energy_pj)}"


def _print_steps(found: Steps) -> None:
    for point in found.points:
        say(f"T' = {point.steps:<8} {point.accuracy:.2%}, {format_energy(point.energy_pj)} per image")


@app.command()
def ensemble(
    first: Path = typer.Argument(..., help="Folder of the bundle that answers first, such as the spiking network's."),
    second: Path = typer.Argument(..., help="Folder of the bundle that is asked where the first one is unsure."),
    mode: str = typer.Option(DEFAULT_MODE, help="Accounting mode."),
    profile: str = typer.Option(DEFAULT_PROFILE, help="Hardware profile."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Two networks that answer together: the mean of both, or the second only where the first is unsure.

    Both were tested on the same images. Their stored answers are used; nothing is run again.
    """
    accounting, prices = MODES[mode], profiles()[profile]
    if first.resolve() == second.resolve():
        raise BadValue(field="SECOND", value=str(second), expected="another bundle than FIRST")
    data = []
    for folder in (first, second):
        with whole_paths(folder):
            data.append((Bundle(folder).config().dataset, Bundle(folder).summary().data_digest))
            Bundle(folder).predictions()  # a file that cannot be used is named with its folder
    ensembles.require_same_data(*data, names=(str(first), str(second)))
    found = ensembles.of_bundles(Bundle(first), Bundle(second), mode=accounting, profile=prices)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    _print_ensemble(found)


def _print_ensemble(found: Ensemble) -> None:
    one, other = "first", "second"
    lines = [ensemble_tables.head(one, other)]
    rows = ensemble_tables.rows(found, one.title(), other.title())
    unit = ensemble_tables.unit_of(rows)
    lines += [(row.title, *ensemble_tables.cells(row, found.n, unit)) for row in rows]
    say_columns(lines)
    say(f"estimated per image, mode {found.mode}, profile {found.profile}, n = {found.n:,} test images; 95 % intervals")
    for sentence in (*sentences(found, "the first", "the second"), energy_note(found, "the second"), OPTIMISTIC):
        say(sentence)


@app.command()
def recount(
    path: Path = typer.Argument(..., help="Folder of the bundle."),
    counter: str = typer.Option("spikingjelly", "--with", help="spikingjelly, syops or neurobench."),
    images: int = typer.Option(64, min=1, help="Test images, spread over the test set."),
    data: Path | None = typer.Option(None, "--data", help="Folder with the data sets [default: SPIKEFRONT_DATA]."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Rebuild the network in SpikingJelly's layers, run test images, and hold a foreign counter's figures beside ours.

    Ends with 1 where anything differs that should not. The bundle stays as it is.
    """
    data = data or Settings().data
    bundle = Bundle(path)
    with whole_paths(path), DATASETS.looking_in(data):
        bundle.verify()
        test = load(bundle.config().dataset, data)
        from core.oracles.recount import recount as count_again  # the engine and SpikingJelly: only now

        found = count_again(bundle, test.test_images, test.test_labels, counter=counter, n=images)
    if as_json:
        print_json(found.model_dump(mode="json") | {"equal": found.equal})
    else:
        print_recount(found)
    if not found.equal:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def robustness(
    path: Path = typer.Argument(..., help="Folder of the bundle."),
    images: int = typer.Option(
        DEFAULT_IMAGES, min=1, max=MOST_IMAGES, help="Test images, spread over the test set; at most all."
    ),
    seed: int = typer.Option(0, min=0, max=SEEDS - 1, help="Of the noise."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads [default: all, or OMP_NUM_THREADS]."),
    mode: str = typer.Option(DEFAULT_MODE, help="Accounting mode."),
    profile: str = typer.Option(DEFAULT_PROFILE, help="Hardware profile."),
    data: Path | None = typer.Option(None, "--data", help="Folder with the data sets [default: SPIKEFRONT_DATA]."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Accuracy and energy under noise, blur and fewer bits of a weight, beside those undisturbed.

    Leaves robustness.json in the folder, beside the bundle's files and no part of its manifest.
    """
    accounting, prices, data = MODES[mode], profiles()[profile], data or Settings().data
    bundle = Bundle(path)
    with whole_paths(path), DATASETS.looking_in(data), image_bar("images") as progress:
        bundle.verify()
        test = load(bundle.config().dataset, data)
        from core.engine.robustness import measure  # the engine: only now

        found = measure(bundle, test, n=images, seed=seed, threads=threads, progress=progress)
    shown = stood.priced(found, accounting, prices)
    if as_json:
        print_json(shown.model_dump(mode="json"))
    else:
        print_robustness(shown)
    stood.keep(bundle, found)  # last: a folder that cannot be written costs the file alone


@app.command()
def export(
    path: Path = typer.Argument(..., help="Folder of the bundle."),
    to: str = typer.Option(..., "--to", help="spikingjelly (a .py file, weights beside it), nir or onnx."),
    out: Path = typer.Option(..., "--out", help="The file to write."),
    data: Path | None = typer.Option(None, "--data", help="Folder with the data sets [default: SPIKEFRONT_DATA]."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Write the network as a file that another tool opens, or say what that tool has no word for."""
    from core.exchange.source import read
    from core.exchange.targets import TARGETS

    target = TARGETS[to]
    with whole_paths(path), DATASETS.looking_in(data or Settings().data):
        bundle = Bundle(path)
        bundle.verify()
        kernels = None
        if bundle.config().changes_weights:
            from core.engine import sources  # the engine: only for weights that have to be made first

            kernels = sources.kernels(bundle)
        written = target.write(read(bundle, kernels), out)
    if as_json:
        print_json({"files": [str(file) for file in written]})
        return
    for file in written:
        print(f"{file.stat().st_size:>12}  {file}")
    print(f"Open it with {target.opened_with}.")
