"""From axes to configs: every combination of a sweep."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core.errors import BadValue, SpikefrontError
from core.recipes.build import build_config, translate
from core.schemas.request import QUEUEING, RunRequest
from core.schemas.run import RunConfig
from core.schemas.sweep import MAX_COMBINATIONS, AxisValue, SweepRequest

#: Axes that are fields of a request; every other name is an override.
FIELDS = frozenset(RunRequest.model_fields) - {"overrides", *QUEUEING}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One combination of values and the config that it gives."""

    values: dict[str, AxisValue]
    config: RunConfig


def expand(request: SweepRequest) -> list[Point]:
    """The cross product, the last axis fastest.

    Raises BadValue above MAX_COMBINATIONS. A combination that cannot be built raises what `build_config` raises,
    with the combination in front of the message and as field `combination`.
    """
    n = math.prod(len(values) for values in request.axes.values())
    if n > MAX_COMBINATIONS:
        raise BadValue(field="axes", value=n, expected=f"at most {MAX_COMBINATIONS} combinations")
    combinations = itertools.product(*request.axes.values())
    return [point(request.base, dict(zip(request.axes, values, strict=True))) for values in combinations]


def words(values: dict[str, AxisValue]) -> str:
    """Values as people write them: `mask Ref-1, seed 3`."""
    return ", ".join(f"{name} {','.join(v) if isinstance(v, list) else v}" for name, v in values.items())


def point(base: RunRequest, values: dict[str, AxisValue]) -> Point:
    """The run of one combination. Raises what `build_config` raises, with the combination in front."""
    try:
        return Point(values=values, config=build_config(_request(base, values)))
    except SpikefrontError as error:
        error.message = f"In the combination {words(values)}: {error.message}"
        error.fields["combination"] = values
        raise


def _request(base: RunRequest, values: dict[str, AxisValue]) -> RunRequest:
    content: dict[str, Any] = base.model_dump()
    for name, value in values.items():
        if name in FIELDS:
            content[name] = value
        elif isinstance(value, list):
            raise BadValue(field=f"axes.{name}", value=value, expected="a plain value; only a mask may be a list")
        else:
            # last, so that an axis wins over the base's override of the same field by another spelling
            content["overrides"].pop(name, None)
            content["overrides"][name] = value
    try:
        return RunRequest.model_validate(content)
    except ValidationError as error:
        raise translate(error) from None
