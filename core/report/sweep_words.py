"""What the fields and values of a sweep are called."""

from __future__ import annotations

from collections.abc import Sequence

from core.datasets.catalog import title_of
from core.recipes import differences
from core.schemas.sweep import AxisValue, Study, Sweep

TITLES = {"kind": "network", "dataset": "data set"}


def field(axis: str) -> str:
    """What an axis is called, as in the form: `network` for `kind`, `learning rate` for `training.lr`."""
    path = differences.path_of(axis)
    return differences.WORDS[path] if path else TITLES.get(axis, axis)


def value(found: AxisValue, axis: str = "") -> str:
    """One value as print; `–` stands for a field that a network has not."""
    if isinstance(found, list):
        return ",".join(found) or "nothing"
    if found is None:
        return "none"
    if axis == "kind":
        return str(found).upper()
    return title_of(str(found)) if axis == "dataset" else str(found)


def phrase(axis: str, found: AxisValue) -> str:
    """One axis with its value: `learning rate 0.01`, `T = 2`, `data set Digits`."""
    path = differences.path_of(axis)
    return differences.phrase(path, found) if path else f"{field(axis)} {value(found, axis)}"


def axes(sweep: Sweep) -> str:
    """Such as `network: SNN, CNN; seed: 0, 1, 2`, and `mask: F9 / F8,F9` where a value has a comma itself."""
    return "; ".join(f"{field(axis)}: {_listed(axis, values)}" for axis, values in sweep.request.axes.items())


def _listed(axis: str, values: Sequence[AxisValue]) -> str:
    told = [value(one, axis) for one in values]
    return (" / " if any("," in one for one in told) else ", ").join(told)


def study_words(study: Study) -> str:
    """How its trials are chosen, and how many of them there are so far."""
    asked, seed = len(study.asked), f"sampler seed {study.seed}"
    if study.sampler == "random":
        return f"A random study: {asked} trials drawn at once, {seed}."
    stands = f"{asked} of {study.trials} trials asked for"
    ended = ", and no more will be" if study.is_closed else ""
    return (
        f"A Pareto study (multi-objective TPE) for validation accuracy and energy in mode {study.mode} at {study.profile}: "
        f"{stands}{ended}; at most {study.at_once} at once, {seed}."
    )
