"""Runs named in a request as what a new run is made from: by their id, or by the SHA-256 of their weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from backend.context import Context
from backend.runs.repository import RunRepository
from backend.store.holders import holder, wanted
from core.errors import BadValue
from core.schemas.run import RunConfig, RunState

#: Fields that name weights, by every spelling that an override may have.
FIELDS = {"start_bundle": "start_bundle", "training.teacher": "training.teacher", "teacher": "training.teacher"}
ID_LENGTH = 16  # of a run; a digest has 64 characters

Value = TypeVar("Value")


def named(context: Context, values: Mapping[str, Value]) -> dict[str, Value]:
    """Overrides, or axes of a sweep, in which every id of a run is replaced by the digest of its weights.

    Raises NotFound, or BadValue for a run that has not succeeded.
    """
    if not FIELDS.keys() & values.keys():
        return dict(values)
    with context.database.read() as session:
        return {name: _resolved(context, session, FIELDS.get(name), value) for name, value in values.items()}


def _resolved(context: Context, session: Session, field: str | None, value: Any) -> Any:
    if field is not None and isinstance(value, list | tuple):
        return [_resolved(context, session, field, one) for one in value]
    if field is None or not isinstance(value, str) or len(value) != ID_LENGTH:
        return value
    row = RunRepository(session).require(value)
    if row.state != RunState.SUCCEEDED:
        raise BadValue(field=field, value=value, expected=f"a run that has succeeded; this one is {row.state}")
    return context.artifacts.bundle(row.id).weights_sha256


def require_here(context: Context, configs: Iterable[RunConfig]) -> None:
    """A run that could only fail is refused at once. Raises BadValue where weights are those of no run here."""
    pairs = {pair for config in configs for pair in wanted(config).items()}
    if not pairs:
        return
    with context.database.read() as session:
        for field, weights in sorted(pairs):
            if holder(session, context.artifacts, weights) is None:
                raise BadValue(
                    field=field, value=weights, expected="a succeeded run here: its id, or the SHA-256 of its weights"
                )
