"""Operations times prices: the one place where a count meets a profile's pJ, for one run or for many.

The CNN at few bits has prices of its own (`core.energy.quantised`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from core.compression import counts_size
from core.energy.bits import bit_synops, bit_synops_by_rate, widths
from core.energy.memory import EVENT
from core.energy.modes import LayerTally, Mode, Tally
from core.energy.quantised import integer_pj
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
    if (bits := widths(name)) is not None:
        return _integer_pj(profile, bits)
    if name == HOST_ADD:
        return 0.0 if profile.host_ac_pj is None else profile.host_ac_pj - profile.ac_pj
    constant, event, _ = name.partition(EVENT)
    return 0.0 if event and profile.synop_with_memory else profile.constant_pj(constant)


def _integer_pj(profile: Profile, bits: tuple[int, ...]) -> float:
    """What an operation of integers costs more than the AC or MAC that it was counted as.

    A multiplier of b x w bits costs what one of sqrt(b w) x sqrt(b w) costs, since its cells are b w. A chip does what
    spikes cause in its own way, at its own price, whatever the weights; its host does the MACs.
    """
    if len(bits) == 1:
        return 0.0  # a MAC of floats
    if len(bits) == 2:
        return 0.0 if profile.mac_from is not None else integer_pj("add", bits[1], profile) - profile.ac_pj
    one, other, wide = bits
    multiply = integer_pj("mul", math.sqrt(one * other), profile)
    return multiply + integer_pj("add", wide, profile) - profile.mac_pj


def _is_repriced(name: str) -> bool:
    """Whether an entry of `Tally.other` is counted in ACs and MACs too."""
    return name in REPRICED or widths(name) is not None


def price(tally: Tally | LayerTally, profile: Profile) -> float:
    """Estimated energy of a network or of one layer, pJ per inference. Raises BadValue."""
    return energy_pj(tally.acs, tally.macs, profile, tally.other)


def memory_pj(tally: Tally | LayerTally, profile: Profile) -> float:
    """The part of `price` that is memory accesses and address arithmetic, pJ per inference."""
    return energy_pj(0.0, 0.0, profile, {k: n for k, n in tally.other.items() if not _is_repriced(k)})


def mac_pj(tally: Tally | LayerTally, profile: Profile) -> float:
    """The part of `price` that is multiply-accumulates, pJ per inference: N_MAC E_MAC, those of integers at their price.

    The rest of the arithmetic goes to the accumulates, what a whole neuron update is billed at in their place too.
    """
    integers = {name: n for name, n in tally.other.items() if len(widths(name) or ()) == 3}
    return energy_pj(0.0, tally.macs, profile, integers)


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
                kept_params=layer.kept_params,
                weight_bits=layer.weight_bits,
                bit_synops=bit_synops(layer, counts),
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
        size=counts_size(counts, sum(layer.params for layer in counts.layers)),
        total_bit_synops=sum(bit_synops(layer, counts) for layer in counts.layers),
        total_bit_synops_by_rate=sum(bit_synops_by_rate(layer, counts) for layer in counts.layers),
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
