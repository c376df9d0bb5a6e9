"""`spikefront train-stack`: the runs of a small sweep as one batched network, a bundle for each."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from core.cli.commands.train import parse_settings
from core.cli.console import print_json
from core.cli.train_here import recounter, stop_on_signals
from core.datasets.catalog import DATASETS
from core.errors import BadValue, SpikefrontError
from core.recipes.sweep import expand
from core.schemas.request import RunRequest
from core.schemas.run import Kind, RunConfig
from core.schemas.sweep import AxisValue, SweepRequest
from core.settings import Settings


def train_stack(
    context: typer.Context,
    out: Path = typer.Option(..., "--out", help="Folder of the bundles, one a run; the same command goes on."),
    axes: list[str] = typer.Option(
        ..., "--axis", metavar="FIELD=A,B,C", help="What the runs differ in, such as seed=0,1,2; repeatable."
    ),
    backbone: str = typer.Option("squeezenet", help="Backbone."),
    definition: str = typer.Option("small", help="small or imagenet; of mnasnet also paper and paper-cifar10."),
    kind: Kind = typer.Option(Kind.SNN, help="Spiking networks or CNN twins."),
    mask: str = typer.Option("Full", help="Kept blocks such as F4,F6,F8,F9, or a mask's name such as Ref-1."),
    dataset: str = typer.Option("digits", help="Data set."),
    recipe: str = typer.Option("smoke", help="How to train."),
    seed: int = typer.Option(0, min=0, max=2**31 - 1, help="Seed, where it is no axis."),
    settings: list[str] = typer.Option(
        [], "--set", metavar="FIELD=VALUE", help="Change a field of the recipe for all runs; repeatable."
    ),
    at_once: int | None = typer.Option(
        None, "--at-once", min=1, help="Runs in memory together [default: as many as fit]."
    ),
    data: Path | None = typer.Option(None, "--data", help="Folder with the data sets [default: SPIKEFRONT_DATA]."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads [default: all, or OMP_NUM_THREADS]."),
    recount: str = typer.Option("off", metavar="on|off", help="Count each run again by SpikingJelly at its end."),
    as_json: bool = typer.Option(False, "--json", help="Print the runs' summaries as JSON."),
) -> None:
    """Train every combination of the axes together: seeds, learning rates, masks.

    For a GPU, which one small network leaves idle; on a CPU runs side by side are quicker. Each run has the config, and
    the bundle, that it would have alone. Stopped by Ctrl-C or SIGTERM it writes a checkpoint of each run and exits with 75.
    """
    if recount not in ("on", "off"):
        raise BadValue(field="--recount", value=recount, expected="on or off")
    data = data or Settings().data
    context.with_resource(DATASETS.looking_in(data))
    base = RunRequest(
        backbone=backbone, definition=definition, kind=kind, mask=mask, dataset=dataset, recipe=recipe, seed=seed,
        overrides=parse_settings(settings),
    )  # fmt: skip
    runs = named_runs(SweepRequest(name="stack", base=base, axes=parse_axes(axes)))
    from core.cli.stack_screen import Screen  # rich and the engine: only now
    from core.engine.stacked.experiment import run_stack

    folders = [out / name for name in runs]
    with stop_on_signals() as stop, Screen(list(runs)) as screen:
        results = run_stack(
            list(runs.values()),
            outs=folders,
            data_dir=data,
            device=device,
            threads=threads,
            at_once=at_once,
            emit=screen,
            should_stop=stop.is_set,
            on_gpu=Settings().on_gpu,
            recount=recounter("on") if recount == "on" else None,
        )
        screen.results(results)
    if as_json:
        print_json(
            [
                {"run": name, "folder": str(folder)}
                | (
                    {"error": one.message}
                    if isinstance(one, SpikefrontError)
                    else {"summary": one.model_dump(mode="json")}
                )
                for name, folder, one in zip(runs, folders, results, strict=True)
            ]
        )
    failed = [one for one in results if isinstance(one, SpikefrontError)]
    if failed:
        raise failed[0]


def parse_axes(pairs: list[str]) -> dict[str, list[AxisValue]]:
    """`["seed=0,1", "mask=Ref-1,F4+F6"]`: the values of each axis; `+` joins the blocks of one mask. Raises BadValue."""
    axes: dict[str, list[AxisValue]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        values = [value.strip() for value in text.split(",") if value.strip()]
        if not equals or not name.strip() or not values:
            raise BadValue(field="--axis", value=pair, expected="FIELD=A,B,C")
        if name.strip() in axes:
            raise BadValue(field="--axis", value=pair, expected=f"given once for {name.strip()}")
        joined = name.strip() == "mask"
        axes[name.strip()] = [value.split("+") if joined and "+" in value else value for value in values]
    return axes


def named_runs(request: SweepRequest) -> dict[str, RunConfig]:
    """The different runs of a sweep by the names of their folders, such as `seed-0_lr-0.001`. Equal ones are one run."""
    runs: dict[str, RunConfig] = {}
    seen: set[str] = set()
    for point in expand(request):
        if point.config.config_hash not in seen:
            seen.add(point.config.config_hash)
            name = folder_name(point.values)
            runs[name if name not in runs else f"{name}_{point.config.config_hash[:8]}"] = point.config
    return runs


def folder_name(values: dict[str, AxisValue]) -> str:
    """`{"seed": 0, "training.lr": 0.001}` as `seed-0_lr-0.001`."""
    parts = [
        f"{name.rpartition('.')[2]}-{'+'.join(value) if isinstance(value, list) else value}"
        for name, value in values.items()
    ]
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", "_".join(parts))
