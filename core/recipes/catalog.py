"""The table of recipes: each says how to train on a data set.

A recipe may look at the data set, never at the network: a spiking run and its CNN twin are trained alike, and a CNN
takes what it can have of it. T and the neuron are those of Kabir et al. (arXiv:2602.09717, section 4) under every
recipe, so that the training alone differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.recipes import best, fast, paper, smoke
from core.registry import Registry
from core.schemas.run import Kind, NeuronConfig, RunConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One row of the table."""

    name: str
    title: str
    description: str
    training: Callable[[str], TrainingConfig]

    def build(
        self, *, backbone: str, definition: str, kind: Kind, mask: tuple[str, ...], dataset: str, seed: int
    ) -> RunConfig:
        """The whole config. Names are canonical already: `mask` in network order, every name known."""
        return RunConfig(
            backbone=backbone,
            definition=definition,
            kind=kind,
            mask=mask,
            dataset=dataset,
            recipe=self.name,
            seed=seed,
            time_steps=4,
            neuron=NeuronConfig(tau=1.08, v_threshold=1.0, alpha=2.0),
            training=self.training(dataset),
        )


RECIPES: Registry[Recipe] = Registry("recipe")
for _module in (smoke, fast, best, paper):
    _name = _module.__name__.rpartition(".")[2]
    RECIPES.add(
        _name, Recipe(name=_name, title=_module.TITLE, description=_module.DESCRIPTION, training=_module.training)
    )
