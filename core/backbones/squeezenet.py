"""SqueezeNet, two definitions, with any set of Fire modules left out.

`small` is the network that reproduces the printed parameters and MACs of Kabir et al.
(arXiv:2602.09717, table 1): 3x3 stem of 128 channels at stride 1, the Fire modules of SqueezeNet
v1.0, batch normalisation after every convolution but the classifier.
`imagenet` is SqueezeNet 1.0 as published (Iandola et al., arXiv:1602.07360): no batch
normalisation, 1,248,424 parameters for 1000 classes.

Options of `small`:
    stem_width, stem_stride   of the 3x3 stem; at stride 2 there is no first pool, which would halve the image again
    width_multiplier          times the channels of every Fire module, to multiples of 8; the stem keeps its own
    share_3x3                 of a Fire module's expand channels, whose sum stays (Iandola et al., section 5.2)
    bypass                    simple: around F3, F5, F7 and F9 (section 6), each where it gives as many channels as it
                              takes. What arrives is added to the current of the expand neurons, before they fire, so
                              that spikes stay 0 or 1
    classifier                neuron: behind the last convolution, as "each convolutional and fully connected layer"
                              of Kabir et al. (section 3.2) may be read and as `imagenet` has it; the counts they print
                              agree with both
"""

from __future__ import annotations

from functools import partial

from core.backbones.options import Option, widened
from core.backbones.plan import Plan, PlanBuilder, Shape

BLOCKS = ("F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9")
SQUEEZE = dict(zip(BLOCKS, (16, 16, 32, 32, 48, 48, 64, 64), strict=True))
EXPAND = dict(zip(BLOCKS, (64, 64, 128, 128, 192, 192, 256, 256), strict=True))
POOL_AFTER = ("F4", "F8")  # by position: the pool stays when its Fire module goes


BYPASSED = ("F3", "F5", "F7", "F9")

OPTIONS = {
    "small": (
        Option(name="stem_width", values=(128, 32, 64, 96)),
        Option(name="stem_stride", values=(1, 2), closed=True),
        Option(name="width_multiplier", values=(1.0, 0.5, 0.75, 1.25)),
        Option(name="share_3x3", values=(0.5, 0.25, 0.75)),
        Option(name="bypass", values=("none", "simple"), closed=True),
        Option(name="classifier", values=("plain", "neuron"), closed=True),
    )
}


def build(
    *, definition: str, mask: tuple[str, ...], input_shape: Shape, n_classes: int, stem_width: int = 128,
    stem_stride: int = 1, width_multiplier: float = 1.0, share_3x3: float = 0.5, bypass: str = "none",
    classifier: str = "plain",
) -> Plan:  # fmt: skip
    """The plan for `mask`, the kept Fire modules in network order. A removed one lets its input pass on."""
    small = definition == "small"
    b = PlanBuilder(input_shape, mask)

    def current(name: str, x: str, channels: int, kernel: int, *, stride: int = 1, padding: int = 0) -> str:
        x = b.conv(f"{name}.conv", x, channels, kernel=kernel, stride=stride, padding=padding)
        return b.bn(f"{name}.bn", x) if small else x

    def unit(name: str, x: str, channels: int, kernel: int, *, stride: int = 1, padding: int = 0) -> str:
        return b.act(f"{name}.act", current(name, x, channels, kernel, stride=stride, padding=padding))

    def pool(name: str, x: str) -> str:
        return (
            b.maxpool(name, x, kernel=2, stride=2) if small else b.maxpool(name, x, kernel=3, stride=2, ceil_mode=True)
        )

    def fire(block: str, x: str) -> str:
        expand = 2 * widened(EXPAND[block], width_multiplier)
        of_3x3 = min(expand - 1, max(1, round(share_3x3 * expand)))
        squeezed = unit(f"{block}.squeeze", x, widened(SQUEEZE[block], width_multiplier), 1)
        bypassed = bypass == "simple" and block in BYPASSED and b.shape(x)[0] == expand
        part = current if bypassed else unit
        expanded = (
            part(f"{block}.expand1", squeezed, expand - of_3x3, 1),
            part(f"{block}.expand3", squeezed, of_3x3, 3, padding=1),
        )
        out = b.concat(f"{block}.concat", expanded)
        return b.act(f"{block}.act", b.add(f"{block}.bypass", out, x)) if bypassed else out

    if small:
        x = unit("stem", "input", stem_width, 3, stride=stem_stride, padding=1)
    else:
        x = unit("stem", "input", 96, 7, stride=2)
    if not small or stem_stride == 1:
        x = pool("pool1", x)
    for block in BLOCKS:
        x = b.removable(block, x, partial(fire, block))
        if block in POOL_AFTER:
            x = pool(f"pool{block[1:]}", x)
    if not small:
        x = b.dropout("dropout", x, 0.5)
    x = b.conv("classifier.conv", x, n_classes, kernel=1)
    if not small or classifier == "neuron":
        x = b.act("classifier.act", x)
    b.global_avgpool("pool", x)
    return b.finish(backbone="squeezenet", definition=definition, blocks=BLOCKS, mask=mask)
