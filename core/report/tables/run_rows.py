"""Many runs as rows of one table, and as groups with mean and deviation. Pure: no Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import fmean, stdev
from typing import Any

from core.datasets.catalog import title_of
from core.schemas.run import RunState
from core.schemas.run_table import RunColumns

PJ_PER_UJ = 1e6

#: Columns of the table: name in CSV -> title, units in both.
TITLES = {
    "run": "Run",
    "state": "State",
    "accuracy_percent": "Accuracy, %",
    "energy_uj": "Energy, µJ",
    "f1_macro": "F1",
    "firing_rate": "Firing rate",
    "params": "Parameters",
    "acs": "ACs",
    "macs": "MACs",
    "kind": "Network",
    "backbone": "Backbone",
    "mask": "Mask",
    "dataset": "Data set",
    "recipe": "Recipe",
    "seed": "Seed",
    "time_steps": "T",
    "n_train": "Training images",
    "n_test": "Test images",
    "took_s": "Took, s",
    "created_at": "Created",
    "finished_at": "Ended",
    "tags": "Tags",
    "sweeps": "Sweeps",
    "submitter": "Whose",
    "project": "Project",
    "note": "Note",
    "archived": "Archived",
    "label": "Label",
    "id": "Id",
}
#: What is seen where nobody chose.
FIRST = ("run", "state", "accuracy_percent", "energy_uj", "f1_macro", "params", "dataset", "recipe", "seed", "time_steps",
         "created_at", "tags")  # fmt: skip
#: By what runs can be gathered: name -> words.
GROUPED = {
    "backbone": "backbone", "mask": "mask", "sweep": "sweep", "recipe": "recipe", "submitter": "person",
    "project": "project",
}  # fmt: skip
NOT_TOLD = {"submitter": "nobody by name", "project": "no project"}
FIGURES = ("accuracy_percent", "f1_macro", "energy_uj", "firing_rate", "params")
NO_SWEEP = "in no sweep"


def first(found: RunColumns) -> tuple[str, ...]:
    """FIRST, and whose runs they are and of which project where any says so."""
    return (*FIRST, *(name for name in NOT_TOLD if any(found.columns[name])))


def table(found: RunColumns) -> dict[str, list[Any]]:
    """The columns of TITLES, a place a run, newest first; a run's name of its own stands before its label."""
    told = found.columns
    names = [name or label for name, label in zip(told["name"], told["label"], strict=True)]
    return {
        "run": names,
        "state": list(told["state"]),
        "accuracy_percent": _scaled(told["accuracy"], 100),
        "energy_uj": _scaled(told["energy_pj"], 1 / PJ_PER_UJ),
        **{name: list(told[name]) for name in ("f1_macro", "firing_rate", "params", "acs", "macs")},
        "kind": [kind.upper() for kind in told["kind"]],
        "backbone": list(told["backbone"]),
        "mask": list(told["mask"]),
        "dataset": [title_of(name) for name in told["dataset"]],
        **{name: list(told[name]) for name in ("recipe", "seed", "time_steps", "n_train", "n_test")},
        "took_s": [_seconds(*times) for times in zip(told["started_at"], told["finished_at"], strict=True)],
        **{name: [_moment(value) for value in told[name]] for name in ("created_at", "finished_at")},
        "tags": [", ".join(tags) for tags in told["tags"]],
        "sweeps": [", ".join(sweeps) for sweeps in told["sweeps"]],
        **{name: list(told[name]) for name in ("submitter", "project", "note", "archived", "label", "id")},
    }


def rows(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Columns as rows, for CSV."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def groups(found: RunColumns, by: str, *, sweeps: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """One row a group of runs on one data set by one of GROUPED and by the kind of network: how many, how many
    succeeded, mean and sample deviation of each figure; None where fewer than two have it.

    `sweeps`: id -> name; a run in several sweeps is in the group of each.
    """
    columns = table(found)
    gathered: dict[tuple[str, str, str], list[int]] = {}
    for place in range(found.n):
        for group in _groups_of(found, place, by, sweeps or {}):
            gathered.setdefault((columns["dataset"][place], columns["kind"][place], group), []).append(place)
    return [
        {
            by: group,
            "kind": kind,
            "dataset": dataset,
            "n": len(places),
            "succeeded": sum(columns["state"][place] == RunState.SUCCEEDED for place in places),
            **_means(columns, places),
        }
        for (dataset, kind, group), places in sorted(gathered.items())
    ]


def _groups_of(found: RunColumns, place: int, by: str, sweeps: Mapping[str, str]) -> list[str]:
    if by == "sweep":
        return [sweeps.get(name, name) for name in found.columns["sweeps"][place]] or [NO_SWEEP]
    if by == "mask":  # the same blocks of another backbone are another network
        return [f"{found.columns['backbone'][place]} {found.columns['mask'][place]}"]
    return [found.columns[by][place] or NOT_TOLD.get(by, "")]


def _means(columns: Mapping[str, Sequence[Any]], places: Sequence[int]) -> dict[str, float | None]:
    told: dict[str, float | None] = {}
    for name in FIGURES:
        values = [value for place in places if (value := columns[name][place]) is not None]
        told[name] = fmean(values) if values else None
        told[f"{name}_deviation"] = stdev(values) if len(values) > 1 else None
    return told


def _scaled(values: Sequence[float | None], factor: float) -> list[float | None]:
    return [None if value is None else factor * value for value in values]


def _seconds(start: str | datetime | None, end: str | datetime | None) -> float | None:
    first, last = _moment(start), _moment(end)
    return None if first is None or last is None else (last - first).total_seconds()


def _moment(value: str | datetime | None) -> datetime | None:
    """JSON has moments as text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value
