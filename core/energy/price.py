"""Operations times prices: the only place where a count meets a pJ."""

from __future__ import annotations

from collections.abc import Mapping

from core.energy.modes import MODES, Mode
from core.energy.profiles import Profile, profiles
from core.schemas.api import LayerBill, Layers
from core.schemas.results import Counts, LayerCounts


def energy_pj(acs: float, macs: float, profile: Profile | str) -> float:
    """Estimated energy in pJ: E = N_AC E_AC + N_MAC E_MAC (eq. 3.5 of Kabir et al.).

    Not modelled: memory traffic, routing, control, leakage. Raises UnknownName for an unknown profile.
    """
    prices = profiles()[profile] if isinstance(profile, str) else profile
    return acs * prices.ac_pj + macs * prices.mac_pj


def layers(counts: Counts, plan_blocks: Mapping[str, str | None], mode: Mode | str, profile: Profile | str) -> Layers:
    """The bill of a network, layer by layer, per inference.

    `plan_blocks` maps a layer's name to its removable block. Firing rates are those of the layer's own
    neurons: spikes / (neurons x T), over all counted samples. Raises UnknownName or UnknownLayer.
    """
    chosen = MODES[mode] if isinstance(mode, str) else mode
    prices = profiles()[profile] if isinstance(profile, str) else profile
    tally = chosen.tally(counts)
    bills = []
    for layer, ops in zip(counts.layers, tally.layers, strict=True):
        rates = firing_rates(layer, counts.n_samples)
        bills.append(
            LayerBill(
                name=layer.name,
                kind=layer.kind,
                block=plan_blocks.get(layer.name),
                output_shape=layer.output_shape,
                params=layer.params,
                dense_ops=layer.dense_ops,
                acs=ops.acs,
                macs=ops.macs,
                energy_pj=energy_pj(ops.acs, ops.macs, prices),
                firing_rate=sum(rates) / len(rates) if rates else None,
                firing_rate_per_step=rates,
            )
        )
    return Layers(
        mode=chosen.name,
        profile=prices.name,
        n_samples=counts.n_samples,
        time_steps=counts.time_steps,
        layers=bills,
        total_acs=tally.acs,
        total_macs=tally.macs,
        total_energy_pj=energy_pj(tally.acs, tally.macs, prices),
    )


def firing_rates(layer: LayerCounts, n_samples: int) -> list[float] | None:
    """Firing rate at each step, in [0, 1]; None for a layer without neurons."""
    if not layer.spikes:
        return None
    return [spikes / (layer.output_numel * n_samples) for spikes in layer.spikes]
