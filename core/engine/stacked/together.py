"""Which runs may be trained in one stack, and how many of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from core.engine.environment import available_bytes
from core.engine.stacked.network import require_known
from core.errors import BadValue, OutOfMemory
from core.forecast import FLOAT, training_memory_bytes
from core.recipes.build import plan_of
from core.schemas.run import RunConfig

#: Fields in which the members of a stack may differ; in all others they are equal.
MAY_DIFFER = frozenset(
    {
        "seed", "mask", "recipe",
        *(
            f"training.{name}"
            for name in (
                "lr", "weight_decay", "max_epochs", "schedule", "milestones", "gamma", "warmup_epochs", "patience",
                "validate_every", "augment", "label_smoothing", "gradient_aware", "gradient_aware_eps",
            )
        ),
    }
)  # fmt: skip

#: What a stack does not do, by field: the one value that it knows. A CNN has none of the first five.
ONLY: dict[str, Any] = {
    "encoding": "direct",
    "start": "random",
    "training.distillation": 0.0,
    "training.rate_penalty": 0.0,
    "training.ac_penalty": 0.0,
    "training.stages": (),
    "training.grad_cam_aware": 0.0,
    "training.ema": 0.0,
}
SHARE = 0.8  # of the memory that is free


def require_together(configs: Sequence[RunConfig]) -> None:
    """Raise BadValue, with the field, where one of the runs cannot be trained in a stack, or not with the others."""
    if not configs:
        raise BadValue(field="runs", value=0, expected="at least 1")
    for config in configs:
        for path, known in ONLY.items():
            if config.has(path) and (value := _at(config, path)) != known:
                raise BadValue(field=path, value=value, expected=f"{known!r} for a run of a stack")
        if config.seeks.is_on:
            raise BadValue(field="search.what", value=config.search.what, expected="nothing for a run of a stack")
        if config.compression.is_on:
            raise BadValue(field="compression", value=str(config.compression), expected="off for a run of a stack")
        if config.neuron.model == "count" and config.has("neuron.model"):
            raise BadValue(field="neuron.model", value="count", expected="lif, if or plif for a run of a stack")
        require_known(plan_of(config))
    first = configs[0]
    for path in _leaves(first.model_dump()):
        if path not in MAY_DIFFER:
            for config in configs[1:]:
                if _at(config, path) != _at(first, path):
                    raise BadValue(
                        field=path,
                        value=_at(config, path),
                        expected=f"{_at(first, path)!r}, as in the stack's first run: only {', '.join(sorted(MAY_DIFFER))} "
                        "may differ",
                    )


def members_at_once(configs: Sequence[RunConfig], device: torch.device) -> int:
    """How many of the runs fit into four fifths of the memory that is free, by arithmetic: from 1 to all of them.

    Raises OutOfMemory where not even one does.
    """
    left = available_bytes(device)
    if left is None:
        return len(configs)
    need = max(stacked_memory_bytes(config) for config in configs)
    fits = int(SHARE * left) // need
    if fits < 1:
        raise OutOfMemory(device=device.type, batch_size=configs[0].training.batch_size, fits=None)
    return min(fits, len(configs))


def stacked_memory_bytes(config: RunConfig) -> int:
    """Bytes that one member adds to a step of a stack: those of plain torch, and the rows of its windows.

    Against the peak measured on a CPU with 1 and with 5 members of SqueezeNet-P at 32x32, batch 8: within 4 %.
    """
    plan = plan_of(config)
    columns = sum(
        node.kernel**2 * node.in_numel * (1 if plan.node(node.inputs[0]).constant else config.steps)
        for node in plan.nodes
        if node.op == "conv" and node.kernel > 1
    )
    need = training_memory_bytes(plan, config, fused=False) + FLOAT * columns * config.training.batch_size
    return 2 * need if config.training.differentiates_twice else need


def _at(config: RunConfig, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _leaves(content: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in content.items():
        found += _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return found
