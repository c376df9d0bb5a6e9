"""The quickest run that still learns: a first point on the plot, not a result to compare with."""

from __future__ import annotations

from core.recipes.images import is_small
from core.recipes.setup import Setup
from core.schemas.run import TrainingConfig

EXPECTED_MINUTES = 3
TITLE = "Smoke"
DESCRIPTION = (
    "Seconds on the digits, a few minutes on 8,000 images of a larger data set: shows that everything works and "
    "roughly where a mask lands. Not for comparing networks."
)


def setup(dataset: str) -> Setup:
    """A small data set whole; of anything larger a stratified part."""
    small = is_small(dataset)
    training = TrainingConfig(
        lr=3e-3,
        batch_size=16 if small else 32,
        max_epochs=5 if small else 3,
        schedule="cosine",
        warmup_epochs=0.5,
        patience=None,
        augment="none",
        train_limit=None if small else 8000,
        # a fifth of a large set would cost more than the training
        validation_share=0.2 if small else 0.04,
        split_seed=0,
    )
    return Setup(training=training)
