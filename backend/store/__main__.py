"""`python -m backend.store ACT`: an installation by hand, for `spikefront db`, `doctor`, `backup`, `restore` and `gc`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select, text

from backend.store.artifacts import artifacts_of
from backend.store.backup import Made, back_up
from backend.store.collecting import collected
from backend.store.copying import copy
from backend.store.db import HEAD, Database, opened, schema_version, upgrade
from backend.store.examining import facts
from backend.store.models import RunRow
from backend.store.restore import restore
from core.addresses import sqlite_url
from core.errors import BadValue, CopyFailed, SpikefrontError
from core.home.lock import running
from core.settings import EXIT_OTHER_SCHEMA, Settings, prepare_home
from core.showing import printable


def main(args: Sequence[str] | None = None) -> int:
    """0, or with one sentence on standard error 1, or EXIT_OTHER_SCHEMA."""
    parser = argparse.ArgumentParser(prog="python -m backend.store")
    parser.add_argument("act", choices=("upgrade", "check", "copy", "backup", "restore", "gc"))
    parser.add_argument("--source", type=Path, help="of copy: the SQLite file")
    parser.add_argument("--path", type=Path, help="of backup and restore: the folder or the archive")
    parser.add_argument("--data", action="store_true", help="of backup: data sets of one's own too")
    parser.add_argument("--token", action="store_true", help="of backup: the key too")
    parser.add_argument("--copy", action="store_true", help="of backup: no hard links")
    parser.add_argument("--days", type=float, help="of gc: instead of SPIKEFRONT_GC_DAYS")
    parser.add_argument("--dry-run", action="store_true", help="of gc: change nothing")
    parser.add_argument(
        "--json", action="store_true", help="of gc, one JSON object; of check, one more line, which is one"
    )
    given = parser.parse_args(args)
    try:
        settings = Settings()
        match given.act:
            case "upgrade":
                prepare_home(settings)
                upgrade(settings)
                said = f"The database is at schema {HEAD}."
            case "check":
                found, said = check(settings)
                if found == HEAD and given.json:
                    print(json.dumps(_examined(settings)))
                if found != HEAD:
                    print(f"spikefront: {said}", file=sys.stderr)
                    return EXIT_OTHER_SCHEMA
            case "backup":
                made = back_up(settings, given.path, data=given.data, token=given.token, link=not given.copy)
                print(printable(_of_backup(made, given.path)))
                for sentence in made.left_out:
                    print(f"spikefront: left out: {printable(sentence)}", file=sys.stderr)
                return 1 if made.left_out else 0
            case "restore":
                manifest = restore(settings, given.path)
                said = (
                    f"Restored {_ended(manifest.n_runs)} of {manifest.made_at:%Y-%m-%d %H:%M} UTC into {settings.home}."
                )
            case "gc":
                return collected(settings, given.days, dry_run=given.dry_run, as_json=given.json)
            case _:
                said = copied(settings, given.source or settings.home / "spikefront.db")
    except SpikefrontError as error:
        print(f"spikefront: {printable(error.message)}", file=sys.stderr)
        return 1
    print(printable(said))
    return 0


def _ended(n: int) -> str:
    return f"{n:,} ended run{'' if n == 1 else 's'}"


def _of_backup(made: Made, path: Path) -> str:
    total = sum(one.bytes for one in made.manifest.files)
    what = f"{_ended(made.manifest.n_runs)}, {len(made.manifest.files):,} files, {total / 1e6:,.1f} MB"
    return f"Backed up to {path}: {what}; new in it {made.n_new:,} files, {made.new_bytes / 1e6:,.1f} MB."


def _examined(settings: Settings) -> dict[str, object]:
    database = opened(settings)
    try:
        return facts(database, artifacts_of(settings))
    finally:
        database.close()


def check(settings: Settings) -> tuple[str | None, str]:
    """The schema of the database, and what it is in words; raises DatabaseDown."""
    database = opened(settings)
    try:
        with database.read() as session:
            connection = session.connection()
            name = "SQLite" if connection.dialect.name == "sqlite" else "PostgreSQL"
            version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
            found = schema_version(connection)
            if found != HEAD:
                has = "no tables yet" if found is None else f"schema {found}"
                return found, f"The database has {has}; this version needs schema {HEAD}. Run: spikefront db upgrade"
            n_runs = session.scalar(select(func.count()).select_from(RunRow))
            letters = "" if name == "SQLite" else _encoding(session.scalar(text("SHOW server_encoding")))
    finally:
        database.close()
    return found, f"{name} {version}, schema {found}, {n_runs:,} runs{letters}"


def copied(settings: Settings, file: Path) -> str:
    """Copy a SQLite file into the database of SPIKEFRONT_DATABASE_URL, whose tables are made if they are not there."""
    if not settings.database_url.startswith("postgres"):
        expected = "the address of the PostgreSQL database to copy into"
        raise BadValue(
            field="SPIKEFRONT_DATABASE_URL", value=settings.database_url_override and "SQLite", expected=expected
        )
    if not file.is_file():
        raise CopyFailed(why=f"there is no file {file}.")
    if running(settings) is not None:
        raise CopyFailed(why="Spikefront is running on this data folder, and what it writes meanwhile would be lost.")
    prepare_home(settings)
    upgrade(settings)
    source, target = Database(sqlite_url(file)), opened(settings)
    try:
        counts = copy(source, target)
    finally:
        source.close()
        target.close()
    rows = ", ".join(f"{name} {n:,}" for name, n in counts.items() if n)
    return f"Copied and counted: {rows or 'no rows'}."


def _encoding(name: str | None) -> str:
    return "" if name == "UTF8" else f"; its encoding is {name}: in UTF8 a search would ignore case in every alphabet"


if __name__ == "__main__":
    sys.exit(main())
