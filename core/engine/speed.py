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


class Small:
    """The network in NETWORK on `device`, ready to train with `threads` threads of this process."""

    def __init__(self, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._place = torch.device(device)
        plan = plan_for(backbone="squeezenet", mask=MASK, input_shape=(3, SIDE, SIDE), n_classes=CLASSES)
        self._network = Network(plan, RunConfig(mask=MASK, time_steps=STEPS)).to(self._place)
        self._optimizer = eager(torch.optim.Adam)(self._network.parameters())
        draw = torch.Generator().manual_seed(0)
        images = torch.randn(BATCH, 3, SIDE, SIDE, generator=draw)
        self._images = images.to(self._place, memory_format=torch.channels_last)
        self._labels = torch.randint(0, CLASSES, (BATCH,), generator=draw).to(self._place)

    def step(self) -> None:
        """Train on one batch, to the end of it."""
        self._optimizer.zero_grad()
        cross_entropy_of_mean(self._network(self._images), self._labels).backward()
        self._optimizer.step()
        if self._place.type == "cuda":
            torch.cuda.synchronize()

    def images_per_s(self, limit_s: float) -> float:
        """Training images a second over `limit_s`, after WARM_STEPS steps; at least one step is timed.

        Left out: loading and augmenting images, validation. A figure to compare machines by, not a forecast of a run.
        """
        for _ in range(WARM_STEPS):
            self.step()
        n, start = 0, time.perf_counter()
        while n == 0 or time.perf_counter() - start < limit_s:
            self.step()
            n += 1
        return n * BATCH / (time.perf_counter() - start)
