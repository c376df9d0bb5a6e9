"""ShuffleNetV2, two definitions, with any set of blocks left out that leaves the channels alone.

`imagenet` is ShuffleNetV2 x0.5 as published (Ma et al., arXiv:1807.11164, table 5): 1,366,792
parameters for 1000 classes.
`small` is a reconstruction: half the repeats of the published list and the stage widths of x1.0 give the
parameters that Kabir et al. (arXiv:2602.09717, table 1) print, and the published strides give their MACs.

A block is one unit in `small` and two units in a row in `imagenet`, so both have the same block list. The
first unit of a stage halves the image and sets the channels. A unit of stride 1 passes half of its channels on
untouched, so it needs exactly its own number of channels.
"""

from __future__ import annotations

from functools import partial

from core.backbones.plan import Plan, PlanBuilder, Shape

REPEATS = {"S2": 2, "S3": 4, "S4": 2}  # blocks of each stage
BLOCKS = tuple(f"{stage}.{number}" for stage, repeats in REPEATS.items() for number in range(1, repeats + 1))
STEM, HEAD = 24, 1024
WIDTHS = {"small": {"S2": 116, "S3": 232, "S4": 464}, "imagenet": {"S2": 48, "S3": 96, "S4": 192}}
UNITS = {"small": 1, "imagenet": 2}  # in a row, a block

#: Our own masks, in the manner of the published Fire masks.
MASKS: dict[str, tuple[str, ...]] = {
    "Full": BLOCKS,
    "Head-1": ("S2.1", "S2.2", "S3.1", "S3.2", "S3.3", "S3.4"),
    "Tail-1": ("S3.1", "S3.2", "S3.3", "S3.4", "S4.1", "S4.2"),
    "Alt-1": ("S2.1", "S3.1", "S3.3", "S4.1"),
}


def build(*, definition: str, mask: tuple[str, ...], input_shape: Shape, n_classes: int) -> Plan:
    """The plan for `mask`. A stage whose first block goes can only go whole: see the module's text."""
    b = PlanBuilder(input_shape, mask)

    def conv(name: str, x: str, channels: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> str:
        x = b.conv(
            f"{name}.conv", x, channels, kernel=kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        )
        return b.bn(f"{name}.bn", x)

    def point(name: str, x: str, channels: int) -> str:
        return b.act(f"{name}.act", conv(name, x, channels))

    def depth(name: str, x: str, stride: int) -> str:
        return conv(name, x, b.shape(x)[0], kernel=3, stride=stride, groups=b.shape(x)[0])

    def unit(name: str, x: str, width: int, stride: int) -> str:
        half = width // 2
        if stride == 2:
            passed = point(f"{name}.left", depth(f"{name}.left_depth", x, 2), half)
        elif b.shape(x)[0] == width:
            passed = b.split(f"{name}.pass", x, start=0, channels=half)
            x = b.split(f"{name}.take", x, start=half, channels=half)
        else:
            b.refuse(name, x, f"needs {width} channels")
        x = depth(f"{name}.depth", point(f"{name}.reduce", x, half), stride)
        x = b.concat(f"{name}.concat", (passed, point(f"{name}.right", x, half)))
        return b.shuffle(f"{name}.shuffle", x, groups=2)

    def block(name: str, x: str) -> str:
        stage, number = name.split(".")
        width, units = WIDTHS[definition][stage], UNITS[definition]
        for place in range(units):
            first = number == "1" and place == 0
            x = unit(name if units == 1 else f"{name}.{place + 1}", x, width, 2 if first else 1)
        return x

    x = b.act("stem.act", conv("stem", "input", STEM, kernel=3, stride=2))
    x = b.maxpool("pool1", x, kernel=3, stride=2, padding=1)
    for name in BLOCKS:
        x = b.removable(name, x, partial(block, name))
    x = b.global_avgpool("pool", point("head", x, HEAD))
    b.conv("classifier.conv", x, n_classes, kernel=1)
    return b.finish(backbone="shufflenetv2", definition=definition, blocks=BLOCKS, mask=mask)
