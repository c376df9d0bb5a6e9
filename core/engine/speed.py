"""How fast a machine trains, in a few seconds: one small network on random images, for a worker to say of itself."""

from __future__ import annotations

import time

import torch

from core.backbones.catalog import plan_for
from core.engine.losses import cross_entropy_of_mean
from core.engine.network import Network
from core.engine.optimizers import eager
from core.schemas.run import RunConfig

MASK, SIDE, CLASSES, STEPS, BATCH = ("F9",), 32, 10, 4, 32
#: What the figure is of; it stands beside it wherever it is shown.
NETWORK = f"SNN-SqueezeNet F9, {SIDE} x {SIDE} pixels, T = {STEPS}, batches of {BATCH}"
WARM_STEPS = 2


def images_per_s(device: str, threads: int, *, limit_s: float = 2.0) -> float:
    """Training images a second of the network in NETWORK, after WARM_STEPS steps; at least one step is timed.

    Left out: loading and augmenting images, validation. A figure to compare machines by, not a forecast of a run.
    """
    torch.set_num_threads(threads)
    place = torch.device(device)
    plan = plan_for(backbone="squeezenet", mask=MASK, input_shape=(3, SIDE, SIDE), n_classes=CLASSES)
    network = Network(plan, RunConfig(mask=MASK, time_steps=STEPS)).to(place)
    optimizer = eager(torch.optim.Adam)(network.parameters())
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, SIDE, SIDE, generator=draw).to(place, memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH,), generator=draw).to(place)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy_of_mean(network(images), labels).backward()
        optimizer.step()
        if place.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(WARM_STEPS):
        step()
    n, start = 0, time.perf_counter()
    while n == 0 or time.perf_counter() - start < limit_s:
        step()
        n += 1
    return n * BATCH / (time.perf_counter() - start)
