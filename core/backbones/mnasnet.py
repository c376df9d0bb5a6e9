"""MnasNet-B1 as published, for small images, and as the paper's printed counts have it; any set of blocks left out.

`imagenet` is MnasNet-B1 as published (Tan et al., arXiv:1807.11626, the searched network without squeeze-and-
excitation; torchvision's `mnasnet1_0`): 4,383,312 parameters for 1000 classes.
`paper` is recovered from Kabir et al. (arXiv:2602.09717, table 1), who print counts but no widths: the first four stages
of the list with at most two blocks each, at the published widths and expansions, every kernel 3x3, a stem of 16, a
head of 128. It has their parameters and MACs on CIFAR-100 and Tiny ImageNet to the digit, and their MACs on CIFAR-10 once
neurons stand behind the first block's projection too: that network is `paper-cifar10`. They say nothing of it.
`small` is an older guess at the same counts: the whole block list at 0.2 of its widths, made even, with a stem of 32. Its
parameters are near, its MACs are 0.29 of the printed.
In all but `imagenet` the stem and the first reduction keep the image's size.
"""

from __future__ import annotations

from dataclasses import replace

from core.backbones.inverted import Inverted, InvertedNetwork
from core.backbones.plan import Layout, Plan, Shape

#: Stages of the published list: blocks, expansion, channels, kernel, stride of the first block.
STAGES = (
    (1, 1, 16, 3, 1),
    (3, 3, 24, 3, 2),
    (3, 3, 40, 5, 2),
    (3, 6, 80, 5, 2),
    (2, 6, 96, 3, 1),
    (4, 6, 192, 5, 2),
    (1, 6, 320, 3, 1),
)
SPECS = {
    f"M{stage}.{place}": Inverted(
        channels=channels, kernels=(kernel,), stride=stride if place == 1 else 1, expansion=expansion
    )
    for stage, (repeats, expansion, channels, kernel, stride) in enumerate(STAGES, 1)
    for place in range(1, repeats + 1)
}
NETWORK = InvertedNetwork(
    backbone="mnasnet",
    specs=SPECS,
    stem=32,
    head=1280,
    small_stem=32,
    small_head=128,
    share=0.2,
    multiple=2,
    full_size="M2.1",
)
BLOCKS = NETWORK.blocks
MASKS = NETWORK.masks(head="M6", tail="M4")
DEFINITIONS = ("small", "paper", "paper-cifar10", "imagenet")


def _recovered(*, projects_spikes: bool) -> InvertedNetwork:
    """Stages 1 to 4, at most two blocks each, 3x3. The first block has no shortcut, as published: there 32 become 16."""
    specs = {name: replace(spec, kernels=(3,)) for name, spec in SPECS.items() if name[1] in "1234" and name[3] in "12"}
    first, *_ = specs
    specs[first] = replace(specs[first], shortcut=False, projects_spikes=projects_spikes)
    return InvertedNetwork(
        backbone="mnasnet", specs=specs, stem=16, head=128, small_stem=16, small_head=128, share=1.0, multiple=1,
        full_size="M2.1",
    )  # fmt: skip


RECOVERED = {"paper": _recovered(projects_spikes=False), "paper-cifar10": _recovered(projects_spikes=True)}


def layout(definition: str) -> Layout:
    """The blocks and named masks of a definition: the recovered ones have fewer."""
    if definition not in RECOVERED:
        return Layout(BLOCKS, MASKS)
    network = RECOVERED[definition]
    return Layout(network.blocks, network.masks(head="M4", tail="M3"))


def build(*, definition: str, mask: tuple[str, ...], input_shape: Shape, n_classes: int) -> Plan:
    """The plan for `mask`, the kept blocks in network order."""
    network = RECOVERED.get(definition, NETWORK)
    return network.build(definition=definition, mask=mask, input_shape=input_shape, n_classes=n_classes)
