"""`python -m worker.health`: 0 when a worker of this name gave the database a sign of life lately, else 1 and why."""

from __future__ import annotations

import re
import socket
import sys

from sqlalchemy import select

from backend.store.db import opened, utc_now
from backend.store.models import WorkerRow
from backend.store.signs import seen_lately
from core.errors import SpikefrontError
from core.settings import Settings


def main() -> int:
    """The exit code. A worker's name begins with SPIKEFRONT_WORKER_NAME, or with that of its host."""
    try:
        settings = Settings()
        begins = settings.worker_name or socket.gethostname()
        database = opened(settings)
        try:
            with database.read() as session:
                names = list(session.scalars(select(WorkerRow.name).where(seen_lately(utc_now()))))
        finally:
            database.close()
    except SpikefrontError as error:
        print(error.message, file=sys.stderr)
        return 1
    if any(re.match(rf"{re.escape(begins)}(?![A-Za-z0-9.])", name) for name in names):
        print("ok")
        return 0
    print(f"No worker of {begins} has reported itself lately.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
