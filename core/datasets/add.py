"""Puts a copy that the user has into the data folder: checked whole first, then moved in with one rename."""

from __future__ import annotations

import difflib
import errno
import logging
import lzma
import re
import secrets
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath, PurePosixPath

from filelock import FileLock

from core.datasets.archive import CHUNK, Damaged, extract, is_archive
from core.datasets.catalog import DATASETS, find
from core.datasets.load import reader_of
from core.datasets.own.make import build, require_name, require_side
from core.datasets.parts import passed_over
from core.datasets.spec import DatasetSpec, DatasetStatus, Progress, Reader, no_progress
from core.errors import BadValue, DatasetCorrupt, DatasetMissing, HomeUnusable, NoClassFolders, UnknownName

log = logging.getLogger(__name__)

FORMS = "a folder, or a .tar.gz, .tar.xz, .tar or .zip file"
MAX_FILE_BYTES = 1 << 30  # one unpacked file of any data set here
MAX_FOLDERS = 20_000  # that are looked into for a copy


def add(
    name: str,
    source: Path,
    data_dir: Path,
    *,
    replace: bool = False,
    size: int | None = None,
    mirrors: bool = False,
    progress: Progress = no_progress,
) -> DatasetStatus:
    """Add the data set from a folder, an archive, or single packed files, and return its new status.

    Of a data set of the catalogue, `source` may be a folder in the official layout, one that holds the official
    files (plain or packed) at any depth, a tar or zip archive of either, or what its reader converts. Any other name becomes a data set of the user's own:
    `source` is then a folder or archive of class folders (core.datasets.own.folders), `size` the side of its images
    in pixels and `mirrors` whether they may be mirrored.
    Everything is copied beside the final place, read and checked; only then is it moved in, so an interrupted or
    refused copy leaves what was there before. A set that is complete is not exchanged for a subset, nor a user's
    for another, unless `replace`.
    Raises UnknownName, BadValue, DatasetMissing, DatasetCorrupt, UnsafeArchive, or HomeUnusable (disk full).
    """
    source, data_dir = Path(source).expanduser(), Path(data_dir)
    check_asked(name, data_dir, size=size, mirrors=mirrors, replace=replace)
    spec = DATASETS.built_in.get(name)
    if not source.exists():
        raise BadValue(field="path", value=str(source), expected="a folder or an archive that exists")
    with disk_errors(data_dir, source), _alone(data_dir, name):
        temp = data_dir / f".{name}-{secrets.token_hex(4)}"
        try:
            if spec is None:
                _make_own(name, source, temp, data_dir, replace=replace, size=size, mirrors=mirrors, progress=progress)
            else:
                reader = reader_of(spec, data_dir)
                _take_official(spec, reader, source, temp, data_dir, replace=replace, progress=progress)
            _exchange(temp, data_dir / name)
        finally:
            shutil.rmtree(temp, ignore_errors=True)
        spec = find(name, data_dir)
        status = reader_of(spec, data_dir).status(spec, data_dir / name)
    log.info("datasets.added", extra={"dataset": name, "complete": status.complete})
    return status


def check_asked(name: str, data_dir: Path, *, size: int | None, mirrors: bool, replace: bool) -> None:
    """All that can be refused before the source is looked at. Raises BadValue, or DatasetMissing."""
    spec = DATASETS.built_in.get(name)
    if spec is None:
        require_name(name)
        require_side(size)
        _require_new(name, data_dir, replace=replace)
        return
    if reader_of(spec, data_dir).built_in:
        expected = "a data set that is not built in; this one always is there"
        raise BadValue(field="name", value=name, expected=expected)
    if size is not None or mirrors:
        expected = "left out: only a data set of your own is given a size or mirrored"
        raise BadValue(field="--size" if size is not None else "--mirrors", value=size or mirrors, expected=expected)


def _require_new(name: str, data_dir: Path, *, replace: bool) -> None:
    if (Path(data_dir) / name).exists() and not replace:
        expected = "a new name: results that exist are of the images there now (--replace exchanges them all the same)"
        raise BadValue(field="name", value=name, expected=expected)


def _take_official(
    spec: DatasetSpec, reader: Reader, source: Path, temp: Path, data_dir: Path, *, replace: bool, progress: Progress
) -> None:
    """Bring the official files to `temp` and read them all."""
    before = reader.status(spec, data_dir / spec.name)
    _gather(spec, reader, source, temp, progress)
    if (why := reader.missing(temp)) is not None:  # `load` would speak of `temp`, and advise to add what was just added
        raise DatasetMissing(name=spec.name, folder=str(source), how=why)
    dataset = reader.load(spec, temp, progress)
    if before.complete and not dataset.complete and not replace:
        raise BadValue(
            field="path",
            value=str(source),
            expected="complete, as the copy already there is (--replace takes the subset all the same)",
        )


def _make_own(
    name: str,
    source: Path,
    temp: Path,
    data_dir: Path,
    *,
    replace: bool,
    size: int | None,
    mirrors: bool,
    progress: Progress,
) -> None:
    """Make the user's data set in `temp`; an archive is unpacked in there for as long as it is read."""
    _require_new(name, data_dir, replace=replace)  # again, now that no other process can add
    temp.mkdir()
    folder, unpacked = source, temp / "unpacked"
    if not source.is_dir():
        if not is_archive(source):
            raise BadValue(field="path", value=str(source), expected=FORMS)
        unpacked.mkdir()
        try:
            extract(source, _but_what_systems_leave(lambda member: member), unpacked, progress)
        except Damaged as error:
            raise DatasetCorrupt(name=name, file=source.name, why=f"{error}.") from None
        folder = unpacked
    try:
        build(name, folder, temp, size=size, mirrors=mirrors, progress=progress)
    except NoClassFolders as error:
        if difflib.get_close_matches(name, DATASETS.built_in, cutoff=0.6):
            raise UnknownName(kind=DATASETS.kind, name=name, known=DATASETS.built_in) from None
        raise NoClassFolders(folder=str(source), found=error.found) from None
    shutil.rmtree(unpacked, ignore_errors=True)


def _gather(spec: DatasetSpec, reader: Reader, source: Path, temp: Path, progress: Progress) -> None:
    """Copy or unpack every file of the set from `source` into `temp`."""
    if source.is_dir():
        places = _best_copy(source, reader)
        for where, file in places.items():
            _copy(spec, file, temp / where, progress)
        filled = list(places)
    elif is_archive(source):
        try:
            filled = extract(source, _but_what_systems_leave(reader.place), temp, progress, spec.most_bytes)
        except Damaged as error:
            raise DatasetCorrupt(name=spec.name, file=source.name, why=f"{error}.") from None
        for where in filled:
            _unpack_in_place(spec, temp / where)
    else:
        raise BadValue(field="path", value=str(source), expected=FORMS)
    if not filled and not _converted(spec, reader, source, temp, progress):
        raise BadValue(field="path", value=str(source), expected=f"a copy of {spec.title}: none of its files is there")


def _converted(spec: DatasetSpec, reader: Reader, source: Path, temp: Path, progress: Progress) -> bool:
    """Whether `source` has the set in another form than the official files, which are then made of it in `temp`."""
    folder, unpacked = source, temp / "unpacked"
    if not source.is_dir():
        unpacked.mkdir(parents=True)
        try:
            extract(source, _but_what_systems_leave(lambda member: member), unpacked, progress, spec.most_bytes)
        except Damaged as error:
            raise DatasetCorrupt(name=spec.name, file=source.name, why=f"{error}.") from None
        folder = unpacked
    done = any(reader.convert(spec, home, temp, progress) for home in _folders(folder))
    shutil.rmtree(unpacked, ignore_errors=True)
    return done


def _but_what_systems_leave(place: Callable[[str], str | None]) -> Callable[[str], str | None]:
    """`place`, and no place for hidden files and those of systems, which may have the names of the set's own."""
    return lambda member: None if passed_over(PurePosixPath(member)) else place(member)


def _best_copy(source: Path, reader: Reader) -> dict[str, Path]:
    """Place -> file, all from one folder: `source` or one below it, whichever has the most of the set.

    Files of two folders are never mixed: they may be two different copies.
    """
    best: dict[str, Path] = {}
    for folder in _folders(source):
        try:
            found = reader.files_of(folder)
        except PermissionError:  # somebody else's folder beside the data
            continue
        if len(found) > len(best):
            best = found
    return best


def _folders(source: Path) -> Iterator[Path]:
    """`source` and every folder below it, the nearest first, each once; a link to a folder is one, too."""
    waiting, seen = deque([source]), set()
    while waiting and len(seen) < MAX_FOLDERS:
        folder = waiting.popleft()
        try:
            stat = folder.stat()
            inside = sorted(entry for entry in folder.iterdir() if entry.is_dir())
        except PermissionError:
            if folder == source:
                raise
            continue
        if (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        yield folder
        waiting.extend(entry for entry in inside if not passed_over(PurePath(entry.name)))


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
        own = re.compile(rf"\.{name}-[0-9a-f]{{8}}(-old)?")  # not those of a data set called <name>-2
        for left in [entry for entry in data_dir.iterdir() if own.fullmatch(entry.name)]:
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
