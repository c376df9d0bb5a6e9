"""What a measured run's accuracy and energy are at each disturbance: its counts priced, its answers with intervals."""

from __future__ import annotations

from core.analysis.compare import Z, interval
from core.bundle import Bundle, write_atomic
from core.energy.modes import Mode
from core.energy.price import firing_rate, price
from core.errors import BundleCorrupt
from core.schemas.prices import Profile
from core.schemas.robustness import Disturbed, PricedRobustness, Robustness, RobustnessPoint, Tested

#: Beside a finished bundle's files and, as it comes later and can be made again, no part of its manifest.
FILE = "robustness.json"
MOST_BYTES = 64 << 20


def kept(bundle: Bundle) -> Robustness | None:
    """What was measured of this bundle's network; None where nothing was, or of another network.

    Raises BundleCorrupt for a file that is none of ours.
    """
    path = bundle.beside(FILE)
    if not path.is_file():
        return None
    if path.stat().st_size > MOST_BYTES:
        raise BundleCorrupt(file=FILE, why=f"it has more than {MOST_BYTES >> 20} MiB.")
    found = Bundle(path.parent).model(FILE, Robustness)
    return found if found.weights_sha256 == bundle.weights_sha256 else None


def keep(bundle: Bundle, found: Robustness) -> None:
    """Write it beside the bundle's files. Raises StorageFull or HomeUnusable."""
    write_atomic(bundle.path / FILE, found.model_dump_json().encode() + b"\n")


def priced(found: Robustness, mode: Mode, profile: Profile) -> PricedRobustness:
    """Raises UnknownLayer, or BadValue for a profile without a price."""
    undisturbed = _point(found, found.undisturbed, mode, profile)
    return PricedRobustness(
        mode=mode.name,
        profile=profile.name,
        seed=found.seed,
        n=found.n,
        n_test=found.n_test,
        time_steps=found.undisturbed.counts.time_steps,
        answers_equal=found.answers_equal,
        undisturbed=undisturbed,
        points=[_point(found, point, mode, profile) for point in found.points],
    )


def _point(found: Robustness, point: Tested, mode: Mode, profile: Profile) -> RobustnessPoint:
    tally = mode.tally(point.counts)
    low, high = wilson(point.correct, found.n)
    change = change_low = change_high = 0.0
    kind = strength = None
    if isinstance(point, Disturbed):
        kind, strength = point.kind, point.strength
        change = (point.gained - point.lost) / found.n
        change_low, change_high = interval(gained=point.gained, lost=point.lost, n=found.n)
    return RobustnessPoint(
        kind=kind,
        strength=strength,
        accuracy=point.correct / found.n,
        low=low,
        high=high,
        change=change,
        change_low=change_low,
        change_high=change_high,
        acs=tally.acs,
        macs=tally.macs,
        energy_pj=price(tally, profile),
        firing_rate=firing_rate(point.counts),
    )


def wilson(correct: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of n images, in [0, 1].

    SOURCE: Wilson, Journal of the American Statistical Association 22 (1927) 209-212, the score interval:
        (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),  z = 1.96
    """
    share, square = correct / n, Z**2 / n
    centre = (share + square / 2) / (1 + square)
    half = Z * (share * (1 - share) / n + square / (4 * n)) ** 0.5 / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)
