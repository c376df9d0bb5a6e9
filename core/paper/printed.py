"""The printed figures of Kabir et al. (arXiv:2602.09717), as printed: rows that do not add up are kept as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from core.backbones.catalog import FIRE_MASKS, layout_of
from core.paper.peers import peers
from core.registry import Registry
from core.schemas.pareto import PublishedPoint
from core.schemas.run import Kind
from core.units import mj_to_pj


@dataclass(frozen=True, kw_only=True)
class PublishedMask:
    """A row of table 3: SNN-SqueezeNet on CIFAR-10 with some Fire modules left out."""

    schedule: str
    kept: tuple[str, ...]
    accuracy: float
    params: int
    energy_pj: float


#: The printed names of networks: backbone here, and the kept blocks; None for all.
MODELS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "SqueezeNet": ("squeezenet", None),
    "SqueezeNet-P": ("squeezenet", FIRE_MASKS["Ref-1"]),
    "ShuffleNetV2": ("shufflenetv2", None),
    "MnasNet": ("mnasnet", None),
    "MixNet": ("mixnet", None),
    "Xception": ("xception", None),
}
#: Backbones whose small definition is recovered from the printed numbers; the others are reconstructions.
RECOVERED = frozenset({"squeezenet"})
#: Models that are recovered as a definition of their own, by data set: MnasNet's MACs are those of two networks.
RECOVERED_AS: dict[str, dict[str, str]] = {
    "MnasNet": {"cifar10": "paper-cifar10", "cifar100": "paper", "tiny_imagenet": "paper"}
}


def definition_of(model: str, dataset: str) -> str:
    """The definition that a printed row is about, as far as it is known; `small` where it is recovered so, or is a guess."""
    return RECOVERED_AS.get(model, {}).get(dataset, "small")


def is_recovered(model: str) -> bool:
    """Whether the printed counts gave the model's network away; a figure that differs is then contradicted."""
    return model in RECOVERED_AS or MODELS[model][0] in RECOVERED


@dataclass(frozen=True, kw_only=True)
class PrintedRow:
    """One row of tables 1 to 3: the network it names and its figures, each None where the row has none.

    Counts and energies are per inference, of one time step. A row of table 2 is about a CNN.
    """

    id: str
    table: str
    model: str
    backbone: str
    kept: tuple[str, ...] | None  # None: all blocks
    kind: Kind
    dataset: str
    accuracy: float
    energy_pj: float
    f1_macro: float | None = None
    params: float | None = None
    acs: float | None = None
    macs: float | None = None
    definition: str = "small"  # of the network here that the row is held against
    recovered: bool = True  # False: that network is a guess

    @property
    def mask(self) -> tuple[str, ...]:
        """In the row's own definition. Raises UnknownName for a backbone that is not here."""
        return self.mask_in(self.definition)

    def mask_in(self, definition: str) -> tuple[str, ...]:
        """What the row keeps of another definition's blocks."""
        return self.kept or layout_of(self.backbone, definition).blocks


@cache
def tables() -> dict[str, Any]:
    """All tables as they lie in the file; do not change what this returns."""
    return json.loads(files("core.paper").joinpath("printed.json").read_text(encoding="utf-8"))


def published(dataset: str) -> list[PublishedPoint]:
    """The printed points for a data set, those of others where the paper does not use it; none where we know of none.

    Table 1 holds the spiking networks, with ACs, MACs and energy of one time step. Table 2 holds the CNN twins
    on CIFAR-10: their accuracy and energy only.
    """
    points = [
        PublishedPoint(
            model=row["model"],
            kind=Kind.SNN,
            table="Table 1",
            accuracy=row["accuracy"],
            f1_macro=row["f1_macro"],
            params=round(row["params_k"] * 1000),
            acs=row["ac_k"] * 1000,
            macs=row["mac_k"] * 1000,
            energy_pj=mj_to_pj(row["energy_mj"]),
        )
        for row in tables()["table1_snn"]
        if row["dataset"] == dataset
    ]
    if dataset == "cifar10":
        points += [
            PublishedPoint(
                model=row["model"],
                kind=Kind.CNN,
                table="Table 2",
                accuracy=row["accuracy_pct"] / 100,
                f1_macro=None,
                params=None,
                acs=None,
                macs=None,
                energy_pj=mj_to_pj(row["energy_mj"]),
            )
            for row in tables()["table2_cnn_cifar10"]
        ]
    return points or peers(dataset)


def published_masks() -> list[PublishedMask]:
    """Table 3, in the printed order; most of its parameter counts do not follow from the masks beside them."""
    return [
        PublishedMask(
            schedule=row["schedule"],
            kept=tuple(row["kept"]),
            accuracy=row["accuracy"],
            params=row["params"],
            energy_pj=mj_to_pj(row["energy_mj"]),
        )
        for row in tables()["table3_masks_cifar10"]
    ]


@cache
def printed_rows() -> Registry[PrintedRow]:
    """Every row by its id, such as `table1/cifar10/SqueezeNet-P`, `table2/cifar10/MixNet` or `table3/Alt-1`."""
    rows: Registry[PrintedRow] = Registry("printed row")
    for dataset in dict.fromkeys(row["dataset"] for row in tables()["table1_snn"]):
        for point in published(dataset):
            backbone, kept = MODELS[point.model]
            row = PrintedRow(
                id=f"{point.table.replace(' ', '').lower()}/{dataset}/{point.model}",
                table=point.table,
                model=point.model,
                backbone=backbone,
                kept=kept,
                kind=point.kind,
                dataset=dataset,
                accuracy=point.accuracy,
                energy_pj=point.energy_pj,
                f1_macro=point.f1_macro,
                params=point.params,
                acs=point.acs,
                macs=point.macs,
                definition=definition_of(point.model, dataset),
                recovered=is_recovered(point.model),
            )
            rows.add(row.id, row)
    for mask in published_masks():
        row = PrintedRow(
            id=f"table3/{mask.schedule}",
            table="Table 3",
            model=mask.schedule,
            backbone="squeezenet",
            kept=mask.kept,
            kind=Kind.SNN,
            dataset="cifar10",
            accuracy=mask.accuracy,
            energy_pj=mask.energy_pj,
            params=mask.params,
        )
        rows.add(row.id, row)
    return rows


def printed_for(
    *, backbone: str, mask: tuple[str, ...], kind: Kind, dataset: str, definition: str = "small"
) -> list[PrintedRow]:
    """The printed rows about a network; of the full SqueezeNet and of Ref-1 on CIFAR-10 there are two.

    A row is about `small`, as far as there is nothing better, and about its own definition.
    """
    return [
        row
        for row in printed_rows().values()
        if (row.backbone, row.kind, row.dataset) == (backbone, kind, dataset)
        and definition in ("small", row.definition)
        and row.mask_in(definition) == mask
    ]
