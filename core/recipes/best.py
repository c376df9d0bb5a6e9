"""The most accuracy for the time: counts in training, spikes in inference, and what trains CNNs in few epochs."""

from __future__ import annotations

from core.recipes.images import mirrors
from core.recipes.setup import Setup
from core.schemas.run import NeuronConfig, TrainingConfig

EXPECTED_MINUTES = 110
TITLE = "Best known"
DESCRIPTION = (
    "Counts of 0 to 4 spikes are trained in one pass, and tested as four binary steps (layer-synchronous). SGD with "
    "Nesterov momentum in batches of 64 over 60 epochs, linear to 0; natural images are shifted and mirrored in turn."
)


def setup(dataset: str) -> Setup:
    """A CNN takes what it can have of it: no counts."""
    training = TrainingConfig(
        optimizer="sgd",
        lr=0.05,  # 0.1 at batches of 128, as spiking ResNets are trained (Meng et al., ICCV 2023; Deng et al., ICLR 2022)
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        neuron_lr_factor=0.1,  # a learned step moves a whole layer
        batch_size=64,
        max_epochs=60,
        schedule="linear",  # to 0: the last weights are the ones to keep (Jordan 2024, arXiv:2404.00498)
        warmup_epochs=1.0,
        patience=None,
        validate_every=5,
        select="last",
        augment="crop-altflip" if mirrors(dataset) else "crop",
        label_smoothing=0.1,  # Szegedy et al., CVPR 2016
        validation_share=0.04,
        split_seed=0,
    )
    # half a deviation of a normalised current a spike: 4 spikes at 2
    return Setup(training=training, neuron=NeuronConfig(model="count", v_threshold=0.5), time_steps=4)
