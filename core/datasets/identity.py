"""Which images a name stands for. A set of one's own may be exchanged, and a published one may be there in part.

Runs are told apart by their config and by this digest. It is no part of the config: the config says what was asked
for, the digest what was there when the run was trained.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.datasets import array_cache as cache
from core.datasets.catalog import find
from core.datasets.load import load
from core.datasets.official import ARRAYS, CachedReader
from core.datasets.own.reader import UserFacts, UserReader
from core.datasets.spec import Dataset
from core.errors import DatasetCorrupt, DatasetMissing, UnknownName
from core.schemas.base import digest

WHOLE = ""  # a published set with all its images: its name says it all


def data_digest(dataset: Dataset) -> str:
    """SHA-256 of the classes and of every image and label; WHOLE for a published set that is complete."""
    if isinstance(reader := dataset.spec.reader, UserReader):
        return _of_facts(reader.facts)
    if dataset.complete:
        return WHOLE
    found = hashlib.sha256(digest(list(dataset.classes)).encode())
    for name in (*ARRAYS, *(["validation"] if dataset.validation is not None else [])):
        array = getattr(dataset, name)
        found.update(f"{name} {array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def present_digest(name: str, data_dir: Path) -> str | None:
    """The digest of what is in the data folder now; None where nothing is, or where nobody has read it yet."""
    try:
        spec = find(name, data_dir)
        if isinstance(reader := spec.reader, UserReader):
            return _of_facts(reader.facts)
        if reader is None:
            return None
        if (told := getattr(reader, "offered", None)) is not None:  # on another machine, which has read it
            return told.digest
        folder = Path(data_dir) / name
        found = reader.status(spec, folder)
        if not found.ready or found.complete is None:
            return None
        if found.complete or not isinstance(reader, CachedReader):
            return WHOLE
        return _of_part(name, Path(data_dir), cache.key_of(reader.find(folder).values()))
    except (UnknownName, DatasetMissing, DatasetCorrupt, OSError):
        return None


def _of_facts(facts: UserFacts) -> str:
    """A table names each array by its SHA-256, so the images need not be read; a title or a note changes no number."""
    return digest(facts.model_dump(mode="json", include={"classes", "size", "channels", "mean", "std", "sha256"}))


@lru_cache(maxsize=8)
def _of_part(name: str, data_dir: Path, key: str) -> str:
    """Read once for each state of the files, which `key` stands for."""
    return data_digest(load(name, data_dir))
