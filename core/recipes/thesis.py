"""The training of the experiments in the thesis behind Kabir et al. (arXiv:2602.09717), its section 4.1.

The paper's second term is gradient-aware; the thesis trains with "cross-entropy plus a Grad-CAM-aware term", lambda = 0.2,
and prints no formula, so the term is our reading (`core.engine.losses.grad_cam_aware`). All else is the recipe `paper`.
"""

from __future__ import annotations

from dataclasses import replace

from core.recipes import paper
from core.recipes.setup import Setup

EXPECTED_MINUTES = 1700  # all 150 epochs: second derivatives in plain torch, batches of 8
TITLE = "As in the thesis"
DESCRIPTION = (
    "The published schedule with the thesis' second loss term: Grad-CAM-aware, lambda 0.2, in place of the paper's "
    "gradient-aware one. Slow: many hours on CIFAR-10."
)


def setup(dataset: str) -> Setup:
    """As `paper`, but for the second term."""
    published = paper.setup(dataset)
    terms = {"gradient_aware": 0.0, "grad_cam_aware": 0.2}
    return replace(published, training=published.training.model_copy(update=terms))
