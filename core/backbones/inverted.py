"""The inverted residual with a linear bottleneck, and the network made of it that MnasNet and MixNet are.

Sandler et al., arXiv:1801.04381 (figure 4d): expand with a 1x1 convolution, filter each channel by itself, project
with a 1x1 convolution that no activation follows; with a shortcut where stride and channels allow it. With the
mixed kernels of MixConv (Tan and Le, arXiv:1907.09595, section 3) and the gate of squeeze-and-excitation
(Hu et al., arXiv:1709.01507, section 3).

Every block takes the channels that arrive, and has a shortcut where the published rule (stride 1, channels equal)
gives it one; so every mask can be built. A left-out block takes its stride with it.

In the spiking network the projection sees spikes, unless a gate makes them real, and what it gives is real.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from core.backbones.plan import Plan, PlanBuilder, Shape


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """One block. `kernels`: of the parts into which the depthwise convolution splits its channels.

    `expand_groups` and `project_groups`: independent parts of the two 1x1 convolutions. `gate`: width of the
    gate's bottleneck as a share of the block's input channels, 0 for no gate. Expansion 1: no first convolution.
    """

    channels: int
    kernels: tuple[int, ...] = (3,)
    stride: int = 1
    expansion: int = 1
    expand_groups: int = 1
    project_groups: int = 1
    gate: float = 0.0
    shortcut: bool = True  # where the published rule allows it
    projects_spikes: bool = False  # an activation behind the projection, which else is linear


@dataclass(frozen=True, kw_only=True)
class InvertedNetwork:
    """A stem, a list of blocks, a head and a classifier, as published (`imagenet`) and for small images (any other).

    For small images it has `share` of the blocks' channels, to multiples of `multiple`; the stem and the block
    `full_size`, the first reduction of the list, keep the image's size.
    """

    backbone: str
    specs: dict[str, Inverted] = field(hash=False)
    stem: int
    head: int
    small_stem: int
    small_head: int
    share: float
    multiple: int
    full_size: str

    @property
    def blocks(self) -> tuple[str, ...]:
        return tuple(self.specs)

    def masks(self, *, head: str, tail: str) -> dict[str, tuple[str, ...]]:
        """Our own masks, in the manner of the published Fire masks: without stage `head` and what follows it;
        without what stands between the first block and stage `tail`; every other block; the first of each stage."""
        first, *others = self.blocks
        return {
            "Full": self.blocks,
            "Head-1": tuple(block for block in self.blocks if block < head),
            "Tail-1": (first, *(block for block in others if block >= tail)),
            "Alt-1": self.blocks[::2],
            "Alt-2": self.blocks[1::2],
            "Firsts": tuple(block for block in self.blocks if block.endswith(".1")),
        }

    def build(self, *, definition: str, mask: tuple[str, ...], input_shape: Shape, n_classes: int) -> Plan:
        """The plan for `mask`, the kept blocks in network order."""
        small = definition != "imagenet"
        b = PlanBuilder(input_shape, mask)

        def point(name: str, x: str, channels: int, *, kernel: int = 1, stride: int = 1) -> str:
            x = b.conv(f"{name}.conv", x, channels, kernel=kernel, stride=stride, padding=kernel // 2, bias=False)
            return b.act(f"{name}.act", b.bn(f"{name}.bn", x))

        x = point("stem", "input", self.small_stem if small else self.stem, kernel=3, stride=1 if small else 2)
        for block, spec in self.specs.items():
            if small:
                stride = 1 if block == self.full_size else spec.stride
                spec = replace(spec, channels=narrowed(spec.channels, self.share, self.multiple), stride=stride)
            x = b.removable(block, x, partial(add_block, b, block, spec))
        x = b.global_avgpool("pool", point("head", x, self.small_head if small else self.head))
        if not small:
            x = b.dropout("dropout", x, 0.2)
        b.conv("classifier.conv", x, n_classes, kernel=1)
        return b.finish(backbone=self.backbone, definition=definition, blocks=self.blocks, mask=mask)


def parts(channels: int, n: int) -> tuple[int, ...]:
    """`channels` in n parts, equal but for the first, which takes the rest."""
    each = channels // n
    return (channels - each * (n - 1), *[each] * (n - 1))


def narrowed(channels: int, share: float, multiple: int) -> int:
    """`share` of the channels, rounded to the nearest multiple, but never to less than 90 % of it.

    The rounding of the published width multipliers (Sandler et al., their released code).
    """
    exact = share * channels
    rounded = max(multiple, int(exact / multiple + 0.5) * multiple)
    return rounded if rounded >= 0.9 * exact else rounded + multiple


def add_block(b: PlanBuilder, name: str, spec: Inverted, x: str) -> str:
    """Adds the block's nodes behind x and returns its output: real in both twins, unless `projects_spikes`.

    The shortcut follows the published rule: stride 1 and as many channels out as come in. So a block also fits
    where the ones before it are left out.
    """
    arrived, channels = x, b.shape(x)[0]
    if spec.expansion > 1:
        x = _mixed(b, f"{name}.expand", x, channels * spec.expansion, (1,) * spec.expand_groups, active=True)
    x = _mixed(b, f"{name}.depth", x, b.shape(x)[0], spec.kernels, active=True, stride=spec.stride, depthwise=True)
    if spec.gate:
        x = _gated(b, f"{name}.gate", x, max(1, round(channels * spec.gate)))
    x = _mixed(b, f"{name}.project", x, spec.channels, (1,) * spec.project_groups, active=spec.projects_spikes)
    if spec.shortcut and spec.stride == 1 and channels == spec.channels:
        x = b.add(f"{name}.add", x, arrived)
    return x


def _mixed(
    b: PlanBuilder, name: str, x: str, channels: int, kernels: tuple[int, ...], *, active: bool,
    stride: int = 1, depthwise: bool = False,
) -> str:  # fmt: skip
    """A convolution in parts, one a kernel, each with its own channels; normalisation; activation if `active`.

    Normalisation and activation act on every channel by itself, so they stand in the parts, before these are joined.
    """
    pieces, start = [], 0
    sizes = zip(kernels, parts(b.shape(x)[0], len(kernels)), parts(channels, len(kernels)), strict=True)
    for number, (kernel, taken, given) in enumerate(sizes, 1):
        part = name if len(kernels) == 1 else f"{name}{number}"
        piece = x if len(kernels) == 1 else b.split(f"{part}.split", x, start=start, channels=taken)
        piece = b.conv(
            f"{part}.conv", piece, given, kernel=kernel, stride=stride, padding=kernel // 2,
            groups=taken if depthwise else 1, bias=False,
        )  # fmt: skip
        piece = b.bn(f"{part}.bn", piece)
        pieces.append(b.act(f"{part}.act", piece) if active else piece)
        start += taken
    return pieces[0] if len(pieces) == 1 else b.concat(f"{name}.concat", tuple(pieces))


def _gated(b: PlanBuilder, name: str, x: str, squeezed: int) -> str:
    """x times a gate in (0, 1) a channel, computed from the channels' means."""
    channels = b.shape(x)[0]
    gate = b.global_avgpool(f"{name}.mean", x)
    gate = b.act(f"{name}.reduce.act", b.conv(f"{name}.reduce.conv", gate, squeezed, kernel=1))
    gate = b.sigmoid(f"{name}.sigmoid", b.conv(f"{name}.expand.conv", gate, channels, kernel=1))
    return b.scale(f"{name}.scale", x, gate)
