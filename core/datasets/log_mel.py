"""A second of sound as a picture: 40 bands of pitch, low ones at the bottom, over 40 moments, from left to right.

Each constant stands in `LogMel` with its reason. numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True, kw_only=True)
class LogMel:
    """How a clip becomes a picture of `bands` x `frames` pixels.

    rate       samples a second of every clip (Warden, arXiv:1804.03209, section 5)
    samples    of a clip: the set's are a second long at most (its section 5); shorter ones end in silence
    frames     40, so that a picture is square and halves three times, as the networks' pools do
    hop        samples from frame to frame: the second over the frames, 25 ms
    window     twice the hop, 50 ms under a Hann window: such windows add up to one, so every sample counts alike. Usual are
               25 to 30 ms every 10 ms (as in TensorFlow's example for this set), which makes 100 frames, at 2.5 times the cost
    bands      40, on the mel scale m = 2595 log10(1 + f / 700) (O'Shaughnessy 1987); as in Yin et al. (arXiv:2103.12593)
    low, high  Hz: 20 to 4,000, again as in Yin et al. and in TensorFlow's example
    depth_db   of a picture: what is 80 dB or more below the loudest cell of its clip is black (the `top_db` of librosa). Against
               the loudest cell and not against full scale, so that a microphone's gain changes nothing
    """

    rate: int = 16_000
    samples: int = 16_000
    frames: int = 40
    hop: int = 400
    window: int = 800
    bands: int = 40
    low: float = 20.0
    high: float = 4_000.0
    depth_db: float = 80.0

    @property
    def seconds(self) -> float:
        """Of a clip."""
        return self.samples / self.rate


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """Pitch in mel of a frequency in Hz."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz, dtype=np.float64) / 700.0)


@lru_cache(maxsize=4)
def filters(sound: LogMel) -> np.ndarray:
    """[window / 2 + 1, bands] float64: each column a triangle that is 1 at its band's middle, linear in mel, 0 at its neighbours'."""
    pitch = mel(np.fft.rfftfreq(sound.window, 1.0 / sound.rate))[:, None]
    edges = np.linspace(mel(sound.low), mel(sound.high), sound.bands + 2)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    found = np.clip(np.minimum((pitch - low) / (middle - low), (high - pitch) / (high - middle)), 0.0, None)
    found.setflags(write=False)
    return found


def energies(samples: np.ndarray, sound: LogMel) -> np.ndarray:
    """samples: [sound.samples] float64 -> [bands, frames] float64: power in each band and frame, the lowest band first.

    Frame k is centred on sample (k + 1/2) hop.
    """
    beside = (sound.window - sound.hop) // 2
    padded = np.pad(samples.astype(np.float64), beside)
    frames = np.lib.stride_tricks.sliding_window_view(padded, sound.window)[:: sound.hop][: sound.frames]
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(sound.window) / sound.window)
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2
    return (power @ filters(sound)).T


def picture(samples: np.ndarray, sound: LogMel) -> np.ndarray:
    """samples: [n <= sound.samples] of any scale -> [bands, frames, 3] uint8, three equal channels; silence alone is black.

    The loudest cell is 255, `depth_db` below it 0, in between in proportion to dB.
    """
    whole = np.zeros(sound.samples)
    whole[: len(samples)] = samples
    power = energies(whole, sound)
    loudest = power.max()
    if loudest <= 0.0:
        grey = np.zeros(power.shape, dtype=np.uint8)
    else:
        least = 10.0 ** (-sound.depth_db / 10.0)
        below_db = -10.0 * np.log10(np.maximum(power / loudest, least))
        grey = np.rint(255.0 * (1.0 - below_db / sound.depth_db)).astype(np.uint8)
    return np.repeat(grey[::-1, :, None], 3, axis=-1)  # low pitch at the bottom
