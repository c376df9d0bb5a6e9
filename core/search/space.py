"""What a search may vary: fields of a run's config, each with its range or its choices, as data."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from core.errors import BadValue
from core.recipes.build import override, translate
from core.schemas.base import Frozen
from core.schemas.run import RunConfig
from core.text import text_of

Value = str | bool | int | float | None


class Range(Frozen):
    """All values from `low` to `high`, both included; whole numbers where both ends are written as such."""

    field: str
    low: int | float
    high: int | float
    log: bool = Field(default=False, description="spread evenly over the logarithm")

    @model_validator(mode="after")
    def _has_an_inside(self) -> Range:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError("of a low end below its high end, both finite")
        if self.log and self.low <= 0:
            raise ValueError("above 0 at its low end, to be spread over the logarithm")
        return self

    @property
    def ends(self) -> tuple[Value, ...]:
        return self.low, self.high


class Choice(Frozen):
    """One of a few values."""

    field: str
    values: tuple[Value, ...] = Field(min_length=1)

    @property
    def ends(self) -> tuple[Value, ...]:
        return self.values


Dimension = Range | Choice

#: The random search of Kabir et al. (arXiv:2602.09717): learning rate, tau, threshold, surrogate. The source names
#: the fields and the surrogates; the ranges are ours, around its initial and final values (tau 2.0, then 1.08).
PAPER_SPACE: tuple[Dimension, ...] = (
    Range(field="training.lr", low=1e-4, high=1e-2, log=True),
    Range(field="neuron.tau", low=1.01, high=2.5),
    Range(field="neuron.v_threshold", low=0.5, high=2.0),
    Choice(field="neuron.surrogate", values=("atan", "sigmoid", "fast_sigmoid", "piecewise_linear", "exponential")),
)


def changed(space: Iterable[Dimension], texts: Iterable[str], base: RunConfig) -> tuple[Dimension, ...]:
    """The space with dimensions added or replaced by `FIELD=LOW:HIGH[:log]` or `FIELD=A,B,C`.

    Names are made canonical, and every end of every dimension must be a value that `base` can take. Raises BadValue
    or UnknownName.
    """
    by_field = {}
    for dimension in chain(space, map(read, texts)):
        path = _checked(dimension, base)
        by_field[path] = dimension.model_copy(update={"field": path})
    return tuple(by_field.values())


def read(text: str) -> Dimension:
    """One dimension from the command line."""
    field, equals, rest = text.partition("=")
    field, parts = field.strip(), [part.strip() for part in rest.split(":")]
    if not equals or not field or not all(parts):
        raise BadValue(field="--space", value=text, expected="FIELD=LOW:HIGH, FIELD=LOW:HIGH:log or FIELD=A,B,C")
    if len(parts) == 1:
        return Choice(field=field, values=tuple(_value(part.strip()) for part in rest.split(",")))
    low, high = (_value(part) for part in parts[:2])
    if parts[2:] not in ([], ["log"]):
        raise BadValue(field="--space", value=text, expected="LOW:HIGH with nothing behind but :log")
    return _made(Range, text, field=field, low=low, high=high, log=bool(parts[2:]))


def read_toml(path: Path) -> tuple[Dimension, ...]:
    """A whole space from a file: under [space], each field with a list of choices or `{low, high, log}`."""
    try:
        content = tomllib.loads(text_of(path.read_bytes()))["space"]
    except OSError as error:
        raise BadValue(field="--space-file", value=str(path), expected=f"a readable file ({error.strerror})") from None
    except (KeyError, ValueError) as error:  # no such table, no TOML, no text
        raise BadValue(field="--space-file", value=str(path), expected=f"TOML with a table [space] ({error})") from None
    if not isinstance(content, dict) or not content:
        raise BadValue(field="--space-file", value=str(path), expected="TOML with fields under [space]")
    space: list[Dimension] = []
    for field, entry in content.items():
        if isinstance(entry, list):
            space.append(_made(Choice, field, field=field, values=entry))
        elif isinstance(entry, dict) and {"low", "high"} <= set(entry):
            space.append(_made(Range, field, **({"field": field} | entry)))
        else:
            raise BadValue(
                field=f"{path.name}, {field}",
                value=str(entry),
                expected="a list of choices, or {low = ..., high = ...}; quote a name with a dot",
            )
    return tuple(space)


def _made(model: type[Range | Choice], text: str, **content: Any) -> Dimension:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = translate(error)
        raise BadValue(field="the search space", value=text, expected=fault.fields["expected"]) from None


def _value(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _checked(dimension: Dimension, base: RunConfig) -> str:
    """The field's dotted path, once each end was tried."""
    for end in dimension.ends:
        override(base, {dimension.field: end})
    paths = _leaves(base.model_dump())
    return next(path for path in paths if path == dimension.field or path.endswith(f".{dimension.field}"))


def _leaves(content: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in content.items():
        found += _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return found
