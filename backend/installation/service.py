"""Versions by what is installed, sizes by what lies on the disk; nothing is imported for it."""

from __future__ import annotations

import logging
import platform
import shutil

from backend.context import Context
from backend.runs.found import unlisted
from backend.runs.repository import RunRepository, RunWhere
from backend.shares.frozen import FOLDER
from backend.store.artifacts import folder_bytes
from backend.store.db import database_file
from core.energy.profiles import faulty_profiles
from core.errors import ArtifactsDown
from core.host.versions import installed
from core.schemas.installation import Installation, Stored

log = logging.getLogger("spikefront.installation")

PACKAGES = ("spikefront", "torch", "spikingjelly", "syops", "fastapi", "streamlit", "plotly", "celery")


def installation(context: Context) -> Installation:
    """What runs here and what it has stored. A folder that is not there yet counts as empty."""
    settings = context.settings
    with context.database.read() as session:
        repository = RunRepository(session)
        n_runs, n_in_bin = repository.count(RunWhere()), repository.count(RunWhere(deleted=True))
    place, stored = context.artifacts.place, []
    unlisted_here: list[str] = []
    try:
        bundles, frozen = context.artifacts.sizes(apart=FOLDER)  # these lie among the bundles
        stored = [
            Stored(name="Bundles of runs", path=place, bytes=bundles),
            Stored(name="Frozen shares", path=f"{place}/{FOLDER}", bytes=frozen),
        ]
        unlisted_here = unlisted(context)
    except ArtifactsDown as error:  # the rest of the page is worth showing
        log.warning("installation.unmeasured", extra={"why": error.message})
    stored += [
        Stored(name=name, path=str(path), bytes=folder_bytes(path))
        for name, path in (("Data sets", settings.data), ("Logs", settings.home / "logs"))
    ]
    if (file := database_file(settings.database_url)) is not None:
        parts = [file.with_name(file.name + end) for end in ("", "-wal", "-shm")]
        size = sum(part.stat().st_size for part in parts if part.exists())
        stored.insert(0, Stored(name="Database", path=str(file), bytes=size))
    return Installation(
        versions={"Python": platform.python_version(), **_versions()},
        home=str(settings.home),
        stored=stored,
        free_bytes=shutil.disk_usage(settings.home).free,
        n_runs=n_runs,
        n_unlisted=len(unlisted_here),
        n_in_bin=n_in_bin,
        faulty_profiles=faulty_profiles(settings.home),
    )


def _versions() -> dict[str, str]:
    """Of what is here: torch is not on a machine that only serves the API."""
    return {package: found for package in PACKAGES if (found := installed(package)) is not None}
