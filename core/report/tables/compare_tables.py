"""A comparison as tables: HTML for the page, rows for CSV, LaTeX for a paper. Pure: no Streamlit here."""

from __future__ import annotations

from typing import Any

from core.report.charts.comparison_names import letter, names
from core.report.tables.csv_rows import price_columns
from core.report.tables.html import table
from core.report.twin_words import OTHER_DATA, against, clear
from core.schemas.compare import ComparedRun, Comparison, Difference, TwinRatio
from core.units import common_energy_scale, energy_in, format_count, pj_to_mj

HEAD = ("Run", "Accuracy", "Difference, points", "F1", "Energy", "Times A's", "Parameters", "Weights", "ACs", "MACs",
        "Firing rate", "T", "Test images")  # fmt: skip


def html(comparison: Comparison) -> str:
    """A row a run; the first is what the others are held against."""
    against = {item.run_id: item for item in comparison.differences}
    rows = [_row(comparison, run, against.get(run.id)) for run in comparison.runs]
    return table(HEAD, rows, label="Figures of the compared runs", kind="sf-compare")


def twins_html(comparison: Comparison, labels: dict[str, str]) -> str:
    """A row a pair of twins; `labels` names runs that are not in the comparison themselves."""
    titles = ("Spiking network", "CNN twin", "Accuracy, SNN minus CNN", "Energy, SNN over CNN")
    rows = [
        (labels[pair.snn_id], labels[pair.cnn_id], _points(pair), ratio_words(pair.energy_ratio))
        for pair in comparison.twins
    ]
    return table(titles, rows, label="Spiking networks and their CNN twins", kind="sf-words")


def ratio_words(ratio: float | None) -> str:
    """Energy of a spiking network over its CNN twin's: `0.55 (CNN: 1.8 times as much)`."""
    if ratio is None:
        return "no energy to compare with"
    if ratio == 0:
        return "0 (needs none)"
    return f"{ratio:.3g} (CNN: {1 / ratio:.3g} times as much)" if ratio < 1 else f"{ratio:.3g} times as much"


def summary(comparison: Comparison) -> str:
    """The comparison in one sentence, computed from its figures."""
    if not all(map(comparison.on_one_data_set, comparison.differences)):
        least = min(comparison.runs, key=lambda run: run.energy_pj)
        return (
            f"{OTHER_DATA} {letter(comparison.runs.index(least))} needs the least energy "
            f"({energy_in(least.energy_pj, _unit(comparison))})."
        )
    if len(comparison.differences) == 1:
        item = comparison.differences[0]
        return against("B", "A", accuracy=item.accuracy, paired=item.paired, energy_ratio=item.energy_ratio)
    best = max(comparison.runs, key=lambda run: run.accuracy)
    least = min(comparison.runs, key=lambda run: run.energy_pj)
    place = {run.id: letter(place) for place, run in enumerate(comparison.runs)}
    apart = [place[item.run_id] for item in comparison.differences if item.paired and clear(item.paired)]
    told = (
        f"Accuracies that differ from A's beyond the 95 % interval: {', '.join(apart)}"
        if apart
        else "No accuracy differs from A's beyond the 95 % interval"
    )
    return (
        f"{place[best.id]} is the most accurate ({100 * best.accuracy:.2f} %), {place[least.id]} needs the least energy "
        f"({energy_in(least.energy_pj, _unit(comparison))}). {told}."
    )


def rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row a run, for CSV. Energy in mJ, as in the paper's tables."""
    against = {item.run_id: item for item in comparison.differences}
    made = []
    for place, run in enumerate(comparison.runs):
        item = against.get(run.id)
        pair = item.paired if item else None
        made.append(
            {
                "letter": letter(place), "run": run.id, "network": run.described, "name": run.own_name, "kind": run.kind.value,
                "mask": ",".join(run.config.mask), "dataset": run.config.dataset, "recipe": run.config.recipe,
                "seed": run.config.seed, "time_steps": run.config.steps, "accuracy": run.accuracy,
                "f1_macro": run.f1_macro, "accuracy_minus_first": item and item.accuracy,
                "low": pair and pair.low, "high": pair and pair.high, "images_gained": pair and pair.gained,
                "images_lost": pair and pair.lost, "energy_mj": pj_to_mj(run.energy_pj),
                "energy_over_first": item and item.energy_ratio, "params": run.params, "model_bytes": run.model_bytes,
                "acs": run.acs, "macs": run.macs, "firing_rate": run.firing_rate, "n_train": run.n_train,
                "n_test": run.n_test, "dataset_complete": run.dataset_complete,
                **price_columns(comparison),
            }
        )  # fmt: skip
    return made


def curve_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row a run and epoch."""
    columns = ("epoch", "lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "firing_rate")
    return [
        {"run": run.id, "network": run.described, **dict(zip(columns, values, strict=True))}
        for run in comparison.runs
        for values in zip(*(getattr(run.metrics, column) for column in columns), strict=True)
    ]


def gradient_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row a run, epoch and layer."""
    return [
        {"run": run.id, "network": run.described, "epoch": epoch, "layer": layer, "norm": value}
        for run in comparison.runs
        for epoch, norm in zip(run.gradients.epochs, run.gradients.norm, strict=True)
        for layer, value in zip(run.gradients.layers, norm, strict=True)
    ]


def twin_rows(comparison: Comparison, labels: dict[str, str]) -> list[dict[str, Any]]:
    """One row a pair of twins."""
    return [
        {"snn": pair.snn_id, "snn_network": labels[pair.snn_id], "cnn": pair.cnn_id, "cnn_network": labels[pair.cnn_id],
         "accuracy_snn_minus_cnn": pair.accuracy, "low": pair.paired and pair.paired.low,
         "high": pair.paired and pair.paired.high, "energy_snn_over_cnn": pair.energy_ratio, **price_columns(comparison)}
        for pair in comparison.twins
    ]  # fmt: skip


def twin_labels(comparison: Comparison, others: dict[str, str]) -> dict[str, str]:
    """Names for the twin table: those of the comparison, and `others` for the twins beside it."""
    return others | names(comparison)


def outsiders(twins: list[TwinRatio], runs: list[ComparedRun]) -> list[str]:
    """Ids of twins that are not compared themselves."""
    known = {run.id for run in runs}
    return [run_id for pair in twins for run_id in (pair.snn_id, pair.cnn_id) if run_id not in known]


def _row(comparison: Comparison, run: ComparedRun, item: Difference | None) -> list[str]:
    return [
        names(comparison)[run.id],
        f"{100 * run.accuracy:.2f} %",
        "base" if item is None else _difference(item) if comparison.on_one_data_set(item) else "other data set",
        f"{run.f1_macro:.3f}",
        energy_in(run.energy_pj, _unit(comparison)),
        "1" if item is None else "n/a" if item.energy_ratio is None else f"{item.energy_ratio:.3g}",
        f"{run.params:,}",
        f"{run.model_bytes / 1e6:.2f} MB",
        format_count(run.acs),
        format_count(run.macs),
        "n/a" if run.firing_rate is None else f"{run.firing_rate:.3f}",
        str(run.config.steps),
        f"{run.n_test:,}{'' if run.dataset_complete else ', subset'}",
    ]


def _unit(comparison: Comparison) -> tuple[float, str]:
    return common_energy_scale(run.energy_pj for run in comparison.runs)


def _points(pair: TwinRatio) -> str:
    told = "" if pair.paired is None else f" ({100 * pair.paired.low:+.2f} to {100 * pair.paired.high:+.2f})"
    return f"{100 * pair.accuracy:+.2f}{told} points"


def _difference(item: Difference) -> str:
    if item.paired is None:
        return f"{100 * item.accuracy:+.2f} (other images)"
    return f"{100 * item.accuracy:+.2f} ({100 * item.paired.low:+.2f} to {100 * item.paired.high:+.2f})"
