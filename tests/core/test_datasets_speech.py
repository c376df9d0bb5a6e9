"""Google Speech Commands: clips of drawn sounds in the official layout, their parts, pictures and faults."""

import hashlib
import math
import os
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from speech import drawn, speakers, tone, write

from core.datasets.add import add
from core.datasets.catalog import DATASETS
from core.datasets.identity import data_digest
from core.datasets.load import load, status, verify
from core.datasets.log_mel import LogMel, energies, filters, mel, picture
from core.datasets.speech_layout import LISTS, WORDS, WORDS_V1, part_of_speaker
from core.errors import BadValue, DatasetCorrupt, DatasetMissing

SOUND = LogMel()
REAL = Path(os.environ.get("SPIKEFRONT_DATA", "")) / "speech_commands_v1"


@pytest.fixture
def folder(tmp_path):
    return drawn(tmp_path / "copy" / "speech_commands_v0.01")


def test_the_split_is_that_of_the_speakers_hash():
    for speaker in ("00176480", "0a7c2a8d", "ffd2ba2f"):
        # which_set of the authors' example, written out: the SHA-1 as a whole number, modulo 2^27, in per cent of 2^27 - 1
        percent = 100 * (int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % 2**27) / (2**27 - 1)
        due = "validation" if percent < 10 else "test" if percent < 20 else "train"
        assert part_of_speaker(speaker) == due
    shares = [part_of_speaker(f"{number:08x}") for number in range(2_000)]
    assert 160 < shares.count("validation") < 240 and 160 < shares.count("test") < 240  # 10 % of 2,000 each, 3 sigma 40


def test_the_words_of_v2_are_those_of_v1_and_five_more():
    assert len(WORDS_V1) == 30 and len(WORDS) == 35 and set(WORDS) - set(WORDS_V1) == {
        "backward", "follow", "forward", "learn", "visual",
    }  # fmt: skip
    assert list(WORDS) == sorted(WORDS) and list(WORDS_V1) == sorted(WORDS_V1)


@pytest.mark.parametrize("form", ["folder", "tar.gz", "zip"])
def test_a_subset_is_added_from_a_folder_or_an_archive(tmp_path, folder, form):
    source = folder.parent
    if form == "tar.gz":
        source = tmp_path / "copy.tar.gz"
        with tarfile.open(source, "w:gz") as tar:
            tar.add(folder, ".")
    elif form == "zip":
        source = tmp_path / "copy.zip"
        with zipfile.ZipFile(source, "w") as zipped:
            for file in sorted(folder.rglob("*.wav")):
                zipped.write(file, f"x/{file.relative_to(folder)}")
    state = add("speech_commands_v1", source, tmp_path / "data")
    assert state.complete is False and (state.n_train, state.n_test) == (2 * 8, 2 * 3)
    assert state.note == (
        "A subset: 12 of 51,088 training, 4 of 6,798 validation and 6 of 6,835 test clips, of 2 of 30 words."
    )
    assert not (tmp_path / "data" / "speech_commands_v1" / "_background_noise_").exists()


def test_labels_stand_in_their_places_and_validation_is_the_authors(tmp_path, folder):
    add("speech_commands_v1", folder, tmp_path)
    data = load("speech_commands_v1", tmp_path)
    assert data.train_images.shape == (16, 40, 40, 3) and data.train_images.dtype == np.uint8
    assert set(data.train_labels.tolist()) == {WORDS_V1.index("bed"), WORDS_V1.index("happy")} == {0, 9}
    # by word and name: among the first eight clips of bed, those of two validation speakers
    names = sorted([*speakers("train", 6), *speakers("validation", 2)])
    due = [place for place, name in enumerate(names) if part_of_speaker(name) == "validation"]
    assert data.validation[:2].tolist() == due and len(data.validation) == 4
    again = load("speech_commands_v1", tmp_path)  # from the cache
    assert np.array_equal(again.validation, data.validation) and np.array_equal(again.test_images, data.test_images)
    assert data_digest(again) == data_digest(data) != ""


def test_the_lists_of_a_copy_come_before_the_hash(tmp_path, folder):
    moved = min(path.name for path in (folder / "bed").iterdir())
    clips = [f"{path.parent.name}/{path.name}" for path in sorted(folder.glob("[bh]*/*.wav"))]
    parts = {clip: part_of_speaker(clip.partition("/")[2].partition("_")[0]) for clip in clips}
    parts[f"bed/{moved}"] = "test"
    for part, name in LISTS.items():
        (folder / name).write_text("".join(f"{clip}\n" for clip in clips if parts[clip] == part))
    add("speech_commands_v1", folder, tmp_path)
    data = load("speech_commands_v1", tmp_path)
    assert len(data.test_labels) == 6 + (part_of_speaker(moved.partition("_")[0]) != "test")
    (folder / LISTS["test"]).write_text("bed/notes.txt\n")
    with pytest.raises(DatasetCorrupt, match=r"testing_list.txt.*'bed/notes.txt'.*such as bed/0a7c2a8d_nohash_0.wav"):
        add("speech_commands_v1", folder, tmp_path / "other")


def test_a_copy_with_every_part_as_large_as_published_is_complete(tmp_path, folder, monkeypatch):
    from dataclasses import replace

    from core.datasets.speech_commands import SpeechReader
    from core.datasets.speech_layout import SpeechLayout

    layout = SpeechLayout(words=("bed", "happy"), n_train=12, n_validation=4, n_test=6)
    spec = replace(DATASETS["speech_commands_v1"], classes=layout.words, reader=SpeechReader(layout))
    monkeypatch.setitem(DATASETS._entries, "speech_commands_v1", spec)
    assert add("speech_commands_v1", folder, tmp_path).complete
    report = verify("speech_commands_v1", tmp_path)
    assert report.state == "complete" and [(file.file, file.n) for file in report.files] == [("bed", 11), ("happy", 11)]
    assert data_digest(load("speech_commands_v1", tmp_path)) == ""  # its name says it all


WRONG = {
    "no samples": (np.zeros(0, "<i2"), {}, "it holds no sample; a clip has at least one"),
    "8 bit": (np.full(16_000, 128, "u1"), {}, "it is mono, 8 bit, 16,000 Hz; clips of this set are mono, 16 bit, 16,000 Hz"),
    "stereo": (tone(400, samples=32_000), {"channels": 2}, "it is stereo, 16 bit, 16,000 Hz; clips of this set are mono"),
    "44.1 kHz": (tone(400, samples=44_100), {"rate": 44_100}, "it is mono, 16 bit, 44,100 Hz; clips of this set are mono"),
    "3 s": (tone(400, samples=48_000), {}, "it lasts 3.00 s; clips of this set last 1 s at most"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_clip_that_is_not_as_the_sets_are_is_refused_by_name(tmp_path, folder, kind):
    samples, how, why = WRONG[kind]
    write(folder / "bed" / "12345678_nohash_0.wav", samples, **how)
    with pytest.raises(DatasetCorrupt, match=why) as caught:
        add("speech_commands_v1", folder, tmp_path / "data")
    assert caught.value.fields["file"] == "bed/12345678_nohash_0.wav"
    assert not (tmp_path / "data" / "speech_commands_v1").exists()


def as_float(path: Path) -> None:
    """The usual header of a float wav: format tag 3, 32 bit."""
    data = np.zeros(16_000, "<f4").tobytes()
    fmt = struct.pack("<HHIIHH", 3, 1, 16_000, 64_000, 4, 32)
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"these are notes, no sound", "it is no wav file: it does not begin as one does"),
        (b"", "it is empty; a wav file is due"),
        (b"RIFF\x04\x00\x00\x00WAVE", "it is damaged or cut off"),
        ("float", "its samples are floating point; plain PCM is due"),
        ("cut", r"it is cut off: it holds \d[\d,]* samples, its header promises 16,000"),
    ],
)
def test_what_is_no_whole_wav_file_is_refused_by_name(tmp_path, folder, content, why):
    path = folder / "happy" / "12345678_nohash_0.wav"
    if content == "float":
        as_float(path)
    elif content == "cut":
        write(path, tone(400))
        path.write_bytes(path.read_bytes()[:20_000])
    else:
        path.write_bytes(content)
    with pytest.raises(DatasetCorrupt, match=why) as caught:
        add("speech_commands_v1", folder, tmp_path / "data")
    assert caught.value.fields["file"] == "happy/12345678_nohash_0.wav"


def test_verify_names_each_damaged_clip_and_still_counts_the_others(tmp_path, folder):
    add("speech_commands_v1", folder, tmp_path)
    there = sorted((tmp_path / "speech_commands_v1" / "bed").iterdir())
    there[3].write_text("no sound")
    report = verify("speech_commands_v1", tmp_path)
    bad, *good = report.files
    assert report.state == "corrupt" and bad.file == f"bed/{there[3].name}" and bad.state == "corrupt"
    assert [(file.file, file.n) for file in good] == [("bed", 10), ("happy", 11)]


def test_a_name_without_a_speaker_has_no_part(tmp_path, folder):
    write(folder / "bed" / "take one.wav", tone(400))
    with pytest.raises(DatasetCorrupt, match="bed/take one.wav.*its name has no speaker before _nohash_"):
        add("speech_commands_v1", folder, tmp_path / "data")


def test_clips_of_one_part_alone_are_not_enough(tmp_path):
    for speaker in speakers("train", 5):
        write(tmp_path / "copy" / "bed" / f"{speaker}_nohash_0.wav", tone(400))
    with pytest.raises(DatasetMissing, match="No clip of it is of a speaker of the test part"):
        add("speech_commands_v1", tmp_path / "copy", tmp_path / "data")
    with pytest.raises(BadValue, match="none of its files is there"):
        add("speech_commands_v1", tmp_path / "data", tmp_path / "data")
    assert status("speech_commands", tmp_path / "data").note.startswith("None of its words' folders is there. Fetch it")


def test_without_validation_speakers_a_share_is_drawn(tmp_path, folder):
    import torch

    from core.engine.data import split
    from core.schemas.run import TrainingConfig

    training = TrainingConfig(lr=1e-3, batch_size=4, max_epochs=1, augment="crop", validation_share=0.25)
    add("speech_commands_v1", folder, tmp_path)
    cut = split(load("speech_commands_v1", tmp_path), training, torch.device("cpu"))
    assert (len(cut.train), len(cut.validation), len(cut.test)) == (12, 4, 6)
    for word in ("bed", "happy"):
        for path in sorted((folder / word).iterdir()):
            if part_of_speaker(path.name.partition("_")[0]) == "validation":
                path.unlink()
    add("speech_commands_v1", folder, tmp_path / "other")
    cut = split(load("speech_commands_v1", tmp_path / "other"), training, torch.device("cpu"))
    assert (len(cut.train), len(cut.validation)) == (9, 3)  # a quarter of twelve
    with pytest.raises(
        BadValue, match="none or crop for Speech Commands v0.01: a word in a mirror is spoken backwards"
    ):
        split(
            load("speech_commands_v1", tmp_path),
            training.model_copy(update={"augment": "crop-flip"}),
            cut.train.images.device,
        )


def test_training_pictures_move_in_time_alone_and_silence_comes_in():
    import torch

    from core.engine.data import shift_in_time, stream

    images = torch.randint(1, 256, (3, 40, 40, 3), dtype=torch.uint8)
    moved = shift_in_time(images, torch.tensor([2, 0, 1, 1]), stream(0))
    seen = set()
    for got, source in zip(moved, (2, 0, 1, 1), strict=True):
        # column c of the result is column c - by of the source, and black where there is none; each row stays its row
        by = next(
            by
            for by in range(-5, 6)
            if torch.equal(got[:, max(by, 0) : 40 + min(by, 0)], images[source][:, max(-by, 0) : 40 - max(by, 0)])
        )
        assert (got[:, :by] == 0).all() if by > 0 else (got[:, 40 + by :] == 0).all()
        seen.add(by)
    assert len(seen) > 1  # a pair of draws of eleven that agree: all four alike would be one in 1,331


def test_each_band_of_the_filters_is_a_triangle_on_the_mel_scale():
    """Against a loop in plain Python floats."""

    def pitch(hertz):
        return 2595 * math.log10(1 + hertz / 700)

    step = (pitch(4_000) - pitch(20)) / 41
    table = filters(SOUND)
    assert table.shape == (401, 40)
    for band in (0, 7, 39):
        middle = pitch(20) + (band + 1) * step
        for line in range(401):  # of 20 Hz each: 16,000 / 800
            due = max(0.0, 1 - abs(pitch(20 * line) - middle) / step)
            assert table[line, band] == pytest.approx(due, abs=1e-9)
    assert float(mel(700.0)) == pytest.approx(2595 * math.log10(2))


@pytest.mark.parametrize("hertz", [200.0, 1_000.0, 3_000.0])
def test_a_tone_is_loudest_in_its_own_band_at_every_moment(hertz):
    pitch = (float(mel(hertz)) - float(mel(20))) / (float(mel(4_000)) - float(mel(20))) * 41
    band = round(pitch) - 1  # the middle of band k is k + 1 steps above the lowest edge
    shown = picture(tone(hertz), SOUND)
    assert shown.shape == (40, 40, 3) and (shown[..., 0] == shown[..., 2]).all()
    assert (40 - 1 - shown[:, 1:-1, 0].argmax(0) == band).all()  # low pitch at the bottom
    assert shown.max() == 255


def test_silence_is_black_and_loudness_changes_nothing():
    assert not picture(np.zeros(16_000, "<i2"), SOUND).any()
    quiet = (tone(500) // 100).astype("<i2")
    assert np.array_equal(picture(quiet, SOUND), picture(quiet.astype(np.float64) * 17.0, SOUND))


def test_a_short_clip_ends_in_silence():
    shown = picture(tone(500, samples=8_000), SOUND)
    # half a second ends between frames 19 and 20; the window of frame 20 reaches 25 ms back, that of 21 does not
    assert shown[:, :20, 0].max(0).min() > 200 and not shown[:, 21:].any()


def test_every_sample_weighs_the_same():
    """The windows of all frames add up to one, so a click counts as much wherever it stands."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
    assert np.allclose(hann[:400] + hann[400:], 1)
    assert energies(tone(440), SOUND).shape == (40, 40)


@pytest.mark.skipif(not REAL.is_dir(), reason="no copy of Speech Commands v0.01 in SPIKEFRONT_DATA")
def test_the_300_real_clips_are_split_as_their_authors_did(tmp_path):
    counts = {word: len(list((REAL / word).glob("*.wav"))) for word in ("bed", "cat", "happy")}
    if counts != {"bed": 100, "cat": 100, "happy": 100}:
        pytest.skip("another part of the set than the 300 clips")
    shutil.copytree(REAL, tmp_path / "copy", ignore=shutil.ignore_patterns("cache"))
    add("speech_commands_v1", tmp_path / "copy", tmp_path)
    data = load("speech_commands_v1", tmp_path)
    held = np.isin(np.arange(len(data.train_labels)), data.validation)
    by_word = {
        word: [
            int((labels == WORDS_V1.index(word)).sum())
            for labels in (data.train_labels[~held], data.train_labels[held], data.test_labels)
        ]
        for word in counts
    }
    assert by_word == {"bed": [80, 8, 12], "cat": [81, 7, 12], "happy": [77, 9, 14]}
    assert [sum(column) for column in zip(*by_word.values(), strict=True)] == [238, 24, 38]
    mean, std = data.train_images[~held].mean() / 255, data.train_images[~held].std() / 255
    assert mean == pytest.approx(data.spec.mean[0], abs=5e-5) and std == pytest.approx(data.spec.std[0], abs=5e-5)
