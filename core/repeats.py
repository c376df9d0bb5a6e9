"""Runs that differ in their seed alone: what that means, for every page, table and command that takes a mean over seeds."""

from __future__ import annotations

from core.schemas.base import digest
from core.schemas.results import Summary
from core.schemas.run import RunConfig

#: Changes whenever the rule below does, so that a key stored under another rule is seen as one and made anew.
RULE = "3:"
LENGTH = 64


def images_there(summary: Summary) -> tuple[int | str, ...]:
    """What of the data decided the result: a part of a data set, or other images under its name, make another run of an
    equal config."""
    sizes = summary.n_train, summary.n_train_available, summary.n_validation, summary.n_test
    return *sizes, summary.data_digest or ""  # none was noted once: as of a whole published set


def repeat_key(config: RunConfig, summary: Summary | None) -> str:
    """Equal for runs that differ in nothing but their seed: config, recipe and the images that were there.

    Without a summary the images are not known yet: such a key is equal among unfinished runs alone.
    """
    content = config.identity()
    del content["seed"]
    images = None if summary is None else images_there(summary)
    return (RULE + digest([content, config.recipe, images]))[:LENGTH]
