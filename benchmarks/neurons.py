"""What does a training step of SqueezeNet-P cost with counts, with spikes, and as a CNN, on a CPU?

The same network at 32x32 with the same weights, images and labels; forward, cross-entropy of the mean output,
backward, Adam. T = D = 4. The ratio is to the spiking network of the recipe `paper`. `if, soft` is another neuron on
the compiled kernels, beside it.

    python -m benchmarks.neurons [--small] [--json] [--rounds N] [--threads N] [--batch N ...]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.harness import run_from_shell

N_CLASSES, SIDE = 10, 32


def step(batch: int, steps: int, *, kind: str = "snn", neuron: dict[str, object]) -> Callable[[], None]:
    """One training step of a network with such neurons."""
    import torch
    from torch.nn import functional as F

    from core.backbones.catalog import parse_mask, plan_for
    from core.engine.network import Network
    from core.host.malloc import keep_freed_memory
    from core.schemas.run import NeuronConfig, RunConfig

    keep_freed_memory()
    mask = parse_mask("squeezenet", "P")
    plan = plan_for(backbone="squeezenet", mask=mask, input_shape=(3, SIDE, SIDE), n_classes=N_CLASSES)
    config = RunConfig(mask=mask, kind=kind, dataset="cifar10", time_steps=steps, neuron=NeuronConfig(**neuron))
    network = Network(plan, config)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, SIDE, SIDE, generator=generator)
    labels = torch.randint(0, N_CLASSES, (batch,), generator=generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def work() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x).mean(0), labels).backward()
        optimizer.step()

    return work


CONTENDERS = {
    "lif, T = 4": partial(step, neuron={"tau": 1.08}),
    "if, soft, V half, T = 4": partial(step, neuron={"model": "if", "reset": "soft", "v_start": "half"}),
    "count, D = 4": partial(step, neuron={"model": "count", "v_threshold": 0.5}),
    "CNN": partial(step, kind="cnn", neuron={}),
}


def main() -> None:
    run_from_shell("Training step of SqueezeNet-P, 32x32", CONTENDERS, doc=__doc__, batches=(8, 64))


if __name__ == "__main__":
    main()
