"""A sound of one's own as a clip: what is taken of it, how it is converted, and what is refused."""

import io
import struct
import wave

import numpy as np
import pytest

from core.datasets.clip import hear, loudest, resampled
from core.datasets.log_mel import LogMel, picture
from core.errors import BadValue
from core.schemas.inference import MAX_PICTURE_BYTES

SOUND = LogMel()


def tone(hertz: float, *, seconds: float = 1.0, rate: int = 16_000, loud: float = 0.5) -> np.ndarray:
    """[n] float64 in -1..1."""
    return loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def wav(samples: np.ndarray, *, rate: int = 16_000, bits: int = 16) -> bytes:
    """samples: [n] or [n, channels] in -1..1, as a plain PCM file."""
    frames = samples[:, None] if samples.ndim == 1 else samples
    whole = np.rint(frames * (2 ** (bits - 1) - 1)).astype(np.int64)
    raw = (whole + 128).astype(np.uint8).tobytes() if bits == 8 else b""
    if bits > 8:
        raw = whole.astype("<i8").view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(frames.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(raw)
    return out.getvalue()


def test_a_clip_like_those_of_the_set_becomes_the_sets_own_picture():
    samples = tone(700)
    heard = hear(wav(samples), SOUND)
    assert np.array_equal(heard.image, picture(np.rint(samples * 32_767), SOUND))
    assert (heard.clip.seconds, heard.clip.taken_s, heard.clip.start_s, heard.clip.bits) == (1.0, 1.0, 0.0, 16)


@pytest.mark.parametrize("bits", [8, 24, 32])
def test_other_widths_give_the_picture_of_the_same_sound(bits):
    got, due = (hear(wav(tone(700), bits=width), SOUND).image.astype(int) for width in (bits, 16))
    loud = due > 128  # 8 bit have a noise of their own, some 50 dB below the loudest
    assert np.abs(got - due)[loud].max() <= 2 and loud.sum() > 100


def test_channels_become_their_mean():
    left = tone(700)
    both = hear(wav(np.stack([left, left], 1)), SOUND)
    one = hear(wav(np.stack([left, np.zeros_like(left)], 1)), SOUND)
    assert both.clip.channels == 2 and np.array_equal(both.image, hear(wav(left), SOUND).image)
    assert np.abs(one.image.astype(int) - both.image).max() <= 1  # half as loud, which is taken off, but for rounding


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_another_rate_is_resampled(rate):
    got, due = hear(wav(tone(700, rate=rate), rate=rate), SOUND), hear(wav(tone(700)), SOUND)
    assert got.clip.rate == rate and got.clip.taken_s == 1.0
    strong = due.image > 200
    assert np.abs(got.image.astype(int) - due.image)[strong].max() <= 1


def test_resampling_keeps_what_both_rates_hold_and_drops_the_rest():
    """Whole periods: a tone of 441 Hz is itself at every rate; one of 10 kHz is beyond the 8 kHz that 16 kHz can hold."""
    got = resampled(tone(441, rate=44_100), 44_100, 16_000)
    assert len(got) == 16_000 and np.allclose(got, tone(441), atol=1e-9)
    assert np.allclose(resampled(tone(10_000, rate=44_100), 44_100, 16_000), 0, atol=1e-9)
    assert len(resampled(np.ones(1), 192_000, 16_000)) == 1


def test_of_three_seconds_the_loudest_is_taken():
    quiet = tone(300, loud=0.02)
    long = np.concatenate([quiet, quiet[:8_000], tone(900), quiet[:8_000]])
    heard = hear(wav(long), SOUND)
    assert (heard.clip.seconds, heard.clip.start_s, heard.clip.taken_s) == (3.0, 1.5, 1.0)
    assert np.array_equal(heard.image, hear(wav(tone(900)), SOUND).image)
    assert loudest(np.array([0.0, 5.0, -5.0, 1.0, 0.0]), 2)[0] == 1  # about the mean 0.2: 4.8^2 + 5.2^2 is the most
    assert loudest(np.arange(3.0), 3)[0] == 0


def test_half_a_second_ends_in_silence():
    heard = hear(wav(tone(700, seconds=0.5)), SOUND)
    assert heard.clip.taken_s == 0.5 and heard.image[:, :20].any() and not heard.image[:, 21:].any()


def test_a_constant_is_no_sound_and_does_not_decide_which_second_is_loudest():
    shifted = np.concatenate([np.full(16_000, 0.9), tone(900, loud=0.3)])
    assert hear(wav(shifted), SOUND).clip.start_s > 0.5


def floating() -> bytes:
    data = np.zeros(100, "<f4").tobytes()
    body = b"WAVE" + b"fmt " + struct.pack("<IHHIIHH", 16, 3, 1, 16_000, 64_000, 4, 32)
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty; a wav file is due"),
        (b"some notes", "no wav file: it does not begin as one does"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no wav file"),
        (floating(), "its samples are floating point; plain PCM is due"),
        (wav(np.zeros(0)), "it holds no sample"),
        (wav(tone(400))[:9_000], "cut off: it holds 4,478 samples, its header promises 16,000"),  # (9,000 - 44) / 2
        (wav(np.zeros(16_000)), "silent from beginning to end"),
        (wav(tone(400, rate=4_000), rate=4_000), "'4,000 Hz'; it must be of at least 8,000 Hz"),
        (bytes(MAX_PICTURE_BYTES + 1), "'5,242,881 bytes'; it must be at most 5,242,880 bytes"),
        (b"RIFF" + bytes(4) + b"WAVE" + b"fmt " + struct.pack("<IHHIIHH", 16, 1, 0, 16_000, 0, 0, 16), "damaged"),
        (b"RIFF" + bytes(4) + b"WAVE" + b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 0, 0, 2, 16) + b"data" + bytes(4), "damaged or cut off"),
    ],
)  # fmt: skip
def test_what_cannot_be_heard_is_refused_and_what_would_be_right_is_said(content, said):
    with pytest.raises(BadValue) as caught:
        hear(content, SOUND)
    assert caught.value.fields["field"] == "clip" and said in str(caught.value)
