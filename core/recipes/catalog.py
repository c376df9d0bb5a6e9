"""The table of recipes: each is a function that returns the whole RunConfig.

A recipe may look at the data set, never at the kind of network: a spiking run and its CNN twin are
trained alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.recipes import best, fast, paper, smoke
from core.registry import Registry
from core.schemas.run import Kind, RunConfig


class BuildRecipe(Protocol):
    """Names are canonical already: `mask` in network order, every name known."""

    def __call__(
        self, *, backbone: str, definition: str, kind: Kind, mask: tuple[str, ...], dataset: str, seed: int
    ) -> RunConfig: ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One row of the table."""

    name: str
    title: str
    description: str
    build: BuildRecipe


RECIPES: Registry[Recipe] = Registry("recipe")
for _module in (smoke, fast, best, paper):
    _name = _module.__name__.rpartition(".")[2]
    RECIPES.add(_name, Recipe(name=_name, title=_module.TITLE, description=_module.DESCRIPTION, build=_module.build))
