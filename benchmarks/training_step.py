"""How many times faster than SpikingJelly's multi-step mode is our training step of the spiking SqueezeNet on a CPU?

Both networks start from the same weights, see the same images and labels, run T = 4 steps in training mode,
take cross-entropy of the time-averaged output, and step Adam. SpikingJelly's is written as its tutorial does
(step_mode="m", reset_net after each batch, torch's default Adam); ours is what the trainer runs.

    python -m benchmarks.training_step [--small] [--json] [--rounds N] [--threads N] [--batch N ...]
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness import run_from_shell

N_CLASSES, SIDE = 10, 32


def _parts(batch: int, steps: int):
    import torch

    from core.backbones.catalog import parse_mask, plan_for
    from core.engine.network import Network
    from core.schemas.run import RunConfig

    mask = parse_mask("squeezenet", "Full")
    plan = plan_for(backbone="squeezenet", mask=mask, input_shape=(3, SIDE, SIDE), n_classes=N_CLASSES)
    config = RunConfig(mask=mask, kind="snn", dataset="cifar10", time_steps=steps)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, SIDE, SIDE, generator=generator)
    labels = torch.randint(0, N_CLASSES, (batch,), generator=generator)
    return Network(plan, config), x, labels


def spikefront(batch: int, steps: int) -> Callable[[], None]:
    """Our network with the fused Adam."""
    import torch
    from torch.nn import functional as F

    from core.host.malloc import keep_freed_memory

    keep_freed_memory()
    network, x, labels = _parts(batch, steps)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x).mean(0), labels).backward()
        optimizer.step()

    return step


def spikingjelly(batch: int, steps: int) -> Callable[[], None]:
    """SpikingJelly's multi-step mode."""
    import torch
    from spikingjelly.activation_based import functional
    from torch.nn import functional as F

    from core.oracles.spikingjelly_counts import SpikingSqueezeNet

    ours, x, labels = _parts(batch, steps)
    config = ours.config
    network = SpikingSqueezeNet(mask=config.mask, channels=3, n_classes=N_CLASSES, steps=steps, lif=config.neuron)
    network.load_state_dict(ours.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x).mean(0), labels).backward()
        optimizer.step()
        functional.reset_net(network)

    return step


def main() -> None:
    run_from_shell(
        "Training step of SNN-SqueezeNet, 32x32",
        {"SpikingJelly multi-step": spikingjelly, "spikefront": spikefront},
        doc=__doc__,
        batches=(8, 32),
    )


if __name__ == "__main__":
    main()
