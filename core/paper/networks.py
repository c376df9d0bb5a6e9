"""Every network on every data set of the paper by arithmetic, beside the printed figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from core.backbones.catalog import BACKBONES, plan_for
from core.backbones.plan import Plan
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES, static_macs
from core.paper.masks import built_but_never_run
from core.paper.printed import MODELS, RECOVERED, PrintedRow, printed_for, tables
from core.paper.rounding import Interval, K, Printed, count_k, prices
from core.schemas.run import Kind
from core.units import pj_to_mj

PAPER_DATASETS = ("cifar10", "cifar100", "tiny_imagenet")


@dataclass(frozen=True, kw_only=True)
class NetworkRow:
    """One network on one data set. MACs per inference by accounting mode, without data; dense ops of one pass."""

    network: str
    backbone: str
    mask: tuple[str, ...]
    kind: Kind
    dataset: str
    params: int
    dense_ops: int
    macs: dict[str, int] = field(hash=False)
    printed_params: float | None
    printed_macs: float | None
    difference: str  # what separates ours from the printed figures, and why


def network_rows() -> list[NetworkRow]:
    """Each of the paper's backbones whole, and SqueezeNet-P; spiking network and CNN twin."""
    titles = {backbone: name for name, (backbone, kept) in MODELS.items() if kept is None}
    networks = [(titles[name], name, entry.blocks) for name, entry in BACKBONES.items() if name in titles]
    networks += [(name, backbone, kept) for name, (backbone, kept) in MODELS.items() if kept is not None]
    return [
        _row(network, backbone, mask, kind, dataset)
        for network, backbone, mask in networks
        for dataset in PAPER_DATASETS
        for kind in Kind
    ]


def _row(network: str, backbone: str, mask: tuple[str, ...], kind: Kind, dataset: str) -> NetworkRow:
    spec, steps = DATASETS[dataset], tables()["time_steps"]
    plan = plan_for(backbone=backbone, mask=mask, input_shape=spec.image_shape, n_classes=spec.n_classes)
    macs = {name: static_macs(plan, kind, mode, steps) for name, mode in MODES.items()}
    printed = next(iter(printed_for(backbone=backbone, mask=mask, kind=kind, dataset=dataset)), None)
    return NetworkRow(
        network=network,
        backbone=backbone,
        mask=mask,
        kind=kind,
        dataset=dataset,
        params=plan.params,
        dense_ops=plan.dense_ops,
        macs=macs,
        printed_params=printed and printed.params,
        printed_macs=printed and printed.macs,
        difference=" ".join(_difference(plan, macs, printed)) if printed else "Not printed.",
    )


def _difference(plan: Plan, macs: dict[str, int], printed: PrintedRow) -> Iterator[str]:
    if plan.backbone not in RECOVERED:
        yield "Reconstruction."
    if printed.params is not None:
        params = count_k(printed.params / K)
        yield _against("Parameters", plan.params, params)
        if blocks := built_but_never_run(plan, params) if not _meets(plan.params, params) else None:
            full = plan_for(
                backbone=plan.backbone, mask=plan.blocks, input_shape=plan.input_shape, n_classes=plan.n_classes
            )
            more = sum(node.params for node in full.nodes if node.block in blocks)
            yield f"With {' and '.join(blocks)} built but never run it is {plan.params + more:,}, as printed."
    if printed.macs is not None:
        yield _against("MACs of one step", macs["paper"], count_k(printed.macs / K))
        yield f"All {tables()['time_steps']} steps by the same rules: {macs['syops']:,}."
    if printed.kind is Kind.CNN:
        energy = pj_to_mj(macs["paper"] * float(prices().mac_pj))
        yield _against("Energy", energy, Printed.of(pj_to_mj(printed.energy_pj), "0.001"), unit=" mJ")


def _meets(value: float, printed: Printed) -> bool:
    return Interval.exactly(Fraction(str(value))).meets(printed.interval)


def _against(what: str, value: float, printed: Printed, unit: str = "") -> str:
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
    if _meets(value, printed):
        return f"{what} {shown}{unit}, as printed."
    ratio = float(value) / float(printed.value)
    if ratio > 2:
        return f"{what} {shown}{unit}, {ratio:.1f} times the printed."
    return f"{what} {shown}{unit}, {abs(ratio - 1):.1%} {'above' if ratio > 1 else 'below'} the printed."
