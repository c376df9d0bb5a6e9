"""What `benchmarks.gpu` compares: our training step alone and in a stack, and SpikingJelly's, on the GPU where there is one.

Each contender is a function that runs in a process of its own and returns what is timed. Images and labels are random; the
shapes are CIFAR-10's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEARNING_RATE = 1e-3


def place() -> Any:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def trainers(kind: Any, *, mask: str, steps: int, batch: int, runs: int, device: Any, **more: Any) -> list[Any]:
    """Runs of seeds 0, 1, ... on random images as large as CIFAR-10's, enough for two steps of an epoch."""
    import numpy as np
    import torch

    from core.datasets.catalog import DATASETS
    from core.engine.data import Images, Splits
    from core.engine.experiment import start_network
    from core.recipes.build import build_config
    from core.schemas.request import RunRequest

    draw = torch.Generator().manual_seed(0)
    n = 64 * batch

    def part(size: int) -> Images:
        images = torch.randint(0, 256, (size, 32, 32, 3), generator=draw).to(torch.uint8)
        labels = torch.randint(0, 10, (size,), generator=draw)
        return Images(images=images.to(device), labels=labels.to(device), index=np.arange(size))

    splits = Splits(
        train=part(n), validation=part(16), test=part(16), n_train_available=n, spec=DATASETS["cifar10"],
        complete=False, data="",
    )  # fmt: skip
    overrides = {
        "time_steps": steps,
        "batch_size": batch,
        "max_epochs": 10_000,
        "augment": "crop-flip",
        "lr": LEARNING_RATE,
    }
    made = []
    for seed in range(runs):
        request = RunRequest(mask=mask, dataset="cifar10", seed=seed, overrides={**overrides, "schedule": "constant"})
        config = build_config(request)
        trainer = kind(
            start_network(config, None, splits, device, None), config, splits, device=device, folder=Path(os.devnull),
            emit=lambda event: None, should_stop=lambda: False, **more,
        )  # fmt: skip
        trainer.network.train()
        made.append(trainer)
    return made


def go_on(trainer: Any) -> None:
    """To the next step, and after the last to the next epoch."""
    trainer.step += 1
    if trainer.step >= trainer.steps:
        trainer.epoch, trainer.step = trainer.epoch + 1, 0
        trainer._clear_epoch()


def settled(device: Any) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize()


def ours(
    *, mask: str, steps: int, batch: int, graphs: bool, triton: bool = False, times: int = 1
) -> Callable[[], None]:
    """The trainer's own step, images and augmentation included; `times` of them in a call."""
    from core.engine.train import Trainer
    from core.schemas.on_gpu import OnGpu

    device = place()
    (trainer,) = trainers(
        Trainer, mask=mask, steps=steps, batch=batch, runs=1, device=device, on_gpu=OnGpu(graphs=graphs, triton=triton)
    )

    def work() -> None:
        for _ in range(times):
            trainer._train_step()
            go_on(trainer)
        settled(device)

    return work


def stacked(*, mask: str, steps: int, batch: int, runs: int, graphs: bool, triton: bool) -> Callable[[], None]:
    """One step of a stack."""
    from core.engine.stacked.member import Member
    from core.engine.stacked.train import Stack
    from core.schemas.on_gpu import OnGpu

    device = place()
    members = trainers(Member, mask=mask, steps=steps, batch=batch, runs=runs, device=device)
    stack = Stack(members, device, on_gpu=OnGpu(graphs=graphs, triton=triton))

    def work() -> None:
        stack.step()
        for member in members:
            member.step -= 1  # noted already; the rest is as for a run alone
            go_on(member)
        settled(device)

    return work


def spikingjelly(*, mask: str, steps: int, batch: int, implementation: str) -> Callable[[], None]:
    """SpikingJelly's multi-step mode as its tutorial writes it, on images that lie there as floats already."""
    os.environ["SJ_LIF_CUDA_IMPLEMENTATION"] = implementation  # read when it is imported, which is now
    import torch
    from spikingjelly.activation_based import functional
    from torch.nn import functional as F

    from core.backbones.catalog import parse_mask
    from core.oracles.spikingjelly_counts import SpikingSqueezeNet
    from core.schemas.run import NeuronConfig

    device = place()
    kept = parse_mask("squeezenet", mask)
    network = SpikingSqueezeNet(mask=kept, channels=3, n_classes=10, steps=steps, lif=NeuronConfig()).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, 32, 32, generator=draw).to(device)
    labels = torch.randint(0, 10, (batch,), generator=draw).to(device)

    def work() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x).mean(0), labels).backward()
        optimizer.step()
        functional.reset_net(network)
        settled(device)

    return work
