"""The one way to write down a choice of options, so that equal networks have equal configs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.backbones.catalog import BACKBONES
from core.backbones.options import Value
from core.backbones.plan import Plan
from core.errors import SpikefrontError
from core.schemas.architecture import AS_DEFINED, ArchitectureConfig


def settled(
    backbone: str, definition: str, architecture: ArchitectureConfig, plan_of: Callable[[ArchitectureConfig], Plan]
) -> ArchitectureConfig:
    """`architecture` without what changes nothing in the network of `plan_of`, a masked network on its data set.

    That is an option at its definition's value; a bypass where no kept module has one; a depth whose further blocks
    are all left out. Raises what `plan_of` raises for `architecture` itself.
    """
    if architecture == AS_DEFINED:
        return architecture
    network = plan_of(architecture).nodes
    for option in BACKBONES[backbone].options.get(definition, ()):
        own = getattr(architecture, option.name)
        for value in _plainer(own, option.values):
            other = architecture.model_copy(update={option.name: value})
            if _nodes(other, plan_of) == network:
                architecture = other
                break
    return architecture


def _plainer(own: Value | None, values: tuple[Value, ...]) -> Iterator[Value | None]:
    """What may stand instead of a value: nothing, else one that the table has before it."""
    if own is None:
        return
    yield None
    yield from values[1 : values.index(own)] if own in values else values[1:]


def _nodes(architecture: ArchitectureConfig, plan_of: Callable[[ArchitectureConfig], Plan]) -> object:
    try:
        return plan_of(architecture).nodes
    except SpikefrontError:  # such as a kept block that this depth has not
        return None
