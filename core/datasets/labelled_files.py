"""Image files of a published set with labels beside them: in a table (trainLabels.csv), or by their folders' names."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path, PurePath, PurePosixPath

from core.datasets.own.folders import ENDS
from core.datasets.parts import TEST, TRAIN, VALIDATION, part_in, part_of, passed_over, shown
from core.datasets.parts import listed as listed_as_text
from core.datasets.spec import DatasetSpec
from core.errors import DatasetCorrupt
from core.text import text_of

Listed = list[tuple[Path, int]]  # every image and its label
MAX_TABLE_BYTES = 64 << 20
LABELS = ("fine_label", "fine_label_name", "label", "class", "class_name", "category", "target")
FILES = ("id", "image_id", "filename", "file_name", "file", "image", "img", "path", "name")
#: Tables that hold no labels but the form of an answer to a contest.
NO_LABELS = re.compile(r"sample|submission", re.IGNORECASE)


def by_tables(spec: DatasetSpec, folder: Path) -> tuple[Listed, Listed] | None:
    """(training, test) images of a folder with a table of labels for each part, or for training alone.

    The images lie in a folder of the part's name, or where the table's names lead to. None where `folder` has no
    such table. Raises DatasetCorrupt.
    """
    found: dict[str, Listed] = {}
    for table in sorted(folder.glob("*.csv")):
        if passed_over(PurePosixPath(table.name)) or NO_LABELS.search(table.stem):
            continue
        part = part_in(table.stem) or TRAIN
        homes = _homes(folder, part)
        if not homes or not (rows := _table(spec, table)):
            continue
        if part in found:
            why = f"a second table gives labels to {part} images; leave one."
            raise DatasetCorrupt(name=spec.name, file=table.name, why=why)
        found[part] = _images(spec, table, rows, folder, homes)
    if TRAIN not in found:
        return None
    return found[TRAIN], found.get(TEST) or found.get(VALIDATION) or []


def by_class_folders(spec: DatasetSpec, folder: Path) -> tuple[Listed, Listed] | None:
    """(training, test) images where the folders of a part are the set's classes, all of them; or `folder` has them.

    None where that is not so.
    """
    found = {TRAIN: _sorted(spec, folder)}
    for entry in _folders(folder):
        if (part := part_of(entry.name)) is not None and (listed := _sorted(spec, entry)):
            found[part] = listed
    if not found[TRAIN]:
        return None
    return found[TRAIN], found.get(TEST) or found.get(VALIDATION) or []


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not passed_over(PurePosixPath(entry.name)))


def _sorted(spec: DatasetSpec, home: Path) -> Listed:
    label_of = _label_of(spec)
    folders = {_plain(entry.name): entry for entry in _folders(home)}
    if folders.keys() != label_of.keys():
        return []
    return [(path, label) for name, label in label_of.items() for path in _image_files(folders[name])]


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in ENDS and entry.is_file() and not passed_over(PurePosixPath(entry.name))
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def _table(spec: DatasetSpec, path: Path) -> list[tuple[str, int]]:
    """(file's name, label) of each row; none where no column is one of labels. Raises DatasetCorrupt."""

    def corrupt(why: str) -> DatasetCorrupt:
        return DatasetCorrupt(name=spec.name, file=path.name, why=why)

    if path.stat().st_size > MAX_TABLE_BYTES:
        raise corrupt(f"it has more than {MAX_TABLE_BYTES >> 20} MB.")
    try:
        text = text_of(path.read_bytes())
        first = text.partition("\n")[0]
        mark = next((mark for mark in ",;\t" if mark in first), ",")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise corrupt(f"it is no table ({error}).") from None
    label_of = _label_of(spec) | {str(label): label for label in range(spec.n_classes)}  # or its number, from 0
    head = [_plain(cell) for cell in rows[0]] if rows else []
    column = next((head.index(name) for name in LABELS if name in head), None)
    names = next((head.index(name) for name in FILES if name in head), None)
    if column is None and len(head) == 2 and _plain(rows[0][1]) in label_of:
        column, names = 1, 0  # without a line of titles
    elif column is None or len(head) < 2:
        return []
    else:
        rows = rows[1:]
    names = names if names is not None else next(other for other in range(len(head)) if other != column)
    listed: dict[str, int] = {}
    for row in rows:
        if len(row) <= max(column, names):
            raise corrupt(f"a row of it is {','.join(row)[:40]!r}, without a label.")
        label, name = label_of.get(_plain(row[column])), row[names].strip()
        if label is None:
            raise corrupt(f"it gives {name[:40]!r} the label {row[column][:40]!r}, which is no class of {spec.title}.")
        if name in listed:
            raise corrupt(f"it names {name[:40]!r} twice.")
        listed[name] = label
    return list(listed.items())


def _label_of(spec: DatasetSpec) -> dict[str, int]:
    """The label of each class by its name."""
    return {_plain(name): label for label, name in enumerate(spec.classes)}


def _homes(folder: Path, part: str) -> list[Path]:
    """Where the images of a part may lie: folders of its name (train, train/train), else `folder` and those in it."""
    inside = _folders(folder)
    homes = [entry for entry in inside if part_of(entry.name) == part]
    if homes:
        return homes + [entry for home in homes for entry in _folders(home)]
    return [home for home in (folder, *inside) if part_of(home.name) is None and _image_files(home)]


def _images(spec: DatasetSpec, table: Path, rows: list[tuple[str, int]], folder: Path, homes: list[Path]) -> Listed:
    """The image of each row, by as much of the path that the row gives as is needed to tell it from the others."""

    def corrupt(why: str) -> DatasetCorrupt:
        return DatasetCorrupt(name=spec.name, file=table.name, why=why)

    files = [path for home in homes for path in _image_files(home)]
    by_tail: dict[str, list[Path]] = {}
    for path in files:
        inside = path.relative_to(folder)
        for tail in {*_tails(inside), *_tails(inside.with_suffix(""))}:
            by_tail.setdefault(tail, []).append(path)
    listed: Listed = []
    for name, label in rows:
        found = next((by_tail[tail] for tail in _tails(PurePosixPath(name.replace("\\", "/"))) if tail in by_tail), [])
        if len(found) != 1:
            many = f"there are {len(found)} such images" if found else "there is no such image"
            raise corrupt(f"it names {name[:40]!r}, and {many} in {listed_as_text(home.name for home in homes)}.")
        listed.append((found[0], label))
    used = {path for path, _ in listed}
    if len(used) < len(listed):
        raise corrupt("two of its rows mean the same image.")
    if part_of(homes[0].name) is not None and (unnamed := [path for path in files if path not in used]):
        more = f" and {len(unnamed) - 1:,} more" if unnamed[1:] else ""
        raise corrupt(f"it has no row for {shown(unnamed[0].name)}{more}.")
    return listed


def _tails(path: PurePath) -> list[str]:
    """a/b/c, b/c, c"""
    return ["/".join(path.parts[start:]) for start in range(len(path.parts))]
