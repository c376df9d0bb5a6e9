"""Whose turn it is: the one rule by which a worker takes its next run, as SQL for the claim and in Python for the queue.

The order: the higher priority; then the person who holds the fewest slots now, and of those with equally many the one
whose last claim is longest ago; then age; then the place in a sweep. A run keeps its age when it is lost. What a worker cannot
do is not in its order at all: another data set, another device, more memory than it has. `tests/backend/test_turns.py` holds
SQL and Python together.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.orm import Session

from backend.store.models import RunRow, TurnRow, WorkerRow
from core.schemas.run import RunState
from core.schemas.workers import Device, Offer

OWNED = (RunState.RUNNING, RunState.CANCELLING)  # the states in which an attempt holds a lease
SENT_AHEAD_S = 900.0  # what is put off for longer was so before the clock was set back
GIB = 1 << 30
ABOVE_ALL = 1 << 30  # no priority is
PERSON = func.coalesce(RunRow.submitter, "")
AGE = (RunRow.created_at, RunRow.place, RunRow.id)
#: Written out, since a database uses the index of waiting runs (`ix_runs_line`) only where it reads these very words.
WAITS = (RunRow.state == literal_column(f"'{RunState.QUEUED}'"), RunRow.deleted_at.is_(None))


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a run asks of a worker. Null: nothing is asked."""

    dataset: str
    device: str | None = None
    memory_cpu: int | None = None
    memory_gpu: int | None = None

    @staticmethod
    def of(row: RunRow) -> Need:
        return Need(dataset=row.dataset, device=row.wants_device, memory_cpu=row.memory_cpu, memory_gpu=row.memory_gpu)

    def memory(self, device: Device) -> int | None:
        return self.memory_gpu if device == "cuda" else self.memory_cpu


@dataclass(frozen=True, kw_only=True)
class Able:
    """What a worker can do. `datasets` and `memory_bytes` are None where it said nothing of them.

    `leaves` are the GPU workers that live: what one of them can do, and no wish ties to the CPU, a CPU worker leaves to
    them, since it would take it many times as long.
    """

    device: Device = "cpu"
    datasets: frozenset[str] | None = None
    memory_bytes: int | None = None
    leaves: tuple[Able, ...] = ()

    def can(self, need: Need) -> bool:
        """The same as `where`."""
        return self._can(need) and not (need.device is None and any(other._can(need) for other in self.leaves))

    def _can(self, need: Need) -> bool:
        memory = need.memory(self.device)
        return (
            need.device in (None, self.device)
            and (self.datasets is None or need.dataset in self.datasets)
            and (self.memory_bytes is None or memory is None or memory <= self.memory_bytes)
        )

    def where(self) -> ColumnElement[bool]:
        """Of a RunRow: whether this worker takes it."""
        left = [and_(RunRow.wants_device.is_(None), other._where()) for other in self.leaves]
        return and_(self._where(), *([not_(or_(*left))] if left else []))

    def _where(self) -> ColumnElement[bool]:
        parts = [or_(RunRow.wants_device.is_(None), RunRow.wants_device == self.device)]
        if self.datasets is not None:
            parts.append(RunRow.dataset.in_(sorted(self.datasets)))
        if self.memory_bytes is not None:
            column = memory_column(self.device)
            parts.append(or_(column.is_(None), column <= self.memory_bytes))
        return and_(*parts)


ANYTHING = Able()


def memory_column(device: Device) -> Any:
    return RunRow.memory_gpu if device == "cuda" else RunRow.memory_cpu


def able(offer: Offer | None, *, queue: str, leaves: Iterable[Able] = ()) -> Able:
    """Of one that said nothing, as workers of earlier versions do: all that its queue stands for."""
    device: Device = offer.device if offer is not None else "cuda" if queue == "gpu" else "cpu"
    return Able(
        device=device,
        datasets=None if offer is None else frozenset(one.name for one in offer.datasets),
        memory_bytes=None if offer is None else offer.memory_bytes,
        leaves=() if device == "cuda" else tuple(leaves),
    )


def offer_of(row: WorkerRow) -> Offer | None:
    return None if row.offer is None else Offer.model_validate(row.offer)


def ables(workers: Sequence[WorkerRow]) -> dict[str, Able]:
    """Of workers that live, by name."""
    gpus = gpu_ables(workers)
    return {row.name: able(offer_of(row), queue=row.queue, leaves=gpus) for row in workers}


def gpu_ables(workers: Sequence[WorkerRow]) -> list[Able]:
    """Of those that live, the ones that a CPU worker leaves runs to; one that is paused takes none."""
    found = [able(offer_of(row), queue=row.queue) for row in workers if row.paused is None]
    return [one for one in found if one.device == "cuda"]


#: Ids of one person's waiting runs of a priority, oldest first, and the values that it is executed with.
Line = tuple[Select[str], dict[str, Any]]


def lines(session: Session, one: Able, *, now: datetime) -> Iterator[Line]:
    """Waiting runs that the worker can do, a person's after the other's.

    The first id of the first line that has any is the next run. Only the heads of the lines are looked at, in the order
    of an index, so it takes as long with ten runs that wait as with ten thousand.
    """
    priority = ABOVE_ALL
    ahead = now + timedelta(seconds=SENT_AHEAD_S)
    lower = _LOWER_ON_SQLITE if session.get_bind().dialect.name == "sqlite" else _LOWER
    while (priority := session.scalar(lower, {"above": priority})) is not None:
        people = session.execute(_people(), {"priority": priority}).all()
        for _, equals in groupby(people, key=lambda row: (row.held, row.turn)):
            own: list[Line] = [
                (
                    _line(one, row.person is None),
                    {"priority": priority, "person": row.person, "now": now, "ahead": ahead},
                )
                for row in equals
            ]
            if len(own) > 1:  # whose oldest is older
                heads = [
                    (session.execute(line.add_columns(*AGE).limit(1), values).first(), line, values)
                    for line, values in own
                ]
                aged = [(tuple(head)[1:], (line, values)) for head, line, values in heads if head is not None]
                own = [line for _, line in sorted(aged, key=lambda pair: pair[0])]
            yield from own


# A claim is made by the hundred: to put these statements together takes longer than to execute them.


_LOWER = text(
    "SELECT priority FROM runs WHERE state = 'queued' AND deleted_at IS NULL AND priority < :above "
    "ORDER BY priority DESC LIMIT 1"
)
#: Of itself SQLite takes another index, and reads all that waits.
_LOWER_ON_SQLITE = text(
    "SELECT priority FROM runs INDEXED BY ix_runs_line WHERE state = 'queued' AND deleted_at IS NULL "
    "AND priority < :above ORDER BY priority DESC LIMIT 1"
)


@cache
def _people() -> Select[Any]:
    """Who has a run that waits with this priority, how many slots they hold and when their last claim was; whose turn it
    is first. Each name is found from the one before, by the index: there may be far more runs than people."""

    priority = bindparam("priority", type_=RunRow.priority.type)

    def named(after: ColumnElement[bool]) -> ColumnElement[str | None]:
        wanted = select(RunRow.submitter).where(*WAITS, RunRow.priority == priority, after)
        return wanted.order_by(RunRow.submitter).limit(1).correlate_except(RunRow).scalar_subquery()

    names = select(named(RunRow.submitter.is_not(None)).label("person")).cte("names", recursive=True)
    names = names.union_all(select(named(RunRow.submitter > names.c.person)).where(names.c.person.is_not(None)))
    nobody = select(RunRow.id).where(*WAITS, RunRow.priority == priority, RunRow.submitter.is_(None)).exists()
    people = union_all(
        select(names.c.person).where(names.c.person.is_not(None)),
        select(cast(null(), String).label("person")).where(nobody),
    ).subquery("people")
    held = (
        select(PERSON.label("person"), func.count().label("n"))
        .where(RunRow.state.in_(OWNED))
        .group_by(PERSON)
        .subquery("held")
    )
    name = func.coalesce(people.c.person, "")
    slots, turn = func.coalesce(held.c.n, 0).label("held"), func.coalesce(TurnRow.turn, 0).label("turn")
    return (
        select(people.c.person, slots, turn)
        .outerjoin(held, held.c.person == name)
        .outerjoin(TurnRow, TurnRow.submitter == name)
        .order_by(slots, turn)
    )


@lru_cache(maxsize=256)
def _line(one: Able, nobody: bool) -> Select[str]:
    now, ahead = (bindparam(name, type_=RunRow.not_before.type) for name in ("now", "ahead"))
    return (
        select(RunRow.id)
        .where(
            *WAITS,
            RunRow.priority == bindparam("priority"),
            RunRow.submitter.is_(None) if nobody else RunRow.submitter == bindparam("person"),
            or_(RunRow.not_before.is_(None), RunRow.not_before <= now, RunRow.not_before > ahead),
            one.where(),
        )
        .order_by(RunRow.submitter, *AGE)  # of one person, and named all the same: so it is the index's order
    )


# The same in Python


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A run that waits, as far as its turn goes. `lasts_s`: how long it will hold a slot."""

    id: str
    person: str
    priority: int
    age: tuple[datetime, int, str]
    need: Need
    lasts_s: float = 0.0

    @staticmethod
    def of(row: RunRow, *, lasts_s: float = 0.0) -> Waiting:
        return Waiting(
            id=row.id,
            person=row.submitter or "",
            priority=row.priority,
            age=(row.created_at, row.place, row.id),
            need=Need.of(row),
            lasts_s=lasts_s,
        )


@dataclass
class Shares:
    """Who holds how many slots, and whose last claim was when (the larger, the later)."""

    held: dict[str, int] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)

    def rank(self, run: Waiting) -> tuple[Any, ...]:
        """The smaller, the sooner: the order of `lines`."""
        return (-run.priority, self.held.get(run.person, 0), self.turns.get(run.person, 0), run.age)

    def take(self, person: str) -> None:
        self.held[person] = self.held.get(person, 0) + 1
        self.turns[person] = max(self.turns.values(), default=0) + 1

    def give_back(self, person: str) -> None:
        self.held[person] = self.held.get(person, 0) - 1


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One slot of a worker; `busy_s` until its run ends, which is `person`'s."""

    able: Able
    busy_s: float = 0.0
    person: str | None = None


def foreseen(waiting: Sequence[Waiting], slots: Sequence[Slot], shares: Shares) -> list[tuple[Waiting, float]]:
    """Each run with the seconds until its claim, in the order of the claims, if each lasts as long as is forecast.

    Runs that no slot can do are left out.
    """
    kinds = list(dict.fromkeys(slot.able for slot in slots))
    known: dict[Need, tuple[bool, ...]] = {}
    lines: dict[tuple[str, int, tuple[bool, ...]], list[Waiting]] = {}
    for run in sorted(waiting, key=lambda run: run.age, reverse=True):
        fits = known.setdefault(run.need, tuple(kind.can(run.need) for kind in kinds))
        if any(fits):
            lines.setdefault((run.person, run.priority, fits), []).append(run)
    free = [(slot.busy_s, place, slot.person) for place, slot in enumerate(slots)]
    heapq.heapify(free)
    order = []
    while free and lines:
        at_s, place, person = heapq.heappop(free)
        if person is not None:
            shares.give_back(person)
        kind = kinds.index(slots[place].able)
        heads = [(shares.rank(runs[-1]), key) for key, runs in lines.items() if key[2][kind]]
        if not heads:
            continue  # nothing is left for this slot
        key = min(heads)[1]
        run = lines[key].pop()
        if not lines[key]:
            del lines[key]
        shares.take(run.person)
        order.append((run, at_s))
        heapq.heappush(free, (at_s + run.lasts_s, place, run.person))
    return order


def why_not(need: Need, workers: Mapping[str, Able]) -> str | None:
    """Why no worker can do a run, in a sentence; None while one can, or while there is none at all."""
    found = list(workers.values())
    if not found or any(one.can(need) for one in found):
        return None
    left = [one for one in found if one.datasets is None or need.dataset in one.datasets]
    if not left:
        return f"No worker has the data set '{need.dataset}'."
    left = [one for one in left if need.device in (None, one.device)]
    if not left:
        what = "a GPU" if need.device == "cuda" else "the CPU"
        return f"No worker with the data set '{need.dataset}' trains on {what}, which this run asks for."
    device: Device = "cuda" if any(one.device == "cuda" for one in left) else "cpu"
    most = max(one.memory_bytes or 0 for one in left)
    return (
        f"No worker has the memory: the run needs about {(need.memory(device) or 0) / GIB:.1f} GiB, and the most that one "
        f"has is {most / GIB:.1f} GiB. A smaller training.batch_size needs less."
    )
