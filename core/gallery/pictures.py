"""The example images of a bundle: its own, or those of the data set on this machine where they were left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.bundle import Bundle, ExampleImages
from core.datasets.load import load
from core.errors import DatasetCorrupt, DatasetMissing, UnknownName


def example_images(bundle: Bundle, data: Path) -> ExampleImages:
    """Images worth a look, with their places in the test set; none where they were left out and the set is not here.

    `data` is the folder of the data sets. A set of other labels is another set, and none of its images is shown.
    """
    kept = bundle.examples()
    if kept.has_pixels:
        return kept
    nothing = ExampleImages(index=kept.index[:0], image=kept.image[:0])
    try:
        dataset = load(bundle.config().dataset, data)
    except (DatasetMissing, DatasetCorrupt, UnknownName):
        return nothing
    answers = bundle.predictions()
    n_test = len(dataset.test_labels)
    if answers.index.max(initial=-1) >= n_test or not np.array_equal(dataset.test_labels[answers.index], answers.label):
        return nothing
    return ExampleImages(index=kept.index, image=np.asarray(dataset.test_images[kept.index]))
