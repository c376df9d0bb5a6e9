"""Which way of training is better? Short runs of several configs and seeds on a part of the training images.

Each pilot trains on `--images` training images and is judged by `--validation` other training images, on which it does
not train; the test set is not looked at. Runs are one-threaded, stopped by Ctrl-C and resumed by the same command, and a
finished one is not trained again. The same command in a second terminal takes the runs that the first has not begun.

    python -m benchmarks.pilots pilots.toml --out pilots [--seeds 0,1] [--data DIR] [--images N] [--validation N]

The file names a base and what each pilot changes in it: fields of a request (mask, recipe, dataset, ...) and any field of
a config by its dotted path. `from` and `teacher` may be folders of finished bundles.

    [base]
    mask = "Ref-1"
    dataset = "cifar10"
    recipe = "fast"
    "training.max_epochs" = 6

    [pilots.today]
    [pilots."leak a half"]
    "neuron.tau" = 2.0
    "neuron.v_threshold" = 0.5

The table goes to standard output and to OUT/table.md: mean ± sample deviation over seeds of the validation accuracy.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmarks.harness import machine
from core.bundle import Bundle, write_atomic
from core.cli.given import learning_from, starting_from
from core.cli.train_here import stop_on_signals
from core.datasets.catalog import DATASETS
from core.datasets.load import load, status
from core.datasets.splits import limited
from core.energy.modes import MODES
from core.engine.count import Counter
from core.engine.data import LIMIT_SEED, Images, Normaliser, Splits, evaluation_batches, split
from core.engine.experiment import start_network
from core.engine.network import Network
from core.engine.teacher import check, load_teacher
from core.engine.train import EVALUATION_BATCH, Trainer
from core.errors import BadValue, Interrupted
from core.host.malloc import keep_freed_memory
from core.recipes.build import build_config, plan_of
from core.schemas.prices import DEFAULT_MODE
from core.schemas.request import RunRequest
from core.schemas.results import EpochDone, Event
from core.schemas.run import RunConfig
from core.settings import Settings
from core.units import format_count

CPU = torch.device("cpu")
COUNTED = 1000  # validation images on which operations are counted
FIELDS = frozenset(RunRequest.model_fields) - {"overrides"}
FOLDERS = ("from", "teacher")  # of finished bundles


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """One config of a named pilot, and the bundles that it is made from."""

    name: str
    config: RunConfig
    start: Path | None = None
    teacher: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one run of a pilot gave. acs, macs: per image, all steps; firing_rate in [0, 1], None for a CNN."""

    validation_accuracy: float
    n_train: int
    n_validation: int
    epochs: int
    images_per_s: float
    train_wall_s: float
    params: int
    acs: float
    macs: float
    firing_rate: float | None
    machine: str


def read(path: Path, *, seeds: Iterable[int], images: int, validation: int, data: Path) -> list[Pilot]:
    """The pilots of a file, all seeds of one after another. Raises BadValue, UnknownName."""
    with path.open("rb") as file:
        content = tomllib.load(file)
    if extra := set(content) - {"base", "pilots"}:
        raise BadValue(field=str(path), value=min(extra), expected="[base] or [pilots.NAME]")
    base = content.get("base", {})
    return [
        _pilot(name, {**base, **changes}, seed=seed, images=images, validation=validation, data=data)
        for name, changes in content.get("pilots", {}).items()
        for seed in seeds
    ]


def _pilot(name: str, values: Mapping[str, Any], *, seed: int, images: int, validation: int, data: Path) -> Pilot:
    fields = {key: value for key, value in values.items() if key in FIELDS}
    folders = {key: Path(values[key]) for key in FOLDERS if key in values}
    overrides = {key: _plain(value) for key, value in values.items() if key not in FIELDS and key not in FOLDERS}
    dataset = fields.get("dataset", RunRequest().dataset)
    n_train = status(dataset, data).n_train or DATASETS[dataset].n_train
    limits = {"training.train_limit": images, "training.validation_share": validation / n_train}
    overrides = {**limits, **overrides}
    if "from" in folders:
        overrides = starting_from(folders["from"], overrides)
    config = build_config(RunRequest(**fields, overrides=overrides, **({} if "seed" in fields else {"seed": seed})))
    if "teacher" in folders:
        config = learning_from(config, folders["teacher"])
    return Pilot(name=name, config=config, start=folders.get("from"), teacher=folders.get("teacher"))


def _plain(value: Any) -> Any:
    """A list as `--set` writes it."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def run(pilot: Pilot, out: Path, data: Path, *, should_stop: Callable[[], bool], say: Callable[[str], None]) -> bool:
    """Train and measure, unless that is done, or being done by another process; True when it is done.

    Raises Interrupted with a checkpoint when `should_stop()` turns true.
    """
    folder = out / pilot.config.config_hash[:16]
    if (folder / "found.json").exists():
        return True
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            splits = split(load(pilot.config.dataset, data), pilot.config.training, CPU)
            network, trainer = _trained(pilot, folder, splits, should_stop, say)
            found = _measured(network, trainer, splits)
            write_atomic(folder / "config.json", pilot.config.model_dump_json(indent=2).encode())
            write_atomic(folder / "found.json", json.dumps(asdict(found), indent=2).encode())
    except filelock.Timeout:
        return False
    return True


def _trained(
    pilot: Pilot, folder: Path, splits: Splits, should_stop: Callable[[], bool], say: Callable[[str], None]
) -> tuple[Network, Trainer]:
    """The network with the weights that the config keeps."""
    config, taught_by, teacher = pilot.config, None, None
    if config.has_given_teacher:
        taught_by = check(config, pilot.teacher) if pilot.teacher else None
        if taught_by is None:
            raise BadValue(
                field="training.teacher", value=config.training.teacher, expected='given by `teacher = "DIR"`'
            )
        teacher = load_teacher(taught_by, CPU)
    elif config.needs_teacher:
        teacher = _twin(pilot, folder / "teacher", splits, should_stop, say)
    origin = None if pilot.start is None else Bundle(pilot.start)
    network = start_network(config, teacher, splits, CPU, origin)

    def emit(event: Event) -> None:
        if isinstance(event, EpochDone):
            validated = "" if event.validation_accuracy is None else f"validation {event.validation_accuracy:.2%}  "
            say(f"epoch {event.epoch}  loss {event.train_loss:.4f}  {validated}{event.wall_s:.0f} s")

    trainer = Trainer(
        network, config, splits, device=CPU, folder=folder / "checkpoint", emit=emit, should_stop=should_stop,
        teacher=teacher,
    )  # fmt: skip
    trainer.restore()
    if trainer.asks_once:
        trainer.ask_once(
            "" if taught_by is None else taught_by.weights_sha256,
            (folder,) if taught_by is None else (folder, taught_by.path),
        )
    trainer.train()
    network.load_state_dict(trainer.best)
    return network, trainer


def _twin(
    pilot: Pilot, folder: Path, splits: Splits, should_stop: Callable[[], bool], say: Callable[[str], None]
) -> Network:
    """The CNN twin, trained on the same images first."""
    config = pilot.config.twin()
    weights = folder / "weights.safetensors"
    if not weights.exists():
        twin = Pilot(name=pilot.name, config=config)
        network, _ = _trained(twin, folder, splits, should_stop, lambda text: say(f"twin {text}"))
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, weights)
    network = Network(plan_of(config), config)
    network.load_state_dict(load_file(weights))
    return network.eval()


def _measured(network: Network, trainer: Trainer, splits: Splits) -> Found:
    """Operations are those of a stratified part of the validation images, at most COUNTED."""
    part = splits.validation
    at = limited(np.arange(len(part)), part.labels.numpy(), COUNTED, LIMIT_SEED)
    few = Images(images=part.images[at], labels=part.labels[at], index=part.index[at])
    normalise = Normaliser.of(network, splits.spec, CPU)
    network.eval()
    network.seed_encoding("pilot")
    with torch.inference_mode(), Counter(network) as counter:
        for x, _ in evaluation_batches(few, normalise, EVALUATION_BATCH["cpu"]):
            network(x)
    counts = counter.counts(len(few))
    neurons = [layer for layer in counts.layers if layer.spikes]
    places = sum(layer.output_numel for layer in neurons) * counts.time_steps * counts.n_samples
    tally = MODES[DEFAULT_MODE].tally(counts)
    return Found(
        validation_accuracy=trainer.kept[1],
        n_train=len(splits.train),
        n_validation=len(part),
        epochs=len(trainer.metrics.epoch),
        images_per_s=trainer.images_trained / trainer.train_steps_s if trainer.images_trained else 0.0,
        train_wall_s=trainer.train_wall_s,
        params=sum(parameter.numel() for parameter in network.parameters()),
        acs=tally.acs,
        macs=tally.macs,
        firing_rate=sum(sum(layer.spikes) for layer in neurons) / places if neurons else None,
        machine=machine(),
    )


def found_in(pilot: Pilot, out: Path) -> Found | None:
    path = out / pilot.config.config_hash[:16] / "found.json"
    return Found(**json.loads(path.read_text())) if path.exists() else None


def table(pilots: list[Pilot], out: Path) -> str:
    """Markdown: a row a pilot, with what its config has other than the first one's."""
    lines = [
        "| pilot | differs from the first | epochs | validation accuracy, % | images/s | ACs | MACs | firing rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names = list(dict.fromkeys(pilot.name for pilot in pilots))
    rests = []
    for name in names:
        own = [pilot for pilot in pilots if pilot.name == name]
        done = [found for pilot in own if (found := found_in(pilot, out)) is not None]
        cells = [name, differences(pilots[0].config, own[0].config), *_cells(done)]
        lines.append(f"| {' | '.join(cells)} |")
        rests += done
    return "\n".join([*lines, "", *_basis(rests)]) + "\n"


def _cells(done: list[Found]) -> list[str]:
    if not done:
        return ["", "not yet", "", "", "", ""]
    accuracies = [100 * found.validation_accuracy for found in done]
    spread = f" ± {statistics.stdev(accuracies):.2f}" if len(done) > 1 else ""
    rates = [found.firing_rate for found in done if found.firing_rate is not None]
    mean = {name: statistics.fmean(getattr(found, name) for found in done) for name in ("images_per_s", "acs", "macs")}
    return [
        "/".join(str(epochs) for epochs in sorted({found.epochs for found in done})),
        f"{statistics.fmean(accuracies):.2f}{spread} (n = {len(done)})",
        f"{mean['images_per_s']:.0f}",
        format_count(mean["acs"]),
        format_count(mean["macs"]),
        f"{statistics.fmean(rates):.3f}" if rates else "",
    ]


def _basis(done: list[Found]) -> list[str]:
    if not done:
        return []
    images = sorted({(found.n_train, found.n_validation) for found in done})
    said = "; ".join(f"{train:,} training images, judged by {validation:,} others" for train, validation in images)
    error = 100 * math.sqrt(0.25 / min(validation for _, validation in images))
    machines = ", ".join(sorted({found.machine for found in done}))
    return [
        f"{said}, a standard error of at most {error:.1f} points each.",
        f"One thread; speed depends on what ran beside it. ACs and MACs per image, all steps, mode `{DEFAULT_MODE}`. {machines}.",
    ]


def differences(first: RunConfig, other: RunConfig) -> str:
    """`field=value` for each field that is not as in the first; the recipe's name and the seed are none."""
    before, after = (_flat(config.model_dump(mode="json", exclude={"recipe", "seed"})) for config in (first, other))
    changed = [
        f"{name.removeprefix('training.')}={_text(value)}" for name, value in after.items() if before[name] != value
    ]
    return " ".join(changed)


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ":".join(map(str, value.values()))
    if isinstance(value, str) and len(value) == 64:  # the name of weights
        return value[:8]
    return ",".join(map(_text, value)) if isinstance(value, list) else "null" if value is None else str(value)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=Path("pilots"))
    parser.add_argument("--data", type=Path, default=None, help="folder with the data sets [default: SPIKEFRONT_DATA]")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--images", type=int, default=10_000, help="training images of each pilot")
    parser.add_argument("--validation", type=int, default=5_000, help="other training images that judge it")
    parser.add_argument("--table", action="store_true", help="print the table of what is done, and train nothing")
    options = parser.parse_args(arguments)
    data = options.data or Settings().data
    seeds = [int(seed) for seed in options.seeds.split(",")]
    torch.set_num_threads(1)
    keep_freed_memory()
    with DATASETS.looking_in(data), stop_on_signals() as stop:
        pilots = read(options.file, seeds=seeds, images=options.images, validation=options.validation, data=data)
        if not options.table:
            _run_all(pilots, options.out, data, stop.is_set)
    text = table(pilots, options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomic(options.out / "table.md", text.encode())
    print(text, end="")


def _run_all(pilots: list[Pilot], out: Path, data: Path, should_stop: Callable[[], bool]) -> None:
    """First seeds first, so that the table says something early. What another process trains is left to it."""
    by_seed = sorted(pilots, key=lambda pilot: pilot.config.seed)
    for pilot in by_seed:
        label = f"{pilot.name}, seed {pilot.config.seed}"

        def say(text: str, label: str = label) -> None:
            print(f"{time.strftime('%H:%M:%S')}  {label}: {text}", file=sys.stderr, flush=True)

        try:
            if not run(pilot, out, data, should_stop=should_stop, say=say):
                say("another process trains it")
        except Interrupted as stop:
            say(stop.message)
            return


if __name__ == "__main__":
    main()
