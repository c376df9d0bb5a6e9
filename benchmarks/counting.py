"""What does counting every synaptic operation exactly cost an evaluation? The goal: at most a tenth of its time.

The same trained-like spiking SqueezeNet evaluates the same images with and without a Counter; the counted
contender also reads all its integers at the end of each call.

    python -m benchmarks.counting [--small] [--json] [--rounds N] [--threads N] [--batch N ...]
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness import run_from_shell

BATCHES = 2  # evaluated in one call


def _network(batch: int, steps: int):
    import torch

    from core.backbones.catalog import parse_mask, plan_for
    from core.engine.network import Network
    from core.host.malloc import keep_freed_memory
    from core.schemas.run import RunConfig

    keep_freed_memory()
    mask = parse_mask("squeezenet", "Full")
    plan = plan_for(backbone="squeezenet", mask=mask, input_shape=(3, 32, 32), n_classes=10)
    network = Network(plan, RunConfig(mask=mask, kind="snn", dataset="cifar10", time_steps=steps))
    x = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # running statistics of one batch, so that every layer fires
    with torch.no_grad():
        network.train()(x[:32])
    return network.eval(), x


def plain(batch: int, steps: int) -> Callable[[], None]:
    """Evaluation alone."""
    import torch

    network, x = _network(batch, steps)

    @torch.inference_mode()
    def call() -> None:
        for _ in range(BATCHES):
            network(x)

    return call


def counted(batch: int, steps: int) -> Callable[[], None]:
    """Evaluation inside a Counter, read once at the end."""
    import torch

    from core.engine.count import Counter

    network, x = _network(batch, steps)

    @torch.inference_mode()
    def call() -> None:
        with Counter(network) as counter:
            for _ in range(BATCHES):
                network(x)
        counter.counts()
        counter.per_sample()

    return call


def main() -> None:
    run_from_shell(
        "Evaluation of SNN-SqueezeNet, 32x32, plain against counted",
        {"plain": plain, "with Counter": counted},
        doc=__doc__,
        batches=(32, 128),
        batches_per_call=BATCHES,
    )


if __name__ == "__main__":
    main()
