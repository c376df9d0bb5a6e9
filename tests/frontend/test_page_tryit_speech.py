"""The page Try it for a network of spoken words, against the real API with its real engine."""

from __future__ import annotations

import shutil

import pytest
from speech import drawn, tone, write

from core.bundle import Bundle
from core.datasets.add import add
from core.engine.experiment import run as train
from frontend.keys import Key

OVERRIDES = {"training.max_epochs": 1, "training.batch_size": 4, "training.augment": "none"}


@pytest.fixture(scope="module")
def heard(stack, tmp_path_factory):
    """A succeeded run on drawn clips of two words."""
    add("speech_commands_v1", drawn(tmp_path_factory.mktemp("copy")), stack.settings.data)
    claim = stack.claimed(dataset="speech_commands_v1", overrides=OVERRIDES)
    run = stack.client.run(claim.run_id)
    out = tmp_path_factory.mktemp("run") / "bundle"
    train(run.config, out=out, data_dir=stack.settings.data, device="cpu", threads=1, emit=lambda _: None)
    shutil.copytree(out, claim.out)
    stack.lifecycle.succeed(claim, Bundle(claim.out).summary())
    return stack.client.run(run.id)


def test_a_wav_file_is_tried_with_what_was_taken_of_it_and_a_bad_one_is_a_sentence(heard, tmp_path, visit, words):
    page = visit("tryit", run=heard.id)
    said = words(page)
    assert "low pitch is at the bottom" in said and "test image" in said
    page.segmented_control(key=Key.TRY_SOUND).set_value("A WAV file").run()
    assert not [toggle for toggle in page.toggle if toggle.key == Key.TRY_INVERT]
    long = write(tmp_path / "long.wav", tone(700, samples=32_000)).read_bytes()
    page.file_uploader(key=Key.TRY_CLIP).set_value(("long.wav", long, "audio/wav")).run()
    said = words(page)
    assert "2.00 s, mono, 16 bit, 16,000 Hz, of which 1 s from" in said and "after step 4 of 4" in said
    page.file_uploader(key=Key.TRY_CLIP).set_value(("notes.wav", b"some notes", "audio/wav")).run()
    said = words(page)
    assert "This recording cannot be used." in said and "It is no wav file" in said
    assert "it must be a whole WAV file of plain PCM" in said


def test_the_microphone_is_offered(heard, visit):
    page = visit("tryit", run=heard.id)
    page.segmented_control(key=Key.TRY_SOUND).set_value("The microphone").run()
    assert page.get("audio_input") and not page.exception


def test_the_wall_and_the_examples_say_how_to_read_their_pictures(heard, visit, words):
    assert "low pitch is at the bottom" in words(visit("run", run=heard.id, section="Images"))
