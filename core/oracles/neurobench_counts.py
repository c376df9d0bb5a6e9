"""NeuroBench 2.3.0 behind one door, in tests alone: an independent count of effective synaptic operations."""

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
    """Sums over all images and steps. `layers`: effective operations of each, ACs and MACs together."""

    acs: int
    macs: int
    layers: dict[str, int]


def measure(model: nn.Module, batches: Iterable[Tensor]) -> NeurobenchResult:
    """What NeuroBench counts while `model` evaluates the batches; the model is unchanged afterwards.

    batches: [N, C, H, W] each. NeuroBench looks at values: an input whose elements are all -1, 0 or 1 gives
    ACs, whatever the plan says. Its sums are exact in float64: pass a double model and double batches.
    """
    names = {layer: name for name, layer in model.named_modules()}
    metric, images = SynapticOperations(), 0
    layers: Counter[str] = Counter()
    for batch in batches:
        wrapped = TorchModel(model)
        wrapped.add_activation_module(neuron.base_node.BaseNode)
        wrapped.register_hooks()
        try:
            with torch.no_grad():
                totals = metric(wrapped, wrapped(batch), (batch, None))
                for hook in wrapped.connection_hooks:
                    hook.hook.remove()  # its copy of the layer would call it again
                    # the metric keeps no layer apart; this is the function that it sums over
                    layers[names[hook.layer]] += sum(single_layer_MACs(x[0], hook.layer)[0] for x in hook.inputs)
        finally:
            wrapped.cleanup_hooks()
        images += len(batch)
    return NeurobenchResult(
        acs=round(totals["Effective_ACs"] * images), macs=round(totals["Effective_MACs"] * images), layers=dict(layers)
    )
