"""A finished run's accuracy and operations under disturbed pixels and coarser weights, beside those undisturbed.

Noise and blur are two of the kinds of Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations", ICLR 2019 (arXiv:1903.12261), as their CIFAR-10-C has them, but for the last step:
they round the disturbed pixel to 8 bits, here it stays a real number. Weights are rounded as in Krishnamoorthi,
"Quantizing deep convolutional networks for efficient inference", 2018 (arXiv:1806.08342), section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.analysis.predictions import predict
from core.bundle import Bundle
from core.datasets.spec import Dataset
from core.engine.compress import instead
from core.engine.count import Counter
from core.engine.data import Normaliser, stream
from core.engine.network import Network
from core.engine.sources import CPU, trained
from core.engine.tested import require_tested_on, spread
from core.engine.train import EVALUATION_BATCH
from core.schemas.results import Counts
from core.schemas.robustness import DEFAULT_IMAGES, STRENGTHS, Disturbance, Disturbed, Robustness, Tested

WHITE = 255.0
REACH = 4.0  # standard deviations at which the blur's kernel is cut, as skimage.filters.gaussian cuts it
#: Disturbs pixels [n, H, W, 3] float32 in [0, 255] of the test images at the places [n].
Pixels = Callable[[Tensor, np.ndarray], Tensor]


def measure(
    bundle: Bundle,
    dataset: Dataset,
    *,
    n: int = DEFAULT_IMAGES,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Robustness:
    """`n` test images, spread over the set, or all, through the bundle's network under every strength of STRENGTHS.

    On the CPU, counted by the engine's own counter. `progress` gets images that went through and those that will.
    Raises BadValue for another test set, BundleCorrupt.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    stored = bundle.predictions()
    require_tested_on(stored, dataset.test_labels, name=dataset.spec.name)
    network = trained(bundle)
    chosen = spread(len(stored.label), n, first=network.encoding == "rate")
    passes = 1 + sum(map(len, STRENGTHS.values()))
    bench = Bench(network, dataset, stored.index[chosen], progress=progress, total=passes * len(chosen))
    label = stored.label[chosen]
    answers, counts = bench.run()
    was = answers == label
    points = []
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            if kind == "weight_bits":
                with rounded_weights(network, int(strength)):
                    found, disturbed = bench.run()
            else:
                found, disturbed = bench.run(pixels_of(kind, strength, seed))
            now = found == label
            points.append(
                Disturbed(
                    kind=kind,
                    strength=strength,
                    correct=int(now.sum()),
                    gained=int((now & ~was).sum()),
                    lost=int((was & ~now).sum()),
                    counts=disturbed,
                )
            )
    return Robustness(
        weights_sha256=bundle.weights_sha256,
        seed=seed,
        n=len(chosen),
        n_test=len(stored.label),
        answers_equal=int((answers == predict(stored.outputs[chosen])).sum()),
        undisturbed=Tested(correct=int(was.sum()), counts=counts),
        points=tuple(points),
    )


class Bench:
    """The same test images through a network, again and again, in the test's own batches."""

    def __init__(
        self, network: Network, dataset: Dataset, index: np.ndarray, *, progress: Callable[[int, int], None], total: int
    ) -> None:
        """index: [n], places in the test set."""
        self._network, self._images, self._index = network, dataset.test_images, index
        self._normalise = Normaliser.of(network, dataset.spec, CPU)
        self._progress, self._total, self._done = progress, total, 0

    def run(self, disturb: Pixels | None = None) -> tuple[np.ndarray, Counts]:
        """Answers [n] int64 and counts. The spikes of rate coding are drawn alike each time."""
        answers, size = [], EVALUATION_BATCH["cpu"]
        self._network.seed_encoding("test")
        with torch.inference_mode(), Counter(self._network) as counter:
            for low in range(0, len(self._index), size):
                places = self._index[low : low + size]
                images = torch.from_numpy(np.ascontiguousarray(self._images[places]))
                if disturb is not None:
                    images = disturb(images.float(), places)
                answers.append(predict(self._network(self._normalise(images)).transpose(0, 1).float().numpy()))
                self._done += len(places)
                self._progress(self._done, self._total)
        return np.concatenate(answers), counter.counts(len(self._index))


def pixels_of(kind: Disturbance, strength: float, seed: int) -> Pixels:
    """What disturbs pixels in that way; noise is drawn from (seed, "noise", place of the image in the test set)."""
    if kind == "blur":
        return lambda images, places: blurred(images, strength)
    assert kind == "noise", "the other kind is of weights"
    return lambda images, places: noisy(images, strength, seed, places)


def noisy(images: Tensor, sigma: float, seed: int, places: np.ndarray) -> Tensor:
    """x' = clip(x + sigma z, 0, 1) for every pixel x in [0, 1] and channel, z normal: here in [0, 255].

    images: [n, H, W, 3] float32, places: [n]. An image has one z, at every sigma and among whichever others it stands.
    """
    drawn = [torch.randn(images.shape[1:], generator=stream(seed, "noise", int(place))) for place in places]
    return (images + WHITE * sigma * torch.stack(drawn)).clamp(0, WHITE)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Each channel convolved with g(i, j) ~ exp(-(i^2 + j^2) / (2 sigma^2)), cut at REACH sigma, of sum 1; sigma > 0 in
    pixels. Beyond an edge its pixel goes on.

    images: [n, H, W, 3] float32 in [0, 255].
    """
    radius = int(REACH * sigma + 0.5)
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma) ** 2)
    line = (line / line.sum()).float()
    x = F.pad(images.permute(0, 3, 1, 2), (radius, radius, radius, radius), mode="replicate")
    for view in ((1, 1, -1, 1), (1, 1, 1, -1)):
        x = F.conv2d(x, line.view(view).repeat(3, 1, 1, 1), groups=3)
    return x.permute(0, 2, 3, 1).clamp(0, WHITE).contiguous()


@contextmanager
def rounded_weights(network: Network, bits: int) -> Iterator[None]:
    """Weights of convolutions, the classifier's among them, at `bits` bits while the block runs; the rest in full.

    Of a compressed network those that it computes with.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    with instead(layers, lambda weight: rounded(weight, bits)):
        yield


def rounded(weight: Tensor, bits: int) -> Tensor:
    """w' = s clip(round(w / s), -q, q), q = 2^(bits - 1) - 1, s = max |w| / q over the tensor: symmetric and uniform.

    weight: any shape, bits >= 2. Zero stays zero, so 2 bits leave three values.
    """
    most = 2 ** (bits - 1) - 1
    step = float(weight.abs().max()) / most
    if not math.isfinite(step) or step == 0:  # all zero: nothing to round
        return weight.clone()
    return (weight / step).round().clamp(-most, most) * step
