"""The columns and tallies of a run that has succeeded."""

from __future__ import annotations

from typing import Any

from backend.models import RunTallyRow
from core.bundle import Bundle
from core.energy.modes import MODES
from core.forecast import training_ops
from core.recipes.build import plan_of
from core.schemas.results import Counts, Summary
from core.schemas.run import RunConfig


def outcome(
    run_id: str, bundle: Bundle, config: RunConfig, summary: Summary
) -> tuple[dict[str, Any], list[RunTallyRow]]:
    """What to store of a run: its row's result columns, and one tally a mode. Raises BundleCorrupt."""
    values = {
        "summary": summary.model_dump(mode="json"),
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
    return values, tallies(run_id, bundle.counts(), MODES)


def tallies(run_id: str, counts: Counts, modes: Any) -> list[RunTallyRow]:
    """One row a mode name in `modes`; unpriced, so that every profile can be applied to it later."""
    rows = []
    for mode in modes:
        tally = MODES[mode].tally(counts)
        rows.append(RunTallyRow(run_id=run_id, mode=mode, acs=tally.acs, macs=tally.macs))
    return rows


def throughput(config: RunConfig, summary: Summary) -> float | None:
    """Forecast operations a second over the whole run: the same unit that a time estimate divides by."""
    wall_s = summary.train_wall_s + summary.evaluate_wall_s
    if wall_s <= 0 or summary.epochs_run < 1:
        return None
    done = config.model_copy(update={"training": config.training.model_copy(update={"max_epochs": summary.epochs_run})})
    ops = training_ops(
        plan_of(config), done, n_train=summary.n_train, n_validation=summary.n_validation, n_test=summary.n_test
    )
    return ops / wall_s
