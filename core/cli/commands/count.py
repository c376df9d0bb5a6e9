"""`spikefront count`: what a masked backbone costs, by arithmetic alone."""

from __future__ import annotations

from typing import Any

import typer

from core.backbones.catalog import BACKBONES, mask_name, parse_mask, plan_for
from core.backbones.naming import differences
from core.backbones.plan import Plan
from core.cli.commands.train import parse_settings
from core.cli.console import print_json
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES, Mode, layer_kind, static_layer_macs
from core.errors import UnknownName
from core.recipes.build import architecture_of
from core.schemas.run import Kind
from core.units import format_count


def count(
    backbone: str = typer.Option("squeezenet", help="The network's architecture."),
    kind: str = typer.Option("snn", help="snn or cnn."),
    mask: str = typer.Option("Full", help="Kept blocks, as F4,F6,F8,F9, or a mask's name."),
    dataset: str = typer.Option("cifar10", help="Gives the input's shape and the classes; no data is read."),
    definition: str = typer.Option("small", help="small or imagenet; of mnasnet also paper and paper-cifar10."),
    settings: list[str] = typer.Option(
        [],
        "--set",
        metavar="OPTION=VALUE",
        help="Choose an option of the architecture, such as architecture.stem_width=64; repeatable.",
    ),
    mode: str = typer.Option("paper", help="Accounting mode of `macs`."),
    time_steps: int = typer.Option(4, min=1, max=64, help="T of a spiking network."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Parameters, operations and MACs of a masked backbone, without data.

    `dense_macs` is of one pass, no zero skipped, without bias. `macs` is per inference in the accounting mode: in
    `paper` of one time step; in `exact` and `exact+neuron` an upper bound, since real-valued zeros are known only
    from data. ACs depend on spikes, so they come from a run.
    """
    network = _kind(kind)
    accounting = MODES[mode]
    spec = DATASETS[dataset]
    BACKBONES[backbone]  # an unknown backbone is said before an unknown mask
    architecture = architecture_of(parse_settings(settings))
    plan = plan_for(
        backbone=backbone,
        mask=parse_mask(backbone, mask, definition, architecture),
        input_shape=spec.image_shape,
        n_classes=spec.n_classes,
        definition=definition,
        architecture=architecture,
    )
    macs = static_layer_macs(plan, network, accounting, time_steps)
    if as_json:
        print_json(_content(plan, network, macs))
    else:
        title = f"{spec.title}, {'x'.join(map(str, spec.image_shape))}"
        _print_table(plan, network, accounting, macs, title=title, time_steps=time_steps)


def _kind(name: str) -> Kind:
    try:
        return Kind(name.lower())
    except ValueError:
        raise UnknownName(kind="kind of network", name=name, known=[kind.value for kind in Kind]) from None


def _content(plan: Plan, kind: Kind, macs: dict[str, int]) -> dict[str, Any]:
    layers = [
        {
            "name": node.name,
            "kind": layer_kind(node, kind),
            "output_shape": list(node.shape),
            "params": node.params,
            "dense_macs": node.dense_ops,
        }
        for node in plan.nodes
        if node.op != "input"
    ]
    return {"params": plan.params, "dense_macs": plan.dense_ops, "macs": sum(macs.values()), "layers": layers}


def _print_table(plan: Plan, kind: Kind, mode: Mode, macs: dict[str, int], *, title: str, time_steps: int) -> None:
    from rich.console import Console  # only when a person looks
    from rich.table import Table

    named = mask_name(plan.backbone, plan.mask, plan.definition, plan.architecture)
    mask = ",".join(plan.mask) + (f" ({named})" if named else "")
    what = ", ".join([mask, *differences(plan.definition, plan.architecture), title])
    table = Table(title=f"{BACKBONES[plan.backbone].title} {kind.value.upper()}, {what}")
    for column, justify in (("layer", "left"), ("kind", "left"), ("output", "right"), ("parameters", "right"),
                            ("dense ops", "right"), (f"MACs, {mode.name}", "right")):  # fmt: skip
        table.add_column(column, justify=justify, no_wrap=True)
    for node in plan.nodes[1:]:
        table.add_row(
            node.name,
            layer_kind(node, kind),
            "x".join(map(str, node.shape)),
            f"{node.params:,}" if node.params else "",
            f"{node.dense_ops:,}" if node.dense_ops else "",
            f"{macs[node.name]:,}" if macs[node.name] else "",
        )
    table.add_section()
    table.add_row("total", "", "", f"{plan.params:,}", f"{plan.dense_ops:,}", f"{sum(macs.values()):,}", style="bold")
    console = Console()
    console.print(table)
    if kind is Kind.SNN:
        note = f"Dense ops are of one pass. At T = {time_steps} the network runs {time_steps}, but computes once what"
        console.print(f"{note} depends on the constant input alone.", highlight=False)
    console.print(f"Neurons: {format_count(plan.neurons)}.", highlight=False)
    console.print(f"{mode.title}. {mode.description}", style="dim", highlight=False)
