"""Operations times prices: the only place where a count meets a pJ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.energy.modes import MODES, LayerTally, Mode, Tally
from core.energy.profiles import Profile, profiles
from core.energy.rules import REPRICED
from core.schemas.bill import LayerBill, Layers
from core.schemas.results import Counts, LayerCounts


def energy_pj(acs: float, macs: float, profile: Profile | str, other: Mapping[str, float] | None = None) -> float:
    """Estimated energy in pJ: E = N_AC E_AC + N_MAC E_MAC (eq. 3.5 of Kabir et al.) + sum_k N_k E_k.

    The last sum is over `Tally.other`; it is empty in the modes `paper`, `syops` and `exact`. Not modelled:
    routing, control, leakage. Raises UnknownName for an unknown profile, BadValue for one without a price of k.
    """
    prices = profiles()[profile] if isinstance(profile, str) else profile
    energy = acs * prices.ac_pj + macs * prices.mac_pj
    return energy + sum(n * prices.other_pj(name) for name, n in other.items()) if other else energy


def price(tally: Tally | LayerTally, profile: Profile | str) -> float:
    """Estimated energy of a network or of one layer, pJ per inference. Raises UnknownName or BadValue."""
    return energy_pj(tally.acs, tally.macs, profile, tally.other)


def price_range(tally: Tally | LayerTally, profile: Profile | str) -> tuple[float, float]:
    """`price` at the lowest and at the highest published price of an AC and of a MAC, pJ per inference."""
    prices = profiles()[profile] if isinstance(profile, str) else profile
    low, high = (
        price(tally, replace(prices, ac_pj=ac, mac_pj=mac))
        for ac, mac in zip(prices.ac_range, prices.mac_range, strict=True)
    )
    return low, high


def memory_pj(tally: Tally | LayerTally, profile: Profile | str) -> float:
    """The part of `price` that is memory accesses and address arithmetic, pJ per inference."""
    return energy_pj(0.0, 0.0, profile, {k: n for k, n in tally.other.items() if k not in REPRICED})


def mac_pj(tally: Tally | LayerTally, profile: Profile | str) -> float:
    """The part of `price` that is multiply-accumulates, pJ per inference: N_MAC E_MAC.

    The rest of the arithmetic goes to the accumulates, what a whole neuron update is billed at in their place too.
    """
    return energy_pj(0.0, tally.macs, profile)


def layers(counts: Counts, plan_blocks: Mapping[str, str | None], mode: Mode | str, profile: Profile | str) -> Layers:
    """The bill of a network, layer by layer, per inference.

    `plan_blocks` maps a layer's name to its removable block. Firing rates are those of the layer's own
    neurons: spikes / (neurons x T), over all counted samples. Raises UnknownName, UnknownLayer or BadValue.
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
                energy_pj=price(ops, prices),
                memory_energy_pj=memory_pj(ops, prices),
                mac_energy_pj=mac_pj(ops, prices),
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
        total_energy_pj=price(tally, prices),
    )


def firing_rates(layer: LayerCounts, n_samples: int) -> list[float] | None:
    """Firing rate at each step, in [0, 1]; None for a layer without neurons."""
    if not layer.spikes:
        return None
    return [spikes / (layer.output_numel * n_samples) for spikes in layer.spikes]
