"""What a network is called: its backbone, its mask, and what of it is not as its small definition has it."""

from __future__ import annotations

from collections.abc import Iterable

from core.backbones.catalog import BACKBONES, SMALL, mask_name
from core.backbones.options import words
from core.errors import SpikefrontError
from core.schemas.architecture import AS_DEFINED, ArchitectureConfig
from core.schemas.run import RunConfig


def network_name(
    backbone: str,
    mask: Iterable[str],
    definition: str = SMALL,
    architecture: ArchitectureConfig = AS_DEFINED,
    *,
    full: str = "Full",
) -> str:
    """`SqueezeNet Ref-1, stem 64/2`, `MnasNet Full, paper`; kept blocks where the mask has no name.

    `full` stands for the mask that keeps all blocks. A backbone or definition that is no longer known is named too.
    """
    mask = tuple(mask)
    title = BACKBONES[backbone].title if backbone in BACKBONES else backbone
    named = known_mask(backbone, mask, definition, architecture) or ",".join(mask)
    kept = f"{title} {full if named == 'Full' else named}".rstrip()
    return ", ".join([kept, *differences(definition, architecture)])


def network_label(
    *,
    kind: str,
    backbone: str,
    mask: tuple[str, ...],
    definition: str = SMALL,
    architecture: ArchitectureConfig = AS_DEFINED,
) -> str:
    """A run's short name for people: `SNN-SqueezeNet Ref-1, stem 64/2`, or the kept blocks where a mask has no name."""
    return f"{kind.upper()}-{network_name(backbone, mask, definition, architecture)}"


def config_label(config: RunConfig) -> str:
    return network_label(
        kind=config.kind,
        backbone=config.backbone,
        mask=config.mask,
        definition=config.definition,
        architecture=config.architecture,
    )


def known_mask(
    backbone: str, mask: tuple[str, ...], definition: str = SMALL, architecture: ArchitectureConfig = AS_DEFINED
) -> str | None:
    """The mask's name, if it has one; none where the network is of a version that had more."""
    try:
        return mask_name(backbone, mask, definition, architecture)
    except SpikefrontError:
        return None


def differences(definition: str, architecture: ArchitectureConfig) -> list[str]:
    """What is not as in `small`, in words."""
    return [*([] if definition == SMALL else [definition]), *words(architecture)]
