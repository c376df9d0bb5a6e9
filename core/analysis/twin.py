"""A spiking network beside its CNN twin: 32 bits, the few bits that match T, and the break-even firing rate."""

from __future__ import annotations

from core.analysis.compare import ratio
from core.energy.break_even import break_even
from core.energy.modes import Mode
from core.energy.quantised import equivalent_bits, missing_integer_prices, quantised_twin
from core.schemas.prices import Profile
from core.schemas.results import Counts
from core.schemas.twin import QuantisedCnn, TwinEnergy

WEIGHT_BITS = 8  # what quantised networks commonly keep their weights at


def twin_energy(snn: Counts, cnn: Counts, mode: Mode, profile: Profile) -> TwinEnergy:
    """What both cost, pJ per inference, and at which firing rate they would cost the same.

    A profile without integer prices leaves the CNN at few bits without an energy and says so. Not modelled: routing,
    control, leakage; memory traffic only in the mode `memory`. Raises UnknownLayer, or BadValue where the
    counts are not of a spiking network and a CNN, or where the profile lacks a price that the mode needs.
    """
    level = break_even(snn, cnn, mode, profile)
    bits = equivalent_bits(snn.time_steps)
    return TwinEnergy(
        mode=mode.name,
        profile=profile.name,
        time_steps=snn.time_steps,
        n_samples=snn.n_samples,
        snn_pj=level.snn_pj,
        cnn_pj=level.cnn_pj,
        cnn_bits=profile.word_bits,
        energy_ratio=ratio(level.snn_pj, level.cnn_pj),
        quantised=tuple(
            _quantised(cnn, snn.time_steps, weight_bits, level.snn_pj, mode, profile)
            for weight_bits in dict.fromkeys((WEIGHT_BITS, bits))  # once where both are the same
        ),
        measured_rate=level.measured,
        break_even_rate=level.rate,
        silent_pj=level.constant_pj,
        reason=level.reason,
        not_said=_not_said(bits, snn.time_steps, mode, profile),
    )


def _quantised(
    cnn: Counts, time_steps: int, weight_bits: int, snn_pj: float, mode: Mode, prices: Profile
) -> QuantisedCnn:
    if missing := missing_integer_prices(prices):
        note = (
            f"The profile {prices.name} has no price above 0 of {', '.join(missing)}: nothing says what few bits cost."
        )
        return QuantisedCnn(
            bits=equivalent_bits(time_steps),
            weight_bits=weight_bits,
            energy_pj=None,
            energy_ratio=None,
            status=None,
            note=note,
        )
    found = quantised_twin(cnn, time_steps, prices, mode, weight_bits=weight_bits)
    return QuantisedCnn(
        bits=found.bits,
        weight_bits=found.weight_bits,
        energy_pj=found.energy_pj,
        energy_ratio=ratio(snn_pj, found.energy_pj),
        status=found.status,
    )


def _not_said(bits: int, time_steps: int, mode: Mode, prices: Profile) -> tuple[str, ...]:
    width = f"{bits} bit{'' if bits == 1 else 's'}"
    said = [
        f"How accurate the CNN is at {width} is not known: nothing was trained or run at them.",
        "The spiking network is priced at the profile's own numbers; at fewer bits it would cost less too.",
    ]
    if mode.name == "paper" and time_steps > 1:
        said.append(f"The mode paper bills one of the {time_steps} steps; the CNN's bits are those of all of them.")
    if prices.mac_from is not None:
        said.append(f"Spikes are billed at the prices of {prices.name}, the CNN at those of {prices.mac_from}.")
    return tuple(said)
