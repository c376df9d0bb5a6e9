"""Masks worth training next, from the runs in the database."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from backend.context import Context
from backend.pareto.measured import measured_runs
from backend.runs.repository import RunRepository
from backend.store.models import RunRow
from core.backbones.catalog import layout_of
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.measured import MeasuredRun, largest_group, same_run
from core.schemas.run import Kind, RunConfig
from core.schemas.suggestion import MaskSuggestion, MaskSuggestions
from core.search.masks import MaskTable, mask_table
from core.search.predict import MIN_MASKS, Predictions, known, predict
from core.search.suggest import Suggestion, suggest


def suggestions(
    context: Context, *, backbone: str, definition: str, kind: Kind, dataset: str, mode: str, profile: str, n: int
) -> MaskSuggestions:
    """At most `n` masks. Raises UnknownName, or BadValue where the profile lacks a price that the mode needs."""
    layout_of(backbone, definition), MODES[mode], profiles()[profile]
    spec = DATASETS[dataset]
    wanted = {"backbone": backbone, "kind": kind, "dataset": dataset}
    runs = largest_group(_measured(context, wanted, definition=definition, mode=mode, profile=profile))
    masks = {run.config.mask for run in runs}
    shared: dict[str, Any] = {
        "mode": mode,
        "profile": profile,
        "n_runs": len(runs),
        "n_masks": len(masks),
        "needed": MIN_MASKS,
    }
    predictions = predict(_table(runs).points, known(runs, mode)) if len(masks) >= MIN_MASKS else None
    if predictions is None:
        note = (
            f"A prediction needs finished runs of at least {MIN_MASKS} masks that differ in mask and seed only; "
            f"there {'is' if len(masks) == 1 else 'are'} {len(masks)}."
        )
        return MaskSuggestions(
            **shared, base=runs[0].config if runs else None, accuracy_error=None, accuracy_error_of_mean=None,
            energy_error=None, note=note, items=[],
        )  # fmt: skip
    with context.database.read() as session:
        like = RunRepository(session).like(kind=kind, dataset=dataset, backbone=backbone)
    speed = like.ops_per_s if like is not None else None
    found = suggest(predictions, known(runs, mode), n, chance=1 / spec.n_classes, ops_per_s=speed)
    return MaskSuggestions(
        **shared,
        base=runs[0].config,
        accuracy_error=predictions.accuracy_error,
        accuracy_error_of_mean=predictions.accuracy_error_of_mean,
        energy_error=predictions.energy_error,
        note=_note(predictions, found.candidates),
        items=[_present(row) for row in found.rows],
    )


def _measured(
    context: Context, wanted: dict[str, str], *, definition: str, mode: str, profile: str
) -> list[MeasuredRun]:
    """Succeeded runs, equal ones once, priced from their stored tallies."""
    same = [getattr(RunRow, name) == value for name, value in wanted.items()]
    found = measured_runs(context, *same, modes=[mode], profile=profile, images_of=wanted["dataset"]).values()
    return list({same_run(run): run for run in found if run.config.definition == definition}.values())


def _table(runs: list[MeasuredRun]) -> MaskTable:
    """All masks as the runs were trained; kept, since it needs a plan for each of up to some thousand masks."""
    summary = runs[0].summary
    first = runs[0].config
    blocks = layout_of(first.backbone, first.definition, first.architecture).blocks
    base = first.model_copy(update={"mask": blocks, "seed": 0})
    masks = frozenset(run.config.mask for run in runs)
    return _stored_table(base, summary.n_train, summary.n_validation, summary.n_test, masks)


@lru_cache(maxsize=16)
def _stored_table(
    base: RunConfig, n_train: int, n_validation: int, n_test: int, masks: frozenset[tuple[str, ...]]
) -> MaskTable:
    return mask_table(base, n_train=n_train, n_validation=n_validation, n_test=n_test, also=sorted(masks))


def _note(predictions: Predictions, candidates: int) -> str:
    """How far to trust it, in words."""
    trust = (
        f"On masks that it had not seen the prediction was off by {100 * predictions.accuracy_error:.1f} % of accuracy "
        f"(the mean of the other masks: {100 * predictions.accuracy_error_of_mean:.1f} %) and by "
        f"{100 * predictions.energy_error:.0f} % of energy"
    )
    if predictions.accuracy_error >= predictions.accuracy_error_of_mean:
        trust += ": no better than the mean, so take the order with care"
    return f"Chosen among {candidates:,} masks without a run. {trust}."


def _present(row: Suggestion) -> MaskSuggestion:
    prediction = row.prediction
    return MaskSuggestion(
        mask=prediction.point.mask,
        mask_name=prediction.point.name,
        params=prediction.point.params,
        dense_ops=prediction.point.dense_ops,
        accuracy=prediction.accuracy,
        accuracy_sd=prediction.accuracy_sd,
        energy_pj=prediction.energy_pj,
        gain=row.gain,
        cost_s=row.cost_s,
        reason=row.reason,
    )
