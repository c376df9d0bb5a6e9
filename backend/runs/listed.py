"""Answers about many runs, kept until one of these changes, and a page of runs in parts: of those that change all the
time, anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel
from pydantic_core import to_json

from backend.context import Context
from backend.runs.repository import RunRepository
from backend.store.revision import revision_of_runs
from core.schemas.run import RunState
from core.schemas.runs import RunPage

#: While a trainer tells of its progress.
RESTLESS = frozenset({RunState.RUNNING, RunState.CANCELLING})


@dataclass(frozen=True, kw_only=True)
class Listed:
    """`parts`: each run's JSON, by its id, in order; `restless`: the ids whose parts are soon out of date."""

    parts: Mapping[str, bytes]
    restless: tuple[str, ...]
    next_cursor: str | None
    total: int

    @classmethod
    def of(cls, page: RunPage) -> Listed:
        return cls(
            parts={run.id: run.model_dump_json().encode() for run in page.items},
            restless=tuple(run.id for run in page.items if run.state in RESTLESS),
            next_cursor=page.next_cursor,
            total=page.total,
        )

    @property
    def n_bytes(self) -> int:
        return sum(map(len, self.parts.values()))

    def json(self, newer: Mapping[str, bytes]) -> bytes:
        """A RunPage as JSON; `newer`: parts that take the place of those of these ids."""
        items = b",".join(newer.get(id, part) for id, part in self.parts.items())
        return b'{"items":[%b],"next_cursor":%b,"total":%d}' % (items, to_json(self.next_cursor), self.total)


def revision_now(context: Context, dataset: str | None = None) -> int:
    """How new a kept answer must be; raises UnknownName for a data set that is in no table and has no run."""
    with context.database.read() as session:
        if dataset is not None:
            RunRepository(session).require_dataset(dataset)
        return revision_of_runs(session)


def kept_answer(
    context: Context, dataset: str | None, question: tuple[str, ...], make: Callable[[], BaseModel]
) -> bytes:
    """As JSON; what has not changed since somebody asked for it is not worked out again."""
    revision = revision_now(context, dataset)
    return context.kept.answer(question, revision, lambda: make().model_dump_json().encode(), weigh=len)
