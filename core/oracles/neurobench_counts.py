"""NeuroBench 2.3.0 behind one door: an independent count of effective synaptic operations. In the extra `test` alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from neurobench.metrics.utils.layers import single_layer_MACs
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import TorchModel
from spikingjelly.activation_based import neuron
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class NeurobenchResult:
    """Sums over all images and steps. `layers`: (ACs, MACs) of each, by value: see `measure`."""

    acs: int
    macs: int
    layers: dict[str, tuple[int, int]]


def measure(model: nn.Module, batches: Iterable[Tensor]) -> NeurobenchResult:
    """What NeuroBench counts while `model` evaluates the batches; the model is unchanged afterwards.

    batches: [N, C, H, W] or [T, N, C, H, W] each. NeuroBench looks at values: an input whose elements are all -1, 0 or 1 gives
    ACs, whatever the plan says. Its sums are exact in float64: pass a double model and double batches.
    """
    names = {layer: name for name, layer in model.named_modules()}
    metric = SynapticOperations()
    acs: Counter[str] = Counter()
    macs: Counter[str] = Counter()
    for batch in batches:
        wrapped = TorchModel(model)
        wrapped.add_activation_module(neuron.base_node.BaseNode)
        wrapped.register_hooks()
        try:
            with torch.no_grad():
                metric(wrapped, wrapped(batch), (batch, None))
                for hook in wrapped.connection_hooks:
                    hook.hook.remove()  # its copy of the layer would call it again
                    # the metric keeps no layer apart; this is the function that it sums over
                    for x in hook.inputs:
                        operations, spiking = single_layer_MACs(x[0], hook.layer)
                        (acs if spiking else macs)[names[hook.layer]] += operations
        finally:
            wrapped.cleanup_hooks()
    layers = {name: (acs[name], macs[name]) for name in (*acs, *macs)}
    return NeurobenchResult(acs=metric.AC, macs=metric.MAC, layers=layers)
