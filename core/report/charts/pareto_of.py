"""Runs side by side, and the groups of a sweep, as marks of the plot of many runs (`core.report.charts.pareto`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import plotly.graph_objects as go

from core.backbones.naming import config_label, known_mask
from core.datasets.catalog import title_of
from core.report.charts import pareto
from core.report.charts.comparison_names import names
from core.report.charts.pareto_marks import Marks, Spread, fronted, marks
from core.schemas.compare import ComparedRun, Comparison
from core.schemas.pareto import Pareto, ParetoPoint, View
from core.schemas.run import RunConfig
from core.schemas.share import SharedSweep
from core.schemas.sweep import Aggregate, SweepDetail, SweepGroup

NOTHING = "No run of this sweep has ended yet."


class Mark(ParetoPoint):
    """A point from what says less of a run than the plot does: None is what it does not say."""

    called: str | None = None
    acs: float | None = None
    macs: float | None = None
    firing_rate: float | None = None
    n_train: int | None = None
    n_test: int | None = None
    finished_at: datetime | None = None
    on_front: bool = False


def comparison(found: Comparison) -> go.Figure:
    """Accuracy against energy of the compared runs, on a linear axis."""
    called = names(found)
    points = [_run(run, called[run.id]) for run in found.runs]
    told = {"mode": found.mode, "profile": found.profile, **found.factors.model_dump()}
    plot, shown = _plot(points, {}, **told)
    return pareto.figure(plot, view=View(x_log=False), shown=shown)


def sweep(found: SharedSweep | SweepDetail) -> go.Figure:
    """Mean accuracy against mean energy of each group of seeds, with the deviation over seeds."""
    groups = [group for group in found.groups if group.accuracy is not None and group.energy_pj is not None]
    spreads = {group.run_ids[0]: _spread(group) for group in groups}
    plot, shown = _plot([_group(group) for group in groups], spreads, mode=found.mode, profile=found.profile)
    return pareto.figure(plot, view=View(seeds=True), shown=shown, empty=NOTHING)


def _plot(points: Sequence[Mark], spreads: Mapping[str, Spread], **told: object) -> tuple[Pareto, Marks]:
    shown, found = fronted(points, marks(points, x="energy", y="accuracy", spreads=spreads))
    datasets = list(dict.fromkeys(point.dataset for point in points))
    called = datasets[0] if len(datasets) == 1 else ", ".join(title_of(name) for name in datasets)
    front = [point.run_id for point in shown if point.on_front]
    plot = Pareto.model_construct(
        **{"ac": 1.0, "mac": 1.0, "memory": 1.0} | told, dataset=called, points=shown, front=front, published=[],
        steps=None, missing=0,
    )  # fmt: skip
    return plot, found


def _run(run: ComparedRun, called: str) -> Mark:
    return Mark(
        run_id=run.id,
        label=run.label,
        differs=run.differs,
        own_name=run.own_name,
        called=called,
        **_of(run.config),
        accuracy=run.accuracy,
        f1_macro=run.f1_macro,
        params=run.params,
        acs=run.acs,
        macs=run.macs,
        energy_pj=run.energy_pj,
        firing_rate=run.firing_rate,
        n_train=run.n_train,
        n_test=run.n_test,
        dataset_complete=run.dataset_complete,
        model_bytes=run.model_bytes,
    )


def _group(group: SweepGroup) -> Mark:
    return Mark(
        run_id=group.run_ids[0],
        label=config_label(group.config),
        called=group.label,
        **_of(group.config),
        accuracy=group.accuracy.mean,
        f1_macro=group.f1_macro.mean,
        params=round(group.params.mean),
        energy_pj=group.energy_pj.mean,
        firing_rate=group.firing_rate.mean if group.firing_rate else None,
        dataset_complete=True,  # a group does not say; the page that shows it does
    )


def _of(config: RunConfig) -> dict[str, object]:
    return {
        "backbone": config.backbone,
        "kind": config.kind,
        "mask": config.mask,
        "mask_name": known_mask(config.backbone, config.mask, config.definition, config.architecture),
        "dataset": config.dataset,
        "recipe": config.recipe,
        "seed": config.seed,
        "time_steps": config.steps,
    }


def _spread(group: SweepGroup) -> Spread:
    def over_seeds(of: Aggregate | None) -> float:
        return 0.0 if of is None or of.deviation is None else of.deviation

    return Spread(
        run_ids=tuple(group.run_ids),
        ended=group.n,
        energy_pj=over_seeds(group.energy_pj),
        accuracy=over_seeds(group.accuracy),
        f1_macro=over_seeds(group.f1_macro),
    )
