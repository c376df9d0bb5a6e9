"""Names of networks for people."""

from __future__ import annotations

from core.backbones.catalog import BACKBONES, mask_name


def network_label(*, kind: str, backbone: str, mask: tuple[str, ...]) -> str:
    """A network's short name: `SNN-SqueezeNet Ref-1`, or the kept blocks where the mask has no name."""
    if backbone not in BACKBONES:  # a run from a version that had more
        return f"{kind.upper()}-{backbone} {','.join(mask)}"
    return f"{kind.upper()}-{BACKBONES[backbone].title} {mask_name(backbone, mask) or ','.join(mask)}"
