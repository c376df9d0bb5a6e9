"""Training as published by Kabir et al. (arXiv:2602.09717, section 4), its gradient-aware loss term included.

The source prints neither lambda nor eps of that term; ours stand below with their reason. The Grad-CAM-aware term
belongs to the experiments of the thesis behind the paper: the recipe `thesis`.
"""

from __future__ import annotations

from core.recipes.setup import Setup
from core.schemas.run import TrainingConfig

EXPECTED_MINUTES = 4600  # all 150 epochs: second derivatives in plain torch, batches of 8
TITLE = "As published"
DESCRIPTION = (
    "Adam at 1e-3 in batches of 8, a tenth of it from epochs 50 and 100, at most 150 epochs, stopped after 10 "
    "without a better validation accuracy; tau 1.08, gradient-aware loss, no augmentation. Slow: many hours on CIFAR-10."
)


def setup(dataset: str) -> Setup:
    """The same for every data set, as in the source."""
    training = TrainingConfig(
        lr=1e-3,
        batch_size=8,
        max_epochs=150,
        schedule="multistep",
        milestones=(50, 100),
        gamma=0.1,
        patience=10,
        augment="none",
        # not printed: at most 0.01 a layer, so that the term never outweighs the cross-entropy
        gradient_aware=0.01,
        gradient_aware_eps=1e-3,  # not printed: a tenth to a thousandth of the norms that layers have
        validation_share=0.2,
        split_seed=0,
    )
    return Setup(training=training)
