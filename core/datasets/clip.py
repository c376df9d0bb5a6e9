"""A sound that somebody brings, as a clip of a data set: checked, mixed to one channel, cut to a second, resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.datasets.log_mel import LogMel, picture
from core.datasets.wav import Unreadable, any_wav
from core.errors import BadValue
from core.schemas.inference import MAX_PICTURE_BYTES, Clip

FIELD = "clip"


@dataclass(frozen=True, kw_only=True)
class Heard:
    """image: [bands, frames, 3] uint8."""

    image: np.ndarray
    clip: Clip


def hear(content: bytes, sound: LogMel) -> Heard:
    """The log-mel picture of a wav file.

    Channels become their mean. Of what is longer than a clip the loudest stretch of that length is taken; what is shorter
    ends in silence, as the data set's own clips do. Another rate is resampled in the frequency domain, which is exact for
    what both rates can hold. Raises BadValue for what is no plain PCM wav file, has too few samples a second for the highest
    band, is silent or too large.
    """
    if len(content) > MAX_PICTURE_BYTES:
        raise BadValue(field=FIELD, value=f"{len(content):,} bytes", expected=f"at most {MAX_PICTURE_BYTES:,} bytes")
    try:
        header, samples = any_wav(content)
    except Unreadable as error:
        expected = "a whole WAV file of plain PCM: 8 to 32 bit, one sample or more"
        raise BadValue(field=FIELD, value=str(error).removeprefix("it is "), expected=expected) from None
    least = int(2 * sound.high)  # Nyquist
    if header.rate < least:
        expected = f"of at least {least:,} Hz: the pictures reach up to {sound.high:,.0f} Hz"
        raise BadValue(field=FIELD, value=f"{header.rate:,} Hz", expected=expected)
    mono = samples.mean(1)
    if not np.ptp(mono):
        raise BadValue(field=FIELD, value="silent from beginning to end", expected="a sound")
    start, part = loudest(mono, round(header.rate * sound.seconds))
    clip = Clip(
        seconds=len(mono) / header.rate,
        rate=header.rate,
        channels=header.channels,
        bits=8 * header.width,
        start_s=start / header.rate,
        taken_s=len(part) / header.rate,
    )
    return Heard(image=picture(resampled(part, header.rate, sound.rate)[: sound.samples], sound), clip=clip)


def loudest(samples: np.ndarray, length: int) -> tuple[int, np.ndarray]:
    """Where the stretch of `length` samples begins that has the most energy about its mean, and the stretch; all of what is no longer."""
    if len(samples) <= length:
        return 0, samples
    total = np.concatenate(([0.0], np.cumsum((samples - samples.mean()) ** 2)))
    start = int((total[length:] - total[:-length]).argmax())
    return start, samples[start : start + length]


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """samples: [n] at `rate` -> [round(n wanted / rate), at least 1] at `wanted`: its spectrum, cut off or filled up with zeros."""
    if rate == wanted:
        return samples
    n = max(1, round(len(samples) * wanted / rate))
    spectrum = np.fft.rfft(samples)
    return np.fft.irfft(spectrum[: n // 2 + 1], n) * (n / len(samples))
