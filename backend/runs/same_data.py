"""Whether the data set of a finished run is still there, and still the one that it was trained on."""

from __future__ import annotations

from pathlib import Path

from backend.store.identity import images_now, is_own
from backend.store.models import RunRow
from core.datasets.catalog import find
from core.errors import DatasetMissing, NotReady, UnknownName


def require_same_data(row: RunRow, data: Path, *, what: str, lost: str) -> None:
    """Its table says how pixels are normalised, so without it, or with another one, the network sees nothing that it
    knows.

    `what` cannot be had then, and `lost` is what went with a set that was replaced. Raises DatasetMissing or NotReady.
    """
    name = row.dataset
    try:
        find(name, data)
    except UnknownName:
        how = f"It was taken away; for the {what} of this run, add it again as it was: data add {name}."
        raise DatasetMissing(name=name, folder=str(data), how=how) from None
    if is_own(name) and row.data_digest != images_now(name, data):
        why = f"its data set {name} was replaced since, and with it {lost}"
        raise NotReady(run_id=row.id, state=row.state, what=what, why=why)
