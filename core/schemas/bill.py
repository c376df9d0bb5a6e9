"""What each layer costs: operations and energy, priced."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.compression import Size


class LayerBill(Frozen):
    """One layer's ops and energy per inference, in the mode and profile asked for."""

    name: str
    kind: str
    block: str | None
    output_shape: tuple[int, ...]
    params: int
    dense_ops: int
    acs: float
    macs: float
    energy_pj: float
    memory_energy_pj: float = Field(default=0.0, description="the part of energy_pj that is memory and addresses")
    mac_energy_pj: float | None = Field(
        default=None,
        description="the part of energy_pj that is multiply-accumulates; null in what was stored without it",
    )
    firing_rate: float | None = Field(description="of the layer's own neurons; None where it has none")
    firing_rate_per_step: list[float] | None
    kept_params: int | None = Field(default=None, description="weights that are not pruned; null: all, or no weights")
    weight_bits: int | None = Field(default=None, description="of a weight; null: float32, or no weights")
    bit_synops: float = Field(default=0.0, description="synaptic operations of `exact` x bits of a weight")


class Layers(Frozen):
    mode: str
    profile: str
    n_samples: int
    time_steps: int
    layers: list[LayerBill]
    total_acs: float
    total_macs: float
    total_energy_pj: float
    size: Size | None = Field(default=None, description="of the weights; null in what was stored without it")
    total_bit_synops: float = 0.0
    total_bit_synops_by_rate: float = Field(
        default=0.0, description="by LitE-SNN's formula: kept weights x bits x firing rate x output places"
    )
