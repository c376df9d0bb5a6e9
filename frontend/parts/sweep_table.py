"""A sweep in words and as a table, on the list of sweeps and on a sweep's own page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.report.tables import html
from core.schemas.run import RunState
from core.schemas.sweep import Aggregate, Sweep, SweepDetail, SweepGroup
from core.units import energy_scale, pj_to_mj
from frontend.parts import run_state as state


def progress(sweep: Sweep) -> str:
    """Such as `12 runs · 8 succeeded · 4 queued`; states in the order of a run's life."""
    parts = [f"{sweep.n_runs:,} run{'' if sweep.n_runs == 1 else 's'}"]
    parts += [f"{sweep.states[one]:,} {state.WORDS[one]}" for one in RunState if sweep.states.get(one)]
    return " · ".join(parts)


def table(found: list[SweepGroup]) -> str:
    """HTML: a row a group, in the sweep's order."""
    largest = max((group.energy_pj.mean for group in found if group.energy_pj), default=0.0)
    factor, unit = energy_scale(largest)
    columns: list[tuple[str, Callable[[SweepGroup], str]]] = [
        ("n", lambda group: f"{group.n} of {len(group.run_ids)}"),
        ("Accuracy in %", lambda group: _aggregate(group.accuracy, 100, 1)),
        ("F1, macro", lambda group: _aggregate(group.f1_macro, 1, 3)),
        (f"Energy in {unit}", lambda group: _aggregate(group.energy_pj, 1 / factor, 2)),
        ("Firing rate", lambda group: _aggregate(group.firing_rate, 1, 3)),
        ("Parameters", lambda group: f"{group.params.mean:,.0f}" if group.params else "–"),
    ]
    head = ["Group", *(title for title, _ in columns)]
    rows = [[group.label, *(text(group) for _, text in columns)] for group in found]
    return html.table(head, rows, label="Groups of the sweep", kind="sf-groups")


def rows(detail: SweepDetail) -> list[dict[str, Any]]:
    """One row a group; deviation and interval are empty for one run. Energy in mJ."""
    found = []
    for group in detail.groups:
        row: dict[str, Any] = {"group": group.label, "runs": " ".join(group.run_ids), "n": group.n}
        for column, aggregate, scale in (
            ("accuracy_percent", group.accuracy, lambda value: 100 * value),
            ("f1_macro", group.f1_macro, float),
            ("energy_mj", group.energy_pj, pj_to_mj),
            ("firing_rate", group.firing_rate, float),
            ("params", group.params, float),
        ):
            for part in ("mean", "deviation", "low", "high"):
                value = getattr(aggregate, part) if aggregate else None
                row[f"{column}_{part}"] = None if value is None else scale(value)
        found.append({**row, "mode": detail.mode, "profile": detail.profile})
    return found


def _aggregate(aggregate: Aggregate | None, scale: float, digits: int) -> str:
    if aggregate is None:
        return "–"
    mean = f"{scale * aggregate.mean:.{digits}f}"
    return mean if aggregate.deviation is None else f"{mean} ± {scale * aggregate.deviation:.{digits}f}"
