"""The CNN twin at the few bits that T time steps of spikes can tell apart: the fair rival of a spiking network.

A neuron that fires 0 to T times gives T + 1 values, as an activation of b = ceil(log2(T + 1)) bits does: Z. Yan,
Z. Bai, W.-F. Wong, "Reconsidering the energy efficiency of spiking neural networks", arXiv:2409.08290. Nothing is
trained or run at b bits here: counts of the CNN that ran are priced at b-bit operations. Its accuracy at b bits is not
known from that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from core.energy.memory import SRAM
from core.energy.modes import Mode
from core.errors import BadValue
from core.schemas.prices import Profile
from core.schemas.results import Counts
from core.schemas.run import Kind
from core.schemas.twin import Status

_LOW, _HIGH = 8, 32  # bits at which Horowitz prices integers
#: What a profile must price for integers of any width to have a price.
INTEGER_PRICES = tuple(f"{operation}-int{bits}" for operation in ("add", "mul") for bits in (_LOW, _HIGH))


@dataclass(frozen=True, kw_only=True)
class QuantisedTwin:
    """A CNN priced at `bits` activations and `weight_bits` weights; energy in pJ per inference."""

    bits: int
    weight_bits: int
    ac_pj: float
    mac_pj: float
    energy_pj: float
    status: Status


def equivalent_bits(time_steps: int) -> int:
    """ceil(log2(T + 1)): the bits that tell T + 1 spike counts apart. Raises BadValue for T below 1."""
    if time_steps < 1:
        raise BadValue(field="time_steps", value=time_steps, expected="at least 1")
    return time_steps.bit_length()


def integer_pj(operation: Literal["add", "mul"], bits: float, profile: Profile) -> float:
    """Energy of an integer operation on `bits`-bit operands, pJ.

    E(b) = E_8 (b / 8)^p with p = log4(E_32 / E_8): the power law through the two printed prices. At Horowitz's, p is
    0.87 for an adder (about b) and 1.98 for a multiplier (about b^2). Between the two it is interpolated, elsewhere
    extrapolated. Raises BadValue for a profile without integer prices above 0.
    """
    if missing := [name for name in missing_integer_prices(profile) if name.startswith(operation)]:
        raise BadValue(field="profile", value=profile.name, expected=f"one with a price of {missing[0]} above 0")
    low, high = (profile.constant_pj(f"{operation}-int{at}") for at in (_LOW, _HIGH))
    return low * (bits / _LOW) ** (math.log(high / low) / math.log(_HIGH / _LOW))


def missing_integer_prices(profile: Profile) -> tuple[str, ...]:
    """Those of INTEGER_PRICES that a profile lacks, or has at 0: no power law goes through 0."""
    constants = profile.constants
    return tuple(name for name in INTEGER_PRICES if name not in constants or not constants[name].pj)


def integer_status(bits: int) -> Status:
    """Where `bits` lies among the printed ones."""
    if bits in (_LOW, _HIGH):
        return "published"
    return "interpolated" if _LOW < bits < _HIGH else "extrapolated"


def quantised_twin(
    counts_cnn: Counts, time_steps: int, profile: Profile, mode: Mode, *, weight_bits: int | None = None
) -> QuantisedTwin:
    """The CNN's bill in `mode` at the bits that match `time_steps`.

    Weights have as many bits as activations unless `weight_bits` says more. A multiplier of b x w bits costs what one
    of sqrt(b w) x sqrt(b w) costs (its cells are b w); an add costs one of max(b, w) bits, though sums grow
    wider. A memory access costs its share of a 32-bit one, max(b, w) / 32, with the memory taken as large as
    for 32-bit words; address arithmetic stays 32 bits wide. Prices come from the profile's integer constants, whatever
    number it prices itself. Raises UnknownLayer, or BadValue for counts of a spiking network.
    """
    if counts_cnn.kind is not Kind.CNN:
        raise BadValue(field="counts", value=counts_cnn.kind.value, expected="those of a cnn")
    tally = mode.tally(counts_cnn)
    bits = equivalent_bits(time_steps)
    weights = bits if weight_bits is None else weight_bits
    wide = max(bits, weights)
    add = integer_pj("add", wide, profile)
    mac = add + integer_pj("mul", math.sqrt(bits * weights), profile)
    energy = tally.acs * add + tally.macs * mac
    sram = {name for _, name in SRAM}
    for name, n in tally.other.items():
        if name in sram:
            energy += n * profile.constant_pj(name) * wide / profile.word_bits
        elif name in profile.constants:
            energy += n * profile.constant_pj(name)
    return QuantisedTwin(
        bits=bits,
        weight_bits=weights,
        ac_pj=add,
        mac_pj=mac,
        energy_pj=energy,
        status=integer_status(bits) if bits == weights else "extrapolated",
    )
