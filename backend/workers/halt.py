"""Why no run starts, in a sentence: for the page, the health route and `spikefront doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from backend.context import Context
from backend.store.models import WorkerRow
from core.forecast import STORAGE_MARGIN
from core.launcher.notes import read_notes
from core.room import lack


def why_nothing_starts(context: Context, workers: Sequence[WorkerRow]) -> str | None:
    """`workers` are those alive that runs are sent to. None while one of them takes runs, or there is none at all.

    The disk is looked at here too: on a full one a worker cannot even write that it waits.
    """
    if (why := read_notes(context.settings).get("worker")) is not None:
        return why
    said = [worker.paused for worker in workers]
    if said and all(said):
        return said[0]
    return lack(context.artifacts.root, STORAGE_MARGIN, try_it=False)
