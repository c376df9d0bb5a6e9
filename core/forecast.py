"""What a run will need, by arithmetic: memory of a training step, operations of the whole run, seconds.

These are estimates for planning, not results. Each function says what it leaves out.
"""

from __future__ import annotations

from core.backbones.plan import Node, Plan
from core.schemas.run import Kind, RunConfig

FLOAT = 4  # bytes of a float32
INDEX = 8  # bytes of a max-pool's int64 index
COPIES = 5  # of each weight: itself, its gradient, Adam's two moments, and the best epoch's


def _rows(node: Node, config: RunConfig) -> int:
    """How many values of a node a forward pass computes per image: one where it is constant, else one a step."""
    return 1 if config.kind is Kind.CNN or node.constant else config.time_steps


def training_memory_bytes(plan: Plan, config: RunConfig) -> int:
    """Bytes that one training step holds at its peak, beside the program itself and the data set.

    Weights five times over (gradient, Adam's moments, best epoch) + what each layer keeps for its backward pass
    (a convolution and a normalisation their input, a spiking layer its input, a ReLU its output, a max-pool its
    input and int64 indices; the same tensor once) + two tensors as large as the largest, for values and gradients
    in flight. float32. Left out: workspaces of the convolution library, the allocator's gaps, and on a GPU, where
    neurons run step by step, what each step keeps.
    """
    kept: set[str] = set()
    indices = 0
    for node in plan.nodes:
        if node.op in ("conv", "bn", "maxpool") or (node.op == "act" and config.kind is Kind.SNN):
            kept.update(node.inputs)
        elif node.op == "act":
            kept.add(node.name)
        if node.op == "maxpool":
            indices += node.numel * _rows(node, config) * INDEX
    values = {node.name: node.numel * _rows(node, config) * FLOAT for node in plan.nodes}
    per_image = sum(values[name] for name in kept) + indices + 2 * max(values.values())
    return plan.params * FLOAT * COPIES + per_image * config.training.batch_size


def forward_ops(plan: Plan, config: RunConfig) -> int:
    """MACs of the convolutions of one forward pass of one image, all steps, bias included, no zero skipped."""
    return sum((node.dense_ops + node.bias_ops) * _rows(node, config) for node in plan.nodes)


def training_ops(plan: Plan, config: RunConfig, n_train: int, n_validation: int, n_test: int) -> float:
    """MACs of a whole run if it uses all its epochs: training, validation each epoch, the test at the end.

    A training image costs three forward passes (forward, gradient of the weights, gradient of the input), but a
    layer that sees the image itself needs no gradient of its input. Left out: normalisation, neurons, pooling,
    the optimiser, counting; a rate measured on a run of the same kind carries their share.
    """
    forward = forward_ops(plan, config)
    spared = sum(node.dense_ops * _rows(node, config) for node in plan.nodes if node.inputs == ("input",))
    epoch = n_train * (3 * forward - spared) + n_validation * forward
    return float(config.training.max_epochs * epoch + n_test * forward)


def seconds(ops: float, ops_per_s: float) -> float:
    """Wall-clock seconds of `ops` at a measured rate. Raises ValueError for a rate that is not above 0."""
    if not ops_per_s > 0:
        raise ValueError(f"a rate must be above 0, not {ops_per_s}")
    return ops / ops_per_s
