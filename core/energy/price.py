"""Operations times prices: the one place where a count meets a profile's pJ, for one run or for many.

The CNN at few bits has prices of its own (`core.energy.quantised`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from core.energy.memory import EVENT
from core.energy.modes import LayerTally, Mode, Tally
from core.energy.rules import EACH_STEP, HOST_ADD, REPRICED, UPDATES
from core.schemas.bill import LayerBill, Layers
from core.schemas.prices import Profile
from core.schemas.results import Counts, LayerCounts

#: One count, or an array of them: N runs are priced like one.
Amount = TypeVar("Amount", float, np.ndarray)


def energy_pj(acs: Amount, macs: Amount, profile: Profile, other: Mapping[str, Amount] | None = None) -> Amount:
    """Estimated energy in pJ: E = N_AC E_AC + N_MAC E_MAC (eq. 3.5 of Kabir et al.) + sum_k N_k E_k.

    acs, macs and each of `other`: counts per inference, a number or [N] float64, and so is what comes out. The last
    sum is over `Tally.other`; it is empty in the modes `paper`, `syops` and `exact`. Not modelled: routing, control,
    leakage. Raises BadValue for a profile without a price of k.
    """
    energy = acs * profile.ac_pj + macs * profile.mac_pj
    for name, n in (other or {}).items():
        energy = energy + n * other_pj(profile, name)
    return energy


def other_pj(profile: Profile, name: str) -> float:
    """The price of one of `Tally.other`: a constant, or the difference to the ACs and MACs it was counted as.

    Raises BadValue where the profile has no such price.
    """
    kind = next((kind for kind, update in UPDATES.items() if update == name), None)
    if kind is not None:
        acs, macs = EACH_STEP[kind]
        return 0.0 if profile.neuron_pj is None else profile.neuron_pj - acs * profile.ac_pj - macs * profile.mac_pj
    if name == HOST_ADD:
        return 0.0 if profile.host_ac_pj is None else profile.host_ac_pj - profile.ac_pj
    constant, event, _ = name.partition(EVENT)
    return 0.0 if event and profile.synop_with_memory else profile.constant_pj(constant)


def price(tally: Tally | LayerTally, profile: Profile) -> float:
    """Estimated energy of a network or of one layer, pJ per inference. Raises BadValue."""
    return energy_pj(tally.acs, tally.macs, profile, tally.other)


def memory_pj(tally: Tally | LayerTally, profile: Profile) -> float:
    """The part of `price` that is memory accesses and address arithmetic, pJ per inference."""
    return energy_pj(0.0, 0.0, profile, {k: n for k, n in tally.other.items() if k not in REPRICED})


def mac_pj(tally: Tally | LayerTally, profile: Profile) -> float:
    """The part of `price` that is multiply-accumulates, pJ per inference: N_MAC E_MAC.

    The rest of the arithmetic goes to the accumulates, what a whole neuron update is billed at in their place too.
    """
    return energy_pj(0.0, tally.macs, profile)


def layers(counts: Counts, plan_blocks: Mapping[str, str | None], mode: Mode, profile: Profile) -> Layers:
    """The bill of a network, layer by layer, per inference.

    `plan_blocks` maps a layer's name to its removable block. Firing rates are those of the layer's own
    neurons: spikes / (neurons x T), over all counted samples. Raises UnknownLayer or BadValue.
    """
    tally = mode.tally(counts)
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
                energy_pj=price(ops, profile),
                memory_energy_pj=memory_pj(ops, profile),
                mac_energy_pj=mac_pj(ops, profile),
                firing_rate=sum(rates) / len(rates) if rates else None,
                firing_rate_per_step=rates,
            )
        )
    return Layers(
        mode=mode.name,
        profile=profile.name,
        n_samples=counts.n_samples,
        time_steps=counts.time_steps,
        layers=bills,
        total_acs=tally.acs,
        total_macs=tally.macs,
        total_energy_pj=price(tally, profile),
    )


def firing_rate(counts: Counts) -> float | None:
    """Spikes / (neurons x T) over all neuron layers and samples, in [0, 1]; None for a network without spikes."""
    neurons = [layer for layer in counts.layers if layer.spikes]
    places = sum(layer.output_numel for layer in neurons) * counts.time_steps * counts.n_samples
    return sum(sum(layer.spikes) for layer in neurons) / places if places else None


def firing_rates(layer: LayerCounts, n_samples: int) -> list[float] | None:
    """Firing rate at each step, in [0, 1]; None for a layer without neurons."""
    if not layer.spikes:
        return None
    return [spikes / (layer.output_numel * n_samples) for spikes in layer.spikes]
