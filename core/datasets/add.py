"""Puts a copy that the user has into the data folder: checked whole first, then moved in with one rename."""

from __future__ import annotations

import errno
import logging
import lzma
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock

from core.datasets.archive import CHUNK, Damaged, extract, is_archive
from core.datasets.catalog import DATASETS
from core.datasets.load import reader_of
from core.datasets.spec import DatasetSpec, DatasetStatus, Progress, Reader, no_progress
from core.errors import BadValue, DatasetCorrupt, HomeUnusable

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 1 << 30  # one unpacked file of any data set here


def add(
    name: str, source: Path, data_dir: Path, *, replace: bool = False, progress: Progress = no_progress
) -> DatasetStatus:
    """Add the data set from a folder, an archive, or single packed files, and return its new status.

    `source` may be a folder in the official layout, one that holds the official files (plain or `.xz`), or a
    tar or zip archive of either. Everything is copied beside the final place, read and checked; only then is it
    moved in, so an interrupted or refused copy leaves what was there before. A set that is complete is not
    exchanged for a subset unless `replace`.
    Raises UnknownName, BadValue, DatasetMissing, DatasetCorrupt, UnsafeArchive, or HomeUnusable (disk full).
    """
    spec = DATASETS[name]
    reader = reader_of(spec, data_dir)
    if reader.built_in:
        raise BadValue(field="name", value=name, expected="a data set that is not built in; this one always is there")
    source, data_dir = Path(source).expanduser(), Path(data_dir)
    if not source.exists():
        raise BadValue(field="path", value=str(source), expected="a folder or an archive that exists")
    with disk_errors(data_dir, source), _alone(data_dir, name):
        before = reader.status(spec, data_dir / name)
        temp = data_dir / f".{name}-{secrets.token_hex(4)}"
        try:
            _gather(spec, reader, source, temp, progress)
            dataset = reader.load(spec, temp, progress)
            if before.complete and not dataset.complete and not replace:
                raise BadValue(
                    field="path",
                    value=str(source),
                    expected="complete, as the copy already there is (--replace takes the subset all the same)",
                )
            del dataset  # its arrays are mapped from the folder that moves now
            _exchange(temp, data_dir / name)
        finally:
            shutil.rmtree(temp, ignore_errors=True)
        status = reader.status(spec, data_dir / name)
    log.info("datasets.added", extra={"dataset": name, "complete": status.complete})
    return status


def _gather(spec: DatasetSpec, reader: Reader, source: Path, temp: Path, progress: Progress) -> None:
    """Copy or unpack every file of the set from `source` into `temp`."""
    if source.is_dir():
        places = _best_copy(source, reader)
        for where, file in places.items():
            _copy(spec, file, temp / where, progress)
        filled = list(places)
    elif is_archive(source):
        try:
            filled = extract(source, reader.place, temp, progress)
        except Damaged as error:
            raise DatasetCorrupt(name=spec.name, file=source.name, why=f"{error}.") from None
        for where in filled:
            _unpack_in_place(spec, temp / where)
    else:
        raise BadValue(field="path", value=str(source), expected="a folder, or a .tar.gz, .tar.xz, .tar or .zip file")
    if not filled:
        raise BadValue(field="path", value=str(source), expected=f"a copy of {spec.title}: none of its files is there")


def _best_copy(source: Path, reader: Reader) -> dict[str, Path]:
    """Place -> file, all from one folder: `source` or a folder in it, whichever has the most of the set.

    Files of two folders are never mixed: they may be two different copies.
    """
    inside = sorted(entry for entry in source.iterdir() if entry.is_dir())
    best: dict[str, Path] = {}
    for folder in (source, *inside):
        try:
            files = sorted(file for file in folder.iterdir() if file.is_file())
        except PermissionError:  # somebody else's folder beside the data
            continue
        found: dict[str, Path] = {}
        for file in sorted(files, key=lambda file: file.suffix == ".xz"):  # plain before packed
            if (where := reader.place(file.name)) is not None:
                found.setdefault(where, file)
        if len(found) > len(best):
            best = found
    return best


def _copy(spec: DatasetSpec, file: Path, target: Path, progress: Progress) -> None:
    """Copy one file, unpacking .xz on the way, no further than a data file can reach."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size, done = file.stat().st_size, 0
    try:
        with open(file, "rb") as raw, open(target, "wb") as out, ExitStack() as stack:
            source = stack.enter_context(lzma.open(raw)) if file.suffix == ".xz" else raw
            while chunk := source.read(CHUNK):
                done += len(chunk)
                if done > MAX_FILE_BYTES:
                    why = f"it unpacks to more than {MAX_FILE_BYTES >> 20} MB."
                    raise DatasetCorrupt(name=spec.name, file=file.name, why=why)
                out.write(chunk)
                progress(file.name, raw.tell(), size)
    except (lzma.LZMAError, EOFError) as error:
        raise DatasetCorrupt(name=spec.name, file=file.name, why=f"it is cut off or no .xz file ({error}).") from None


def _unpack_in_place(spec: DatasetSpec, path: Path) -> None:
    """An archive may hold packed files; their place has the plain name already."""
    with open(path, "rb") as file:
        if not file.read(6).startswith(b"\xfd7zXZ\x00"):
            return
    packed = path.with_name(path.name + ".xz")
    path.rename(packed)
    _copy(spec, packed, path, no_progress)
    packed.unlink()


def _exchange(new: Path, target: Path) -> None:
    """Move `new` to `target`; what was there is kept aside until that has worked."""
    old = new.with_name(f"{new.name}-old")
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _alone(data_dir: Path, name: str) -> Iterator[None]:
    """One process adds at a time; what a killed one left behind is cleared."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(data_dir / f".{name}.lock"):
        for left in data_dir.glob(f".{name}-*"):
            if left.name.endswith("-old") and not (data_dir / name).exists():
                left.rename(data_dir / name)  # killed between the two renames: the old set comes back
            else:
                shutil.rmtree(left, ignore_errors=True)
        yield


@contextmanager
def disk_errors(data_dir: Path, source: Path | None = None) -> Iterator[None]:
    """A full or unwritable disk, or a source that cannot be read, as one clear sentence."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if source is not None and error.filename is not None and Path(error.filename).is_relative_to(source):
            raise BadValue(field="path", value=str(error.filename), expected=f"readable ({why})") from None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(data_dir).free >> 20
            why = f"the disk is full ({free:,} MB free). Nothing was added; free some space and try again."
        raise HomeUnusable(folder=str(data_dir), why=why) from None
