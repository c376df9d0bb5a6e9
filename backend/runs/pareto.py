"""Accuracy against energy: stored tallies, priced while looking."""

from __future__ import annotations

import logging

import numpy as np
from sqlalchemy.exc import IntegrityError

from backend.context import Context
from backend.runs.outcome import tallies
from backend.runs.present import row_label
from backend.runs.repository import RunRepository
from core.analysis.pareto import front
from core.analysis.published import published
from core.backbones.catalog import BACKBONES, mask_name
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES
from core.energy.price import energy_pj
from core.energy.profiles import profiles
from core.errors import BundleCorrupt
from core.schemas.api import Pareto, ParetoPoint
from core.schemas.run import Kind

log = logging.getLogger("spikefront.runs")


def pareto(context: Context, *, dataset: str, mode: str, profile: str) -> Pareto:
    """All succeeded runs on a data set with their energy per inference, and which are on the front.

    Only measured runs form the front; the printed points stand beside them, at the paper's own prices.
    Raises UnknownName.
    """
    spec, accounting, prices = DATASETS[dataset], MODES[mode], profiles()[profile]
    with context.database.read() as session:
        rows = RunRepository(session).measured(spec.name, accounting.name)
    cost = np.array([energy_pj(acs, macs, prices) for _, acs, macs in rows], dtype=np.float64)
    value = np.array([row.accuracy for row, _, _ in rows], dtype=np.float64)
    on_front = front(cost, value) if rows else np.zeros(0, dtype=bool)
    points = []
    for (row, acs, macs), energy, is_on in zip(rows, cost.tolist(), on_front.tolist(), strict=True):
        mask = tuple(row.mask.split(","))
        points.append(
            ParetoPoint(
                run_id=row.id,
                label=row_label(row),
                backbone=row.backbone,
                kind=Kind(row.kind),
                mask=mask,
                mask_name=mask_name(row.backbone, mask) if row.backbone in BACKBONES else None,
                dataset=row.dataset,
                recipe=row.recipe,
                seed=row.seed,
                accuracy=row.accuracy,
                f1_macro=row.f1_macro,
                params=row.params,
                acs=acs,
                macs=macs,
                energy_pj=energy,
                firing_rate=row.firing_rate,
                time_steps=row.time_steps,
                n_train=row.n_train,
                n_test=row.n_test,
                dataset_complete=row.dataset_complete,
                on_front=is_on,
                finished_at=row.finished_at,
            )
        )
    cheapest_first = sorted((point for point in points if point.on_front), key=lambda point: point.energy_pj)
    return Pareto(
        dataset=spec.name,
        mode=accounting.name,
        profile=prices.name,
        points=points,
        front=[point.run_id for point in cheapest_first],
        published=published(spec.name),
    )


def tally_older_runs(context: Context) -> None:
    """At start: tallies of runs that ended before an accounting mode existed, from their stored counts."""
    for mode in MODES:
        with context.database.read() as session:
            missing = RunRepository(session).untallied(mode)
        for run_id in missing:
            try:
                rows = tallies(run_id, context.artifacts.bundle(run_id).counts(), [mode])
                with context.database.write() as session:
                    session.add_all(rows)
            except BundleCorrupt as error:
                log.warning("run.not_tallied", extra={"run_id": run_id, "mode": mode, "reason": error.message})
            except IntegrityError:  # another process was quicker, or the run was deleted
                continue
