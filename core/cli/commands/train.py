"""`spikefront train`: one run in this process, with a progress bar or an event stream."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from pydantic import ValidationError

from core.cli.given import learning_from, starting_from
from core.datasets.catalog import DATASETS
from core.errors import BadValue, SpikefrontError
from core.recipes.build import build_config, override, translate
from core.recipes.catalog import RECIPES
from core.schemas.request import RunRequest
from core.schemas.results import Event, Failed
from core.schemas.run import Kind, RunConfig
from core.settings import Settings
from core.units import format_about

#: Each recipe with its time for SqueezeNet-P, spiking, on CIFAR-10 on two cores.
RECIPE_HELP = ", ".join(f"{recipe.name} ({format_about(recipe.expected_minutes)})" for recipe in RECIPES.values())

MAX_CONFIG_BYTES = 1_000_000  # one of ours has two thousand


def train(
    context: typer.Context,
    out: Path = typer.Option(..., "--out", help="Folder of the bundle; an unfinished equal run there is resumed."),
    backbone: str = typer.Option("squeezenet", help="Backbone."),
    definition: str = typer.Option(
        "small",
        help="small, or imagenet: the backbone as published for ImageNet; mnasnet also has paper and paper-cifar10.",
    ),
    kind: Kind = typer.Option(Kind.SNN, help="Spiking network or its CNN twin."),
    mask: str = typer.Option("Full", help="Kept blocks such as F4,F6,F8,F9, or a mask's name such as Ref-1."),
    dataset: str = typer.Option("digits", help="Data set."),
    recipe: str = typer.Option("smoke", help=f"How to train: {RECIPE_HELP}."),
    seed: int = typer.Option(0, min=0, max=2**31 - 1, help="Seed of weights, order and augmentation."),
    settings: list[str] = typer.Option(
        [],
        "--set",
        metavar="FIELD=VALUE",
        help="Change a field of the recipe or the architecture, such as training.max_epochs=3; repeatable.",
    ),
    config: Path | None = typer.Option(None, "--config", help="A config.json instead of the options above."),
    start: Path | None = typer.Option(
        None, "--from", help="Finished bundle whose weights the run starts from; sets start=bundle and start_bundle."
    ),
    teacher: Path | None = typer.Option(
        None, help="Finished bundle to learn from [default: the CNN twin, which is trained first, if needed]."
    ),
    data: Path | None = typer.Option(None, "--data", help="Folder with the data sets [default: SPIKEFRONT_DATA]."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads [default: all, or OMP_NUM_THREADS]."),
    recount: str | None = typer.Option(
        None, metavar="on|off", help="Count the run again by SpikingJelly at its end [default: SPIKEFRONT_RECOUNT]."
    ),
    events: str | None = typer.Option(None, metavar="-", help="`-`: events as JSON lines on standard output."),
    as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
) -> None:
    """Train one network and write its bundle.

    Stopped by Ctrl-C or SIGTERM it writes a checkpoint and exits with 75; the same command goes on from there.
    """
    if events not in (None, "-"):
        raise BadValue(field="--events", value=events, expected="-, for standard output")
    if events and as_json:
        raise BadValue(field="--json", value=True, expected="left out with --events, whose last event has the summary")
    if recount not in (None, "on", "off"):
        raise BadValue(field="--recount", value=recount, expected="on or off")
    data = data or Settings().data
    context.with_resource(DATASETS.looking_in(data))  # the user's own data sets are those of this folder
    try:
        overrides = parse_settings(settings)
        if start is not None:
            overrides = starting_from(start, overrides)
        if config is not None:
            _refuse_choices(context)
            run_config = override(read_config(config), overrides)
        else:
            run_config = build_config(
                RunRequest(
                    backbone=backbone,
                    definition=definition,
                    kind=kind,
                    mask=mask,
                    dataset=dataset,
                    recipe=recipe,
                    seed=seed,
                    overrides=overrides,
                )
            )
        if teacher is not None:
            run_config = learning_from(run_config, teacher)
        from core.cli.train_here import train_here  # the engine: only now

        train_here(
            run_config,
            out=out,
            data_dir=data,
            device=device,
            threads=threads,
            teacher=teacher,
            recount=recount,
            start=start,
            stream=print_event if events else None,
            as_json=as_json,
        )
    except SpikefrontError as error:
        if events and error.code != "interrupted":
            print_event(Failed.of(error))
        raise


def parse_settings(pairs: list[str]) -> dict[str, str]:
    """`["tau=1.5"]` to `{"tau": "1.5"}`. Raises BadValue for a pair without `=` or a field named twice."""
    parsed: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise BadValue(field="--set", value=pair, expected="FIELD=VALUE")
        if name.strip() in parsed:
            raise BadValue(field="--set", value=pair, expected=f"given once for {name.strip()}")
        parsed[name.strip()] = value
    return parsed


def read_config(path: Path) -> RunConfig:
    """A RunConfig from a JSON file, such as a bundle's config.json. A byte order mark says the encoding, as it may."""

    def wrong(expected: str) -> BadValue:
        return BadValue(field="--config", value=str(path), expected=expected)

    try:
        with open(path, "rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise wrong(f"a readable file ({error.strerror})") from None
    if len(content) > MAX_CONFIG_BYTES:
        raise wrong(f"a config of at most {MAX_CONFIG_BYTES:,} bytes, as a bundle's config.json is")
    try:
        return RunConfig.model_validate_json(content.decode(json.detect_encoding(content)))
    except UnicodeDecodeError as error:
        raise wrong(f"JSON in UTF-8 (byte {error.start:,} is not)") from None
    except ValidationError as error:
        fault = translate(error)
        if error.errors(include_input=False)[0]["type"] == "json_invalid":
            fault = wrong(fault.fields["expected"])
        raise fault from None


def print_event(event: Event) -> None:
    """One JSON line on standard output, at once; in ASCII, which every encoding has."""
    print(json.dumps(event.model_dump(mode="json")), flush=True)


def _refuse_choices(context: typer.Context) -> None:
    """With --config, an option that the file decides would be ignored: say so instead."""
    for name in ("backbone", "definition", "kind", "mask", "dataset", "recipe", "seed"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise BadValue(field=f"--{name}", value=str(context.params[name]), expected="left out beside --config")
