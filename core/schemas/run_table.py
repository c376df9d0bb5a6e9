"""Many runs as one table, and what changed among them. `GET /runs/columns`, `GET /runs/counts`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.run import RunState


class RunColumns(Frozen):
    """N runs as columns of equal length, newest first; a figure that a run has not yet is null."""

    n: int
    mode: str
    profile: str
    columns: dict[str, list[Any]]


class RunCounts(Frozen):
    """How many runs there are by state: cheap enough to be asked for every few seconds."""

    states: dict[RunState, int]

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def ended(self) -> int:
        return sum(count for state, count in self.states.items() if state.is_final)

    @property
    def active(self) -> int:
        return self.total - self.ended


class Change(Frozen):
    """What is not as it was when a page was drawn."""

    new: int = Field(ge=0)
    ended: int = Field(ge=0)
    gone: int = Field(ge=0)

    def __bool__(self) -> bool:
        return bool(self.new or self.ended or self.gone)

    @property
    def words(self) -> str:
        """`2 new runs, 1 ended`."""
        said = [f"{self.new:,} new run{'' if self.new == 1 else 's'}"] if self.new else []
        said += [f"{self.ended:,} ended"] if self.ended else []
        said += [f"{self.gone:,} gone"] if self.gone else []
        return ", ".join(said)


def change(before: RunCounts, now: RunCounts) -> Change:
    """What came, ended and went in between; a run that came and one that went at once are not told apart."""
    return Change(
        new=max(0, now.total - before.total),
        ended=max(0, now.ended - before.ended),
        gone=max(0, before.total - now.total),
    )
