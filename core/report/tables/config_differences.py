"""What differs in the configs of compared runs, field by field, and in the images that they were trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.backbones.catalog import BACKBONES
from core.datasets.catalog import title_of
from core.recipes.differences import WORDS, written
from core.report.charts.comparison_names import letter
from core.report.tables.html import table
from core.schemas.compare import ComparedRun, Comparison

NOT_THERE = "–"  # what this kind of network has not
STEPS = "Time steps T"
DIGEST_SHOWN = 12

#: What a run is, in the order of the form that launches it.
FACTS: tuple[tuple[str, Callable[[ComparedRun], str]], ...] = (
    ("Network", lambda run: run.kind.value.upper()),
    ("Backbone", lambda run: BACKBONES[run.config.backbone].title if run.config.backbone in BACKBONES else run.config.backbone),
    ("Definition", lambda run: run.config.definition),
    ("Kept blocks", lambda run: run.mask_name or ", ".join(run.config.mask) or "none"),
    ("Data set", lambda run: title_of(run.config.dataset)),
    ("Recipe", lambda run: run.config.recipe),
    ("Seed", lambda run: str(run.config.seed)),
)  # fmt: skip
#: What was there when it was trained.
IMAGES: tuple[tuple[str, Callable[[ComparedRun], str]], ...] = (
    ("Images trained on", lambda run: f"{run.n_train:,}"),
    ("Test images", lambda run: f"{run.n_test:,}"),
    ("Images there", lambda run: _there(run)),
)


def rows(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """(field, its value in each run), only those that are not the same in all; empty where the configs are equal.

    What one kind of network has not is no difference of its own: where the others agree only T is told.
    """
    return [(title, values) for title, values in _unequal(comparison) if title == STEPS or len(_had(values)) > 1]


def note(comparison: Comparison) -> str:
    """Which fields the table leaves out; empty where it leaves out none."""
    if len(_unequal(comparison)) == len(rows(comparison)):
        return ""
    return "Fields that a CNN has not, such as those of the neuron, are left out where the spiking networks agree."


def _had(values: list[str]) -> set[str]:
    return set(values) - {NOT_THERE}


def _unequal(comparison: Comparison) -> list[tuple[str, list[str]]]:
    runs = comparison.runs
    flat = [_flat(run.config.model_dump(mode="json")) for run in runs]
    found = [(title, [say(run) for run in runs]) for title, say in FACTS]
    for path in flat[0]:
        option = path.startswith("architecture.")
        if not option and path not in WORDS:
            continue
        values = [_value(run, one.get(path), path) for run, one in zip(runs, flat, strict=True)]
        found.append((_title(path), values))
    found += [(title, [say(run) for run in runs]) for title, say in IMAGES]
    return [(title, values) for title, values in found if len(set(values)) > 1]


def html(comparison: Comparison) -> str:
    """A row a field that differs, a column a run; empty where none does."""
    found = rows(comparison)
    if not found:
        return ""
    head = ["What differs", *(letter(place) for place in range(len(comparison.runs)))]
    return table(
        head, [[title, *values] for title, values in found], label="What differs in the configs", kind="sf-words"
    )


def csv_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row a field that differs, a column a run."""
    letters = [letter(place) for place in range(len(comparison.runs))]
    return [{"field": title, **dict(zip(letters, values, strict=True))} for title, values in rows(comparison)]


def _title(path: str) -> str:
    words = WORDS.get(path) or path.rpartition(".")[2].replace("_", " ")
    return words[:1].upper() + words[1:] if not path.startswith(("neuron.tau", "neuron.v_")) else words


def _value(run: ComparedRun, value: Any, path: str) -> str:
    if not run.config.has(path):
        return NOT_THERE
    if path.startswith("architecture."):
        return "as defined" if value is None else written(value)
    if path == "training.train_limit":
        return "all" if value is None else f"{value:,} at most"
    return written(value)


def _there(run: ComparedRun) -> str:
    """Which images the data set's name stood for."""
    if run.data_digest:
        return f"digest {run.data_digest[:DIGEST_SHOWN]}" + ("" if run.dataset_complete else ", a subset")
    return "the published set" if run.dataset_complete else "a subset of the published set"


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
