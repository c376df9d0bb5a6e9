"""The workers that live, and what they can do together: which have a data set, and why a run waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from backend.store.db import Database, utc_now
from backend.store.models import RunRow, WorkerRow
from backend.store.signs import alive
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
    """Ask the database, and tell the table of data sets what other machines have.

    Sets of workers that are gone stay known as long as their rows do: runs on them are still shown.
    """
    now = utc_now()
    with database.read() as session:
        living = alive(session, now)
        every = session.scalars(
            select(WorkerRow).where(WorkerRow.offer.is_not(None)).order_by(WorkerRow.seen_at.desc())
        )
        told = [offer for row in every if (offer := offer_of(row)) is not None]
    DATASETS.tell(data, specs(one for offer in told for one in offer.datasets))
    holders: dict[str, list[str]] = {}
    images: dict[str, str] = {}
    for row in living:
        for one in () if (offer := offer_of(row)) is None else offer.datasets:
            holders.setdefault(one.name, []).append(row.name)
            if one.digest is not None:
                images.setdefault(one.name, one.digest)
    return Fleet(workers=living, ables=ables(living), holders=holders, images=images)
