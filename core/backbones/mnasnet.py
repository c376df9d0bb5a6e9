"""MnasNet-B1, two definitions, with any set of blocks left out.

`imagenet` is MnasNet-B1 as published (Tan et al., arXiv:1807.11626, the searched network without squeeze-and-
excitation; torchvision's `mnasnet1_0`): 4,383,312 parameters for 1000 classes.
`small` is a reconstruction for Kabir et al. (arXiv:2602.09717, table 1), who print parameters but no widths: the same
block list at 0.2 of its widths, made even, with a head of 128. The printed step from 10 to 100 classes, 11.7k, is that
of 129 parameters a class. The stem and the first reduction keep the image's size, so a 32x32 image ends as 4x4.
"""

from __future__ import annotations

from core.backbones.inverted import Inverted, InvertedNetwork

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
build = NETWORK.build
