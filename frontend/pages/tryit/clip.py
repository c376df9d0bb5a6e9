"""A sound of one's own for a network of spoken words: a wav file, or the browser's microphone."""

from __future__ import annotations

import streamlit as st

from core.schemas.inference import MAX_PICTURE_BYTES, Clip
from frontend.client.api import ApiProblem
from frontend.client.connection import plain
from frontend.keys import Key

TEST_CLIP, FILE, MICROPHONE = "A test clip", "A WAV file", "The microphone"
RATE = 16_000  # samples a second that the browser is asked for: those of the data set


def choose() -> str:
    """Which of the three."""
    return st.segmented_control(
        "Clip", [TEST_CLIP, FILE, MICROPHONE], default=TEST_CLIP, required=True, key=Key.TRY_SOUND, persist_state="session",
        wrap=True,
    )  # fmt: skip


def bring(source: str) -> dict | None:
    """What to send: `picture`, the wav file's bytes; None until there is one."""
    limit = MAX_PICTURE_BYTES >> 20
    if source == FILE:
        file = st.file_uploader(f"WAV, up to {limit} MiB", type=["wav"], max_upload_size=limit, key=Key.TRY_CLIP)
        if file is not None:
            st.audio(file.getvalue())
    else:
        file = st.audio_input("Say a word", sample_rate=RATE, key=Key.TRY_RECORDING)
    st.caption(
        "Of what is longer than a second the loudest second goes in. It goes to your own API and nowhere else; no file of it "
        "is kept. A browser opens its microphone on this machine's own address or over HTTPS alone."
    )
    return None if file is None else {"picture": file.getvalue()}


def words(clip: Clip) -> str:
    """What was taken of a sound, as a line below its picture."""
    channels = {1: "mono", 2: "stereo"}.get(clip.channels, f"{clip.channels} channels")
    whole = f"{clip.seconds:.2f} s, {channels}, {clip.bits} bit, {clip.rate:,} Hz"
    if clip.taken_s >= clip.seconds:
        return whole
    return f"{whole}, of which {clip.taken_s:g} s from {clip.start_s:.2f} s on go in"


def refused(problem: ApiProblem) -> str:
    """Why a sound cannot be used, and what would be right; plain text but for its bold beginning."""
    said = f"It is {problem.fields['value']}; it must be {problem.fields['expected']}."
    return f"**This recording cannot be used.**  \n{plain(said)}"
