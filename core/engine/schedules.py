"""Learning-rate schedules: pure functions of the position in training."""

from __future__ import annotations

import math

from core.schemas.run import TrainingConfig


def learning_rate(training: TrainingConfig, epoch: int, step: int, steps: int) -> float:
    """The rate of one step; epoch from 1, step from 0 of `steps`.

    p = epochs done, fractional; w = warmup_epochs; E = max_epochs.
    Warm-up, p < w: lr p' / w with p' the end of the step, so that the first step moves already.
    multistep: lr gamma^k, k = milestones passed: "at epoch 50" means after 50 epochs.
    cosine: lr (1 + cos(pi (p - w) / (E - w))) / 2.
    linear: lr (E - p) / (E - w), 0 at the end.
    """
    done = epoch - 1 + step / steps
    if done < training.warmup_epochs:
        return training.lr * min(1.0, (done + 1 / steps) / training.warmup_epochs)
    match training.schedule:
        case "multistep":
            return training.lr * training.gamma ** sum(epoch > milestone for milestone in training.milestones)
        case "cosine":
            span = training.max_epochs - training.warmup_epochs
            return training.lr * (1 + math.cos(math.pi * (done - training.warmup_epochs) / span)) / 2
        case "linear":
            return training.lr * (training.max_epochs - done) / (training.max_epochs - training.warmup_epochs)
        case "constant":
            return training.lr


def mean_rate(training: TrainingConfig, epoch: int, steps: int) -> float:
    """The mean over an epoch's steps."""
    return sum(learning_rate(training, epoch, step, steps) for step in range(steps)) / steps
