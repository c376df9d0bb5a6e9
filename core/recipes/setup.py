"""What a recipe decides of a run, beside its network, its data and its seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.schemas.run import NeuronConfig, TrainingConfig

#: The neuron of Kabir et al. (arXiv:2602.09717, section 4), as their search left it.
PUBLISHED_NEURON = NeuronConfig(tau=1.08, v_threshold=1.0, alpha=2.0)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """T, the neuron, how pixels are read, and how weights are found. A CNN takes what it can have of it."""

    training: TrainingConfig
    time_steps: int = 4
    neuron: NeuronConfig = PUBLISHED_NEURON
    input: Literal["normalised", "intensity"] = "normalised"
