"""Rows of the tables that pages show and offer as CSV; plain data, no Streamlit."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from core.schemas.api import Pareto, ParetoPoint, PublishedPoint
from core.units import pj_to_mj
from frontend.charts.pareto_marks import Spread

Point = TypeVar("Point", ParetoPoint, PublishedPoint)


def pareto_rows(
    pareto: Pareto,
    *,
    spreads: Mapping[str, Spread] | None = None,
    sure: Mapping[str, float] | None = None,
    part: slice = slice(None),
) -> list[dict[str, Any]]:
    """One row a run, best accuracy first, then the printed points. Energy in mJ, as in the paper's tables.

    `spreads`: rows are means over seeds, with standard deviations; `sure`: run -> probability of being on the front;
    `part`: which of the rows.
    """
    ordered = [*_best_first(pareto.points), *_best_first(pareto.published)]
    return [
        _own(point, pareto, (spreads or {}).get(point.run_id), sure)
        if isinstance(point, ParetoPoint)
        else _printed(point)
        for point in ordered[part]
    ]


def _best_first(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda point: (-point.accuracy, point.energy_pj))


def _own(
    point: ParetoPoint, pareto: Pareto, spread: Spread | None, sure: Mapping[str, float] | None
) -> dict[str, Any]:  # fmt: skip
    return {
        "run": point.run_id,
        "network": point.label,
        "from": "own run",
        "kind": point.kind.value,
        "mask": ",".join(point.mask),
        "accuracy_percent": 100 * point.accuracy,
        "f1_macro": point.f1_macro,
        "energy_mj": pj_to_mj(point.energy_pj),
        "params": point.params,
        "acs": point.acs,
        "macs": point.macs,
        "firing_rate": point.firing_rate,
        "time_steps": point.time_steps,
        "model_bytes": point.model_bytes,
        "on_front": point.on_front,
        "front_probability": None if sure is None else sure.get(point.run_id),
        **_seeds(point, spread),
        "recipe": point.recipe,
        "n_train": point.n_train,
        "n_test": point.n_test,
        "dataset_complete": point.dataset_complete,
        "mode": pareto.mode,
        "profile": pareto.profile,
        "ac_price_times": pareto.ac,
        "mac_price_times": pareto.mac,
        "memory_price_times": pareto.memory,
    }


def _printed(point: PublishedPoint) -> dict[str, Any]:
    return {
        "run": None,
        "network": point.model,
        "from": f"printed, {point.table}",
        "kind": point.kind.value,
        "mask": None,
        "accuracy_percent": 100 * point.accuracy,
        "f1_macro": point.f1_macro,
        "energy_mj": pj_to_mj(point.energy_pj),
        "params": point.params,
        "acs": point.acs,
        "macs": point.macs,
        "firing_rate": None,
        "time_steps": 1,
        "model_bytes": None,
        "on_front": None,
        "front_probability": None,
        **_seeds(None, None),
        "recipe": None,
        "n_train": None,
        "n_test": None,
        "dataset_complete": None,
        "mode": "as printed, one time step",
        "profile": "as printed",
        "ac_price_times": None,
        "mac_price_times": None,
        "memory_price_times": None,
    }


def _seeds(point: ParetoPoint | None, spread: Spread | None) -> dict[str, Any]:
    """The seed of a run, or how many seeds a mean is over and how they scatter."""
    several = spread is not None and spread.n > 1
    return {
        "seed": point.seed if point is not None and not several else None,
        "n_seeds": None if point is None else spread.n if spread is not None else 1,
        "accuracy_percent_deviation": 100 * spread.accuracy if several else None,
        "energy_mj_deviation": pj_to_mj(spread.energy_pj) if several else None,
    }


def as_csv(rows: list[dict[str, Any]]) -> str:
    """CSV with a header; empty where a value does not apply. A text never starts a formula in a spreadsheet."""
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _inert(value) for name, value in row.items()})
    return out.getvalue()


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
