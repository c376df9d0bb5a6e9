"""Google Speech Commands as its archive has it: a folder a word, clips named after their speakers, two lists.

`bed/0a7c2a8d_nohash_1.wav` is the second time that the speaker 0a7c2a8d said "bed". `validation_list.txt` and
`testing_list.txt` name the clips of those parts, all others are for training. The lists are made of the speakers (Warden,
arXiv:1804.03209, section 7), so that nobody is heard in two parts; where a copy lacks them, they are made again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal

from core.datasets.parts import passed_over

Part = Literal["train", "validation", "test"]
VALIDATION_LIST, TEST_LIST = "validation_list.txt", "testing_list.txt"
LISTS = {"validation": VALIDATION_LIST, "test": TEST_LIST}
SPEAKER = re.compile(r"([0-9a-z]+)_nohash_\d+\.wav")
#: Of the rule by which the authors drew the parts (`which_set` of TensorFlow's speech_commands example).
MODULUS, VALIDATION_PERCENT, TEST_PERCENT = 1 << 27, 10, 10

WORDS_V1 = (
    "bed", "bird", "cat", "dog", "down", "eight", "five", "four", "go", "happy", "house", "left", "marvin", "nine", "no",
    "off", "on", "one", "right", "seven", "sheila", "six", "stop", "three", "tree", "two", "up", "wow", "yes", "zero",
)  # fmt: skip
WORDS = tuple(sorted((*WORDS_V1, "backward", "follow", "forward", "learn", "visual")))


@dataclass(frozen=True, kw_only=True)
class SpeechLayout:
    """The words of a version, and how many clips each part of the whole set has."""

    words: tuple[str, ...]
    n_train: int
    n_validation: int
    n_test: int

    def place(self, member: str) -> str | None:
        """Where a member of an archive belongs below the data set's folder; None for what is no part of the set."""
        match PurePosixPath(member).parts:
            case (*_, word, file) if word in self.words and file.endswith(".wav"):
                return f"{word}/{file}"
            case (*_, file) if file in LISTS.values():
                return file
        return None

    def folders(self, home: Path) -> dict[str, Path]:
        """word -> its folder, of those that are there."""
        return {word: folder for word in self.words if (folder := home / word).is_dir()}


def clips_in(folder: Path) -> list[Path]:
    """Its wav files by name, without what a system keeps beside them."""
    return sorted(path for path in folder.glob("*.wav") if not passed_over(PurePath(path.name)))


def part_of_speaker(speaker: str) -> Part:
    """The part that a speaker's clips belong to, from the SHA-1 of the name before `_nohash_`."""
    number = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16) % MODULUS
    percent = number * (100.0 / (MODULUS - 1))
    if percent < VALIDATION_PERCENT:
        return "validation"
    return "test" if percent < VALIDATION_PERCENT + TEST_PERCENT else "train"
