"""Versions by what is installed, sizes by what lies on the disk; nothing is imported for it."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from sqlalchemy import make_url

from backend.context import Context
from backend.runs.found import unlisted
from backend.runs.repository import RunRepository, RunWhere
from backend.shares.frozen import FOLDER
from core.energy.profiles import faulty_profiles
from core.host.versions import installed
from core.schemas.installation import Installation, Stored

PACKAGES = ("spikefront", "torch", "spikingjelly", "syops", "fastapi", "streamlit", "plotly", "celery")


def installation(context: Context) -> Installation:
    """What runs here and what it has stored. A folder that is not there yet counts as empty."""
    settings = context.settings
    with context.database.read() as session:
        repository = RunRepository(session)
        n_runs, n_in_bin = repository.count(RunWhere()), repository.count(RunWhere(deleted=True))
    root = context.artifacts.root
    frozen = root / FOLDER  # lies among the bundles, and is told apart from them
    stored = [Stored(name="Bundles of runs", path=str(root), bytes=folder_bytes(root, but=frozen))]
    stored += [
        Stored(name=name, path=str(path), bytes=folder_bytes(path))
        for name, path in (("Frozen shares", frozen), ("Data sets", settings.data), ("Logs", settings.home / "logs"))
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
        n_unlisted=len(unlisted(context)),
        n_in_bin=n_in_bin,
        faulty_profiles=faulty_profiles(settings.home),
    )


def database_file(url: str) -> Path | None:
    """The file of a SQLite database; None of one that is served, or lies in memory."""
    parts = make_url(url)
    if parts.get_backend_name() != "sqlite" or parts.database in (None, "", ":memory:"):
        return None
    return Path(parts.database)


def folder_bytes(folder: Path, *, but: Path | None = None) -> int:
    """Length of all files below, links not followed, without those below `but`. What vanishes meanwhile counts as
    nothing."""
    total = 0
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if Path(where, name) != but]
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _versions() -> dict[str, str]:
    """Of what is here: torch is not on a machine that only serves the API."""
    return {package: found for package in PACKAGES if (found := installed(package)) is not None}
