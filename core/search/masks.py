"""All masks of a backbone, with what follows by arithmetic: parameters, dense ops, operations of a training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

from core.backbones.catalog import SMALL, layout_of, mask_name
from core.errors import ImpossibleMask
from core.forecast import training_ops
from core.recipes.build import plan_of
from core.schemas.architecture import AS_DEFINED, ArchitectureConfig
from core.schemas.run import RunConfig

MOST_BLOCKS = 12  # 4,095 masks; of a backbone with more, a sample
SAMPLE = 2000
SAMPLE_SEED = 0


@dataclass(frozen=True, kw_only=True)
class MaskPoint:
    """One mask. `training_ops`: MACs of a whole run (`core.forecast`); dense_ops are of one pass."""

    mask: tuple[str, ...]
    name: str | None
    params: int
    dense_ops: int
    training_ops: float


@dataclass(frozen=True, kw_only=True)
class MaskTable:
    """`sampled`: only some of the `possible` non-empty sets of blocks were looked at."""

    points: tuple[MaskPoint, ...]
    impossible: tuple[tuple[str, ...], ...]
    possible: int
    sampled: bool


def masks_of(
    backbone: str, definition: str = SMALL, architecture: ArchitectureConfig = AS_DEFINED
) -> tuple[list[tuple[str, ...]], bool]:
    """Every non-empty mask, fewest blocks first; or, for many blocks, the named ones and a random sample (True)."""
    blocks, named = layout_of(backbone, definition, architecture)
    n = len(blocks)
    if n <= MOST_BLOCKS:
        return [mask for k in range(1, n + 1) for mask in combinations(blocks, k)], False
    draw = random.Random(SAMPLE_SEED)  # noqa: S311  the same masks for everybody
    chosen = dict.fromkeys([blocks, *named.values()])
    while len(chosen) < SAMPLE:
        bits = draw.randrange(1, 2**n)
        chosen[tuple(block for place, block in enumerate(blocks) if bits >> place & 1)] = None
    return list(chosen), True


def mask_table(
    base: RunConfig,
    *,
    n_train: int,
    n_validation: int,
    n_test: int,
    also: Iterable[tuple[str, ...]] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> MaskTable:
    """The masks of a config's backbone, each as `base` with that mask; `also` are in it even of a sample.

    Raises UnknownName.
    """
    network = (base.backbone, base.definition, base.architecture)
    masks, sampled = masks_of(*network)
    masks = list(dict.fromkeys([*masks, *also]))
    points, impossible = [], []
    for done, mask in enumerate(masks, start=1):
        config = base.model_copy(update={"mask": mask})
        try:
            plan = plan_of(config)
        except ImpossibleMask:
            impossible.append(mask)
            continue
        finally:
            progress(done, len(masks))
        points.append(
            MaskPoint(
                mask=mask,
                name=mask_name(base.backbone, mask, base.definition, base.architecture),
                params=plan.params,
                dense_ops=plan.dense_ops,
                training_ops=training_ops(plan, config, n_train, n_validation, n_test),
            )
        )
    return MaskTable(
        points=tuple(points),
        impossible=tuple(impossible),
        possible=2 ** len(layout_of(*network).blocks) - 1,
        sampled=sampled,
    )
