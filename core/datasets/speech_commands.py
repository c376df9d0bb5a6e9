"""Google Speech Commands, both versions: clips of a word become log-mel pictures, parts are those of its authors.

The test list is the test set; training and validation clips are the training images, and `validation` says which of them
the authors set aside. A copy without some of the words, or with fewer clips of them, is a subset whose labels stay those of
the whole set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.datasets.log_mel import picture
from core.datasets.official import ARRAYS, CachedReader
from core.datasets.spec import DatasetSpec, FileReport, Progress, Report, no_progress
from core.datasets.speech_layout import LISTS, SPEAKER, Part, SpeechLayout, clips_in, part_of_speaker
from core.datasets.wav import Unreadable, exact
from core.errors import DatasetCorrupt

MAX_LIST_BYTES = 16 << 20
NEEDED: tuple[Part, ...] = ("train", "test")

Clip = tuple[Path, int, Part]  # file, label, part


class SpeechReader(CachedReader):
    """Reads the layout from the data set's folder.

    The cache of pictures is kept by the lists and the words' folders, not by 100,000 files: a clip that is added or removed is
    noticed at once, one that is overwritten in its place only by `verify`, which reads them all.
    """

    arrays = (*ARRAYS, "validation")

    def __init__(self, layout: SpeechLayout) -> None:
        self.layout = layout

    def place(self, member: str) -> str | None:
        return self.layout.place(member)

    def files_of(self, home: Path) -> dict[str, Path]:
        found = {
            f"{word}/{path.name}": path
            for word, folder in self.layout.folders(home).items()
            for path in clips_in(folder)
            if path.is_file()
        }
        return found | {name: home / name for name in LISTS.values() if found and (home / name).is_file()}

    def find(self, folder: Path) -> dict[str, Path]:
        lists = {name: path for name in LISTS.values() if (path := folder / name).is_file()}
        return lists | self.layout.folders(folder)

    def lacking(self, files: dict[str, Path]) -> str | None:
        return None if any(word in files for word in self.layout.words) else "None of its words' folders is there."

    def missing(self, folder: Path) -> str | None:
        """As for `lacking`; and who is heard in it decides whether there is something to train and to test on."""
        files = self.find(folder)
        if (why := self.lacking(files)) is not None:
            return why
        heard = {
            part_of_speaker(name[1]) for path in _all(self.layout, files) if (name := SPEAKER.fullmatch(path.name))
        }
        if heard and (absent := [part for part in NEEDED if part not in heard]):
            return f"No clip of it is of a speaker of the {absent[0]} part: more clips are needed, of other speakers."
        return None

    def decode(self, spec: DatasetSpec, files: dict[str, Path], progress: Progress) -> dict[str, np.ndarray]:
        clips = self._clips(spec, files)
        learnt = [clip for clip in clips if clip[2] != "test"]
        tested = [clip for clip in clips if clip[2] == "test"]
        arrays, done = {}, 0
        for part, rows in (("train", learnt), ("test", tested)):
            images = np.empty((len(rows), *spec.image_shape[1:], 3), dtype=np.uint8)
            for position, (path, _, _) in enumerate(rows):
                images[position] = _picture(spec, path)
                done += 1
                progress("decoding", done, len(clips))
            arrays[f"{part}_images"] = images
            arrays[f"{part}_labels"] = np.array([label for _, label, _ in rows], dtype=np.int64)
        held = [position for position, clip in enumerate(learnt) if clip[2] == "validation"]
        return arrays | {"validation": np.array(held, dtype=np.int64)}

    def whole(
        self, spec: DatasetSpec, files: dict[str, Path], arrays: dict[str, np.ndarray]
    ) -> tuple[bool, str | None]:
        train, test, held = arrays["train_labels"], arrays["test_labels"], arrays["validation"]
        return self._whole(Counter([*train.tolist(), *test.tolist()]), len(train) - len(held), len(held), len(test))

    def verify(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Report:
        files = self.find(folder)
        if (why := self.advice(files)) is not None:
            return Report(name=spec.name, state="missing", n_train=0, n_test=0, files=(), note=why)
        try:
            clips = self._clips(spec, files)
        except DatasetCorrupt as error:
            bad = FileReport(file=error.fields["file"], state="corrupt", why=error.fields["why"])
            return Report(name=spec.name, state="corrupt", n_train=0, n_test=0, files=(bad,))
        sound: Counter[str] = Counter()
        labels: Counter[int] = Counter()
        parts: Counter[str] = Counter()
        reports = []
        for done, (path, label, part) in enumerate(clips, start=1):
            try:
                _picture(spec, path)
                sound[path.parent.name] += 1
                labels[label] += 1
                parts[part] += 1
            except DatasetCorrupt as error:
                reports.append(FileReport(file=error.fields["file"], state="corrupt", why=error.fields["why"]))
            progress("reading", done, len(clips))
        corrupt = bool(reports)
        complete, note = self._whole(labels, parts["train"], parts["validation"], parts["test"])
        return Report(
            name=spec.name,
            state="corrupt" if corrupt else "complete" if complete else "subset",
            n_train=parts["train"] + parts["validation"],
            n_test=parts["test"],
            files=(*reports, *(FileReport(file=word, state="ok", n=n) for word, n in sorted(sound.items()))),
            note=None if corrupt else note,
        )

    def _whole(self, labels: Counter[int], n_train: int, n_validation: int, n_test: int) -> tuple[bool, str | None]:
        """Whether these are the published parts, and if not, the sentence that sets them apart."""
        due, words = self.layout, sum(n > 0 for n in labels.values())
        if (n_train, n_validation, n_test) == (due.n_train, due.n_validation, due.n_test) and words == len(due.words):
            return True, None
        counts = (
            f"{n_train:,} of {due.n_train:,} training, {n_validation:,} of {due.n_validation:,} validation and "
            f"{n_test:,} of {due.n_test:,} test clips, of {words} of {len(due.words)} words"
        )
        if n_train > due.n_train or n_validation > due.n_validation or n_test > due.n_test:
            return False, f"Not the published set: {counts}."
        return False, f"A subset: {counts}."

    def _clips(self, spec: DatasetSpec, files: dict[str, Path]) -> list[Clip]:
        """Every clip by word and name. Raises DatasetCorrupt for a name without a speaker, a bad list, or an empty part."""
        listed = self._listed(spec, files)
        found: list[Clip] = []
        for label, word in enumerate(self.layout.words):
            for path in clips_in(files[word]) if word in files else ():
                if (name := SPEAKER.fullmatch(path.name)) is None:
                    why = "its name has no speaker before _nohash_ and a number, as 0a7c2a8d_nohash_0.wav has, so its part is unknown."
                    raise DatasetCorrupt(name=spec.name, file=f"{word}/{path.name}", why=why)
                drawn = part_of_speaker(name[1])
                found.append((path, label, drawn if listed is None else listed.get(f"{word}/{path.name}", "train")))
        for part in NEEDED:
            if not any(clip[2] == part for clip in found):
                why = f"none of its {len(found):,} clips is of the {part} part."
                raise DatasetCorrupt(name=spec.name, file=spec.name, why=why)
        return found

    def _listed(self, spec: DatasetSpec, files: dict[str, Path]) -> dict[str, Part] | None:
        """word/file -> part, by the authors' lists; None unless both are there. Raises DatasetCorrupt."""
        if any(name not in files for name in LISTS.values()):
            return None
        found: dict[str, Part] = {}
        parts: tuple[Part, Part] = ("validation", "test")
        for part in parts:
            for line in _lines(spec, files[LISTS[part]]):
                if self.layout.place(line) != line:
                    why = f"it names {line[:60]!r}; a line of it is a clip, such as bed/0a7c2a8d_nohash_0.wav."
                    raise DatasetCorrupt(name=spec.name, file=LISTS[part], why=why)
                if found.setdefault(line, part) != part:
                    raise DatasetCorrupt(
                        name=spec.name, file=LISTS[part], why=f"it names {line}, as the other list does."
                    )
        return found


def _all(layout: SpeechLayout, files: dict[str, Path]) -> Iterator[Path]:
    for word in layout.words:
        if word in files:
            yield from clips_in(files[word])


def _lines(spec: DatasetSpec, path: Path) -> list[str]:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_LIST_BYTES + 1)
        if len(content) > MAX_LIST_BYTES:
            raise DatasetCorrupt(name=spec.name, file=path.name, why=f"it has more than {MAX_LIST_BYTES >> 20} MB.")
        return [line.strip() for line in content.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise DatasetCorrupt(name=spec.name, file=path.name, why="it is no text.") from None
    except OSError as error:
        raise DatasetCorrupt(name=spec.name, file=path.name, why=f"it cannot be read: {error.strerror}.") from None


def _picture(spec: DatasetSpec, path: Path) -> np.ndarray:
    assert spec.sound is not None, "the rows of this reader say how"
    try:
        return picture(exact(path, spec.sound), spec.sound)
    except Unreadable as error:
        raise DatasetCorrupt(name=spec.name, file=f"{path.parent.name}/{path.name}", why=f"{error}.") from None
