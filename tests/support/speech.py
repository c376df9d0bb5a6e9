"""Drawn clips in the layout of Google Speech Commands: pure tones, of speakers whose hash gives the wanted part."""

from __future__ import annotations

import wave
from itertools import count, islice
from pathlib import Path

import numpy as np

from core.datasets.speech_layout import part_of_speaker

WORDS = ("bed", "happy")  # the ones drawn, 0 and 9 of the thirty


def tone(hertz: float, *, samples: int = 16_000, rate: int = 16_000) -> np.ndarray:
    """[samples] int16."""
    return (8_000 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype("<i2")


def write(path: Path, samples: np.ndarray, *, rate: int = 16_000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def speakers(part: str, n: int, start: int = 0) -> list[str]:
    """The first `n` eight-digit names, from `start` on, whose hash gives that part."""
    names = (f"{number:08x}" for number in count(start))
    return list(islice((name for name in names if part_of_speaker(name) == part), n))


def drawn(home: Path) -> Path:
    """Two words of v0.01: of each six training clips, two for validation and three to test on; and a file of noise."""
    for place, word in enumerate(WORDS):
        for part, n in (("train", 6), ("validation", 2), ("test", 3)):
            for take, speaker in enumerate(speakers(part, n, start=5_000 * place)):
                write(home / word / f"{speaker}_nohash_{take}.wav", tone(300 + 400 * place + 20 * take))
    write(home / "_background_noise_" / "pink_noise.wav", tone(50, samples=40_000))
    return home
