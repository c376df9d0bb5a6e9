"""A measured robustness in words and rows, for the command line, the page and a share."""

from __future__ import annotations

from core.schemas.robustness import Disturbance, PricedRobustness, RobustnessPoint
from core.units import common_energy_scale, energy_in, format_count

TITLES: dict[Disturbance, str] = {
    "noise": "Gaussian noise on the pixels",
    "blur": "Gaussian blur of the images",
    "weight_bits": "Fewer bits of a weight",
}
#: The same in a table's narrow column.
SHORT: dict[Disturbance, str] = {"noise": "Noise", "blur": "Blur", "weight_bits": "Weights"}
#: What a strength is.
UNITS: dict[Disturbance, str] = {
    "noise": "standard deviation of the noise, pixels in [0, 1]",
    "blur": "standard deviation of the blur, in pixels",
    "weight_bits": "bits of a weight",
}
FULL_BITS = 32  # of a weight as it was trained
COLUMNS = ("", "Strength", "Accuracy", "95 % interval", "Change, points", "ACs", "MACs", "Energy", "Of undisturbed", "Firing rate")  # fmt: skip
SAYS_NOT = (
    "Weights alone have fewer bits: biases, normalisation and neurons stay in full. An operation costs what it does in this "
    "profile whatever its bits, so energy changes with the firing alone."
)


def basis(found: PricedRobustness) -> list[str]:
    """What the figures rest on, in parts of a caption."""
    images = f"n = {found.n:,} test images"
    if found.n < found.n_test:
        images += f" of {found.n_test:,}"
    return [images, f"mode {found.mode}, profile {found.profile}"]


def strength(point: RobustnessPoint) -> str:
    """`σ 0.04`, `σ 0.4 px`, `8 bits`; `undisturbed`."""
    if point.kind is None or point.strength is None:
        return "undisturbed"
    how = {"noise": "σ {:g}", "blur": "σ {:g} px", "weight_bits": "{:g} bits"}[point.kind]
    return how.format(point.strength)


def row(found: PricedRobustness, point: RobustnessPoint, unit: tuple[float, str]) -> tuple[str, ...]:
    """One of COLUMNS; `unit`: that of all rows' energies."""
    before = found.undisturbed.energy_pj
    change = (
        ""
        if point.kind is None
        else f"{_points(point.change)} ({_points(point.change_low)} to {_points(point.change_high)})"
    )
    return (
        "" if point.kind is None else SHORT[point.kind],
        strength(point),
        f"{100 * point.accuracy:.2f} %",
        f"{100 * point.low:.1f} to {100 * point.high:.1f} %",
        change,
        format_count(point.acs),
        format_count(point.macs),
        energy_in(point.energy_pj, unit),
        f"{100 * point.energy_pj / before:.1f} %" if before else "",
        "" if point.firing_rate is None else f"{point.firing_rate:.3f}",
    )  # fmt: skip


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def rows(found: PricedRobustness) -> list[tuple[RobustnessPoint, tuple[str, ...]]]:
    """Each point with its row: the undisturbed one, then every strength."""
    points = (found.undisturbed, *found.points)
    unit = common_energy_scale(point.energy_pj for point in points)
    return [(point, row(found, point, unit)) for point in points]
