"""The table of backbones, the names of masks, and the one way to get a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from core.backbones import litesnn, mixnet, mnasnet, msresnet, shufflenetv2, squeezenet, xception
from core.backbones.options import Option, Value, chosen
from core.backbones.plan import Encoding, Layout, Plan, Shape, Unbuildable
from core.errors import BadValue, ImpossibleMask, UnknownName
from core.registry import Registry
from core.schemas.architecture import AS_DEFINED, ArchitectureConfig

SMALL, IMAGENET = "small", "imagenet"


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """One row of the table. `build` takes definition, mask, input_shape, n_classes and the definition's options.

    `blocks` and `masks` are those of `small` as it stands. `layout`, where there is one, takes a definition and its
    options and gives the blocks and masks there.
    """

    name: str
    title: str
    blocks: tuple[str, ...]
    build: Callable[..., Plan]
    source: str
    masks: dict[str, tuple[str, ...]]
    definitions: tuple[str, ...] = (SMALL, IMAGENET)
    options: Mapping[str, tuple[Option, ...]] = field(default_factory=dict, hash=False)  # by definition
    layout: Callable[..., Layout] | None = None

    def chosen(self, definition: str, architecture: ArchitectureConfig) -> dict[str, Value]:
        """Every option of the definition with its value. Raises UnknownName or BadValue."""
        if definition not in self.definitions:
            raise UnknownName(kind="definition", name=definition, known=self.definitions)
        where = f"{self.name} ({definition})"
        return chosen(self.options.get(definition, ()), architecture, where=where)


#: The nine masks of Kabir et al. (arXiv:2602.09717, table 3), by their printed names.
FIRE_MASKS: dict[str, tuple[str, ...]] = {
    "Full": squeezenet.BLOCKS,
    "Head-1": ("F2", "F3", "F4", "F5", "F9"),
    "Head-2": ("F2", "F3", "F4", "F5", "F8"),
    "Tail-1": ("F2", "F5", "F6", "F7", "F8", "F9"),
    "Tail-2": ("F2", "F4", "F6", "F7", "F8", "F9"),
    "Alt-1": ("F2", "F4", "F6", "F8"),
    "Alt-2": ("F3", "F5", "F7", "F9"),
    "Ref-1": ("F4", "F6", "F8", "F9"),
    "Ref-2": ("F2", "F4", "F5", "F6", "F8", "F9"),
}
MASK_ALIASES = {"P": "Ref-1", "Baseline": "Full"}

BACKBONES: Registry[Backbone] = Registry("backbone")
BACKBONES.add(
    "squeezenet",
    Backbone(
        name="squeezenet",
        title="SqueezeNet",
        blocks=squeezenet.BLOCKS,
        build=squeezenet.build,
        source="Iandola et al., arXiv:1602.07360; small definition: Kabir et al., arXiv:2602.09717",
        masks=FIRE_MASKS,
        options=squeezenet.OPTIONS,
    ),
)
BACKBONES.add(
    "shufflenetv2",
    Backbone(
        name="shufflenetv2",
        title="ShuffleNetV2",
        blocks=shufflenetv2.BLOCKS,
        build=shufflenetv2.build,
        source="Ma et al., arXiv:1807.11164; small definition: a reconstruction for Kabir et al., arXiv:2602.09717",
        masks=shufflenetv2.MASKS,
    ),
)
BACKBONES.add(
    "mnasnet",
    Backbone(
        name="mnasnet",
        title="MnasNet",
        blocks=mnasnet.BLOCKS,
        build=mnasnet.build,
        source="Tan et al., arXiv:1807.11626; paper definitions: recovered from Kabir et al., arXiv:2602.09717",
        masks=mnasnet.MASKS,
        definitions=mnasnet.DEFINITIONS,
        layout=mnasnet.layout,
    ),
)
BACKBONES.add(
    "mixnet",
    Backbone(
        name="mixnet",
        title="MixNet",
        blocks=mixnet.BLOCKS,
        build=mixnet.build,
        source="Tan and Le, arXiv:1907.09595; small definition: a reconstruction for Kabir et al., arXiv:2602.09717",
        masks=mixnet.MASKS,
    ),
)
BACKBONES.add(
    "xception",
    Backbone(
        name="xception",
        title="Xception",
        blocks=xception.BLOCKS,
        build=xception.build,
        source="Chollet, arXiv:1610.02357; small definition: a reconstruction for Kabir et al., arXiv:2602.09717",
        masks=xception.MASKS,
    ),
)


BACKBONES.add(
    "msresnet",
    Backbone(
        name="msresnet",
        title="MS-ResNet",
        blocks=msresnet.BLOCKS,
        build=msresnet.build,
        source="He et al., arXiv:1512.03385; shortcuts of currents: Hu et al., arXiv:2112.08954",
        masks=msresnet.MASKS,
        options=msresnet.OPTIONS,
        layout=msresnet.layout,
    ),
)
BACKBONES.add(
    "litesnn",
    Backbone(
        name="litesnn",
        title="LitE-SNN",
        blocks=litesnn.BLOCKS,
        build=litesnn.build,
        source="Liu et al., arXiv:2401.14652, as its released code builds it; without its pruning and quantisation",
        masks=litesnn.MASKS,
        definitions=(SMALL,),
        options=litesnn.OPTIONS,
    ),
)


def layout_of(backbone: str, definition: str = SMALL, architecture: ArchitectureConfig = AS_DEFINED) -> Layout:
    """The removable blocks and the named masks. Raises UnknownName, or BadValue for an option that it has not."""
    entry = BACKBONES[backbone]
    options = entry.chosen(definition, architecture)
    return entry.layout(definition, **options) if entry.layout else Layout(entry.blocks, entry.masks)


def parse_mask(
    backbone: str, text: str | Iterable[str], definition: str = SMALL, architecture: ArchitectureConfig = AS_DEFINED
) -> tuple[str, ...]:
    """The kept blocks in network order, from `F4,F6`, a mask's name, or any iterable of block names.

    Raises UnknownName for a name that is no block, ImpossibleMask when nothing is kept, and what `layout_of` raises.
    """
    blocks, masks = layout_of(backbone, definition, architecture)
    if isinstance(text, str):
        by_name = {name.lower(): mask for name, mask in masks.items()}
        by_name |= {alias.lower(): masks[name] for alias, name in MASK_ALIASES.items() if name in masks}
        if (named := by_name.get(text.strip().lower())) is not None:
            return named
        names = [part.strip() for part in text.split(",") if part.strip()]
    else:
        names = list(text)
    by_block = {block.lower(): block for block in blocks}
    kept = set()
    for name in names:
        block = by_block.get(name.strip().lower())
        if block is None:
            raise UnknownName(kind=f"block or mask of {backbone}", name=name, known=[*blocks, *masks])
        if block in kept:
            raise BadValue(field="mask", value=",".join(names), expected=f"a list that names {block} once")
        kept.add(block)
    if not kept:
        raise ImpossibleMask(mask=(), why=f"keep at least one of {', '.join(blocks)}.")
    return tuple(block for block in blocks if block in kept)


def mask_name(
    backbone: str, mask: tuple[str, ...], definition: str = SMALL, architecture: ArchitectureConfig = AS_DEFINED
) -> str | None:
    """The name of a mask in the backbone's table, if it has one."""
    masks = layout_of(backbone, definition, architecture).masks
    return next((name for name, kept in masks.items() if kept == tuple(mask)), None)


@lru_cache(maxsize=1024)
def plan_for(
    *,
    backbone: str,
    mask: tuple[str, ...],
    input_shape: Shape,
    n_classes: int,
    definition: str = SMALL,
    encoding: Encoding = "direct",
    architecture: ArchitectureConfig = AS_DEFINED,
) -> Plan:
    """The plan of a masked backbone under an input coding. Raises UnknownName, BadValue or ImpossibleMask."""
    entry = BACKBONES[backbone]
    options = entry.chosen(definition, architecture)
    mask = parse_mask(backbone, mask, definition, architecture)
    try:
        plan = entry.build(definition=definition, mask=mask, input_shape=input_shape, n_classes=n_classes, **options)
    except Unbuildable as error:
        size = "x".join(map(str, input_shape))
        why = f"{error} (input {size}, definition {definition})."
        raise ImpossibleMask(mask=mask, why=why, trace=error.trace) from None
    plan = replace(plan, architecture=architecture)
    return plan if encoding == "direct" else plan.encoded(encoding)
