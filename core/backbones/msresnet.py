"""MS-ResNet: a residual network whose shortcuts carry currents, two definitions, with residual blocks left out.

He et al., arXiv:1512.03385, in the order of Hu et al. (arXiv:2112.08954, "membrane shortcut"): neuron, convolution,
normalisation, twice; the block's currents are added to those that arrive, before the next neuron. So a sum is never
spikes, and every convolution but the stem reads spikes, which cost accumulates alone.

Two places differ from Hu et al. to keep that true without exception, neither of which changes the parameters. Where a
block halves the image, its 1x1 shortcut convolution reads the spikes of the block's first neurons, not the currents (as
He et al. do in arXiv:1603.05027). The classifier is a 1x1 convolution of the last spikes and the mean is taken behind it:
the same sum in another order.

`small` is the network for small images (He et al., section 4.2): 3x3 stem, three stages of 16, 32, 64 channels, depth
6 n + 2 with n blocks a stage, here with 1x1 shortcut convolutions. `imagenet` is ResNet-18 or 34 (their table 1): 11,689,512
and 21,797,672 parameters for 1000 classes.

Options: depth, and width_multiplier, times the channels of every stage and the stem, to multiples of 8.
"""

from __future__ import annotations

from functools import partial

from core.backbones.options import Option, widened
from core.backbones.plan import Layout, Plan, PlanBuilder, Shape

WIDTHS = {"small": (16, 32, 64), "imagenet": (64, 128, 256, 512)}
#: Depth -> blocks of each stage; the first is the definition's own.
DEPTHS: dict[str, dict[int, tuple[int, ...]]] = {
    "small": {20: (3,) * 3, 32: (5,) * 3, 44: (7,) * 3, 56: (9,) * 3},
    "imagenet": {18: (2,) * 4, 34: (3, 4, 6, 3)},
}

OPTIONS = {
    definition: (
        Option(name="depth", values=tuple(depths), closed=True),
        Option(name="width_multiplier", values=(1.0, 0.5, 0.75, 1.4, 2.0)),
    )
    for definition, depths in DEPTHS.items()
}


def layout(definition: str, *, depth: int, width_multiplier: float = 1.0) -> Layout:
    """The blocks that keep shape can be left out; the first of every stage but the first changes it and stays."""
    stages = DEPTHS[definition][depth]
    blocks = tuple(
        f"R{stage}.{place}"
        for stage, count in enumerate(stages, 1)
        for place in range(1 if stage == 1 else 2, count + 1)
    )
    last = f"R{len(stages)}"
    masks = {
        "Full": blocks,
        "Head-1": tuple(block for block in blocks if not block.startswith(last)),
        "Tail-1": tuple(block for block in blocks if not block.startswith("R1")),
        "Alt-1": blocks[::2],
        "Alt-2": blocks[1::2],
    }
    return Layout(blocks, masks)


BLOCKS, MASKS = layout("small", depth=20)


def build(
    *, definition: str, mask: tuple[str, ...], input_shape: Shape, n_classes: int, depth: int, width_multiplier: float
) -> Plan:
    """The plan for `mask`, the kept blocks in network order."""
    b = PlanBuilder(input_shape, mask)
    widths = [widened(channels, width_multiplier) for channels in WIDTHS[definition]]

    def current(name: str, x: str, channels: int, kernel: int, stride: int = 1) -> str:
        x = b.conv(f"{name}.conv", x, channels, kernel=kernel, stride=stride, padding=kernel // 2, bias=False)
        return b.bn(f"{name}.bn", x)

    def residual(name: str, arrived: str, channels: int, stride: int = 1) -> str:
        spikes = b.act(f"{name}.first.act", arrived)
        x = current(f"{name}.first", spikes, channels, 3, stride)
        x = current(f"{name}.second", b.act(f"{name}.second.act", x), channels, 3)
        if b.shape(x) != b.shape(arrived):
            arrived = current(f"{name}.shortcut", spikes, channels, 1, stride)
        return b.add(f"{name}.add", x, arrived)

    if definition == "small":
        x = current("stem", "input", widths[0], 3)
    else:
        x = current("stem", "input", widths[0], 7, 2)
        x = b.maxpool("pool1", x, kernel=3, stride=2, padding=1)
    for stage, (channels, count) in enumerate(zip(widths, DEPTHS[definition][depth], strict=True), 1):
        if stage > 1:
            x = residual(f"down{stage}", x, channels, 2)
        for place in range(1 if stage == 1 else 2, count + 1):
            block = f"R{stage}.{place}"
            x = b.removable(block, x, partial(residual, block, channels=channels))
    x = b.conv("classifier.conv", b.act("last.act", x), n_classes, kernel=1)
    b.global_avgpool("pool", x)
    blocks = layout(definition, depth=depth).blocks
    return b.finish(backbone="msresnet", definition=definition, blocks=blocks, mask=mask)
