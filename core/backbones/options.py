"""What a definition lets one choose beside the mask: a table of options, and the one check of a choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import BadValue
from core.schemas.architecture import ArchitectureConfig

Value = int | float | str
MULTIPLE = 8  # of channels under a width multiplier, as is usual (Sandler et al., arXiv:1801.04381, their code)


@dataclass(frozen=True, kw_only=True)
class Option:
    """One field of ArchitectureConfig. `values`, the definition's own first: those worth trying; if `closed`, all."""

    name: str
    values: tuple[Value, ...]
    closed: bool = False

    @property
    def default(self) -> Value:
        """What the definition has."""
        return self.values[0]


def chosen(options: Sequence[Option], architecture: ArchitectureConfig, *, where: str) -> dict[str, Value]:
    """Every option of a definition with its value, chosen or its own.

    Raises BadValue for an option that the definition has not, or a value that it cannot take. `where` names it.
    """
    found = {option.name: option.default for option in options}
    for name, value in architecture:
        if value is None:
            continue
        option = next((option for option in options if option.name == name), None)
        if option is None:
            known = " and ".join(f"architecture.{name}" for name in found)
            has = f"{where} has {known} to choose" if known else f"{where} has nothing to choose but its mask"
            raise BadValue(field=f"architecture.{name}", value=value, expected=f"left out: {has}")
        if option.closed and value not in option.values:
            allowed = ", ".join(map(str, option.values))
            raise BadValue(field=f"architecture.{name}", value=value, expected=f"one of {allowed} for {where}")
        found[name] = value
    return found


def widened(channels: int, multiplier: float) -> int:
    """`multiplier` x channels, to the nearest multiple of 8 (of two the even one) and at least 8; 1.0 changes nothing."""
    return channels if multiplier == 1.0 else max(MULTIPLE, MULTIPLE * round(multiplier * channels / MULTIPLE))


def words(architecture: ArchitectureConfig) -> list[str]:
    """What is not as the definition has it, as the name of a network says it: `stem 64/2`, `width x0.75`."""
    of, said = architecture, []
    if of.depth is not None:
        said.append(f"depth {of.depth}")
    if of.stem_width is not None:
        said.append(f"stem {of.stem_width}" + (f"/{of.stem_stride}" if of.stem_stride is not None else ""))
    elif of.stem_stride is not None:
        said.append(f"stem stride {of.stem_stride}")
    if of.width_multiplier is not None:
        said.append(f"width x{of.width_multiplier:g}")
    if of.share_3x3 is not None:
        said.append(f"3x3 share {of.share_3x3:g}")
    if of.bypass is not None:
        said.append("bypass" if of.bypass == "simple" else "no bypass")
    if of.classifier is not None:
        said.append(f"{of.classifier} classifier")
    if of.cell is not None:
        said.append(f"cell {of.cell}")
    if of.filters is not None:
        said.append(f"F {of.filters}")
    return said
