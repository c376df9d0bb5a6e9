"""Training as published by Kabir et al. (arXiv:2602.09717, section 4), as far as it is printed.

Left out: the gradient-aware and the Grad-CAM-aware loss terms.
"""

from __future__ import annotations

from core.schemas.run import Kind, NeuronConfig, RunConfig, TrainingConfig

TITLE = "As published"
DESCRIPTION = (
    "Adam at 1e-3 in batches of 8, a tenth of it from epochs 50 and 100, at most 150 epochs, stopped after 10 "
    "without a better validation accuracy; tau 1.08, no augmentation. Slow: hours on CIFAR-10."
)


def build(*, backbone: str, definition: str, kind: Kind, mask: tuple[str, ...], dataset: str, seed: int) -> RunConfig:
    """The same for every data set, as in the source."""
    return RunConfig(
        backbone=backbone,
        definition=definition,
        kind=kind,
        mask=mask,
        dataset=dataset,
        recipe="paper",
        seed=seed,
        time_steps=4,
        neuron=NeuronConfig(tau=1.08, v_threshold=1.0, alpha=2.0),
        training=TrainingConfig(
            lr=1e-3,
            batch_size=8,
            max_epochs=150,
            schedule="multistep",
            milestones=(50, 100),
            gamma=0.1,
            patience=10,
            augment="none",
            validation_share=0.2,
            split_seed=0,
        ),
    )
