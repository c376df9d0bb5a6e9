"""What each kind of share puts on its page: a template, its figures and its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from core.analysis.findings import gradient_findings
from core.analysis.sweep_runs import finished
from core.backbones.naming import known_mask
from core.datasets.catalog import title_of
from core.recipes.build import command
from core.report import ensemble_words, recount_words, robustness_words, search_words
from core.report.charts import compare as compare_charts
from core.report.charts import (
    confusion,
    curves,
    energy,
    ensemble,
    firing,
    gradients,
    pareto,
    pareto_of,
    robustness,
    search,
    theme,
)
from core.report.charts import sweep as sweeps
from core.report.charts.axes import X_AXES, Y_AXES, energy_unit
from core.report.charts.comparison_names import letters, names
from core.report.priced import Lens, Seen, runs_in, seen, seen_as_stored
from core.report.run_words import Comparison, compare, energy_note, facts, headlines
from core.report.tables import config_differences, ensemble_tables
from core.report.twin_words import OTHER_IMAGES, twins
from core.schemas.compare import Comparison as CompareRuns
from core.schemas.compare import TwinRatio
from core.schemas.ensemble import ComparedEnsemble
from core.schemas.images import Example
from core.schemas.robustness import STRENGTHS
from core.schemas.share import AnyShared, SharedComparison, SharedRun, SharedSweep, SharedView
from core.units import common_energy_scale, energy_scale, format_count, format_energies

MOST_EXAMPLES = 24
MOST_ROWS = 2000  # of a view's table
PNG = "data:image/png;base64,"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    template: str
    charts: dict[str, go.Figure]
    words: dict[str, Any]


def sheet_of(shared: AnyShared) -> Sheet:
    return SHEETS[shared.type](shared)


def run(shared: SharedRun) -> Sheet:
    """One run with its twin."""
    source = theme.source(shared.title, shared.summary)
    comparison, stands = _against_twin(shared), shared.robustness
    best = curves.best_place(shared.metrics)
    return Sheet(
        template="run.html",
        charts={
            "curves": curves.figure(shared.metrics, source=source),
            "confusion": confusion.figure(shared.confusion, source=source),
            "gradients": gradients.figure(shared.gradients, source=source),
            "firing": firing.figure(shared.layers, source=source),
            "energy": energy.figure(shared.layers, source=source),
            **({} if shared.search is None else search.figures(shared.search, source=source)),
            **({} if stands is None else {kind: robustness.figure(stands, kind, source=source) for kind in STRENGTHS}),
        },
        words={
            "summary": shared.summary,
            "unit": energy_scale(shared.layers.total_energy_pj),
            "config": shared.config,
            "mask": known_mask(
                shared.config.backbone, shared.config.mask, shared.config.definition, shared.config.architecture
            ),
            "headlines": headlines(shared.summary),
            "facts": facts(shared.summary, shared.config),
            "energy_note": energy_note(shared.summary),
            "recounted": recount_words.headline(shared.recount) if shared.recount else None,
            "comparison": comparison,
            "comparison_rows": comparison_rows(shared, comparison),
            "examples": drawable(shared.examples.items)[:MOST_EXAMPLES],
            "worst": confusion.worst(shared.confusion),
            "findings": gradient_findings(shared.gradients),
            "search": [] if shared.search is None else search_words.told(shared.search),
            "command": command(shared.config),
            "stands": [] if stands is None else robustness_words.rows(stands),
            "robustness_words": robustness_words,
            "best_epoch": None if best is None else shared.metrics.epoch[best],
        },
    )


def _against_twin(shared: SharedRun) -> Comparison | None:
    if shared.twin is None:
        return None
    unsure = OTHER_IMAGES if shared.prices else "no interval was stored with this link"
    return compare(shared.summary, shared.twin.summary, shared.twin.paired, unsure=unsure)


def comparison(shared: SharedComparison) -> Sheet:
    """Runs side by side."""
    found = shared.comparison
    letter_of, together = letters(found), shared.ensemble
    return Sheet(
        template="comparison.html",
        charts={
            "points": pareto_of.comparison(found),
            "differences": compare_charts.differences(found),
            "curves": compare_charts.curves(found),
            "gradients": compare_charts.gradients(found),
            **({"ensemble": ensemble.figure(together, found)} if together else {}),
        },
        words={
            "together": _together(together, letter_of) if together else None,
            "found": found,
            "unit": common_energy_scale(run.energy_pj for run in found.runs),
            "datasets": sorted({title_of(run.config.dataset) for run in found.runs}),
            "names": names(found),
            "letters": letter_of,
            "differing": config_differences.rows(found),
            "left_out": config_differences.note(found),
            "curve_runs": [(letter_of[run.id], run.metrics, None) for run in found.runs],
            "twins": [(letter_of[pair.snn_id], letter_of[pair.cnn_id], _twins(found, pair)) for pair in found.twins],
            "changed": [
                (letter_of[images.run_id], drawable(images.gained), drawable(images.lost))
                for images in shared.images
                if images.gained or images.lost
            ],
            "partial": any(
                not run.dataset_complete or run.n_train == run.config.training.train_limit for run in found.runs
            ),
            "commands": [
                (named, command(run.config)) for named, run in zip(names(found).values(), found.runs, strict=True)
            ],
        },
    )


def _together(found: ComparedEnsemble, letter_of: dict[str, str]) -> dict[str, Any]:
    first, second = letter_of[found.first_id], letter_of[found.second_id]
    rows = ensemble_tables.rows(found, first, second)
    return {
        "head": ensemble_tables.head(first, second),
        "rows": rows,
        "unit": ensemble_tables.unit_of(rows),
        "points": ensemble_tables.points,
        "said": ensemble_words.sentences(found, first, second),
        "notes": [ensemble_words.energy_note(found, second), ensemble_words.OPTIMISTIC],
    }


def _twins(found: CompareRuns, pair: TwinRatio) -> str:
    steps = next(run.config.steps for run in found.runs if run.id == pair.snn_id)
    return " ".join(twins(pair, mode=found.mode, steps=steps))


def sweep(shared: SharedSweep) -> Sheet:
    """The groups of a sweep, and its runs as its owner sees them."""
    datasets = sorted({title_of(group.config.dataset) for group in shared.groups})
    charts = {"points": pareto_of.sweep(shared)}
    runs = finished(shared.groups)  # none of a sweep that was frozen without its runs
    if runs:
        source = f"{shared.title or 'a sweep'} on {', '.join(datasets)}"
        charts |= {
            "accuracies": sweeps.heat_map(shared, "accuracy", source=source),
            "energies": sweeps.heat_map(shared, "energy", source=source),
            "parallel": sweeps.parallel(shared, source=source),
        }
    return Sheet(
        template="sweep.html",
        charts=charts,
        words={
            "datasets": datasets,
            "runs": runs,
            "groups": shared.groups,
            "unit": common_energy_scale(group.energy_pj.mean for group in shared.groups if group.energy_pj),
            "partial": any(group.config.training.train_limit is not None for group in shared.groups),
        },
    )


def view(shared: SharedView) -> Sheet:
    """An Explore view, drawn and tabled as Explore does: those on the front first, then the most accurate."""
    seen = seen_of(shared)
    rows = sorted(seen.pareto.points, key=lambda point: (not point.on_front, -point.accuracy))
    return Sheet(
        template="view.html",
        charts={
            "points": pareto.figure(
                seen.pareto, view=shared.view, shown=seen.marks, sure=seen.sure, faults=shared.faults
            )
        },
        words={
            "plot": seen.pareto,
            "runs": len(seen.every),
            "spreads": seen.spreads,
            "sure": seen.sure,
            "rows": rows[:MOST_ROWS],
            "unit": energy_unit([*seen.pareto.points, *seen.pareto.published]),
            "axes": f"{Y_AXES[shared.view.y].short} against {X_AXES[shared.view.x].short}",
            "datasets": [title_of(seen.pareto.dataset)],
            "partial": any(not point.dataset_complete for point in seen.every),
        },
    )


def seen_of(shared: SharedView) -> Seen:
    """The runs as the link's maker saw them, at the prices that stand in the link."""
    if shared.prices is None:
        return seen_as_stored(shared.plot, shared.view)
    lens = Lens(runs=runs_in(shared.plot), profile=shared.prices, factors=shared.plot.factors)
    return seen(lens, shared.view)


SHEETS: dict[str, Callable[[Any], Sheet]] = {"run": run, "comparison": comparison, "sweep": sweep, "view": view}


def drawable(items: list[Example]) -> list[Example]:
    """Images that stand in the page: it loads none from elsewhere."""
    return [item for item in items if item.image.startswith(PNG)]


def comparison_rows(shared: SharedRun, comparison: Comparison | None) -> list[tuple[str, str, str]]:
    """(what, this run, its twin) as print."""
    if shared.twin is None or comparison is None:
        return []
    one, two = shared.summary, shared.twin.summary
    rows = [
        ("Accuracy", theme.percent(one.accuracy, 2), theme.percent(two.accuracy, 2)),
        ("Macro F1", f"{one.f1_macro:.3f}", f"{two.f1_macro:.3f}"),
        ("Accumulates (AC)", format_count(one.acs), format_count(two.acs)),
        ("Multiply-accumulates (MAC)", format_count(one.macs), format_count(two.macs)),
        ("Parameters", f"{one.params:,}", f"{two.params:,}"),
        ("Test images", f"{one.n_test:,}", f"{two.n_test:,}"),
        ("Training images", f"{one.n_train:,}", f"{two.n_train:,}"),
        ("Seed", str(one.seed), str(two.seed)),
    ]
    if comparison.same_accounting:
        own, other = format_energies([one.energy_pj, two.energy_pj])
        rows.insert(2, ("Energy per inference", own, other))
    return rows
