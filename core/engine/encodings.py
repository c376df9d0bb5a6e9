"""Input codings: how an image becomes the input of T time steps.

Each function takes x: [N, C, H, W], the number of steps T and a CPU generator, and returns [T x N, C, H, W]
with time outermost, or N rows where every step has the same input. Under `direct` x is the normalised image;
under the others it is the intensity of every pixel, pixel / 255 in [0, 1], and what is returned is spikes in
{0, 1}. `core.engine.data.Normaliser` gives each coding the x that it wants.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Latency coding: a pixel darker than this sends no spike. Of 8-bit values 0, 1 and 2 are.
SILENT_BELOW = 0.01


def direct(x: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """The image itself as a constant current: the same at every step, so kept once, [N, C, H, W] real.

    The analog input of Rueckauer et al., Frontiers in Neuroscience 11:682, 2017; the default of Kabir et al.
    """
    return x


def rate(x: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """A Poisson-like train of each pixel: at every step it spikes with probability x, independently.

    S[t] = [r < x], r uniform in [0, 1): a Bernoulli draw a step, the discrete Poisson process of Diehl et al.,
    IJCNN 2015. Drawn on the CPU in float32, image by image, so that every device sees the same spikes and
    N images take from the generator what they would take one after another.
    """
    n, *shape = x.shape
    drawn = torch.rand(n, steps, *shape, generator=generator, dtype=torch.float32).to(x.device)
    return (drawn < x.unsqueeze(1)).transpose(0, 1).flatten(0, 1).to(x.dtype)


def latency(x: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """Time to first spike: one spike a pixel, the earlier the brighter; linear in the intensity.

    S[t] = [t = round((1 - x)(T - 1))] where x >= SILENT_BELOW; darker pixels stay silent. After Thorpe, Delorme and
    Van Rullen, Neural Networks 14, 2001. Nothing is drawn. At T = 1 every pixel that is not silent spikes.
    """
    first = ((1 - x) * (steps - 1)).round()
    first = torch.where(x >= SILENT_BELOW, first, steps)  # a step that never comes
    t = torch.arange(steps, device=x.device, dtype=x.dtype).view(-1, 1, 1, 1, 1)
    return (first == t).flatten(0, 1).to(x.dtype)


Encoding = Callable[[Tensor, int, torch.Generator], Tensor]

#: Input codings by the name in RunConfig.encoding.
ENCODINGS: dict[str, Encoding] = {"direct": direct, "rate": rate, "latency": latency}
