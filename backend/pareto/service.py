"""Accuracy against energy: stored tallies, priced while looking."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Row

from backend.context import Context
from backend.pareto.stepwise import Stopped, stopped, stops
from backend.runs.repository import TAG_END, RunRepository
from backend.store.identity import on_same_images
from backend.store.models import RunTallyRow
from core.analysis.pareto import front
from core.analysis.reprice import moved
from core.analysis.steps import best_within
from core.backbones.catalog import plan_for
from core.backbones.naming import known_mask, network_label
from core.backbones.plan import Plan
from core.compression import plan_layers, size_of
from core.datasets.catalog import DATASETS
from core.energy.bits import bit_synops_of
from core.energy.modes import MODES
from core.energy.price import energy_pj
from core.energy.profiles import profiles
from core.errors import SpikefrontError
from core.forecast import FLOAT
from core.paper.printed import published
from core.schemas.architecture import ArchitectureConfig
from core.schemas.compression import CompressionConfig
from core.schemas.pareto import Pareto, ParetoColumns, ParetoPoint
from core.schemas.prices import AS_PUBLISHED, Factors, Profile
from core.schemas.run import Kind

log = logging.getLogger("spikefront.runs")

SHORT = 16  # signs of a hash that tell runs of one plot apart


@dataclass(frozen=True, kw_only=True)
class Plot:
    """`rows`: the fields of each ParetoPoint; `told`: what else a plot says."""

    rows: list[dict[str, Any]]
    told: dict[str, Any]

    def points(self) -> Pareto:
        return Pareto(**self.told, points=[ParetoPoint(**row) for row in self.rows])

    def columns(self) -> ParetoColumns:
        """The same as columns. No point is made: of ten thousand it takes long."""
        columns = {name: [row[name] for row in self.rows] for name in ParetoPoint.model_fields}
        return ParetoColumns(**self.told, n=len(self.rows), columns=columns)


def pareto(
    context: Context,
    *,
    dataset: str,
    mode: str,
    profile: str,
    steps: int | None = None,
    factors: Factors = AS_PUBLISHED,
    archived: bool = False,
    at_most_pj: float | None = None,
) -> Plot:
    """All succeeded runs on a data set with their energy per inference, and which are on the front.

    Only measured runs form the front; the printed points stand beside them, at the paper's own prices.
    Runs on other images than those that the name stands for now are left out. With `steps`, each run that has more
    time steps is stopped after so many, and one whose figures then are not known is left out. With `at_most_pj`, each is stopped
    where it is most accurate at an energy of at most that, and one that costs more after its first step is left out. `factors` move the
    profile's prices; `archived` runs are left out unless they are asked for. Raises UnknownName, or BadValue for a profile that lacks a price of the mode.
    """
    accounting, prices = MODES[mode], moved(profiles()[profile], factors)
    with context.database.read() as session:
        runs = RunRepository(session)
        runs.require_dataset(dataset)
        every = runs.measured(dataset, accounting.name, archived=archived)
    stored = on_same_images(every, dataset, context.settings.data)
    if at_most_pj is None:
        early = {} if steps is None else stopped(context, dataset=dataset, mode=accounting.name, steps=steps)
        shown = [(row, stop) for row in stored if (stop := _stop(row, early.get(row.id), steps, prices)) is not None]
    else:
        every_stop = stops(context, dataset=dataset, mode=accounting.name)
        choices = ((row, _choices(row, every_stop.get(row.id, {}), steps, prices)) for row in stored)
        shown = [(row, best) for row, choice in choices if (best := best_within(choice, at_most_pj)) is not None]
    cost = np.array([stop.energy_pj for _, stop in shown], dtype=np.float64)
    value = np.array([stop.accuracy for _, stop in shown], dtype=np.float64)
    on_front = front(cost, value) if shown else np.zeros(0, dtype=bool)
    rows = []
    named: dict[tuple[Any, ...], tuple[tuple[str, ...], str | None, str]] = {}
    places: dict[tuple[Any, ...], int | None] = {}  # neurons
    sized: dict[tuple[Any, ...], dict[str, int | None]] = {}  # a compressed network's plan takes milliseconds
    for (row, stop), is_on in zip(shown, on_front.tolist(), strict=True):
        of = stop.figures
        key = (row.kind, row.backbone, row.mask, row.definition, *(row.architecture or {}).values())
        if key not in named:
            named[key] = _named(row)
            plan = _plan(row)
            places[key] = plan.neurons if plan is not None else None
        mask, short, words = named[key]
        compressed = (*key, row.params, *(row.compression or {}).values())
        if compressed not in sized:
            sized[compressed] = sizes(row)
        rows.append(
            {
                "run_id": row.id,
                "label": words,
                "differs": row.differs or "",
                "own_name": row.name,
                "archived": row.archived,
                "imported": bool(row.imported),
                "backbone": row.backbone,
                "kind": Kind(row.kind),
                "mask": mask,
                "mask_name": short,
                "dataset": row.dataset,
                "recipe": row.recipe,
                "seed": row.seed,
                "accuracy": of.accuracy,
                "f1_macro": of.f1_macro,
                "params": row.params,
                "acs": of.acs,
                "macs": of.macs,
                "energy_pj": stop.energy_pj,
                "firing_rate": of.firing_rate,
                "time_steps": stop.steps,
                "n_train": row.n_train,
                "n_test": row.n_test,
                "dataset_complete": row.dataset_complete,
                "on_front": is_on,
                "finished_at": row.finished_at,
                "sweep_ids": _parted(row.sweeps),
                "tags": _parted(row.tags),
                "model_bytes": weight_bytes(row.params),
                **sized[compressed],
                "bit_synops": of.bit_synops,
                "spikes": _spikes(of.firing_rate, places[key], stop.steps),
                "other": of.other,
                "repeat": row.repeat_hash[:SHORT],
                "twin": row.twin_hash[:SHORT],
            }
        )
    cheapest_first = sorted((row for row in rows if row["on_front"]), key=lambda row: row["energy_pj"])
    told = {
        "dataset": dataset,
        "mode": accounting.name,
        "profile": prices.name,
        **factors.model_dump(),
        "front": [row["run_id"] for row in cheapest_first],
        "published": published(dataset),
        "steps": steps,
        "at_most_pj": at_most_pj,
        "missing": len(stored) - len(rows),
        "exchanged": len(every) - len(stored),
    }
    return Plot(rows=rows, told=told)


def _named(row: Row[*tuple[Any, ...]]) -> tuple[tuple[str, ...], str | None, str]:
    """(the mask, its name if it has one, the run's label)."""
    mask, definition = row.mask, row.definition or "small"
    options = ArchitectureConfig.model_validate(row.architecture or {})
    words = network_label(kind=row.kind, backbone=row.backbone, mask=mask, definition=definition, architecture=options)
    return mask, known_mask(row.backbone, mask, definition, options), words


def _spikes(rate: float | None, neurons: int | None, steps: int) -> float | None:
    """Per inference: the rate is spikes / (neurons x steps)."""
    return None if rate is None or neurons is None else rate * neurons * steps


def _plan(row: Row[*tuple[Any, ...]]) -> Plan | None:
    """A run's network; None where it is no longer known."""
    try:
        spec = DATASETS[row.dataset]
        return plan_for(
            backbone=row.backbone,
            mask=tuple(row.mask),
            input_shape=spec.image_shape,
            n_classes=spec.n_classes,
            definition=row.definition or "small",
            architecture=ArchitectureConfig.model_validate(row.architecture or {}),
        )
    except SpikefrontError:
        return None


def sizes(row: Row[*tuple[Any, ...]]) -> dict[str, int | None]:
    """All parameters in bytes, by each reading of the weights' size; None where the network is no longer known."""
    names = ("kept_bytes", "bitmap_bytes", "entropy_bytes")
    compression = CompressionConfig.model_validate(row.compression or {})
    if not compression.is_on:
        return dict.fromkeys(names, weight_bytes(row.params))
    plan = _plan(row)
    if plan is None:
        return dict.fromkeys(names)
    size = size_of(plan_layers(plan, compression), row.params)
    return {name: getattr(size, name) + size.rest_bytes for name in names}


@dataclass(frozen=True, kw_only=True)
class _Stop:
    """A run after its first `steps` steps, priced."""

    steps: int
    figures: Stopped
    energy_pj: float

    @property
    def accuracy(self) -> float:
        return self.figures.accuracy


def _priced(steps: int, figures: Stopped, prices: Profile) -> _Stop:
    cost = float(energy_pj(figures.acs, figures.macs, prices, figures.other))
    return _Stop(steps=steps, figures=figures, energy_pj=cost)


def _stop(row: Row[*tuple[Any, ...]], early: Stopped | None, steps: int | None, prices: Profile) -> _Stop | None:
    """A run after so many steps, or after all where it has no more; None where that is not known."""
    if steps is None or row.time_steps <= steps:
        return _priced(row.time_steps, _whole(row), prices)
    return None if early is None else _priced(steps, early, prices)


def _choices(
    row: Row[*tuple[Any, ...]], early: Mapping[int, Stopped], most: int | None, prices: Profile
) -> Iterator[_Stop]:
    """A run after each number of steps that is known, up to `most`."""
    for steps, figures in early.items():
        if most is None or steps <= most:
            yield _priced(steps, figures, prices)
    if most is None or row.time_steps <= most:
        yield _priced(row.time_steps, _whole(row), prices)


def _whole(row: Row[*tuple[Any, ...]]) -> Stopped:
    """A run after all its steps."""
    return Stopped(
        accuracy=row.accuracy,
        f1_macro=row.f1_macro,
        firing_rate=row.firing_rate,
        acs=row.acs,
        macs=row.macs,
        other=row.other or {},
        bit_synops=None if row.bits_acs is None else bit_synops_of(row.bits_acs, row.bits_macs, row.bits_other or {}),
    )


def tally_pj(tally: RunTallyRow, prices: Profile) -> float:
    """Estimated energy per inference of a stored tally, pJ. Raises BadValue where the profile lacks a price."""
    return energy_pj(tally.acs, tally.macs, prices, tally.other)


def weight_bytes(params: int) -> int:
    """Size of the weights in float32."""
    return FLOAT * params


def _parted(joined: str | None) -> list[str]:
    return sorted(joined.split(TAG_END)) if joined else []
