"""Tiny ImageNet in the layout of its authors' archive; its validation set, the one with labels, is the test set.

The files are those of core.datasets.tiny_layout. 64x64 pixels, some files grey. Images without labels stay out.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np

from core.datasets.images import Unreadable, read_rgb
from core.datasets.official import CachedReader
from core.datasets.spec import DatasetSpec, FileReport, Progress, Report, completeness, no_progress
from core.datasets.tiny_layout import END, LAYOUT, TABLES, WNID, folders_of_test, image_folders, images_in, place
from core.errors import DatasetCorrupt
from core.text import text_of

MAX_TABLE_BYTES = 16 << 20  # words.txt has 2.6 MB


class TinyImagenetReader(CachedReader):
    """Reads the layout from the data set's folder, or from the layout's own folder inside it.

    The cache of decoded images is kept by the tables and the image folders, not by 110,000 files: a file that is
    added or removed is noticed at once, one that is overwritten in its place only by `verify`, which reads them all.
    """

    def place(self, member: str) -> str | None:
        return place(member)

    def files_of(self, home: Path) -> dict[str, Path]:
        found = {f"{LAYOUT}/{table}": home / table for table in TABLES if (home / table).is_file()}
        for name, folder in image_folders(home).items():
            found |= {f"{LAYOUT}/{name}/{path.name}": path for path in images_in(folder) if path.is_file()}
        return found

    def find(self, folder: Path) -> dict[str, Path]:
        home = folder / LAYOUT if (folder / LAYOUT).is_dir() else folder
        return {table: path for table in TABLES if (path := home / table).is_file()} | image_folders(home)

    def lacking(self, files: dict[str, Path]) -> str | None:
        needed = TABLES[:2] if folders_of_test(files) else (*TABLES, "val/images")
        if missing := [name for name in needed if name not in files]:
            return f"Not there: {', '.join(missing)}."
        if not any(name.startswith("train/") for name in files):
            return "None of its training folders is there."
        return None

    def named(self, spec: DatasetSpec, files: dict[str, Path]) -> DatasetSpec:
        """`spec` with the first word that words.txt has for each class; a word of two classes with its wnid."""
        wnids = _wnids(spec, files["wnids.txt"])
        words = dict(row for row in _rows(spec, files["words.txt"]) if len(row) == 2)
        if unnamed := [wnid for wnid in wnids if wnid not in words]:
            raise DatasetCorrupt(name=spec.name, file="words.txt", why=f"it has no word for {unnamed[0]}.")
        first = [words[wnid].split(",")[0].strip() for wnid in wnids]
        often = Counter(first)
        classes = [word if often[word] == 1 else f"{word} ({wnid})" for word, wnid in zip(first, wnids, strict=True)]
        return dataclasses.replace(spec, classes=tuple(classes))

    def decode(self, spec: DatasetSpec, files: dict[str, Path], progress: Progress) -> dict[str, np.ndarray]:
        train, test = self._listed(spec, files)
        arrays, done, total = {}, 0, len(train) + len(test)
        for part, rows in (("train", train), ("test", test)):
            images = np.empty((len(rows), *spec.image_shape[1:], 3), dtype=np.uint8)
            for position, (path, _) in enumerate(rows):
                images[position] = _image(spec, path)
                done += 1
                progress("decoding", done, total)
            arrays[f"{part}_images"] = images
            arrays[f"{part}_labels"] = np.array([label for _, label in rows], dtype=np.int64)
        return arrays

    def verify(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Report:
        files = self.find(folder)
        tables = TABLES[:2] if folders_of_test(files) else TABLES
        reports = [FileReport(file=name, state="missing") for name in tables if name not in files]
        if (why := self.advice(files)) is not None:
            return Report(name=spec.name, state="missing", n_train=0, n_test=0, files=tuple(reports), note=why)
        try:
            self.named(spec, files)
            train, test = self._listed(spec, files)
        except DatasetCorrupt as error:
            bad = FileReport(file=error.fields["file"], state="corrupt", why=error.fields["why"])
            return Report(name=spec.name, state="corrupt", n_train=0, n_test=0, files=(bad,))
        sound: Counter[str] = Counter()
        labels: dict[str, list[int]] = {"train": [], "test": []}
        total = len(train) + len(test)
        for done, (path, label) in enumerate([*train, *test], start=1):
            try:
                _image(spec, path)
                sound[_short(path.parent)] += 1
                labels["train" if done <= len(train) else "test"].append(label)
            except DatasetCorrupt as error:
                reports.append(FileReport(file=error.fields["file"], state="corrupt", why=error.fields["why"]))
            progress("reading", done, total)
        corrupt = bool(reports)
        complete, note = completeness(spec, *(np.array(part, dtype=np.int64) for part in labels.values()))
        return Report(
            name=spec.name,
            state="corrupt" if corrupt else "complete" if complete else "subset",
            n_train=len(labels["train"]),
            n_test=len(labels["test"]),
            files=(*reports, *(FileReport(file=name, state="ok", n=n) for name, n in sorted(sound.items()))),
            note=None if corrupt else note,
        )

    def _listed(
        self, spec: DatasetSpec, files: dict[str, Path]
    ) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
        """(path, label) of every training image and every test image, by class and number. Raises DatasetCorrupt."""
        label_of = {wnid: label for label, wnid in enumerate(_wnids(spec, files["wnids.txt"]))}
        train: list[tuple[Path, int]] = []
        for name, folder in files.items():
            if not name.startswith("train/"):
                continue
            wnid = _wnid_of(spec, name, label_of)
            for path in sorted(images_in(folder), key=_number):
                if not path.name.startswith(f"{wnid}_"):
                    why = f"it lies in the folder of {wnid}, and its name is of another class."
                    raise DatasetCorrupt(name=spec.name, file=_short(path), why=why)
                train.append((path, label_of[wnid]))
        if not train:
            raise DatasetCorrupt(name=spec.name, file="train", why=f"none of its folders holds a {END} image.")
        train.sort(key=lambda row: row[1])  # stable: the order within a class stays
        return train, self._listed_test(spec, files, label_of)

    def _listed_test(
        self, spec: DatasetSpec, files: dict[str, Path], label_of: dict[str, int]
    ) -> list[tuple[Path, int]]:
        table, folders = TABLES[2], folders_of_test(files)
        labels = self._table_of_test(spec, files[table], label_of) if table in files else {}
        if folders:
            return self._sorted_test(spec, folders, label_of, labels)
        folder = files["val/images"]
        there = {path.name for path in images_in(folder)}
        if absent := next((image for image in labels if image not in there), None):
            raise DatasetCorrupt(name=spec.name, file=table, why=f"it names {absent}, which is not in val/images.")
        if unlabelled := sorted(there - labels.keys()):
            why = f"it has no row for {unlabelled[0]}" + (f" and {len(unlabelled) - 1} more" if unlabelled[1:] else "")
            raise DatasetCorrupt(name=spec.name, file=table, why=f"{why}.")
        if not labels:
            raise DatasetCorrupt(name=spec.name, file=table, why="it names no image.")
        return sorted(((folder / name, label) for name, label in labels.items()), key=lambda row: _number(row[0]))

    def _sorted_test(
        self, spec: DatasetSpec, folders: dict[str, Path], label_of: dict[str, int], labels: dict[str, int]
    ) -> list[tuple[Path, int]]:
        """The test images of class folders; where the table is there as well, both must say the same."""
        rows: list[tuple[Path, int]] = []
        first: dict[str, str] = {}
        for name, folder in folders.items():
            wnid = _wnid_of(spec, name, label_of)
            for path in images_in(folder):
                if labels.get(path.name, label_of[wnid]) != label_of[wnid]:
                    why = f"it lies in the folder of {wnid}, and {TABLES[2]} gives it another class."
                    raise DatasetCorrupt(name=spec.name, file=_short(path), why=why)
                if path.name.startswith("val_") and first.setdefault(path.name, wnid) != wnid:
                    why = f"it lies in the folder of {wnid}, and in that of {first[path.name]}."
                    raise DatasetCorrupt(name=spec.name, file=_short(path), why=why)
                rows.append((path, label_of[wnid]))
        if not rows:
            raise DatasetCorrupt(name=spec.name, file="val", why=f"none of its folders holds a {END} image.")
        return sorted(rows, key=lambda row: _number(row[0]))

    def _table_of_test(self, spec: DatasetSpec, path: Path, label_of: dict[str, int]) -> dict[str, int]:
        table = TABLES[2]
        labels: dict[str, int] = {}
        for row in _rows(spec, path):
            if len(row) < 2:
                raise DatasetCorrupt(
                    name=spec.name, file=table, why=f"a row of it is {row[0][:40]!r}, without a class."
                )
            image, wnid = row[:2]
            if wnid not in label_of:
                why = f"it gives {image} the class {wnid}, which wnids.txt does not have."
                raise DatasetCorrupt(name=spec.name, file=table, why=why)
            if image in labels:
                raise DatasetCorrupt(name=spec.name, file=table, why=f"it names {image} twice.")
            labels[image] = label_of[wnid]
        return labels


def _wnid_of(spec: DatasetSpec, name: str, label_of: dict[str, int]) -> str:
    wnid = name.split("/")[1]
    if wnid not in label_of:
        raise DatasetCorrupt(name=spec.name, file=name, why=f"wnids.txt has no class {wnid}.")
    return wnid


def _wnids(spec: DatasetSpec, path: Path) -> list[str]:
    """The classes in order. Raises DatasetCorrupt unless there are as many as the set has, each once."""
    wnids = [row[0] for row in _rows(spec, path)]
    why = None
    if odd := [wnid for wnid in wnids if not WNID.fullmatch(wnid)]:
        why = f"{odd[0][:40]!r} is no WordNet id such as n01443537."
    elif len(set(wnids)) != len(wnids):
        why = "it names a class twice."
    elif len(wnids) != spec.n_classes:
        why = f"it names {len(wnids)} classes; {spec.title} has {spec.n_classes}."
    if why is not None:
        raise DatasetCorrupt(name=spec.name, file=path.name, why=why)
    return wnids


def _rows(spec: DatasetSpec, path: Path) -> list[list[str]]:
    """The lines that hold something, each cut at its tabs."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_TABLE_BYTES + 1)
        if len(content) > MAX_TABLE_BYTES:
            raise DatasetCorrupt(name=spec.name, file=path.name, why=f"it has more than {MAX_TABLE_BYTES >> 20} MB.")
        text = text_of(content)
    except UnicodeDecodeError:
        raise DatasetCorrupt(name=spec.name, file=path.name, why="it is no text.") from None
    except OSError as error:
        raise DatasetCorrupt(name=spec.name, file=path.name, why=f"it cannot be read: {error.strerror}.") from None
    return [line.strip().split("\t") for line in text.splitlines() if line.strip()]


def _image(spec: DatasetSpec, path: Path) -> np.ndarray:
    try:
        image = read_rgb(path)
    except Unreadable as error:
        raise DatasetCorrupt(name=spec.name, file=_short(path), why=f"{error}.") from None
    height, width = spec.image_shape[1:]
    if image.shape != (height, width, 3):
        why = f"it has {image.shape[1]}x{image.shape[0]} pixels; images of this set have {width}x{height}."
        raise DatasetCorrupt(name=spec.name, file=_short(path), why=why)
    return image


def _number(path: Path) -> tuple[int, str]:
    """n01443537_12.JPEG -> 12, so that 2 stands before 10."""
    digits = path.stem.rpartition("_")[2]
    return (int(digits) if digits.isdecimal() else 0, path.name)


def _short(path: Path) -> str:
    """The path below the layout's own folder: train/n01443537/images/n01443537_0.JPEG or val/images/val_0.JPEG."""
    parts = path.parts
    start = max(position for position, part in enumerate(parts) if part in ("train", "val"))
    return "/".join(parts[start:])
