"""What a plot of many runs can have on its axes, and by what it can tell its marks apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.schemas.pareto import ParetoPoint, PublishedPoint
from core.units import common_energy_scale


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One figure of a run. `words` are the axis's title without its unit, `short` those of a heading."""

    name: str
    short: str
    words: str


#: To keep low.
X_AXES = {
    axis.name: axis
    for axis in (
        Axis(name="energy", short="energy", words="energy per inference"),
        Axis(name="synops", short="SynOps", words="synaptic operations (AC + MAC) per inference"),
        Axis(
            name="bit_synops", short="Bit-SynOps", words="Bit-SynOps (operations x bits of their weights) per inference"
        ),
        Axis(name="spikes", short="spikes", words="spikes per inference (a CNN has none)"),
        Axis(name="params", short="parameters", words="parameters"),
        Axis(name="model_bytes", short="model size", words="weights in float32"),
        Axis(name="kept_bytes", short="size, kept bits", words="parameters at their bits, places not stored"),
        Axis(name="bitmap_bytes", short="size, with a bitmap", words="parameters at their bits, places as a bitmap"),
        Axis(
            name="entropy_bytes",
            short="size, entropy bound",
            words="parameters at their bits, places at the entropy bound",
        ),
        Axis(name="steps", short="time steps", words="time steps T (a CNN makes one pass)"),
    )
}
#: Axes in bytes.
SIZES = ("model_bytes", "kept_bytes", "bitmap_bytes", "entropy_bytes")
#: To keep high.
Y_AXES = {
    axis.name: axis
    for axis in (
        Axis(name="accuracy", short="accuracy", words="top-1 accuracy, %"),
        Axis(name="f1_macro", short="F1", words="macro F1"),
    )
}
#: By what marks are told apart: name -> words.
GROUPINGS = {
    "family": "backbone and kind",
    "backbone": "backbone",
    "kind": "kind",
    "dataset": "data set",
    "sweep": "sweep",
    "mask": "mask",
    "recipe": "recipe",
}


def x_of(point: ParetoPoint | PublishedPoint, axis: str) -> float | None:
    """A point's place on one of X_AXES: pJ, operations, parameters, bytes or steps; None where it has no such figure."""
    if axis == "energy":
        return point.energy_pj
    if axis == "synops":
        return None if point.acs is None or point.macs is None else point.acs + point.macs
    if axis == "params":
        return point.params
    if axis in (*SIZES, "bit_synops", "spikes"):
        return getattr(point, axis, None)
    return getattr(point, "time_steps", None)


def y_of(point: ParetoPoint | PublishedPoint, axis: str) -> float | None:
    """A point's place on one of Y_AXES: percent, or F1 in [0, 1]."""
    return 100 * point.accuracy if axis == "accuracy" else point.f1_macro


def energy_unit(points: Sequence[ParetoPoint | PublishedPoint]) -> tuple[float, str]:
    """(pJ in the unit, its name) of all energies of a plot and of the table beside it: that of its axis."""
    return common_energy_scale(point.energy_pj for point in points)


def x_unit(values: Sequence[float], axis: str) -> tuple[float, str]:
    """(what an axis divides by, its unit with a comma before it or nothing) that fits most of the values."""
    positive = sorted(value for value in values if value > 0)
    middle = positive[len(positive) // 2] if positive else 1.0
    if axis == "energy":
        factor, unit = common_energy_scale(positive)
        return factor, f", {unit}"
    if axis == "steps":
        return 1.0, ""
    for factor, word in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if middle >= factor:
            return factor, f", {word}B" if axis in SIZES else {"G": ", billion", "M": ", million", "k": ", thousand"}[
                word
            ]
    return 1.0, ", bytes" if axis in SIZES else ""


def group_of(point: ParetoPoint, by: str) -> str:
    """The group of a run under one of GROUPINGS, as the legend prints it."""
    if by == "family":
        return point.label.partition(", ")[0].rpartition(" ")[0]  # without options and mask
    if by == "kind":
        return point.kind.value.upper()
    if by == "sweep":
        return f"sweep {point.sweep_ids[-1][:8]}" if point.sweep_ids else "in no sweep"
    if by == "mask":
        return point.mask_name or "other mask"
    return getattr(point, by)
