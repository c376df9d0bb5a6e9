"""The workers that live, and what they can do together: which have a data set, and why a run waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from backend.store.db import Database, utc_now
from backend.store.models import RunRow, WorkerRow
from backend.store.signs import seen_lately
from backend.store.turns import Able, Need, ables, offer_of, why_not
from core.datasets.catalog import DATASETS
from core.datasets.elsewhere import specs


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """`holders`: data set -> the workers that live and have it. `images`: data set -> their digest, where one told."""

    workers: Sequence[WorkerRow]
    ables: dict[str, Able]
    holders: dict[str, list[str]]
    images: dict[str, str]

    def waits(self, row: RunRow) -> str | None:
        """Why no worker can do a waiting run, in a sentence."""
        return why_not(Need.of(row), self.ables)

    def where(self, dataset: str) -> str:
        """Such as `on the worker gpu1 alone, not on the API's machine`."""
        names = self.holders.get(dataset, [])
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"on the worker{'s' * (len(names) > 1)} {some} alone, not on the API's machine"


def look(database: Database, data: Path) -> Fleet:
    """Ask the database, and tell the table of data sets what other machines have."""
    with database.read() as session:
        return seen_by(session, data)


def seen_by(session: Session, data: Path) -> Fleet:
    """The same within a transaction.

    Sets of workers that are gone stay known as long as their rows do: runs on them are still shown.
    """
    lives = seen_lately(utc_now())
    wanted = select(WorkerRow, lives).where(or_(WorkerRow.offer.is_not(None), lives))
    every = session.execute(wanted.order_by(WorkerRow.seen_at.desc())).all()
    living = sorted((row for row, is_there in every if is_there), key=lambda row: row.name)
    told = [offer for row, _ in every if (offer := offer_of(row)) is not None]
    DATASETS.tell(data, specs(one for offer in told for one in offer.datasets))
    holders: dict[str, list[str]] = {}
    images: dict[str, str] = {}
    for row in living:
        for one in () if (offer := offer_of(row)) is None else offer.datasets:
            holders.setdefault(one.name, []).append(row.name)
            if one.digest is not None:
                images.setdefault(one.name, one.digest)
    return Fleet(workers=living, ables=ables(living), holders=holders, images=images)
