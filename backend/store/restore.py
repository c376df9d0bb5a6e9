"""An installation from a backup: `spikefront restore`. Into an empty home, after every hash was checked; or not at all.

The rows go to the database that the settings name, whichever kind it is and whichever they came from.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

from sqlalchemy import func, select

from backend.store.artifacts import artifacts_of, put
from backend.store.backup import LIST, BackupManifest, manifest_in
from backend.store.copying import copy, tables
from backend.store.db import MIGRATION_LOCK, Database, database_file, opened, schema_version, upgrade, upgrade_file
from core.addresses import sqlite_url
from core.bundle import unwritable, write_atomic
from core.datasets.own.reader import sha256 as sha256_of
from core.errors import BackupFailed, RestoreFailed, SpikefrontError
from core.settings import Settings, prepare_home

log = logging.getLogger("spikefront.backup")

#: The first part of every name, and where it goes.
ROOTS = ("runs", "profiles", "data")
TOKEN = "token"


def restore(settings: Settings, source: Path) -> BackupManifest:
    """Raises RestoreFailed: no backup, one that is damaged, a home or a database that is not empty."""
    _require_empty(settings)
    try:
        if source.is_dir():
            return _restore(settings, source)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=_nearest(settings.home.parent)) as held:
            _unpack(source, Path(held))
            return _restore(settings, Path(held))
    except BackupFailed as error:
        raise RestoreFailed(why=str(error.fields["why"])) from None
    except FileNotFoundError:
        raise RestoreFailed(why=f"{source} is no backup: it has no {LIST}.") from None
    except OSError as error:
        raise unwritable(settings.home, error) from error


def _restore(settings: Settings, folder: Path) -> BackupManifest:
    manifest = manifest_in(folder)
    _check(manifest, folder)
    made: list[Path] = []
    kept: list[str] = []
    prepare_home(settings)
    artifacts = artifacts_of(settings)
    places = {"profiles": settings.home / "profiles", "data": settings.data}
    try:
        for one in manifest.files:
            first, *rest = PurePosixPath(one.name).parts
            if first == "runs":
                kept.append("/".join(rest))
                artifacts.bring_back(kept[-1], folder / one.name)
            elif first in places:
                target = places[first].joinpath(*rest)
                if target.exists():
                    raise RestoreFailed(why=f"{target} is there already.")
                target.parent.mkdir(parents=True, exist_ok=True)
                put(folder / one.name, target, link=False)
                made.append(target)
            elif one.name == TOKEN and settings.token is None and settings.token_file_override is None:
                write_atomic(settings.token_file, (folder / TOKEN).read_bytes())
                settings.token_file.chmod(0o600)
                made.append(settings.token_file)
        _rows(settings, folder / manifest.database)
    except BaseException:
        for key in kept:
            with suppress(SpikefrontError):  # of a store that went away: the first fault is the one to tell
                artifacts.drop(key)
        for target in made:
            target.unlink(missing_ok=True)
        (settings.home / MIGRATION_LOCK).unlink(missing_ok=True)
        for place in (artifacts.root, *places.values(), settings.home):
            _drop_empty(place)
        raise
    log.info("backup.restored", extra={"runs": manifest.n_runs, "files": len(manifest.files)})
    return manifest


def _rows(settings: Settings, file: Path) -> None:
    """The rows last: without them nothing that was copied counts."""
    with tempfile.TemporaryDirectory(prefix=".database-", dir=settings.home) as held:
        ours = Path(held) / "spikefront.db"
        shutil.copyfile(file, ours)
        upgrade_file(ours)
        if (target := database_file(settings.database_url)) is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(ours, target)
            return
        upgrade(settings)
        rows, database = Database(sqlite_url(ours)), opened(settings)
        try:
            copy(rows, database)
        finally:
            rows.close()
            database.close()


def _require_empty(settings: Settings) -> None:
    """Before anything is read: what is there may be an installation that somebody needs."""
    artifacts, home = artifacts_of(settings), settings.home
    artifacts.require()
    for place, what, is_empty in (
        (str(home), "SPIKEFRONT_HOME", not home.is_dir() or not any(home.iterdir())),
        (artifacts.place, "SPIKEFRONT_ARTIFACTS_URL", artifacts.is_empty()),
    ):
        if not is_empty:
            raise RestoreFailed(why=f"{place} ({what}) is not empty. Name a new folder, or empty this one first.")
    if (file := database_file(settings.database_url)) is not None:
        if file.exists():
            raise RestoreFailed(why=f"there is a database already: {file}.")
        return
    database = opened(settings)
    try:
        with database.read() as session:
            if schema_version(session.connection()) is None:
                return
            for table in tables():
                if session.scalar(select(func.count()).select_from(table)):
                    raise RestoreFailed(why=f"the database of SPIKEFRONT_DATABASE_URL has rows in {table.name}.")
    finally:
        database.close()


def _check(manifest: BackupManifest, folder: Path) -> None:
    """Every file against the list, all before the first is copied."""
    names = {one.name for one in manifest.files}
    if manifest.database not in names:
        raise RestoreFailed(why=f"{LIST} does not list its database {manifest.database!r}.")
    for one in manifest.files:
        _require_plain(one.name, manifest)
        file = folder / one.name
        try:
            found = os.lstat(file)
        except OSError as error:
            raise RestoreFailed(why=f"{one.name} of the backup cannot be read: {error.strerror}.") from None
        if not stat.S_ISREG(found.st_mode) or found.st_size != one.bytes or sha256_of(file) != one.sha256:
            raise RestoreFailed(why=f"{one.name} of the backup is damaged: its SHA-256 differs from the list's.")


def _require_plain(name: str, manifest: BackupManifest) -> None:
    """No name leads out of the place where its kind belongs."""
    parts = PurePosixPath(name).parts
    good = name in (manifest.database, TOKEN) and len(parts) == 1
    good |= len(parts) > 1 and parts[0] in ROOTS
    if not good or {"..", ".", "/"} & set(parts) or "\0" in name or "\\" in name or str(PurePosixPath(*parts)) != name:
        raise RestoreFailed(why=f"{LIST} lists {name!r}, which is no file of a backup.")


def _unpack(archive: Path, into: Path) -> None:
    """The regular files of an archive; what else it holds is left in it."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isreg():
                    tar.extract(member, into, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise RestoreFailed(why=f"{archive} is no whole archive ({error}).") from None


def _nearest(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def _drop_empty(place: Path) -> None:
    """Folders that were made for nothing; one with something in it stays."""
    for where, _, _ in os.walk(place, topdown=False):
        with suppress(OSError):
            os.rmdir(where)
