"""The one base of all stored and exchanged models."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, StrictBool, WithJsonSchema
from pydantic_core import PydanticKnownError


class _AtFirst(FailFast):
    """Reading stops at the first wrong entry. In a file that may come from anywhere all may be wrong, and to tell of
    each of a million takes gigabytes."""

    __hash__ = object.__hash__  # pydantic's own cannot stand in a union


Item = TypeVar("Item")
Column = Annotated[list[Item], _AtFirst()]
Row = Annotated[tuple[Item, ...], _AtFirst()]
#: A count: what a database, a float and numpy's int64 can all hold.
Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
#: What may leave the finite while a network trains. JSON has no such numbers: they travel as words.
Real = Annotated[
    float, WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"], "type": "string"}]})
]


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticKnownError("int_type")
    return value


def _no_text(value: Any) -> Any:
    if isinstance(value, str):
        raise PydanticKnownError("int_type")
    return value


#: A whole number, which true is not, although Python takes it for 1. The words of a command line are read as numbers.
Spoken = Annotated[int, BeforeValidator(_no_truth)]
#: Whole numbers and truth values in the body of a request, as JSON has them and as the document says.
Whole = Annotated[Spoken, BeforeValidator(_no_text)]
Switch = StrictBool


class Frozen(BaseModel):
    """Immutable, keyword-only, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def digest(value: Any) -> str:
    """SHA-256 of canonical JSON (sorted keys, no spaces): equal values, equal digests."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
