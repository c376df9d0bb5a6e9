"""MixNet-S, two definitions, with any set of blocks left out.

`imagenet` is MixNet-S as published (Tan and Le, arXiv:1907.09595, section 4): mixed depthwise kernels, grouped 1x1
convolutions, squeeze-and-excitation; 4,134,606 parameters for 1000 classes. Its swish is a ReLU here, as every
activation of a twin is.
`small` is a reconstruction for Kabir et al. (arXiv:2602.09717, table 1), who print parameters but no widths: the same
block list at 0.12 of its widths, to multiples of 8, with a head of 256. The printed step from 10 to 100 classes, 23.1k,
is that of 257 parameters a class. The stem and the first reduction keep the image's size, so a 32x32 image ends as 4x4.

The gate's factors are real values, so the convolution after a gated layer multiplies also in the spiking network.
"""

from __future__ import annotations

from core.backbones.inverted import Inverted, InvertedNetwork

K3, K5, K7, K9, K11 = (3,), (3, 5), (3, 5, 7), (3, 5, 7, 9), (3, 5, 7, 9, 11)  # the kernels up to the named one

_X2 = Inverted(channels=24, expansion=3, expand_groups=2, project_groups=2)
_X3 = Inverted(channels=40, kernels=K5, expansion=6, expand_groups=2, project_groups=2, gate=0.5)
_X4 = Inverted(channels=80, kernels=K5, expansion=6, project_groups=2, gate=0.25)
_X5 = Inverted(channels=120, kernels=K9, expansion=3, expand_groups=2, project_groups=2, gate=0.5)
_X6 = Inverted(channels=200, kernels=K9, expansion=6, project_groups=2, gate=0.5)
SPECS = {
    "X1.1": Inverted(channels=16),
    "X2.1": Inverted(channels=24, stride=2, expansion=6, expand_groups=2, project_groups=2),
    "X2.2": _X2,
    "X3.1": Inverted(channels=40, kernels=K7, stride=2, expansion=6, gate=0.5),
    "X3.2": _X3,
    "X3.3": _X3,
    "X3.4": _X3,
    "X4.1": Inverted(channels=80, kernels=K7, stride=2, expansion=6, project_groups=2, gate=0.25),
    "X4.2": _X4,
    "X4.3": _X4,
    "X5.1": Inverted(channels=120, kernels=K7, expansion=6, expand_groups=2, project_groups=2, gate=0.5),
    "X5.2": _X5,
    "X5.3": _X5,
    "X6.1": Inverted(channels=200, kernels=K11, stride=2, expansion=6, gate=0.5),
    "X6.2": _X6,
    "X6.3": _X6,
}
NETWORK = InvertedNetwork(
    backbone="mixnet",
    specs=SPECS,
    stem=16,
    head=1536,
    small_stem=8,
    small_head=256,
    share=0.12,
    multiple=8,
    full_size="X2.1",
)
BLOCKS = NETWORK.blocks
MASKS = NETWORK.masks(head="X6", tail="X4")
build = NETWORK.build
