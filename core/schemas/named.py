"""What a run is called: the name of its network, what of it is not its recipe's, and a name that somebody gave it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from core.schemas.base import Frozen

LONGEST_NAME = 100
#: A run's name of its own, without control characters.
OwnName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=LONGEST_NAME, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"),
]


def described(label: str, differs: str) -> str:
    """`SNN-SqueezeNet Ref-1, epochs 2, 300 images`: the network, and what sets the run apart from its recipe."""
    return f"{label}, {differs}" if differs else label


class Named(Frozen):
    """Whatever shows a run: its `title` is what people read, its `described` label stands below a name of its own."""

    label: str = Field(description="such as SNN-SqueezeNet Ref-1")
    differs: str = Field(default="", description="what is not as its recipe has it: epochs 2, 300 images")
    own_name: str | None = Field(default=None, description="the name that somebody gave the run")

    @property
    def described(self) -> str:
        return described(self.label, self.differs)

    @property
    def title(self) -> str:
        return self.own_name or self.described
