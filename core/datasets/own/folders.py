"""Finds the images of a folder whose subfolders are classes, and which of them are for training.

Two layouts: `train/<class>/*` beside `test/<class>/*` (or `val/`, `valid/` and their like: core.datasets.parts), or
`<class>/*` alone (or `train/<class>/*` with no test images in classes beside it), which is then split. Anything else
is refused with what was found. Folders beside the parts are left out, and the set's note names them.
What a system leaves behind (.DS_Store, Thumbs.db, names that begin with a dot) is passed over, and so are files
beside the class folders that are no images. Links are followed inside the folder only.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from core.datasets.class_names import MAX_CLASSES, NAME_RULE, NUMBER_RULE, is_class_name
from core.datasets.parts import TEST, TRAIN, VALIDATION, listed, no_classes, part_of, passed_over, shown
from core.datasets.splits import stratified
from core.errors import BadValue, DatasetCorrupt, NoClassFolders

ENDS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
TEST_SHARE = 0.2
SPLIT_SEED = 0  # part of what a data set without a test folder is: never change it
NAMED = 5  # faulty files named in one message
LEADS_OUT = "it is a link that leads nowhere or out of the folder"


@dataclass(frozen=True, kw_only=True)
class Found:
    """Every image of one part has its class in `labels`; the order is that of classes, then of names."""

    classes: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...]
    split: str  # a sentence
    drawn: bool  # the split was made here
    root: Path


def find_images(name: str, source: Path) -> Found:
    """The images below `source`, or below the one folder that it holds.

    Raises NoClassFolders where nothing looks like class folders, BadValue or DatasetCorrupt where they cannot be used.
    """
    root = _opened(source)
    train, test = _parts(name, root)
    faults: list[tuple[Path, str]] = []
    homes = [_opened(part) for part in (train, test) if part is not None] or [root]
    for home in homes:
        if no_classes(entry.name for entry in _folders(home)):
            raise NoClassFolders(folder=str(source), found=_described(home))
    if train is not None and test is not None:
        train_files, test_files = (_classes(name, root, home, faults) for home in homes)
        _refuse(name, root, faults)
        _same_classes(name, (train.name, train_files), (test.name, test_files))
        classes = tuple(sorted(train_files))
        _enough(name, classes, train_files)
        return Found(
            classes=classes,
            train=_labelled(classes, train_files),
            test=_labelled(classes, test_files),
            split=f"Training and test images as its folders {shown(train.name)} and {shown(test.name)} have them."
            + _left_out(root, train, test),
            drawn=False,
            root=root,
        )
    files = _classes(name, root, homes[0], faults)  # beside it may lie a test folder without classes
    if not any(file.suffix.lower() in ENDS for named in files.values() for file in named):
        raise NoClassFolders(folder=str(source), found=_described(root))
    _refuse(name, root, faults)
    classes = tuple(sorted(files))
    _enough(name, classes, files)
    rows = _labelled(classes, files)
    train_index, test_index = split_by_class(np.array([label for _, label in rows], dtype=np.int64))
    return Found(
        classes=classes,
        train=tuple(rows[position] for position in train_index),
        test=tuple(rows[position] for position in test_index),
        split=f"Split here: a fifth of each class, drawn with seed {SPLIT_SEED}, is the test set."
        + ("" if train is None else f" Only its folder {shown(train.name)} is taken.{_left_out(root, train)}"),
        drawn=True,
        root=root,
    )


def _parts(name: str, root: Path) -> tuple[Path | None, Path | None]:
    """The folders of training and of test images (those for validation where no other is) that hold class folders."""
    found: dict[str, list[Path]] = {TRAIN: [], TEST: [], VALIDATION: []}
    for entry in _folders(root):
        if (part := part_of(entry.name)) is not None and _holds_folders(entry):
            if not _stays_inside(entry, root.resolve()):
                raise DatasetCorrupt(name=name, file=_relative(entry, root), why=f"{LEADS_OUT}.")
            found[part].append(entry)
    if not found[TRAIN]:
        return None, None
    tests = found[TEST] or found[VALIDATION]
    for same in (found[TRAIN], tests):
        if len(same) > 1:
            why = f"{listed(entry.name for entry in same)} are both that part of the set by their names; leave one."
            raise DatasetCorrupt(name=name, file=_relative(same[0], root), why=why)
    return found[TRAIN][0], next(iter(tests), None)


def _left_out(root: Path, *taken: Path) -> str:
    """The sentence that names the folders beside those taken, if there are any."""
    others = [entry.name for entry in _folders(root) if entry not in taken]
    if not others:
        return ""
    return f" Its folder{'s' * (len(others) > 1)} {listed(others)} {'are' if len(others) > 1 else 'is'} left out."


def _described(root: Path) -> str:
    """What lies in a folder that is no layout of class folders, in a few words."""
    rows = []
    for folder in _folders(root):
        inside: Counter[str] = Counter()
        for entry in _entries(folder):
            inside["folder" if entry.is_dir() else "image" if entry.suffix.lower() in ENDS else "other file"] += 1
        counts = [f"{n:,} {kind}{'s' * (n != 1)}" for kind, n in sorted(inside.items())]
        rows.append(f"{shown(folder.name)} with {' and '.join(counts) or 'nothing'}")
    if images := sum(entry.suffix.lower() in ENDS for entry in _entries(root) if not entry.is_dir()):
        rows.append(f"{images:,} image{'s' * (images != 1)} in no folder")
    return "; ".join(rows[:NAMED] + (["and more"] if len(rows) > NAMED else [])) or "no image"


def split_by_class(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(training, test) positions of labels [N] int64: a fifth of each class, at least one image, is for testing.

    The same on every machine: it depends on the labels' order alone.
    """
    test = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        test.append(stratified(own, labels, max(1, round(len(own) * TEST_SHARE)), SPLIT_SEED)[0])
    chosen = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def refuse(name: str, faults: list[tuple[str, str]]) -> None:
    """Raise DatasetCorrupt that names the first faulty files, each with its reason, and counts the rest."""
    if not faults:
        return
    (file, why), others = faults[0], faults[1:]
    if others:
        why += f". {len(faults)} files cannot be used; the others: "
        why += "; ".join(f"{other} ({reason})" for other, reason in others[: NAMED - 1])
        why += f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    raise DatasetCorrupt(name=name, file=file, why=f"{why}.")


def _opened(source: Path) -> Path:
    """`source`, or the folder inside it, and so on, where that is all it holds: archives often have one.

    Files that are no images (a README, a licence) may lie beside it.
    """
    root = source
    while True:
        inside = [entry for entry in _entries(root) if entry.is_dir() or entry.suffix.lower() in ENDS]
        if len(inside) != 1 or inside[0].is_symlink() or not _holds_folders(inside[0]):
            return root
        root = inside[0]


def _entries(folder: Path) -> list[Path]:
    return sorted(
        (entry for entry in folder.iterdir() if not passed_over(PurePath(entry.name))),
        key=lambda entry: (unicodedata.normalize("NFC", entry.name), entry.name),
    )


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _holds_folders(folder: Path) -> bool:
    return folder.is_dir() and bool(_folders(folder))


def _classes(name: str, root: Path, folder: Path, faults: list[tuple[Path, str]]) -> dict[str, list[Path]]:
    """Class -> its image files, both in order of their names. A file that cannot be taken goes to `faults`."""
    found: dict[str, list[Path]] = {}
    inside = root.resolve()
    for entry in _entries(folder):
        if not _stays_inside(entry, inside):
            faults.append((entry, LEADS_OUT))
        elif entry.is_dir():
            label = _class_name(name, entry)
            if label in found:
                why = f"two folders of {folder.name} have the class name {label!r}, written differently."
                raise DatasetCorrupt(name=name, file=_relative(entry, root), why=why)
            found[label] = [file for file in _entries(entry) if _is_image(file, inside, faults)]
        elif entry.suffix.lower() in ENDS:
            faults.append((entry, "it is an image outside the class folders"))
    return found


def _is_image(file: Path, inside: Path, faults: list[tuple[Path, str]]) -> bool:
    if not _stays_inside(file, inside):
        faults.append((file, LEADS_OUT))
    elif file.is_dir():
        faults.append((file, "it is a folder in a class folder"))
    elif not file.is_file():
        faults.append((file, "it is no regular file"))  # opening a pipe would wait for ever
    else:
        return True
    return False


def _stays_inside(path: Path, inside: Path) -> bool:
    if not path.is_symlink():
        return True
    try:
        return path.resolve(strict=True).is_relative_to(inside)
    except (OSError, RuntimeError):  # leads nowhere, or to itself
        return False


def _class_name(name: str, folder: Path) -> str:
    """The folder's name as one spelling of Unicode: macOS and Linux write the same accents differently."""
    label = unicodedata.normalize("NFC", folder.name).strip()
    if not is_class_name(label):
        why = f"a class name has {NAME_RULE}."
        raise DatasetCorrupt(name=name, file=ascii(folder.name), why=why)
    return label


def _same_classes(name: str, train: tuple[str, dict[str, list[Path]]], test: tuple[str, dict[str, list[Path]]]) -> None:
    for (here, present), (there, absent) in ((train, test), (test, train)):
        if missing := sorted(label for label, files in present.items() if files and not absent.get(label)):
            why = f"its class {missing[0]!r} has no image in {there}"
            why += f", and so have {len(missing) - 1} more." if len(missing) > 1 else "."
            raise DatasetCorrupt(name=name, file=f"{here}/{missing[0]}", why=why)


def _enough(name: str, classes: tuple[str, ...], files: dict[str, list[Path]]) -> None:
    if len(classes) < 2:
        raise BadValue(field="the number of classes", value=len(classes), expected="at least 2")
    if len(classes) > MAX_CLASSES:
        raise BadValue(field="the number of classes", value=len(classes), expected=NUMBER_RULE)
    for label in classes:
        if len(files[label]) < 2:
            why = f"the class has {len(files[label])} images; at least 2 are needed."
            raise DatasetCorrupt(name=name, file=label, why=why.replace("1 images", "1 image"))


def _labelled(classes: tuple[str, ...], files: dict[str, list[Path]]) -> tuple[tuple[Path, int], ...]:
    return tuple((file, label) for label, named in enumerate(classes) for file in files[named])


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _refuse(name: str, root: Path, faults: list[tuple[Path, str]]) -> None:
    refuse(name, [(_relative(path, root), why) for path, why in faults])
