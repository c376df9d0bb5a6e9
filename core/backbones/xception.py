"""Xception, two definitions, with any set of blocks left out.

`imagenet` is Xception as published (Chollet, arXiv:1610.02357, figure 5): 22,855,952 parameters for 1000 classes.
`small` is a reconstruction for Kabir et al. (arXiv:2602.09717, table 1), who print parameters but no widths: a quarter
of the published widths and five of the eight middle blocks. Stem and first entry block keep the image's size, so
a 32x32 image ends as 4x4.

Blocks: entry E1 to E3, middle M1 to M5, exit X1; in `imagenet` M1 to M3 hold two of the eight published middle blocks
each. A separable convolution is a 3x3 convolution of each channel and a 1x1 convolution, normalised once, after both.
A block's shortcut is the value itself where the shapes agree and a 1x1 convolution elsewhere, so every mask can be
built. Blocks pass on sums, which their first activation turns into spikes; behind an activation they need none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from core.backbones.plan import Plan, PlanBuilder, Shape


@dataclass(frozen=True, kw_only=True)
class Block:
    """Channels after each separable convolution, 0 for as many as arrive; stride; how many in a row in `imagenet`."""

    channels: tuple[int, ...]
    stride: int = 1
    published: int = 1


SPECS = {
    "E1": Block(channels=(128, 128), stride=2),
    "E2": Block(channels=(256, 256), stride=2),
    "E3": Block(channels=(728, 728), stride=2),
    "M1": Block(channels=(728, 728, 728), published=2),
    "M2": Block(channels=(728, 728, 728), published=2),
    "M3": Block(channels=(728, 728, 728), published=2),
    "M4": Block(channels=(728, 728, 728)),
    "M5": Block(channels=(728, 728, 728)),
    "X1": Block(channels=(0, 1024), stride=2),
}
BLOCKS = tuple(SPECS)
STEM, EXIT = (32, 64), (1536, 2048)
FULL_SIZE = "E1"  # the first reduction of the list, which `small` does without

#: Our own masks, in the manner of the published Fire masks.
MASKS: dict[str, tuple[str, ...]] = {
    "Full": BLOCKS,
    "Head-1": ("E1", "E2", "E3", "M1", "M2"),
    "Tail-1": ("E3", "M3", "M4", "M5", "X1"),
    "Alt-1": ("E1", "E3", "M2", "M4", "X1"),
    "Ends": ("E1", "E2", "E3", "X1"),
}


def build(*, definition: str, mask: tuple[str, ...], input_shape: Shape, n_classes: int) -> Plan:
    """The plan for `mask`, the kept blocks in network order."""
    small = definition == "small"
    b = PlanBuilder(input_shape, mask)

    def width(channels: int) -> int:
        return channels // 4 if small else channels

    def conv(name: str, x: str, channels: int, *, kernel: int, stride: int = 1, padding: int = 0) -> str:
        x = b.conv(f"{name}.conv", x, channels, kernel=kernel, stride=stride, padding=padding, bias=False)
        return b.bn(f"{name}.bn", x)

    def separable(name: str, x: str, channels: int) -> str:
        arrived = b.shape(x)[0]
        x = b.conv(f"{name}.depth", x, arrived, kernel=3, padding=1, groups=arrived, bias=False)
        return b.bn(f"{name}.bn", b.conv(f"{name}.point", x, channels, kernel=1, bias=False))

    def residual(name: str, x: str, spec: Block, stride: int) -> str:
        arrived = x
        for number, channels in enumerate(spec.channels, 1):
            if not b.is_activated(x):
                x = b.act(f"{name}.act{number}", x)
            x = separable(f"{name}.sep{number}", x, width(channels) or b.shape(x)[0])
        if stride == 2:
            x = b.maxpool(f"{name}.pool", x, kernel=3, stride=2, padding=1)
        if b.shape(x) != b.shape(arrived):
            arrived = conv(f"{name}.shortcut", arrived, b.shape(x)[0], kernel=1, stride=stride)
        return b.add(f"{name}.add", x, arrived)

    def block(name: str, x: str) -> str:
        spec = SPECS[name]
        stride = 1 if small and name == FULL_SIZE else spec.stride
        if small or spec.published == 1:
            return residual(name, x, spec, stride)
        for place in range(1, spec.published + 1):
            x = residual(f"{name}.{place}", x, spec, stride)
        return x

    padding = 1 if small else 0
    x = conv("stem1", "input", width(STEM[0]), kernel=3, stride=1 if small else 2, padding=padding)
    x = conv("stem2", b.act("stem1.act", x), width(STEM[1]), kernel=3, padding=padding)
    x = b.act("stem2.act", x)
    for name in BLOCKS:
        x = b.removable(name, x, partial(block, name))
    for number, channels in enumerate(EXIT, 1):
        x = b.act(f"exit{number}.act", separable(f"exit{number}", x, width(channels)))
    x = b.global_avgpool("pool", x)
    if not small:
        x = b.dropout("dropout", x, 0.5)
    b.conv("classifier.conv", x, n_classes, kernel=1)
    return b.finish(backbone="xception", definition=definition, blocks=BLOCKS, mask=mask)
