"""A copy of an installation while it runs: `spikefront backup`. `backend.store.restore` reads it.

    backup.json              BackupManifest: every file with its SHA-256, written last
    database-<digest>.db     all rows as one moment saw them, in SQLite whatever they came from
    runs/<id>/...            bundles of the runs that succeeded, with what lies beside them; histories and logs of the others
    runs/shares/<id>/...     the stored content of frozen links
    profiles/*.toml          hardware profiles of one's own
    data/<name>/...          data sets of one's own, where asked for
    token                    the key, where asked for

Rows first, files after: a bundle that has succeeded does not change, so what the rows tell of is there, unless it was removed
for good meanwhile. Checkpoints change while they are copied and stay out: a run that was under way starts anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, ValidationError
from sqlalchemy import select

from backend.store.artifacts import artifacts_of, put
from backend.store.copying import copy
from backend.store.db import HEAD, Database, database_file, opened, schema_version, upgrade_file, utc_now
from backend.store.models import RunRow, ShareRow
from backend.store.places import SHARES
from core.addresses import sqlite_url
from core.analysis.robustness import FILE as ROBUSTNESS
from core.bundle import MANIFEST, TEACHER, unwritable, write_atomic
from core.datasets.own.reader import sha256 as sha256_of
from core.datasets.own.reader import user_specs
from core.errors import BackupFailed, BundleCorrupt
from core.host.versions import program_version
from core.run_folder import HISTORY, LOG
from core.schemas.base import Frozen
from core.schemas.run import RunState
from core.settings import Settings, read_token

log = logging.getLogger("spikefront.backup")

LIST = "backup.json"
ARCHIVES = (".tar", ".tar.gz", ".tgz")
#: Of a run that ended: small, and nobody writes to them any more.
NOTED = (HISTORY, LOG)
BESIDE = (ROBUSTNESS, *NOTED)


class BackupFile(Frozen):
    """One file; `name` is its path in the backup, with `/`."""

    name: str = Field(min_length=1, max_length=4096)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class BackupManifest(Frozen):
    version: Literal[1] = 1
    made_at: datetime
    program: str
    schema_version: str
    came_from: Literal["sqlite", "postgresql"]
    database: str = Field(description="the file that holds the rows")
    n_runs: int
    files: tuple[BackupFile, ...]


@dataclass(kw_only=True)
class Made:
    """What a backup holds, and what of it was there before. `left_out`: sentences about what could not be copied."""

    manifest: BackupManifest
    n_new: int
    new_bytes: int
    left_out: list[str] = field(default_factory=list)


def back_up(settings: Settings, target: Path, *, data: bool, token: bool, link: bool = True) -> Made:
    """Write the backup to a folder, or to one file where the name ends as an archive's.

    The same folder may be given again: what has not changed is not copied again. With `link` bundles are hard links where
    the disk is the same. Raises BackupFailed, StorageFull or DatabaseDown; an archive of before then stays as it was.
    """
    try:
        if not target.name.endswith(ARCHIVES):
            return _Copier(settings, target, data=data, token=token, link=link).run()
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as held:
            folder = Path(held) / "backup"
            made = _Copier(settings, folder, data=data, token=token, link=True).run()
            packed = Path(held) / target.name
            with tarfile.open(packed, "w:gz" if target.name.endswith("gz") else "w") as tar:
                for name in (LIST, *(one.name for one in made.manifest.files)):
                    tar.add(folder / name, arcname=name, recursive=False)
            packed.chmod(0o600)
            os.replace(packed, target)
            return made
    except (OSError, tarfile.TarError) as error:
        raise (
            unwritable(target, error) if isinstance(error, OSError) else BackupFailed(why=f"{target}: {error}.")
        ) from error


class _Copier:
    def __init__(self, settings: Settings, folder: Path, *, data: bool, token: bool, link: bool) -> None:
        self._settings, self._folder, self._link = settings, folder, link
        self._with_data, self._with_token = data, token
        self._artifacts = artifacts_of(settings)
        self._before = self._known()
        self._files: dict[str, BackupFile] = {}
        self._left_out: list[str] = []
        self._n_new = self._new_bytes = 0

    def run(self) -> Made:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        came_from, database, runs, shares = self._rows()
        with tempfile.TemporaryDirectory(prefix=".files-", dir=self._folder) as held:
            aside = Path(held)
            for run_id, succeeded in runs:
                try:
                    self._run(run_id, aside, succeeded=succeeded)
                except BundleCorrupt as error:
                    self._left_out.append(f"Run {run_id}: {error.message}")
            for share_id in shares:
                for key in self._artifacts.files(f"{SHARES}/{share_id}"):
                    self._kept(key, aside)
        self._profiles()
        for name in user_specs(self._settings.data) if self._with_data else ():
            self._below(self._settings.data / name, f"data/{name}", link=False, but="cache")
        if self._with_token:
            self._token()
        manifest = BackupManifest(
            made_at=utc_now(),
            program=program_version(),
            schema_version=HEAD,
            came_from=came_from,
            database=database,
            n_runs=len(runs),
            files=tuple(self._files.values()),
        )
        write_atomic(self._folder / LIST, manifest.model_dump_json(indent=1).encode() + b"\n")
        (self._folder / LIST).chmod(0o600)
        for name in set(self._before) - set(self._files):  # what was deleted since, and the database of before
            (self._folder / name).unlink(missing_ok=True)
        log.info("backup.made", extra={"runs": len(runs), "files": len(self._files), "new_bytes": self._new_bytes})
        return Made(manifest=manifest, n_new=self._n_new, new_bytes=self._new_bytes, left_out=self._left_out)

    def _known(self) -> dict[str, BackupFile]:
        """What an earlier backup left in this folder; raises BackupFailed for a folder that holds something else."""
        try:
            return {one.name: one for one in manifest_in(self._folder).files}
        except FileNotFoundError:
            if self._folder.exists() and any(one.name[:1] != "." for one in self._folder.iterdir()):
                why = f"the folder {self._folder} holds something else. Choose an empty or a new one."
                raise BackupFailed(why=why) from None
            return {}

    def _rows(self) -> tuple[Literal["sqlite", "postgresql"], str, list[tuple[str, bool]], list[str]]:
        """The database as of now, in a file; its name, the runs and whether each has succeeded, the frozen links."""
        with tempfile.TemporaryDirectory(prefix=".database-", dir=self._folder) as held:
            file = Path(held) / "spikefront.db"
            came_from = snapshot(self._settings, file)
            rows = Database(sqlite_url(file))
            try:
                with rows.read() as session:
                    runs = [
                        (row.id, row.state == RunState.SUCCEEDED)
                        for row in session.execute(select(RunRow.id, RunRow.state))
                        if RunState(row.state).is_final
                    ]
                    shares = list(session.scalars(select(ShareRow.id).where(ShareRow.frozen)))
            finally:
                rows.close()
            _as_one_file(file)
            digest = sha256_of(file)
            name = f"database-{digest[:16]}.db"  # never in the place of the one that an earlier list names
            self._note(name, file.stat().st_size, digest, is_new=name not in self._before)
            file.chmod(0o600)
            os.replace(file, self._folder / name)
        return came_from, name, runs, shares

    def _run(self, run_id: str, aside: Path, *, succeeded: bool) -> None:
        names = set(self._artifacts.files(run_id))
        if succeeded:
            if not names:
                raise BundleCorrupt(file=MANIFEST, why="the folder of its bundle is gone.")
            self._bundle(run_id, aside)
            if f"{run_id}/{TEACHER}/{MANIFEST}" in names:
                self._bundle(f"{run_id}/{TEACHER}", aside)
        for beside in BESIDE:
            if f"{run_id}/{beside}" in names:
                self._kept(f"{run_id}/{beside}", aside, link=False)

    def _bundle(self, folder: str, aside: Path) -> None:
        """The files that the manifest lists, by its digests, and the manifest itself."""
        for entry in self._artifacts.bundle(folder).files():
            self._kept(f"{folder}/{entry.name}", aside, sha256=entry.sha256)
        self._kept(f"{folder}/{MANIFEST}", aside, sha256=self._artifacts.manifest_sha256(folder))

    def _kept(self, key: str, aside: Path, *, sha256: str | None = None, link: bool = True) -> None:
        """One file of the artifacts; what the backup has by that digest is not even fetched."""
        name = f"runs/{key}"
        if sha256 is not None and self._has(name, sha256):
            return
        try:
            source = self._artifacts.here(key, aside)
        except FileNotFoundError:
            raise BundleCorrupt(file=PurePosixPath(key).name, why="it is missing.") from None
        self._file(source, name, link=link and self._link, sha256=sha256)
        if source.parent == aside:
            source.unlink(missing_ok=True)

    def _has(self, name: str, sha256: str) -> bool:
        known, target = self._before.get(name), self._folder / name
        if known is None or known.sha256 != sha256 or not target.is_file() or target.stat().st_size != known.bytes:
            return False
        self._note(name, known.bytes, sha256, is_new=False)
        return True

    def _below(self, folder: Path, name: str, *, link: bool, but: str = "") -> None:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.is_file() and not file.is_symlink() and inside.parts[0] != but:
                self._file(file, f"{name}/{inside.as_posix()}", link=link)

    def _profiles(self) -> None:
        for file in sorted((self._settings.home / "profiles").glob("*.toml")):
            if file.is_file():
                self._file(file, f"profiles/{file.name}", link=False)

    def _token(self) -> None:
        content = f"{read_token(self._settings)}\n".encode()
        write_atomic(self._folder / "token", content)
        (self._folder / "token").chmod(0o600)
        self._note("token", len(content), hashlib.sha256(content).hexdigest(), is_new="token" not in self._before)

    def _file(self, source: Path, name: str, *, link: bool, sha256: str | None = None) -> None:
        """Copy, unless the backup has it. `sha256`: what the bundle's manifest says; raises BundleCorrupt where it differs."""
        target = self._folder / name
        try:
            size, found = source.stat().st_size, sha256_of(source)
            if sha256 is not None and found != sha256:
                raise BundleCorrupt(file=target.name, why="its SHA-256 differs from the manifest's.")
            if self._has(name, found):
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            put(source, target, link=link)
        except FileNotFoundError:
            raise BundleCorrupt(file=target.name, why="it is missing.") from None
        self._note(name, size, found, is_new=True)

    def _note(self, name: str, size: int, sha256: str, *, is_new: bool) -> None:
        self._files[name] = BackupFile(name=name, bytes=size, sha256=sha256)
        if is_new:
            self._n_new, self._new_bytes = self._n_new + 1, self._new_bytes + size


def snapshot(settings: Settings, file: Path) -> Literal["sqlite", "postgresql"]:
    """All rows as of one moment, in a new SQLite file, while others write; which kind they came from.

    Raises BackupFailed where the schema is not this version's.
    """
    source = opened(settings)
    try:
        with source.read() as session:
            if (found := schema_version(session.connection())) != HEAD:
                why = f"the database has schema {found}, this version needs {HEAD}. Run: spikefront db upgrade"
                raise BackupFailed(why=why)
        path = database_file(settings.database_url)
        if path is not None:
            with closing(sqlite3.connect(path)) as ours, closing(sqlite3.connect(file)) as theirs:
                ours.backup(theirs)  # https://www.sqlite.org/backup.html
            return "sqlite"
        upgrade_file(file)
        target = Database(sqlite_url(file))
        try:
            copy(source, target)
        finally:
            target.close()
        return "postgresql"
    except sqlite3.Error as error:
        raise BackupFailed(why=f"the database cannot be copied ({error}).") from error
    finally:
        source.close()


def manifest_in(folder: Path) -> BackupManifest:
    """Raises FileNotFoundError where none is, BackupFailed for one that cannot be read."""
    try:
        return BackupManifest.model_validate_json((folder / LIST).read_bytes())
    except ValidationError:
        raise BackupFailed(why=f"{folder / LIST} is not the list of a backup that this version reads.") from None


def _as_one_file(file: Path) -> None:
    """Without a write-ahead log beside it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
