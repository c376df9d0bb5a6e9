"""The finished runs of a sweep one by one, with what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from core.schemas.sweep import AxisValue, SweepGroup

SEED = "seed"
NOT_THERE = None  # a field that a network has not, as a CNN has no time steps


@dataclass(frozen=True, kw_only=True)
class SweptRun:
    """`group`: the place of its group in the sweep; `values`: field -> value, with the seed."""

    run_id: str
    group: int
    values: dict[str, AxisValue]
    accuracy: float  # in [0, 1]
    energy_pj: float | None


def finished(groups: Sequence[SweepGroup]) -> list[SweptRun]:
    """Runs that have an accuracy, in the order of the sweep; none of a sweep that was stored without its runs."""
    found = []
    for place, group in enumerate(groups):
        columns = zip(group.run_ids, group.seeds, group.run_accuracy, group.run_energy_pj, strict=False)
        for run_id, seed, accuracy, energy_pj in columns:
            if accuracy is not None:
                values = {**group.values, SEED: seed}
                found.append(
                    SweptRun(run_id=run_id, group=place, values=values, accuracy=accuracy, energy_pj=energy_pj)
                )
    return found


def swept(runs: Sequence[SweptRun]) -> dict[str, list[AxisValue]]:
    """Field -> its values among these runs, where it has more than one; numbers in order, others as they come."""
    names = dict.fromkeys(name for run in runs for name in run.values if name != SEED)
    found = {}
    for name in [*names, SEED]:
        values = list(
            {key_of(run.values.get(name, NOT_THERE)): run.values.get(name, NOT_THERE) for run in runs}.values()
        )
        if len(values) > 1:
            numbers = sorted(value for value in values if is_number(value))
            found[name] = [*numbers, *(value for value in values if not is_number(value))]
    return found


def is_number(value: AxisValue) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def key_of(value: AxisValue) -> str:
    """Equal for equal values; a list of modules can be no key of its own."""
    return f"{type(value).__name__} {value}"
