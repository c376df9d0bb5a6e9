"""Runs that differ in nothing but their seed, as one line of figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from backend.pareto.service import tally_pj
from backend.store.models import RunRow, RunTallyRow
from core.analysis.aggregate import aggregate
from core.backbones.catalog import BACKBONES
from core.recipes.build import override
from core.recipes.sweep import FIELDS
from core.repeats import repeat_key
from core.report.sweep_words import phrase
from core.schemas.architecture import ArchitectureConfig
from core.schemas.prices import Profile
from core.schemas.run import RunConfig, RunState
from core.schemas.sweep import AxisValue, SweepGroup

OPTIONS = tuple(ArchitectureConfig.model_fields)
SAID_BY_LABEL = {"backbone", "kind", "mask", "definition", *OPTIONS, *(f"architecture.{name}" for name in OPTIONS)}


def groups(
    rows: Iterable[RunRow], tallies: Mapping[str, RunTallyRow], *, axes: Mapping[str, list[AxisValue]], prices: Profile
) -> list[SweepGroup]:
    """One group for each config and images without the seed, in the order of the runs. `tallies`: run -> operations.

    How much of its images an unfinished run will see is not known yet: it stands with the newest finished runs of its config
    on these images.
    """
    runs = [(row, RunConfig.model_validate(row.config)) for row in rows]
    finished = [(row, config) for row, config in runs if row.state == RunState.SUCCEEDED]
    finished.sort(key=lambda run: run[0].finished_at or run[0].created_at)
    newest = {_alone(row, config): row.repeat_hash for row, config in finished}
    gathered: dict[object, list[tuple[RunRow, RunConfig]]] = {}
    for row, config in runs:
        alone = _alone(row, config)
        key = row.repeat_hash if row.state == RunState.SUCCEEDED else newest.get(alone, alone)
        gathered.setdefault(key, []).append((row, config))
    return [_group(members, tallies, axes, prices) for members in gathered.values()]


def _alone(row: RunRow, config: RunConfig) -> tuple[str, str | None]:
    """Equal for runs of one config, whatever the seed, on images of one digest."""
    return repeat_key(config, None), row.data_digest


def label_of(named: str, values: Mapping[str, AxisValue]) -> str:
    """A run's label and what of its combination the label does not say."""
    rest = [phrase(name, value) for name, value in values.items() if name not in SAID_BY_LABEL]
    return ", ".join([named, *rest])


def _group(
    members: list[tuple[RunRow, RunConfig]],
    tallies: Mapping[str, RunTallyRow],
    axes: Mapping[str, list[AxisValue]],
    prices: Profile,
) -> SweepGroup:
    first, config = members[0]
    rows = [row for row, _ in members]
    done = [row for row in rows if row.state == RunState.SUCCEEDED]
    values = {name: _value(config, name) for name, all_of in axes.items() if _tells(config, name, all_of)}
    return SweepGroup(
        label=label_of(first.label, values),
        values=values,
        config=config,
        run_ids=[row.id for row in rows],
        seeds=[row.seed for row in rows],
        states=dict(Counter(RunState(row.state) for row in rows)),
        n=len(done),
        accuracy=aggregate([row.accuracy for row in done if row.accuracy is not None]),
        f1_macro=aggregate([row.f1_macro for row in done if row.f1_macro is not None]),
        energy_pj=aggregate([tally_pj(tallies[row.id], prices) for row in done if row.id in tallies]),
        params=aggregate([row.params for row in done if row.params is not None]),
        firing_rate=aggregate([row.firing_rate for row in done if row.firing_rate is not None]),
        run_accuracy=[row.accuracy if row.state == RunState.SUCCEEDED else None for row in rows],
        run_energy_pj=[
            tally_pj(tallies[row.id], prices) if row.state == RunState.SUCCEEDED and row.id in tallies else None
            for row in rows
        ],
    )


def _tells(config: RunConfig, axis: str, values: list[AxisValue]) -> bool:
    """Whether the axis tells this group from another: the seed does not, nor do a CNN's time steps."""
    if axis in FIELDS or len(values) == 1:
        return axis != "seed"
    return any(override(config, {axis: value}).config_hash != config.config_hash for value in values)


def _value(config: RunConfig, axis: str) -> AxisValue:
    """What an axis is in a config; the axis may be named by the last part of its path."""
    if (option := axis.removeprefix("architecture.")) in OPTIONS:  # null in a config: as the definition has it
        return BACKBONES[config.backbone].chosen(config.definition, config.architecture).get(option)
    found = config.model_dump(mode="json")
    paths = [axis.split("."), *([parent, axis] for parent, inner in found.items() if isinstance(inner, dict))]
    for path in paths:
        value: Any = found
        for part in path:
            value = value.get(part, found) if isinstance(value, dict) else found
        if value is not found:
            return ",".join(map(str, value)) if isinstance(value, list) else value
    return None
