"""What moves the weights: the optimiser of a config, with its parameters in groups.

A group's rate is the schedule's times its `lr_factor`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from core.engine.compress import is_scores, is_searched
from core.engine.network import Network
from core.schemas.run import TrainingConfig


def optimizer(network: Network, training: TrainingConfig, *, recorded: bool = False) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019), or SGD with (Nesterov's) momentum.

    AdamW and SGD decay convolution weights only: a bias, a normalisation's scale and what a neuron learns do not grow
    with depth, and decay would pull them from their meaning; scores of weights only have an order. Adam's L2 term touches everything, as in torch.
    What neurons learn forms a group of its own where `neuron_lr_factor` is not 1. `recorded`: its steps are to be played
    from a recording (`core.engine.graphs`), so rates are tensors on the device.
    """
    groups = _groups(network, training)
    if recorded:
        place = next(network.parameters()).device
        groups = [group | {"lr": torch.tensor(training.lr, device=place)} for group in groups]
    decay = training.weight_decay
    match training.optimizer:
        case "adam":
            return eager(torch.optim.Adam)(groups, lr=training.lr, weight_decay=decay, fused=True, capturable=recorded)
        case "adamw":
            return eager(torch.optim.AdamW)(groups, lr=training.lr, weight_decay=decay, fused=True, capturable=recorded)
        case "sgd":
            return eager(torch.optim.SGD)(
                groups,
                lr=training.lr,
                momentum=training.momentum,
                nesterov=training.nesterov,
                weight_decay=decay,
                fused=True,
            )


@cache
def eager(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The same without torch's compiler, which every optimiser loads to keep out of it: over a second of CPU and 60 MB of
    memory in each process, and here nothing is compiled."""
    plain = inspect.unwrap(kind.step)

    @torch.no_grad()
    def step(self: torch.optim.Optimizer, closure: Any = None) -> Any:
        return plain(self, closure)

    guarded = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    unguarded = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    return type(kind.__name__, (kind,), {"step": step, **unguarded})


def moments_of(of: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What it keeps of each parameter, as `3.exp_avg`; a checkpoint holds it."""
    kept = of.state_dict()["state"]
    return {f"{i}.{name}": value for i, own in kept.items() for name, value in own.items() if value is not None}


def take_moments(of: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    """The inverse, its rates staying as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        i, _, key = name.partition(".")
        state.setdefault(int(i), {})[key] = value
    of.load_state_dict({"state": state, "param_groups": of.state_dict()["param_groups"]})


def set_rate(of: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its part of the schedule's rate."""
    for group in of.param_groups:
        own = rate * group["lr_factor"]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(own)  # a recording knows the tensor
        else:
            group["lr"] = own


def _groups(network: Network, training: TrainingConfig) -> list[dict[str, Any]]:
    """Every parameter in one group. Their order is that of older versions, in which checkpoints number them."""
    apart = _learned_by_neurons(network) if training.neuron_lr_factor != 1 else []
    named = [parameter for name, parameter in network.named_parameters() if not is_searched(name)]
    rest = [parameter for parameter in named if not _is_among(parameter, apart)]
    if training.optimizer == "adam":
        groups: list[dict[str, Any]] = [{"params": rest}]
    else:
        scores = [parameter for name, parameter in network.named_parameters() if is_scores(name)]
        decayed = [parameter.dim() > 1 and not _is_among(parameter, scores) for parameter in rest]
        groups = [
            {"params": [parameter for parameter, decays in zip(rest, decayed, strict=True) if decays]},
            {
                "params": [parameter for parameter, decays in zip(rest, decayed, strict=True) if not decays],
                "weight_decay": 0.0,
            },
        ]
    groups = [group | {"lr_factor": 1.0} for group in groups]
    if apart:
        groups.append({"params": apart, "weight_decay": 0.0, "lr_factor": training.neuron_lr_factor})
    return groups


def _is_among(parameter: nn.Parameter, others: list[nn.Parameter]) -> bool:
    return any(parameter is other for other in others)


def _learned_by_neurons(network: Network) -> list[nn.Parameter]:
    """What the activations learn: time constants, thresholds, steps of a count."""
    names = {f"{node.name}." for node in network.act_nodes}
    return [value for name, value in network.named_parameters() if any(name.startswith(start) for start in names)]
