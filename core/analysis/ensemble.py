"""Two networks that answer together: the mean of both, or one that asks the other where it is unsure.

p_i: [C], a network's softmax of the output averaged over time for image i, at temperature 1: nothing is fitted.

    mean of both    argmax_k (p1_ik + p2_ik) / 2                                  E = E1 + E2
    cascade         argmax p1_i where max_k p1_ik > theta, else argmax p2_i       E = E1 + 1/N sum_{i asked} E2_i

In a mode without an energy of one image every E2_i is the mean E2, so that E = E1 + share asked * E2. At theta = 0 nothing
is asked; at theta = 1 every image, one of which a softmax is rounded to 1 too: hence "> theta".
Not modelled: the softmax, the mean and the comparison themselves, and what it takes to hold two networks at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.analysis.compare import gain, same_images
from core.analysis.exits import IMAGE_MODES, image_energy
from core.analysis.predictions import last_mean, predict, softmax
from core.bundle import Bundle, Predictions
from core.energy.modes import Mode
from core.energy.price import price
from core.errors import BadValue
from core.schemas.compare import ComparedRun
from core.schemas.ensemble import Answered, CascadePoint, Ensemble, Overlap, Together
from core.schemas.prices import Profile
from core.schemas.run import Kind

#: From "never asked" to "always asked": closer where the confidences of trained networks lie, which smoothed labels keep
#: below 1.
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999, 1.0)


def of_bundles(first: Bundle, second: Bundle, *, mode: Mode, profile: Profile) -> Ensemble:
    """From stored answers and integers of two finished runs; nothing is run again.

    Raises BadValue where their test images differ, or the profile lacks a price; BundleCorrupt; UnknownLayer.
    """
    counts = [bundle.counts() for bundle in (first, second)]
    answers = [bundle.predictions(own) for bundle, own in zip((first, second), counts, strict=True)]
    first_pj, second_pj = (price(mode.tally(own), profile) for own in counts)
    by_image = mode.name in IMAGE_MODES
    if by_image:
        per_sample = second.counts_per_sample(counts[1])
        energies = image_energy(counts[1], per_sample, mode=mode, profile=profile).energy_pj.sum(axis=(1, 2))
    else:
        energies = np.full(len(answers[1].index), second_pj)
    found = together(*answers, first_pj=first_pj, second_pj=energies, mode=mode, profile=profile, by_image=by_image)
    if found is None:
        n, other = (len(given.index) for given in answers)
        there = f"the same {n:,} images" + ("" if n == other else f"; it was tested on {other:,}")
        expected = f"a run that was tested as {first.name} was, on {there}"
        raise BadValue(field="second", value=second.name, expected=expected)
    return found


def require_same_data(first: tuple[str, str | None], second: tuple[str, str | None], *, names: tuple[str, str]) -> None:
    """Raises BadValue unless both are on one data set and, as far as is noted, on the same images of it.

    first, second: the data set's name and the digest of its images, None where that was not noted.
    """
    (dataset, images), (other, others_images) = first, second
    if other != dataset:
        raise BadValue(
            field="second", value=names[1], expected=f"a run on {dataset}, as {names[0]} is; it is on {other}"
        )
    if None not in (images, others_images) and images != others_images:
        expected = f"a run on the same images as {names[0]}: {dataset} was replaced between the two"
        raise BadValue(field="second", value=names[1], expected=expected)


def together(
    first: Predictions,
    second: Predictions,
    *,
    first_pj: float,
    second_pj: np.ndarray,
    mode: Mode,
    profile: Profile,
    by_image: bool,
) -> Ensemble | None:
    """The two networks' answers on the same test images; None unless both saw the same images and labels.

    first, second: outputs [N, T, C] float32, T may differ. first_pj: mean energy per image, pJ; second_pj: [N] float64,
    that of each image in the order of `second`, pJ, priced in `mode` at `profile`; `by_image`: it is each image's own.
    """
    orders = same_images(first, second)
    if orders is None:
        return None
    one, other = orders
    label, spent, n = first.label[one], second_pj[other], len(one)
    shares, others_shares = softmax(last_mean(first.outputs)[one]), softmax(last_mean(second.outputs)[other])
    right, others_right = predict(first.outputs)[one] == label, predict(second.outputs)[other] == label
    surest, mean_pj = shares.max(axis=1), float(spent.mean())

    def answered(now: np.ndarray, energy_pj: float) -> Together:
        return Together(
            accuracy=float(now.mean()),
            energy_pj=energy_pj,
            against_first=gain(right, now),
            against_second=gain(others_right, now),
        )

    def point(threshold: float) -> CascadePoint:
        asked = ~(surest > threshold)
        found = answered(np.where(asked, others_right, right), first_pj + float(spent[asked].sum()) / n)
        return CascadePoint(threshold=threshold, asked=int(asked.sum()), **found.model_dump())

    return Ensemble(
        mode=mode.name,
        profile=profile.name,
        n=n,
        by_image=by_image,
        first=Answered(accuracy=float(right.mean()), energy_pj=first_pj),
        second=Answered(accuracy=float(others_right.mean()), energy_pj=mean_pj),
        mean=answered(((shares + others_shares) / 2).argmax(axis=1) == label, first_pj + mean_pj),
        overlap=Overlap(
            both=int((right & others_right).sum()),
            first_only=int((right & ~others_right).sum()),
            second_only=int((~right & others_right).sum()),
            neither=int((~right & ~others_right).sum()),
        ),
        cascade=[point(threshold) for threshold in THRESHOLDS],
    )


def partners(runs: Sequence[ComparedRun]) -> dict[str, list[str]]:
    """Of compared runs, those that can answer together with another: id -> ids of the others on as many test images of
    the same data set. Whether the images are the same ones, the answers tell."""

    def tested(run: ComparedRun) -> tuple[str, str | None, int]:
        return run.config.dataset, run.data_digest, run.n_test

    found = {
        run.id: [other.id for other in runs if other.id != run.id and tested(other) == tested(run)] for run in runs
    }
    return {run_id: others for run_id, others in found.items() if others}


def default_pair(runs: Sequence[ComparedRun]) -> tuple[str, str] | None:
    """(answers first, is asked) where nobody chose: a spiking network and a CNN, twins if there are any; of one kind the
    one that needs less energy first. None where no two were tested alike."""
    known, others = {run.id: run for run in runs}, partners(runs)

    def rank(pair: tuple[str, str]) -> tuple[bool, bool, bool]:
        first, second = (known[run_id] for run_id in pair)
        kinds = (first.kind, second.kind) != (Kind.SNN, Kind.CNN)
        return kinds, first.config.twin_hash != second.config.twin_hash, first.energy_pj > second.energy_pj

    return min(((one, other) for one in others for other in others[one]), key=rank, default=None)
