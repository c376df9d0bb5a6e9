"""The table of recipes: each says how to train on a data set, with which neuron and over how many time steps.

A recipe may look at the data set, never at the network: a spiking run and its CNN twin are trained alike, and a CNN
takes what it can have of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.recipes import best, fast, paper, smoke, thesis
from core.recipes.setup import Setup
from core.registry import Registry
from core.schemas.run import Kind, RunConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One row of the table."""

    name: str
    title: str
    description: str
    setup: Callable[[str], Setup]
    expected_minutes: int  # of SqueezeNet-P, spiking, on CIFAR-10 on two cores: all epochs, a teacher's too

    def draft(
        self, *, backbone: str, definition: str, kind: Kind, mask: tuple[str, ...], dataset: str, seed: int
    ) -> RunConfig:
        """The whole config, not held yet against what can go together: overrides come first, and check the whole.

        Names are canonical already: `mask` in network order, every name known.
        """
        chosen = self.setup(dataset)
        return RunConfig.model_construct(
            backbone=backbone,
            definition=definition,
            kind=kind,
            mask=mask,
            dataset=dataset,
            recipe=self.name,
            seed=seed,
            time_steps=chosen.time_steps,
            input=chosen.input,
            neuron=chosen.neuron,
            training=chosen.training,
        )


RECIPES: Registry[Recipe] = Registry("recipe")
for _module in (smoke, fast, best, paper, thesis):
    _name = _module.__name__.rpartition(".")[2]
    RECIPES.add(
        _name,
        Recipe(
            name=_name,
            title=_module.TITLE,
            description=_module.DESCRIPTION,
            setup=_module.setup,
            expected_minutes=_module.EXPECTED_MINUTES,
        ),
    )
