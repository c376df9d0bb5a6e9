"""A finished run tested again: the same network on the same test images, its answers and counts beside the stored ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from core.analysis.predictions import as_stored, predict
from core.bundle import Bundle
from core.datasets.spec import Dataset
from core.engine.count import Counter
from core.engine.data import Images, Normaliser, evaluation_batches
from core.engine.infer import CPU, Networks
from core.engine.tested import require_tested_on
from core.engine.train import EVALUATION_BATCH

#: Another processor rounds otherwise, and a value near a threshold then fires or not. More than this is another network.
ANSWERS = 0.005  # of the images
OPERATIONS = 0.005  # of the operations of a layer's kind, all together


@dataclass(frozen=True, kw_only=True)
class Retest:
    """What a second test says of `n` images; sums over images and time steps."""

    n: int
    answers_equal: int
    accuracy: float  # of the stored answers
    accuracy_again: float
    operations: int  # ACs and MACs of the stored counts
    operations_again: int
    same_bits: bool  # every count equal, and every raw output to the places that the bundle keeps

    @property
    def agrees(self) -> bool:
        """Equal, or as near as another processor's rounding brings it."""
        near = abs(self.operations_again - self.operations) <= OPERATIONS * max(1, self.operations)
        return near and self.n - self.answers_equal <= ANSWERS * self.n


def retest(
    bundle: Bundle, dataset: Dataset, *, n: int | None = None, progress: Callable[[int, int], None] = lambda *_: None
) -> Retest:
    """The first `n` test images, or all, through the bundle's network on the CPU, in the test's own batches.

    `progress` gets images done and images in all. Raises BadValue for another test set, BundleCorrupt.
    """
    stored = bundle.predictions()
    require_tested_on(stored, dataset.test_labels, name=dataset.spec.name)
    n = len(stored.label) if n is None else min(n, len(stored.label))
    network = Networks().of(bundle)
    index = stored.index[:n]
    part = Images(
        images=torch.from_numpy(np.ascontiguousarray(dataset.test_images[index])),
        labels=torch.from_numpy(np.ascontiguousarray(stored.label[:n])),
        index=index,
    )
    normalise = Normaliser.of(network, dataset.spec, CPU)
    network.seed_encoding("test")
    outputs, done = [], 0
    with torch.inference_mode(), Counter(network) as counter:
        for x, labels in evaluation_batches(part, normalise, EVALUATION_BATCH["cpu"]):
            outputs.append(network(x).transpose(0, 1))
            done += len(labels)
            progress(done, n)
    again_NTC = torch.cat(outputs).float().numpy()
    return _beside(bundle, again_NTC, counter.per_sample())


def _beside(bundle: Bundle, again_NTC: np.ndarray, counted: dict[str, np.ndarray]) -> Retest:
    """again_NTC: [n, T, C] raw outputs; counted: as `Counter.per_sample` gives it, of the same n images."""
    stored, n = bundle.predictions(), len(again_NTC)
    label = stored.label[:n]
    before, after = predict(stored.outputs[:n]), predict(again_NTC)
    per_sample = bundle.counts_per_sample()
    kept = {name: per_sample[name][:n] for name in ("ac", "mac", "spikes")}
    return Retest(
        n=n,
        answers_equal=int((before == after).sum()),
        accuracy=float((before == label).mean()),
        accuracy_again=float((after == label).mean()),
        operations=int(kept["ac"].sum() + kept["mac"].sum()),
        operations_again=int(counted["ac"].sum() + counted["mac"].sum()),
        same_bits=np.array_equal(stored.outputs[:n], as_stored(again_NTC, stored.outputs[:n]))
        and all(np.array_equal(kept[name], counted[name]) for name in kept),
    )
