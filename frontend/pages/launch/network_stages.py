"""A backbone's plan as what the mask editor draws: parts in order, in groups of one feature-map size."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

from core.backbones.catalog import BACKBONES, SMALL, layout_of, plan_for
from core.backbones.plan import Layout, Plan, Shape
from core.errors import BadValue, ImpossibleMask
from core.schemas.architecture import AS_DEFINED, ArchitectureConfig


class Stage(NamedTuple):
    """A removable block, or a fixed part such as a pool. `shape`: its output (C, H, W); None where it has none."""

    name: str
    is_block: bool
    shape: Shape | None


class Group(NamedTuple):
    """Neighbours whose outputs have one (H, W) in the network with nothing left out; None where it is not known."""

    size: tuple[int, ...] | None
    stages: tuple[Stage, ...]


class Drawing(NamedTuple):
    """`problem` says why there is no such network; then no stage has a shape."""

    groups: tuple[Group, ...]
    problem: ImpossibleMask | None


class Site(NamedTuple):
    """What a plan needs beside its mask. `input_shape` is (C, H, W); `blocks` are all that the network has."""

    backbone: str
    definition: str
    blocks: tuple[str, ...]
    input_shape: Shape
    n_classes: int
    architecture: ArchitectureConfig = AS_DEFINED

    def layout(self) -> Layout:
        return layout_of(self.backbone, self.definition, self.architecture)

    def of(self, definition: str, architecture: ArchitectureConfig = AS_DEFINED) -> Site:
        """The same backbone and images in another definition; as it stands where it cannot have such options."""
        site = self._replace(definition=definition, architecture=architecture)
        try:
            return site._replace(blocks=site.layout().blocks)
        except BadValue:  # the API says what is wrong
            return self.of(definition)

    def plan(self, mask: tuple[str, ...]) -> Plan:
        """Raises ImpossibleMask."""
        asked: dict[str, Any] = self._asdict() | {"mask": mask}
        del asked["blocks"]
        return plan_for(**asked)

    def is_buildable(self) -> bool:
        """Whether the images are large enough for the whole network."""
        try:
            self.plan(self.blocks)
        except ImpossibleMask:
            return False
        return True


def draw(site: Site, mask: tuple[str, ...]) -> Drawing:
    """The masked network over the layout of the full one, so that parts keep their place while blocks come and go."""
    problem, shapes = None, {}
    try:
        shapes = {stage.name: stage.shape for stage in stages(site.plan(mask))}
    except ImpossibleMask as error:
        problem = error
    if not site.is_buildable():
        bare = tuple(Stage(block, True, shapes.get(block)) for block in site.blocks)
        return Drawing((Group(None, bare),), problem)
    full = groupby(stages(site.plan(site.blocks)), key=lambda stage: stage.shape[1:])
    groups = (
        Group(size, tuple(stage._replace(shape=shapes.get(stage.name)) for stage in neighbours))
        for size, neighbours in full
    )
    return Drawing(tuple(groups), problem)


def stages(plan: Plan) -> list[Stage]:
    """Parts in network order with their outputs; nodes of one block, or of one dotted name, are one part.

    What only takes every other pixel of a part's output for one of its readers is none of its own.
    """
    parts: dict[str, Stage] = {}
    for node in plan.nodes:
        if node.op == "maxpool" and node.kernel == 1:
            continue
        name = node.block or ("image" if node.op == "input" else node.name.partition(".")[0])
        parts[name] = Stage(name, node.block is not None, node.shape)
    return list(parts.values())


def definitions(site: Site) -> list[str]:
    """`small`, and the others whose full network can be built for such images."""
    known = BACKBONES[site.backbone].definitions
    return [name for name in known if name == SMALL or site.of(name).is_buildable()]
