"""What does counting every synaptic operation exactly cost an evaluation? The goal: at most a tenth of its time.

The same trained-like spiking SqueezeNet evaluates the same images with and without a Counter; the counted
contender also reads all its integers at the end of each call.

    python -m benchmarks.counting [--small] [--json] [--rounds N] [--threads N] [--batch N ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks.harness import compare, report

BATCHES = 2  # evaluated in one call


def _network(batch: int, steps: int):
    import torch

    from core.backbones.catalog import parse_mask, plan_for
    from core.engine.memory import keep_freed_memory
    from core.engine.network import Network
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="batch 32 only, few rounds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs="+")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (5 if arguments.small else 30)
    report(
        [
            compare(
                "Evaluation of SNN-SqueezeNet, 32x32, plain against counted",
                {"plain": plain, "with Counter": counted},
                images=BATCHES * batch,
                rounds=rounds,
                threads=arguments.threads,
                batch=batch,
                steps=4,
            )
            for batch in arguments.batch or ([32] if arguments.small else [32, 128])
        ],
        as_json=arguments.json,
    )


if __name__ == "__main__":
    main()
