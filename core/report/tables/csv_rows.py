"""Rows of the tables that pages show and offer as CSV; plain data, no Streamlit."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from core.report.charts.pareto_marks import Spread
from core.schemas.compare import Comparison
from core.schemas.ensemble import ComparedEnsemble
from core.schemas.pareto import Pareto, ParetoPoint, PublishedPoint
from core.schemas.prices import DEFAULT_PROFILE
from core.showing import inert
from core.units import pj_to_mj

Point = TypeVar("Point", ParetoPoint, PublishedPoint)
COLUMNS = (
    "run", "network", "name", "from", "kind", "mask", "accuracy_percent", "f1_macro", "energy_mj", "params", "acs", "macs",
    "firing_rate", "time_steps", "model_bytes", "on_front", "front_probability", "seed", "n_seeds",
    "accuracy_percent_deviation", "energy_mj_deviation", "recipe", "n_train", "n_test", "dataset_complete", "mode",
    "profile", "ac_price_times", "mac_price_times", "memory_price_times",
)  # fmt: skip


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


def price_columns(found: Pareto | Comparison | ComparedEnsemble) -> dict[str, Any]:
    """What energies rest on, as columns."""
    return {
        "mode": found.mode,
        "profile": found.profile,
        "ac_price_times": found.ac,
        "mac_price_times": found.mac,
        "memory_price_times": found.memory,
    }


def _own(point: ParetoPoint, pareto: Pareto, spread: Spread | None, sure: Mapping[str, float] | None) -> dict[str, Any]:
    return _row(
        point,
        **{"from": point.origin},
        run=point.run_id,
        network=point.described,
        name=point.own_name,
        mask=",".join(point.mask),
        firing_rate=point.firing_rate,
        time_steps=point.time_steps,
        model_bytes=point.model_bytes,
        on_front=point.on_front,
        front_probability=None if sure is None else sure.get(point.run_id),
        **_seeds(point, spread),
        recipe=point.recipe,
        n_train=point.n_train,
        n_test=point.n_test,
        dataset_complete=point.dataset_complete,
        **price_columns(pareto),
    )


def _printed(point: PublishedPoint) -> dict[str, Any]:
    return _row(
        point,
        **{"from": f"printed, {point.table}"},
        network=point.named,
        time_steps=1 if point.is_of_the_paper else None,
        model_bytes=point.model_bytes,
        mode="as printed, one time step" if point.is_of_the_paper else "exact, as printed",
        profile="as printed" if point.is_of_the_paper else DEFAULT_PROFILE,
    )


def _row(point: ParetoPoint | PublishedPoint, **more: Any) -> dict[str, Any]:
    """What both kinds of points have, and `more`, in the order of COLUMNS; None where neither says anything."""
    said = more | {
        "kind": point.kind.value,
        "accuracy_percent": 100 * point.accuracy,
        "f1_macro": point.f1_macro,
        "energy_mj": pj_to_mj(point.energy_pj),
        "params": point.params,
        "acs": point.acs,
        "macs": point.macs,
    }
    return {name: said.get(name) for name in COLUMNS}


def _seeds(point: ParetoPoint, spread: Spread | None) -> dict[str, Any]:
    """The seed of a run, or how many seeds a mean is over and how they scatter."""
    several = spread is not None and spread.n > 1
    return {
        "seed": None if several else point.seed,
        "n_seeds": 1 if spread is None else spread.n,
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
    writer.writerows(inert_rows(rows))
    return out.getvalue()


def inert_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose texts start no formula in a spreadsheet. Also for a table on a page: the browser saves it as it is."""
    return [{name: inert(value) for name, value in row.items()} for row in rows]
