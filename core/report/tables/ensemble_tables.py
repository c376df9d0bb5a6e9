"""Two networks that answer together as tables: one way of answering a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.report.tables.csv_rows import price_columns
from core.report.tables.html import table
from core.schemas.compare import Gain
from core.schemas.ensemble import Answered, ComparedEnsemble, Ensemble, Together
from core.units import common_energy_scale, energy_in, pj_to_mj


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of answering, with its name in words."""

    title: str
    asked: int  # images that the second network answers, alone or with the first
    accuracy: float
    energy_pj: float
    threshold: float | None
    against_first: Gain | None
    against_second: Gain | None


def rows(found: Ensemble, first: str, second: str) -> list[Row]:
    """Each network alone, the mean of both, and the cascade by rising threshold."""
    return [
        _row(f"{first} alone", found.first, asked=0),
        _row(f"{second} alone", found.second, asked=found.n),
        _row("Mean of both", found.mean, asked=found.n),
        *(
            _row(f"Asked at {point.threshold:g} or less", point, asked=point.asked, threshold=point.threshold)
            for point in found.cascade
        ),
    ]


def _row(title: str, given: Answered, *, asked: int, threshold: float | None = None) -> Row:
    both = given if isinstance(given, Together) else None
    return Row(
        title=title,
        asked=asked,
        accuracy=given.accuracy,
        energy_pj=given.energy_pj,
        threshold=threshold,
        against_first=both and both.against_first,
        against_second=both and both.against_second,
    )


def head(first: str, second: str) -> tuple[str, ...]:
    return ("Answer", f"{second} asked", "Accuracy", "Energy", f"Minus {first}, points", f"Minus {second}, points")


def unit_of(rows: Sequence[Row]) -> tuple[float, str]:
    """The one unit of the table's energies."""
    return common_energy_scale(row.energy_pj for row in rows)


def cells(row: Row, n: int, unit: tuple[float, str]) -> list[str]:
    """As print, after the title; `unit`: that of all rows."""
    return [
        f"{row.asked:,} ({100 * row.asked / n:.1f} %)",
        f"{100 * row.accuracy:.2f} %",
        energy_in(row.energy_pj, unit),
        points(row.against_first),
        points(row.against_second),
    ]


def points(gain: Gain | None) -> str:
    """`+1.20 (+0.80 to +1.60)`; a dash for a network alone."""
    return "–" if gain is None else f"{100 * gain.accuracy:+.2f} ({100 * gain.low:+.2f} to {100 * gain.high:+.2f})"


def html(found: Ensemble, first: str, second: str) -> str:
    listed = rows(found, first, second)
    shown = [[row.title, *cells(row, found.n, unit_of(listed))] for row in listed]
    return table(head(first, second), shown, label="Two networks that answer together", kind="sf-compare")


def csv_rows(found: ComparedEnsemble, first: str, second: str) -> list[dict[str, Any]]:
    """Energy in mJ, as in the paper's tables."""
    return [
        {
            "answer": row.title, "threshold": row.threshold, "asked": row.asked, "n_test": found.n, "accuracy": row.accuracy,
            **_columns("first", row.against_first), **_columns("second", row.against_second),
            "energy_mj": pj_to_mj(row.energy_pj), "first": found.first_id, "second": found.second_id,
            **price_columns(found),
        }
        for row in rows(found, first, second)
    ]  # fmt: skip


def _columns(which: str, gain: Gain | None) -> dict[str, float | None]:
    names = {"accuracy": f"accuracy_minus_{which}", "low": f"low_{which}", "high": f"high_{which}"}
    return {column: None if gain is None else getattr(gain, name) for name, column in names.items()}
