"""Rows of the tables that pages show and offer as CSV; plain data, no Streamlit."""

from __future__ import annotations

import csv
import io
from typing import Any

from core.schemas.api import Pareto
from core.units import pj_to_mj


def pareto_rows(pareto: Pareto) -> list[dict[str, Any]]:
    """One row a run, best accuracy first, then the printed points. Energy in mJ, as in the paper's tables."""
    own = [
        {
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
            "on_front": point.on_front,
            "recipe": point.recipe,
            "seed": point.seed,
            "n_train": point.n_train,
            "n_test": point.n_test,
            "dataset_complete": point.dataset_complete,
            "mode": pareto.mode,
            "profile": pareto.profile,
        }
        for point in sorted(pareto.points, key=lambda point: (-point.accuracy, point.energy_pj))
    ]
    printed = [
        {
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
            "on_front": None,
            "recipe": None,
            "seed": None,
            "n_train": None,
            "n_test": None,
            "dataset_complete": None,
            "mode": "as printed, one time step",
            "profile": "as printed",
        }
        for point in sorted(pareto.published, key=lambda point: (-point.accuracy, point.energy_pj))
    ]
    return own + printed


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
