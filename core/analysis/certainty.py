"""How sure a place on the front is, when accuracies scatter and prices are known only as ranges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from core.analysis.pareto import front
from core.energy.price import energy_pj
from core.schemas.prices import Profile

DRAWS = 400
SEED = 20_140_211  # fixed, so that the same runs always get the same answer


def accuracy_spread(accuracy: np.ndarray, n_test: np.ndarray, groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(centre, deviation) of each run's accuracy if it were trained again: [N], [N] float64.

    accuracy: [N] in [0, 1]; n_test: [N] test images; groups: runs that differ in their seed alone share a word.
    Several seeds: their mean and standard deviation s, s^2 = sum (x - mean)^2 / (n - 1). One seed: its own accuracy
    p and the binomial error of n test images, sqrt(p (1 - p) / n), which leaves out what another seed would do.
    """
    accuracy, n_test = np.asarray(accuracy, dtype=np.float64), np.asarray(n_test, dtype=np.float64)
    centre, deviation = accuracy.copy(), np.sqrt(accuracy * (1 - accuracy) / n_test)
    members: defaultdict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group or f"alone {place}"].append(place)
    for places in members.values():
        if len(places) > 1:
            centre[places] = accuracy[places].mean()
            deviation[places] = accuracy[places].std(ddof=1)
    return centre, deviation


def front_probability(
    *,
    centre: np.ndarray,
    deviation: np.ndarray,
    acs: np.ndarray,
    macs: np.ndarray,
    other: dict[str, np.ndarray],
    profile: Profile,
    draws: int = DRAWS,
) -> np.ndarray:
    """Share of draws in which each run is on the front of accuracy against energy: [N] float64 in [0, 1].

    Each draw gives every run an accuracy from a normal distribution (centre, deviation: [N]), kept in [0, 1], and
    one price of an AC and one of a MAC to all of them, log-uniform over the profile's published ranges (a range of
    one value is that value). Memory prices have no published range and stay. The generator's seed is fixed.
    Not modelled: the spread of firing rates over seeds, and errors that twins share.
    """
    random = np.random.default_rng(SEED)
    shares = np.zeros(len(centre))
    for _ in range(draws):
        accuracy = np.clip(centre + deviation * random.standard_normal(len(centre)), 0, 1)
        prices = {"ac_pj": _price(random, profile.ac_range), "mac_pj": _price(random, profile.mac_range)}
        drawn = profile.model_copy(update=prices)
        shares += front(energy_pj(acs, macs, drawn, other), accuracy)
    return shares / draws


def _price(random: np.random.Generator, between: tuple[float, float]) -> float:
    low, high = between
    return low if low == high else float(low * (high / low) ** random.random())
