"""Bundles of untrained networks, made in no time: what a recount and an export read, as a run leaves it."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from core.backbones.catalog import BACKBONES
from core.bundle import Bundle, Predictions
from core.datasets.catalog import DATASETS
from core.datasets.load import load
from core.engine.count import Counter
from core.engine.data import Normaliser
from core.engine.network import Network
from core.recipes.build import plan_of
from core.schemas.run import RunConfig

N = 12  # test images of a bundle made here: two batches, the second one smaller
DIGITS = load("digits", Path("/nonexistent"))  # packaged with scikit-learn
IMAGES, LABELS = DIGITS.test_images[:N], DIGITS.test_labels[:N].astype(np.int64)


def made(folder: Path, **config) -> Bundle:
    """An unsealed bundle of a network that fires in every layer, tested on N images as a run tests."""
    backbone = config.setdefault("backbone", "squeezenet")
    config.setdefault("mask", ("F9",) if backbone == "squeezenet" else BACKBONES[backbone].blocks)
    config = RunConfig(**{"time_steps": 3, "dataset": "digits", **config})
    network = Network(plan_of(config), config)
    normalise = Normaliser(DATASETS["digits"], torch.device("cpu"), network.encoding)
    x = normalise(torch.from_numpy(IMAGES))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # running statistics as after training
    with torch.no_grad():
        network.train()(x)
        network.eval().seed_encoding("test")
        with Counter(network) as counter:
            outputs_NTC = network(x).transpose(0, 1).numpy()
    bundle = Bundle(folder)
    bundle.write_model("config.json", config)
    bundle.write_bytes("weights.safetensors", save({k: v.contiguous() for k, v in network.state_dict().items()}))
    classes = [str(digit) for digit in range(10)]
    bundle.write_predictions(Predictions(index=np.arange(N), label=LABELS, outputs=outputs_NTC, classes=classes))
    bundle.write_arrays("counts_per_sample.npz", counter.per_sample())
    bundle.write_model("counts.json", counter.counts())
    return bundle
