"""The printed figures of Kabir et al. (arXiv:2602.09717), as printed: rows that do not add up are kept as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from core.schemas.api import PublishedPoint
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


@cache
def tables() -> dict[str, Any]:
    """All tables as they lie in the file; do not change what this returns."""
    return json.loads(files("core.analysis").joinpath("published.json").read_text(encoding="utf-8"))


def published(dataset: str) -> list[PublishedPoint]:
    """The printed points for a data set; none for one that the paper does not use.

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
    return points


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
