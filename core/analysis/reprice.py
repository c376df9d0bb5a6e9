"""Prices that somebody tries out: a profile with some of them moved."""

from __future__ import annotations

from core.schemas.prices import Factors, Profile


def moved(profile: Profile, factors: Factors) -> Profile:
    """The profile with its prices of an AC, a MAC and all memory accesses and addresses multiplied.

    A published price of a whole neuron update stays. A range around a price that was moved is gone: the price is
    then what somebody says it is.
    """
    ac_pj, mac_pj = profile.ac_pj * factors.ac, profile.mac_pj * factors.mac
    return profile.model_copy(
        update={
            "ac_pj": ac_pj,
            "mac_pj": mac_pj,
            "ac_range": profile.ac_range if factors.ac == 1 else (ac_pj, ac_pj),
            "mac_range": profile.mac_range if factors.mac == 1 else (mac_pj, mac_pj),
            "constants": {
                name: constant.model_copy(update={"pj": constant.pj * factors.memory})
                for name, constant in profile.constants.items()
            },
        }
    )
