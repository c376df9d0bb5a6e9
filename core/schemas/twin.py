"""A spiking network beside its CNN twin: what each costs, and where both would cost the same. `GET /runs/{id}/twin`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.schemas.base import Frozen

#: Whether a price at b bits is printed, or lies between printed ones, or beyond them.
Status = Literal["published", "interpolated", "extrapolated"]


class QuantisedCnn(Frozen):
    """The counts of the CNN that ran, priced at few bits. Nothing was trained or run at them."""

    bits: int = Field(description="of an activation: ceil(log2(T + 1))")
    weight_bits: int
    energy_pj: float | None = Field(description="per inference; null where the profile prices no integers")
    energy_ratio: float | None = Field(description="the spiking network's over this one's: below 1 it needs less")
    status: Status | None = Field(description="of the prices at these bits; null where there are none")
    note: str = Field(default="", description="why there is no energy; else empty")


class TwinEnergy(Frozen):
    """Energies per inference in one mode at one profile, estimated from counts and not measured on hardware."""

    mode: str
    profile: str
    time_steps: int = Field(description="T of the spiking network")
    n_samples: int = Field(description="test images on which the spiking network was counted")
    snn_pj: float
    cnn_pj: float = Field(description="at the profile's own numbers, of `cnn_bits`")
    cnn_bits: int = Field(description="32, unless the profile prices other numbers")
    energy_ratio: float | None = Field(description="the spiking network's over the CNN's: below 1 it needs less")
    quantised: tuple[QuantisedCnn, ...] = Field(description="with 8-bit weights, then with weights of as few bits")
    measured_rate: float = Field(description="spikes / (neurons x T), in [0, 1]")
    break_even_rate: float | None = Field(description="rate at which both cost the same; null where there is none")
    silent_pj: float = Field(description="what the spiking network costs without a spike")
    reason: str = Field(description="what the two rates say, or why there is no break-even rate")
    not_said: tuple[str, ...] = Field(description="what does not follow from these figures, as sentences")


class RunTwin(TwinEnergy):
    """The same for a run and its newest finished twin, whichever of the two was asked for."""

    snn_id: str
    cnn_id: str
