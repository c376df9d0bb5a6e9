"""The columns and tallies of a run that has succeeded."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from backend.store.identity import hashes
from backend.store.models import Base, RunRow, RunStepRow, RunTallyRow
from core.analysis.confusion import confusion, f1_macro
from core.analysis.predictions import predict
from core.analysis.steps import truncated
from core.bundle import Bundle
from core.energy.modes import MODES
from core.energy.price import firing_rate
from core.errors import UnknownName
from core.forecast import training_ops
from core.recipes.build import plan_of
from core.schemas.results import Counts, Summary
from core.schemas.run import RunConfig


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The columns that every succeeded run has."""

    accuracy: float
    f1_macro: float
    params: int
    n_train: int
    n_test: int
    dataset_complete: bool


def figures(row: RunRow) -> Figures:
    """Of a run that has succeeded: they are written with its state."""
    found = {field.name: getattr(row, field.name) for field in fields(Figures)}
    assert None not in found.values(), f"run {row.id} has not succeeded"
    return Figures(**found)


def outcome(
    run_id: str, bundle: Bundle, config: RunConfig, summary: Summary, images: str
) -> tuple[dict[str, Any], list[Base]]:
    """What to store of a run: its row's result columns, and rows of one tally a mode and of its steps.

    `images`: their digest (`backend.store.identity.images_of`).
    Raises BundleCorrupt.
    """
    values = {
        **hashes(config, images, summary),
        "summary": json.loads(summary.model_dump_json()),  # strict JSON: a NaN is the word "NaN"
        "accuracy": summary.accuracy,
        "f1_macro": summary.f1_macro,
        "params": summary.params,
        "firing_rate": summary.firing_rate,
        "n_train": summary.n_train,
        "n_test": summary.n_test,
        "dataset_complete": summary.dataset_complete,
        "device": summary.device,
        "ops_per_s": throughput(config, summary),
    }
    return values, [*tallies(run_id, bundle.counts(), MODES), *step_rows(run_id, bundle)]


def tallies(run_id: str, counts: Counts, modes: Any) -> list[RunTallyRow]:
    """One row a mode name in `modes`; unpriced, so that every profile can be applied to it later."""
    rows = []
    for mode in modes:
        tally = MODES[mode].tally(counts)
        rows.append(RunTallyRow(run_id=run_id, mode=mode, acs=tally.acs, macs=tally.macs, other=tally.other))
    return rows


def step_rows(run_id: str, bundle: Bundle) -> list[RunStepRow]:
    """One row for each 1 <= T' < T, unpriced; none for a CNN. After T steps a run is what its own row says.

    None for a layer-synchronous network either, which has spent nearly all its energy before its first answer.

    Raises BundleCorrupt.
    """
    counts = bundle.counts()
    if counts.time_steps == 1 or counts.layer_synchronous:
        return []
    predictions = bundle.predictions(counts)
    rows = []
    for steps in range(1, counts.time_steps):
        answers = predict(predictions.outputs[:, :steps])
        part = truncated(counts, steps)
        tallies = {}
        for mode in MODES.values():
            tally = mode.tally(part)
            tallies[mode.name] = {"acs": tally.acs, "macs": tally.macs, "other": tally.other}
        rows.append(
            RunStepRow(
                run_id=run_id,
                steps=steps,
                accuracy=float(np.mean(answers == predictions.label)),
                f1_macro=f1_macro(confusion(predictions.label, answers, predictions.classes)),
                firing_rate=firing_rate(part),
                tallies=tallies,
            )
        )
    return rows


def throughput(config: RunConfig, summary: Summary) -> float | None:
    """Forecast operations a second over the whole run: the same unit that a time estimate divides by."""
    wall_s = summary.train_wall_s + summary.evaluate_wall_s
    if wall_s <= 0 or summary.epochs_run < 1:
        return None
    try:
        plan = plan_of(config)
    except UnknownName:  # a data set that was taken away since
        return None
    done = config.model_copy(update={"training": config.training.model_copy(update={"max_epochs": summary.epochs_run})})
    ops = training_ops(plan, done, n_train=summary.n_train, n_validation=summary.n_validation, n_test=summary.n_test)
    return ops / wall_s
