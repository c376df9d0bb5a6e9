"""A spiking network in about an hour on two cores: most epochs at one time step, the last ones at all of them."""

from __future__ import annotations

from core.recipes.images import mirrors
from core.recipes.setup import Setup
from core.schemas.run import NeuronConfig, TrainingConfig
from core.schemas.stages import Stage

EXPECTED_MINUTES = 70
TITLE = "Fast"
DESCRIPTION = (
    "LIF with a leak of a half. SGD with Nesterov momentum in batches of 64 over 22 epochs, linear to 0 in each of three "
    "stages: T = 1, 2, 4. Natural images are shifted and mirrored in turn. Many times quicker than the published schedule."
)


def setup(dataset: str) -> Setup:
    """A CNN takes what it can have of it: no stages, so that it trains its epochs in one go."""
    training = TrainingConfig(
        optimizer="sgd",
        lr=0.05,  # 0.1 at batches of 128, as spiking ResNets are trained (Meng et al., ICCV 2023; Deng et al., ICLR 2022)
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        batch_size=64,
        max_epochs=22,
        schedule="linear",  # to 0: the last weights are the ones to keep (Jordan 2024, arXiv:2404.00498)
        warmup_epochs=1.0,
        stages=(  # a step costs a third at T = 1 (Meng et al., ICCV 2023, train ImageNet so); pilots: docs/training.md
            Stage(time_steps=1, share=0.6),
            Stage(time_steps=2, share=0.25, lr_factor=0.3),
            Stage(time_steps=4, share=0.15, lr_factor=0.1),
        ),
        patience=None,
        validate_every=5,
        select="last",
        augment="crop-altflip" if mirrors(dataset) else "crop",
        label_smoothing=0.1,  # Szegedy et al., CVPR 2016
        validation_share=0.04,
        split_seed=0,
    )
    # with H = V + (X - V) / 2 this is a leak of a half, a gain of 1 and a threshold of 1 (Deng et al., ICLR 2022)
    return Setup(training=training, neuron=NeuronConfig(tau=2.0, v_threshold=0.5, alpha=4.0), time_steps=4)
