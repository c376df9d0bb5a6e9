"""What a source says in words: the statements as data; and the printed cells that those of Kabir et al. speak of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any

from core.paper.printed import tables
from core.paper.rounding import Interval, Printed, Row, count_k, figure
from core.schemas.audit import AuditFinding

TEXT = "Text"  # the findings' table


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A sentence of the source in our words, with its figures as printed. `without`: networks that it leaves out.

    `table` is what its findings stand under.
    """

    id: str
    check: str
    place: str
    model: str
    datasets: tuple[str, ...]
    says: str
    printed: dict[str, str] = field(hash=False)
    without: tuple[str, ...] = ()
    table: str = TEXT

    @property
    def row(self) -> Row:
        return Row(
            id=f"{self.table.lower()}/{self.id}",
            table=self.table,
            model=self.model,
            datasets=self.datasets,
            place=self.place,
            statement=self.says,
        )

    def figure(self, name: str) -> Printed:
        return Printed.written(self.printed[name])


@cache
def statements() -> tuple[Statement, ...]:
    """All of Kabir et al., in the order in which they are shown."""
    return read("prose.json")[1]


def read(name: str) -> tuple[str | None, tuple[Statement, ...]]:
    """A file of statements: its source, where it names one, and what it says."""
    content = json.loads(files("core.paper").joinpath(name).read_text(encoding="utf-8"))
    return content.get("source"), tuple(
        Statement(**entry | {"datasets": tuple(entry["datasets"]), "without": tuple(entry.get("without", ()))})
        for entry in content["statements"]
    )


def settled(
    row: Row,
    field: str,
    unit: str,
    printed: Printed,
    recomputed: Fraction,
    interval: Interval,
    sum_: str,
    note: str = "",
) -> AuditFinding:
    """A figure of the text against the tables; not checkable where their rounding alone would allow it."""
    found = row.judged(field, unit, printed, recomputed, interval, sum_, note)
    if found.verdict == "confirmed" and not Interval.exactly(recomputed).meets(printed.interval):
        spread = f"{figure(recomputed)} {unit} ({figure(interval.low)} to {figure(interval.high)})"
        words = f"{sum_} = {spread}: {figure(printed.value)}, as printed, only if the rounding of the table hides it."
        return found.model_copy(update={"verdict": "not checkable", "arithmetic": words})
    return found


def spiking(model: str, dataset: str = "cifar10") -> dict[str, Any]:
    """A row of table 1."""
    return next(row for row in tables()["table1_snn"] if (row["model"], row["dataset"]) == (model, dataset))


def pair(model: str) -> dict[str, Any]:
    """A row of table 2: the CNN and the spiking network on CIFAR-10."""
    return next(row for row in tables()["table2_cnn_cifar10"] if row["model"] == model)


def masked(schedule: str) -> dict[str, Any]:
    """A row of table 3."""
    return next(row for row in tables()["table3_masks_cifar10"] if row["schedule"] == schedule)


def accuracy_pct(row: dict[str, Any]) -> Printed:
    """Of a row of table 1, in per cent."""
    return Printed.of(row["accuracy"], "0.01", factor=100)


def snn_energy_mj(row: dict[str, Any]) -> Printed:
    """Of a row of table 1."""
    return Printed.of(row["energy_mj"], "0.0001")


def params(row: dict[str, Any]) -> Printed:
    """Of a row of table 1."""
    return count_k(row["params_k"])


def pair_energies_mj(row: dict[str, Any]) -> tuple[Printed, Printed]:
    """CNN and spiking network of a row of table 2."""
    return Printed.of(row["energy_mj"], "0.001"), Printed.of(row["snn_energy_mj"], "0.001")
