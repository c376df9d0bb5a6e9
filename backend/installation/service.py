"""Versions by what is installed, sizes by what lies on the disk; nothing is imported for it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from backend.context import Context
from backend.runs.found import unlisted
from backend.runs.repository import RunRepository, RunWhere
from backend.shares.frozen import FOLDER
from core.energy.profiles import faulty_profiles
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
    if settings.database_url.startswith("sqlite"):
        file = Path(settings.database_url.partition("///")[2])
        size = sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))  # with -wal and -shm
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
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # such as torch on a machine that only serves the API
            continue
    return found
