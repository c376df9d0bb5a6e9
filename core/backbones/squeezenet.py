"""SqueezeNet, two definitions, with any set of Fire modules left out.

`small` is the network that reproduces the printed parameters and MACs of Kabir et al.
(arXiv:2602.09717, table 1): 3x3 stem of 128 channels at stride 1, the Fire modules of SqueezeNet
v1.0, batch normalisation after every convolution but the classifier.
`imagenet` is SqueezeNet 1.0 as published (Iandola et al., arXiv:1602.07360): no batch
normalisation, 1,248,424 parameters for 1000 classes.
"""

from __future__ import annotations

from functools import partial

from core.backbones.plan import Plan, PlanBuilder, Shape

BLOCKS = ("F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9")
SQUEEZE = dict(zip(BLOCKS, (16, 16, 32, 32, 48, 48, 64, 64), strict=True))
EXPAND = dict(zip(BLOCKS, (64, 64, 128, 128, 192, 192, 256, 256), strict=True))
POOL_AFTER = ("F4", "F8")  # by position: the pool stays when its Fire module goes


def build(*, definition: str, mask: tuple[str, ...], input_shape: Shape, n_classes: int) -> Plan:
    """The plan for `mask`, the kept Fire modules in network order. A removed one lets its input pass on."""
    small = definition == "small"
    b = PlanBuilder(input_shape, mask)

    def unit(name: str, x: str, channels: int, kernel: int, *, stride: int = 1, padding: int = 0) -> str:
        x = b.conv(f"{name}.conv", x, channels, kernel=kernel, stride=stride, padding=padding)
        if small:
            x = b.bn(f"{name}.bn", x)
        return b.act(f"{name}.act", x)

    def pool(name: str, x: str) -> str:
        return (
            b.maxpool(name, x, kernel=2, stride=2) if small else b.maxpool(name, x, kernel=3, stride=2, ceil_mode=True)
        )

    def fire(block: str, x: str) -> str:
        squeezed = unit(f"{block}.squeeze", x, SQUEEZE[block], 1)
        expanded = (
            unit(f"{block}.expand1", squeezed, EXPAND[block], 1),
            unit(f"{block}.expand3", squeezed, EXPAND[block], 3, padding=1),
        )
        return b.concat(f"{block}.concat", expanded)

    x = unit("stem", "input", 128, 3, padding=1) if small else unit("stem", "input", 96, 7, stride=2)
    x = pool("pool1", x)
    for block in BLOCKS:
        x = b.removable(block, x, partial(fire, block))
        if block in POOL_AFTER:
            x = pool(f"pool{block[1:]}", x)
    if not small:
        x = b.dropout("dropout", x, 0.5)
    x = b.conv("classifier.conv", x, n_classes, kernel=1)
    if not small:
        x = b.act("classifier.act", x)
    b.global_avgpool("pool", x)
    return b.finish(backbone="squeezenet", definition=definition, blocks=BLOCKS, mask=mask)
