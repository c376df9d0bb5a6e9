"""Data sets in the store, so that a worker that lacks one fetches it: their files by SHA-256, and a list a set.

datasets/<name>.json    Published: what a worker offers that has it, and its files
datasets/files/<sha256>
"""

from __future__ import annotations

import logging
import secrets
import shutil
from pathlib import Path, PurePosixPath

from pydantic import Field, ValidationError

from backend.store.objects import Objects
from core.bundle import ManifestEntry, unwritable
from core.datasets.elsewhere import offered
from core.datasets.own.reader import sha256
from core.errors import ArtifactsDown, DatasetMissing
from core.schemas.base import Frozen
from core.schemas.workers import OfferedDataset

log = logging.getLogger("spikefront.datasets")

FOLDER = "datasets"  # no run's id
MOST_FILES = 5_000  # each is an object; a set of more is brought to each machine by hand


class Published(Frozen):
    """A data set as the store has it."""

    offered: OfferedDataset
    files: tuple[ManifestEntry, ...] = Field(description="by their paths below the set's folder")


def publish(objects: Objects, name: str, data: Path) -> bool:
    """Have the store hold a set that is on this machine; whether it does now. Raises ArtifactsDown."""
    offer = next((one for one in offered(data) if one.name == name), None)
    folder = data / name
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and _kept(path.relative_to(folder)))
    if offer is None or not paths:
        return False
    if len(paths) > MOST_FILES:
        log.warning("dataset.not_published", extra={"dataset": name, "files": len(paths), "most": MOST_FILES})
        return False
    entries = []
    for path in paths:
        size = path.stat().st_size
        entries.append(ManifestEntry(name=path.relative_to(folder).as_posix(), bytes=size, sha256=sha256(path)))
    told = Published(offered=offer, files=tuple(entries))
    if listed(objects, name) == told:
        return True
    there = {one.key for one in objects.below(f"{FOLDER}/files")}
    for path, entry in zip(paths, entries, strict=True):
        if _key(entry) not in there:
            objects.put(_key(entry), path)
    objects.put(_list(name), told.model_dump_json(indent=2).encode())
    log.info("dataset.published", extra={"dataset": name, "files": len(entries)})
    return True


def published(objects: Objects) -> list[OfferedDataset]:
    """What a worker could fetch. Raises ArtifactsDown."""
    names = [PurePosixPath(key).stem for key in objects.names(FOLDER) if key.endswith(".json")]
    return [found.offered for name in names if (found := listed(objects, name)) is not None]


def listed(objects: Objects, name: str) -> Published | None:
    """None where the store has no such set, or no list that can be read."""
    content = objects.get(_list(name))
    try:
        return None if content is None else Published.model_validate_json(content)
    except ValidationError:
        log.warning("dataset.list_unreadable", extra={"dataset": name})
        return None


def fetch(objects: Objects, name: str, data: Path) -> None:
    """Bring a set to this machine, each file held against its checksum; it is there whole or not at all.

    Raises DatasetMissing where the store lacks it or a file of it is not what the list says, ArtifactsDown, HomeUnusable,
    StorageFull.
    """
    target = data / name
    if (found := listed(objects, name)) is None:
        raise DatasetMissing(name=name, folder=str(target), how="The store of the installation has it not either.")
    aside = data / f".{name}-{secrets.token_hex(4)}"  # as one that is being added: cleared with those
    try:
        for entry in found.files:
            path = aside / entry.name
            if not _kept(PurePosixPath(entry.name)) or not objects.fetch(_key(entry), path):
                raise DatasetMissing(name=name, folder=str(target), how=f"{entry.name} is missing in the store.")
            if sha256(path) != entry.sha256:
                how = f"{entry.name} is damaged in the store. Add the data set again."
                raise DatasetMissing(name=name, folder=str(target), how=how)
        if not target.exists():
            aside.rename(target)
    except OSError as error:
        if not target.exists():
            raise unwritable(data, error) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    log.info("dataset.fetched", extra={"dataset": name, "files": len(found.files)})


def publish_all(objects: Objects, data: Path) -> None:
    """Every set of this machine that lies in a folder of its own; what cannot be stored now is at the next start."""
    for one in offered(data):
        try:
            publish(objects, one.name, data)
        except (ArtifactsDown, OSError) as error:
            log.warning("dataset.not_published", extra={"dataset": one.name, "why": str(error)})
            return


def _kept(path: Path | PurePosixPath) -> bool:
    """Neither a lock, a cache or something half made, nor a path that leads elsewhere."""
    return not path.is_absolute() and not any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _list(name: str) -> str:
    return f"{FOLDER}/{name}.json"


def _key(entry: ManifestEntry) -> str:
    return f"{FOLDER}/files/{entry.sha256}"
