"""Many runs under prices that somebody tries out: energies as arrays, and a profile with some prices moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from core.energy.profiles import Profile
from core.energy.rules import REPRICED
from core.schemas.prices import Factors


def moved(profile: Profile, factors: Factors) -> Profile:
    """The profile with its prices of an AC, a MAC and all memory accesses and addresses multiplied.

    A published price of a whole neuron update stays. A range around a price that was moved is gone: the price is
    then what somebody says it is.
    """
    ac_pj, mac_pj = profile.ac_pj * factors.ac, profile.mac_pj * factors.mac
    return replace(
        profile,
        ac_pj=ac_pj,
        mac_pj=mac_pj,
        ac_range=profile.ac_range if factors.ac == 1 else (ac_pj, ac_pj),
        mac_range=profile.mac_range if factors.mac == 1 else (mac_pj, mac_pj),
        constants={
            name: replace(constant, pj=constant.pj * factors.memory) for name, constant in profile.constants.items()
        },
    )


def energies(acs: np.ndarray, macs: np.ndarray, other: Mapping[str, np.ndarray], profile: Profile) -> np.ndarray:
    """Estimated energy of N runs, pJ per inference: `core.energy.price.energy_pj` for all of them at once.

    acs, macs, and each of `other` (counts by the name that prices them, as in `Tally.other`): [N] float -> [N]
    float64. Not modelled: routing, control, leakage. Raises BadValue for a profile without a price of one.
    """
    energy = np.asarray(acs, dtype=np.float64) * profile.ac_pj + np.asarray(macs, dtype=np.float64) * profile.mac_pj
    for name, counts in other.items():
        energy = energy + np.asarray(counts, dtype=np.float64) * profile.other_pj(name)
    return energy


def memory_energies(n: int, other: Mapping[str, np.ndarray], profile: Profile) -> np.ndarray:
    """The part of `energies` that is memory accesses and address arithmetic: [N] float64, pJ per inference."""
    traffic = {name: counts for name, counts in other.items() if name not in REPRICED}
    return energies(np.zeros(n), np.zeros(n), traffic, profile)
