"""What a run will need, by arithmetic: memory of a training step, operations of the whole run, seconds.

These are estimates for planning, not results. Each function says what it leaves out.
"""

from __future__ import annotations

from core.backbones.plan import Plan
from core.backbones.readout import readout
from core.compression import plan_layers
from core.schemas.run import Kind, RunConfig
from core.schemas.stages import phases

FLOAT = 4  # bytes of a float32
INDEX = 8  # bytes of a max-pool's index in torch, int64
SMALL_INDEX = 1  # and in the fused one
STATISTICS_IMAGES = 2048  # of the training split, for averaged weights: a mean within 2 % of a deviation
STEP_VALUES = 4  # of each neuron and step that plain torch keeps: H, H - V_th, 1 - S and the stacked spikes
STORAGE_MARGIN = 8 << 20  # bytes
COPIES = 2  # of each weight: itself and the best epoch's
MADE = 3  # tensors more of each compressed weight in a step: its level, whether it is kept, their product
MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1}  # copies more that the optimiser keeps


def _rows(plan: Plan, config: RunConfig) -> dict[str, int]:
    """How many values of each node a forward pass computes per image: one where it is constant, else one a step.

    A network of counts computes one, but for each step in its readout.
    """
    by_step = readout(plan) if config.layer_synchronous else {node.name for node in plan.nodes if not node.constant}
    steps = config.time_steps if config.kind is Kind.SNN else 1
    return {node.name: steps if node.name in by_step else 1 for node in plan.nodes}


def training_memory_bytes(plan: Plan, config: RunConfig, *, fused: bool = True) -> int:
    """Bytes that one training step holds at its peak, beside the program itself and the data set.

    Weights three times over (gradient, best epoch), the optimiser's moments and the average, if there is one + what
    the layers of a batch keep for the backward pass, the same tensor once + two tensors as large as the largest, for
    values and gradients in flight. float32. Kept are:
    - of compressed weights also their scores, where they are learned, and what a step computes with: the levels and
      which are kept;
    - `fused`, as on the CPU: the input of every convolution and normalisation, the input of neurons (or the output
      of a ReLU) that follow no normalisation, and a byte for each max-pooled value;
    - else, as on a GPU: the input of every layer (of a ReLU the output), an int64 index for each max-pooled value,
      and four values for each neuron and step.
    Left out: workspaces of the convolution library and the allocator's gaps. Against the peak measured on a CPU
    over SqueezeNet-P at 16x16 and 32x32 it lay between 7 % below and 32 % above.
    """
    spiking = config.kind is Kind.SNN
    ops = {node.name: node.op for node in plan.nodes}
    rows = _rows(plan, config)
    values = {node.name: node.numel * rows[node.name] * FLOAT for node in plan.nodes}
    kept: set[str] = set()
    per_image = 2 * max(values.values())
    for node in plan.nodes:
        if node.op in ("conv", "bn"):
            kept.update(node.inputs)
        elif node.op == "act" and not (fused and ops[node.inputs[0]] == "bn"):
            kept.update(node.inputs if spiking else (node.name,))
        elif node.op == "maxpool":
            kept.update(() if fused else node.inputs)
            per_image += node.numel * rows[node.name] * (SMALL_INDEX if fused else INDEX)
        if node.op == "act" and spiking and not fused:
            per_image += STEP_VALUES * values[node.name]
    per_image += sum(values[name] for name in kept)
    copies = _copies(config) + 1  # the gradient
    made = MADE * plan.params if config.changes_weights else 0
    return (stored(plan, config) * copies + made) * FLOAT + per_image * config.training.batch_size


def stored(plan: Plan, config: RunConfig) -> int:
    """Numbers that the network's weights are: its parameters and, where they are learned, the scores of its weights."""
    compression = config.compression
    layers = plan_layers(plan, compression) if compression.keep < 1 and compression.scores == "learned" else ()
    return plan.params + sum(layer.weights for layer in layers if layer.is_pruned)


def _copies(config: RunConfig) -> int:
    """How many times the weights are kept: they, the best epoch's, the optimiser's moments, their average."""
    return COPIES + MOMENTS[config.training.optimizer] + (config.training.ema > 0)


def storage_bytes(plan: Plan, config: RunConfig, *, n_test: int, n_classes: int) -> int:
    """Bytes of free disk that a run needs to come to its end, beside the data set.

    Two checkpoints (weights, the best epoch's, Adam's two moments), the last and the one before it, then the bundle:
    weights and the outputs of the test set at each step; with a teacher also the twin's bundle. STORAGE_MARGIN
    stands for what is small or shared: counts, kept images, curves, database, broker and logs.
    """
    weights = stored(plan, config) * FLOAT

    def bundle(steps: int) -> int:
        return weights + n_test * steps * n_classes * FLOAT

    teacher = bundle(1) if config.needs_teacher else 0
    return 2 * _copies(config) * weights + bundle(config.steps) + teacher + STORAGE_MARGIN


def forward_ops(plan: Plan, config: RunConfig) -> int:
    """MACs of the convolutions of one forward pass of one image, all steps, bias included, no zero skipped."""
    rows = _rows(plan, config)
    return sum((node.dense_ops + node.bias_ops) * rows[node.name] for node in plan.nodes)


def training_ops(plan: Plan, config: RunConfig, n_train: int, n_validation: int, n_test: int) -> float:
    """MACs of a whole run if it uses all its epochs: training, validation every so many, the test at the end.

    A training image costs three forward passes (forward, gradient of the weights, gradient of the input), but a
    layer that sees the image itself needs no gradient of its input. A teacher answers once for each training image,
    or with stored answers twice for all epochs together, which is left out. Stages have their own T.
    Averaged weights take their statistics from STATISTICS_IMAGES before each validation.
    Left out: the teacher's own training (`with_teacher`), normalisation, neurons, pooling, the optimiser, counting;
    a rate measured on a run of the same kind carries their share.
    """
    evaluated = n_validation + (min(STATISTICS_IMAGES, n_train) if config.training.ema > 0 else 0)
    total = 0.0
    for phase in phases(config):
        own = config.model_copy(update={"time_steps": phase.time_steps})
        forward = forward_ops(plan, own)
        rows = _rows(plan, own)
        spared = sum(node.dense_ops * rows[node.name] for node in plan.nodes if node.inputs == ("input",))
        total += (
            phase.training.max_epochs
            * _taught_images(config, n_train)
            * (3 * forward - spared + _taught_ops(plan, config))
        )
        total += phase.training.validations * evaluated * forward
    return float(total + n_test * forward_ops(plan, config))


def _taught_images(config: RunConfig, n_train: int) -> int:
    """Images of an epoch's forward and backward passes: in a search each step has one for the weights and one for the rest."""
    return 2 * (n_train - config.seeks.n_held_out(n_train)) if config.seeks.is_on else n_train


def _taught_ops(plan: Plan, config: RunConfig) -> int:
    """What asking the teacher adds to a training image: a pass of the CNN twin, which stands for any other too."""
    asked = config.kind is Kind.SNN and config.training.distillation > 0
    return forward_ops(plan, config.twin()) if asked and config.training.teacher_answers == "computed" else 0


def with_teacher(plan: Plan, config: RunConfig, **images: int) -> float:
    """`training_ops` of a run, and of the CNN twin that it trains first where it needs a teacher."""
    own = training_ops(plan, config, **images)
    return own + training_ops(plan, config.twin(), **images) if config.needs_teacher else own


def seconds(ops: float, ops_per_s: float) -> float:
    """Wall-clock seconds of `ops` at a measured rate. Raises ValueError for a rate that is not above 0."""
    if not ops_per_s > 0:
        raise ValueError(f"a rate must be above 0, not {ops_per_s}")
    return ops / ops_per_s
