"""The firing rate at which a spiking network costs as much as its CNN twin."""

from __future__ import annotations

from dataclasses import dataclass

from core.energy.modes import Mode
from core.energy.price import firing_rate, price
from core.errors import BadValue
from core.schemas.prices import Profile
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """`rate` is the break-even mean firing rate in [0, 1], None where there is none; `reason` says why, or what it says.

    `measured` is the mean firing rate that was counted. Energies in pJ per inference; `constant_pj` is the spiking
    network's without a spike.
    """

    rate: float | None
    measured: float
    snn_pj: float
    cnn_pj: float
    constant_pj: float
    reason: str


def break_even(snn: Counts, cnn: Counts, mode: Mode, profile: Profile) -> BreakEven:
    """Where E_snn = E_cnn if all spike counts were scaled alike: r* = r (E_cnn - E_0) / (E_snn - E_0).

    E_snn is affine in a common scale of every layer's spikes and of the operations they cause. E_0 is what stays at
    scale 0: layers fed by real values, biases, neurons. Values derived from spikes, such as averages and sums, are
    real and stay as they were counted; so does the CNN. r is spikes / (neurons x T) over all neurons.

    Raises UnknownLayer, or BadValue where the counts are not of a spiking network and a CNN.
    """
    for field, counts, kind in (("snn", snn, Kind.SNN), ("cnn", cnn, Kind.CNN)):
        if counts.kind is not kind:
            raise BadValue(field=field, value=counts.kind.value, expected=f"counts of a {kind.value}")
    snn_pj, cnn_pj, constant_pj = (price(mode.tally(counts), profile) for counts in (snn, cnn, silenced(snn)))
    measured = firing_rate(snn) or 0.0
    rate, reason = None, ""
    if constant_pj >= cnn_pj:
        reason = "The spiking network costs more than its twin even if no neuron fires."
    elif snn_pj <= constant_pj:
        reason = "No spike was counted, so there is nothing to scale."
    else:
        rate = measured * (cnn_pj - constant_pj) / (snn_pj - constant_pj)
        side = "dearer" if measured > rate else "cheaper"
        reason = f"At its measured rate the spiking network is {side} than its twin."
        if rate > 1:
            rate, reason = None, "The spiking network is cheaper than its twin at every rate up to 1."
    return BreakEven(rate=rate, measured=measured, snn_pj=snn_pj, cnn_pj=cnn_pj, constant_pj=constant_pj, reason=reason)


def silenced(counts: Counts) -> Counts:
    """The same spiking network with no spike anywhere."""
    return counts.model_copy(update={"layers": tuple(_silent(layer) for layer in counts.layers)})


def _silent(layer: LayerCounts) -> LayerCounts:
    none = {"spikes": (0,) * len(layer.spikes)}
    if layer.input_is_spikes:
        none |= {"ac": (0,) * len(layer.ac), "input_nonzero": (0,) * len(layer.input_nonzero)}
    return layer.model_copy(update=none)
