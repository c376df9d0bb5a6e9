"""Names that folders of data sets go by: parts (train, test, valid ...), sides (images, masks ...) and system folders.

What is called by such a name is no class, unless other folders beside it have names of classes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath

TRAIN, TEST, VALIDATION = "train", "test", "validation"
PARTS = {
    TRAIN: frozenset({"train", "training", "trn"}),
    TEST: frozenset({"test", "testing", "tst"}),
    VALIDATION: frozenset({"val", "valid", "validation", "validate", "eval", "evaluation", "dev", "development"}),
}
#: Folders of segmentation, detection and unlabelled sets, and pieces that a set was cut into.
SIDES = frozenset({
    "image", "img", "jpegimage", "photo", "picture", "mask", "label", "annotation", "ann", "bbox", "gt", "groundtruth",
    "segmentation", "segmentationclass", "segmentationobject", "imageset", "input", "target", "extra", "unlabeled",
    "unlabelled", "sample", "pred", "prediction", "holdout", "fold", "split", "part", "batch", "chunk", "shard",
})  # fmt: skip
ENDINGS = re.compile(r"(set|data|image|img)$")
LEFT_BY_SYSTEMS = frozenset({
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "thumbs.db:encryptable", "desktop.ini", "__macosx", "@eadir",
    "#recycle", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin", "recycler", "system volume information",
    "lost+found", "network trash folder", "temporary items", "icon\r", "__pycache__",
})  # fmt: skip
MOST_NAMED = 5


def passed_over(path: PurePath) -> bool:
    """Whether a part of the relative path is hidden or a system's own."""
    return any(part.startswith(".") or part.lower() in LEFT_BY_SYSTEMS for part in path.parts)


def part_of(name: str) -> str | None:
    """TRAIN, TEST or VALIDATION where a folder's name says that it is one: Train, training_set, test-images, valid."""
    plain = _plain(name)
    return next((part for part, names in PARTS.items() if plain in names or ENDINGS.sub("", plain) in names), None)


def part_in(name: str) -> str | None:
    """The part that one word of a file's name says: trainLabels, test-00000-of-00001; None where none or several do."""
    found = {part for word in _words(name) if (part := part_of(word)) is not None}
    return found.pop() if len(found) == 1 else None


def no_classes(names: Iterable[str]) -> bool:
    """Whether all of these folders are parts or sides of a set by their names, so that none of them is a class."""
    names = list(names)
    if not names or all(part_of(name) or _plain(name) in SIDES for name in names):
        return bool(names)
    inside = [{part for word in _words(name) if (part := part_of(word))} for name in names]  # seg_train, testA
    return all(inside) and len(set().union(*inside)) > 1


def shown(name: str, most: int = 80) -> str:
    """A folder's or file's name as it may stand in a sentence, on a page and in a table."""
    name = unicodedata.normalize("NFC", name)
    harmless = name.isprintable() and not set("<>") & set(name) and len(name) <= most
    return name if harmless else ascii(name)[1:][:most].rstrip("'").replace("<", "?").replace(">", "?")


def listed(names: Iterable[str]) -> str:
    """a, b and c; the first few of many."""
    rows = [shown(name) for name in names]
    if len(rows) > MOST_NAMED:
        rows = [*rows[: MOST_NAMED - 1], f"{len(rows) - MOST_NAMED + 1} more"]
    return rows[0] if len(rows) == 1 else f"{', '.join(rows[:-1])} and {rows[-1]}"


def _plain(name: str) -> str:
    """Small letters alone, the last plural taken off: Test_Images -> testimage, fold_3 -> fold."""
    return re.sub(r"[\W\d_]+", "", name.casefold()).removesuffix("s")


def _words(name: str) -> list[str]:
    return re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
