"""Two networks that answer together, in sentences."""

from __future__ import annotations

from core.analysis.compare import ratio
from core.report.twin_words import against
from core.schemas.ensemble import Ensemble

SAID = 0.9  # the confidence of the sentence: written here before any run was looked at
OPTIMISTIC = (
    "The curve describes these test images. A threshold that is picked because it looks best here is picked on the test "
    "set, and its accuracy is then too good: bundles keep no answers to validation images to pick it by."
)


def sentences(found: Ensemble, first: str, second: str) -> list[str]:
    """What the mean of both gives against the better network alone, what the cascade gives at the confidence SAID, and
    how far the two err on the same images. `first`, `second`: how the networks are called."""
    by_second = found.second.accuracy >= found.first.accuracy
    name, alone = (second, found.second) if by_second else (first, found.first)
    mean = found.mean.against_second if by_second else found.mean.against_first
    point = next(point for point in found.cascade if point.threshold == SAID)
    overlap = found.overlap
    likely = 100 * (found.n - overlap.neither) / found.n
    said = against(
        "the mean of both",
        name,
        accuracy=mean.accuracy,
        paired=mean,
        energy_ratio=ratio(found.mean.energy_pj, alone.energy_pj),
    )
    cascade = against(
        "the cascade",
        second,
        accuracy=point.against_second.accuracy,
        paired=point.against_second,
        energy_ratio=ratio(point.energy_pj, found.second.energy_pj),
    )
    asked = (
        f"The cascade that asks {second} where {first} is at most {100 * SAID:.0f} % sure asks it on {point.asked:,} of "
        f"{found.n:,} images."
    )
    alike = (
        f"{overlap.first_only:,} images are right with {first} alone, {overlap.second_only:,} with {second} alone, "
        f"{overlap.neither:,} with neither: whichever of the two answers is taken, at most {likely:.2f} % are right."
    )
    return [said, f"{asked} {cascade}", alike]


def energy_note(found: Ensemble, second: str) -> str:
    """Which energy is charged where the second network is asked."""
    own = (
        f"Where {second} is asked, it is charged what those very images cost it"
        if found.by_image
        else f"The mode {found.mode} has no energy of one image: where {second} is asked, it is charged its mean"
    )
    return f"{own}. The softmax, the comparison and the place in memory of a second network are not charged."
