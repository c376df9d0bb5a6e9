"""`spikefront count`: what a masked backbone costs, by arithmetic alone."""

from __future__ import annotations

from typing import Any

import typer

from core.backbones.catalog import BACKBONES, mask_name, parse_mask, plan_for
from core.backbones.naming import differences
from core.backbones.plan import Plan
from core.cli.commands.train import parse_settings
from core.cli.console import print_json
from core.compression import plan_layers, plan_size, told
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES, Mode, layer_kind, static_layer_macs
from core.errors import UnknownName
from core.recipes.build import architecture_of, compression_of, settled_compression
from core.report import size_words
from core.schemas.compression import CompressionConfig
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
    keep: float = typer.Option(1.0, help="Share of each convolution's weights that is kept."),
    bits: int = typer.Option(0, help="Bits of a weight, 1 to 8; 0: float32."),
    block_bits: str = typer.Option("", help="Bits of single blocks where they differ, as F4:2,F6:1."),
    mode: str = typer.Option("paper", help="Accounting mode of `macs`."),
    time_steps: int = typer.Option(4, min=1, max=64, help="T of a spiking network."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
) -> None:
    """Parameters, operations and MACs of a masked backbone, without data.

    `dense_macs` is of one pass, no zero skipped, without bias. `macs` is per inference in the accounting mode: in
    `paper` of one time step; in `exact` and `exact+neuron` an upper bound, since real-valued zeros are known only
    from data. ACs depend on spikes, so they come from a run. With `--keep` or `--bits` also how many weights are kept, and
    three sizes of them; MACs stay those of all weights, since which ones are kept is learned.
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
    compression = settled_compression(
        compression_of({"keep": keep, "bits": bits, "block_bits": block_bits}), plan.mask, backbone, plan.blocks
    )
    macs = static_layer_macs(plan, network, accounting, time_steps)
    if as_json:
        print_json(_content(plan, network, macs, compression))
    else:
        title = f"{spec.title}, {'x'.join(map(str, spec.image_shape))}"
        _print_table(plan, network, accounting, macs, compression, title=title, time_steps=time_steps)


def _kind(name: str) -> Kind:
    try:
        return Kind(name.lower())
    except ValueError:
        raise UnknownName(kind="kind of network", name=name, known=[kind.value for kind in Kind]) from None


def _content(plan: Plan, kind: Kind, macs: dict[str, int], compression: CompressionConfig) -> dict[str, Any]:
    sizes = {layer.name: layer for layer in plan_layers(plan, compression)} if compression.is_on else {}
    layers = [
        {
            "name": node.name,
            "kind": layer_kind(node, kind),
            "output_shape": list(node.shape),
            "params": node.params,
            "dense_macs": node.dense_ops,
        }
        | (told(sizes.get(node.name)) if sizes else {})
        for node in plan.nodes
        if node.op != "input"
    ]
    size = {"size": plan_size(plan, compression).model_dump()} if sizes else {}
    return {"params": plan.params, "dense_macs": plan.dense_ops, "macs": sum(macs.values()), **size, "layers": layers}


def _print_table(
    plan: Plan,
    kind: Kind,
    mode: Mode,
    macs: dict[str, int],
    compression: CompressionConfig,
    *,
    title: str,
    time_steps: int,
) -> None:
    from rich.console import Console  # only when a person looks
    from rich.table import Table

    named = mask_name(plan.backbone, plan.mask, plan.definition, plan.architecture)
    mask = ",".join(plan.mask) + (f" ({named})" if named else "")
    what = ", ".join([mask, *differences(plan.definition, plan.architecture), title])
    sizes = {layer.name: layer for layer in plan_layers(plan, compression)} if compression.is_on else {}
    table = Table(title=f"{BACKBONES[plan.backbone].title} {kind.value.upper()}, {what}")
    for column, justify in (("layer", "left"), ("kind", "left"), ("output", "right"), ("parameters", "right"),
                            ("dense ops", "right"), (f"MACs, {mode.name}", "right"),
                            *((("kept", "right"), ("bits", "right")) if sizes else ())):  # fmt: skip
        table.add_column(column, justify=justify, no_wrap=True)
    for node in plan.nodes[1:]:
        table.add_row(
            node.name,
            layer_kind(node, kind),
            "x".join(map(str, node.shape)),
            f"{node.params:,}" if node.params else "",
            f"{node.dense_ops:,}" if node.dense_ops else "",
            f"{macs[node.name]:,}" if macs[node.name] else "",
            *((f"{size.kept:,}", str(size.bits)) if (size := sizes.get(node.name)) else ()),
        )
    table.add_section()
    table.add_row("total", "", "", f"{plan.params:,}", f"{plan.dense_ops:,}", f"{sum(macs.values()):,}", style="bold")
    console = Console()
    console.print(table)
    if kind is Kind.SNN:
        note = f"Dense ops are of one pass. At T = {time_steps} the network runs {time_steps}, but computes once what"
        console.print(f"{note} depends on the constant input alone.", highlight=False)
    console.print(f"Neurons: {format_count(plan.neurons)}.", highlight=False)
    if sizes:
        for name, value in size_words.rows(plan_size(plan, compression)):
            console.print(f"{name:<24}{value}", highlight=False)
        console.print(f"{size_words.NOTE} MACs are those of all weights.", style="dim", highlight=False)
    console.print(f"{mode.title}. {mode.description}", style="dim", highlight=False)
