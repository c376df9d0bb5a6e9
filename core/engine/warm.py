"""Everything a first training step or a first image would wait for, done beforehand."""

from __future__ import annotations

import torch

from core.backbones.catalog import plan_for
from core.engine.count import Counter
from core.engine.events import load_kernels
from core.engine.losses import cross_entropy_of_mean
from core.engine.network import Network
from core.engine.optimizers import eager
from core.schemas.run import RunConfig


def warm_up(*, training: bool = True) -> None:
    """Load the compiled kernels and torch's own, by one counted evaluation of a tiny network, after one step of it.

    Without `training` no step is taken. With an empty kernel cache this compiles them, which takes a while once on a
    machine.
    """
    mask = ("F9",)
    plan = plan_for(backbone="squeezenet", mask=mask, input_shape=(3, 16, 16), n_classes=2)
    network = Network(plan, RunConfig(mask=mask, time_steps=2))
    images, labels = torch.zeros(2, 16, 16, 3).permute(0, 3, 1, 2), torch.tensor([0, 1])
    if training:
        optimizer = eager(torch.optim.Adam)(network.parameters(), fused=True)
        cross_entropy_of_mean(network(images), labels).backward()
        optimizer.step()
    network.eval()
    with torch.inference_mode(), Counter(network):
        for network.event_limit in (1.0, -1.0):  # what fires one by one, and none of it
            network(images)
        load_kernels()
