"""One wav file that nobody vouches for: its samples, or why it is not used. The standard library's `wave` reads it."""

from __future__ import annotations

import io
import struct
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets.log_mel import LogMel

PLAIN = "plain PCM"
#: Format tags of a wav file that are met with and not read (RFC 2361 has the list).
OTHER_TAGS = {2: "ADPCM", 3: "floating point", 6: "A-law", 7: "mu-law", 0x55: "MP3", 0xFFFE: "extensible"}
MAX_CHANNELS = 8
MAX_RATE = 192_000


class Unreadable(ValueError):
    """No wav file, a damaged one, or one of a kind that is not read; says why, and what would be right."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """channels, bytes of a sample, samples a second, samples of each channel."""

    channels: int
    width: int
    rate: int
    samples: int

    @property
    def words(self) -> str:
        """As a sentence names it: `mono, 16 bit, 16,000 Hz`."""
        channels = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        return f"{channels}, {8 * self.width} bit, {self.rate:,} Hz"


def exact(source: Path, sound: LogMel) -> np.ndarray:
    """The samples of a clip that is as a data set's clips are: [n] int16, 1 <= n <= sound.samples.

    Raises Unreadable for anything else: a set holds what its authors recorded, so nothing is converted.
    """
    header, data = _read(source, limit=sound.samples)
    due = Header(channels=1, width=2, rate=sound.rate, samples=sound.samples)
    if header.words != due.words:
        raise Unreadable(f"it is {header.words}; clips of this set are {due.words}")
    if header.samples > sound.samples:
        length = header.samples / header.rate
        raise Unreadable(f"it lasts {length:.2f} s; clips of this set last {sound.seconds:g} s at most")
    return np.frombuffer(data, dtype="<i2")


def any_wav(source: bytes) -> tuple[Header, np.ndarray]:
    """Header and samples of a plain PCM file of 8 to 32 bit: [n, channels] float64 in -1..1, n >= 1. Raises Unreadable."""
    header, data = _read(source, limit=None)
    raw = np.frombuffer(data, dtype=np.uint8).reshape(-1, header.width)
    if header.width == 1:  # the one width that has no sign
        values = raw[:, 0].astype(np.float64) - 128.0
    else:  # the bytes become the upper ones of 32 bit, so that the sign is in its place
        wide = np.zeros((len(raw), 4), dtype=np.uint8)
        wide[:, 4 - header.width :] = raw
        values = wide.view("<i4")[:, 0].astype(np.float64) / 2.0 ** (32 - 8 * header.width)
    return header, (values / 2.0 ** (8 * header.width - 1)).reshape(-1, header.channels)


def _read(source: Path | bytes, limit: int | None) -> tuple[Header, bytes]:
    """The header, and the bytes of at most `limit` samples and one more. Raises Unreadable."""
    try:
        content = io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    with content:
        if not (head := content.read(12)):
            raise Unreadable("it is empty; a wav file is due")
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            raise Unreadable("it is no wav file: it does not begin as one does")
        content.seek(0)
        try:
            with wave.open(content, "rb") as file:
                header = Header(
                    channels=file.getnchannels(),
                    width=file.getsampwidth(),
                    rate=file.getframerate(),
                    samples=file.getnframes(),
                )
                _check(header)
                wanted = header.samples if limit is None else min(header.samples, limit + 1)
                data = file.readframes(wanted)
        except (wave.Error, EOFError, struct.error, RuntimeError, OSError, ZeroDivisionError) as error:
            raise Unreadable(_why(content, error)) from None
    found = len(data) // (header.channels * header.width)
    if found < wanted:
        raise Unreadable(f"it is cut off: it holds {found:,} samples, its header promises {header.samples:,}")
    return header, data


def _check(header: Header) -> None:
    if not 1 <= header.channels <= MAX_CHANNELS or not 1 <= header.width <= 4 or not 1 <= header.rate <= MAX_RATE:
        due = f"1 to {MAX_CHANNELS} channels, 8 to 32 bit, up to {MAX_RATE:,} Hz"
        raise Unreadable(f"its header says {header.words}; {due} are read")
    if header.samples == 0:
        raise Unreadable("it holds no sample; a clip has at least one")


def _why(content: io.IOBase, error: Exception) -> str:
    """What a file is that `wave` refuses: one of another coding is named by its tag."""
    tag = _tag(content)
    if tag not in (None, 1):
        kind = OTHER_TAGS.get(tag, f"of format {tag}")
        return f"its samples are {kind}; {PLAIN} is due (16 bit; most programs call it WAV, signed 16-bit PCM)"
    return f"it is damaged or cut off ({str(error)[:100] or type(error).__name__})"


def _tag(content: io.IOBase) -> int | None:
    """The format tag in the first `fmt ` chunk within the first kilobytes; None where there is none."""
    try:
        content.seek(0)
        head = content.read(4096)
    except (OSError, ValueError):
        return None
    at = head.find(b"fmt ")
    return struct.unpack_from("<H", head, at + 8)[0] if 0 <= at <= len(head) - 10 else None
