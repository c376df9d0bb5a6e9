"""A network of spoken words: trained on drawn clips, then tried on a test clip and on wav files from outside."""

import base64

import numpy as np
import pytest
from speech import drawn, tone, write

from core.backbones.catalog import BACKBONES, layout_of, plan_for
from core.bundle import Bundle
from core.datasets.add import add
from core.datasets.catalog import DATASETS, reading
from core.datasets.clip import hear
from core.datasets.picture import png, png_uri
from core.engine.experiment import run as train
from core.engine.infer import Networks, infer
from core.errors import BadValue
from core.recipes.build import build_config
from core.schemas.inference import InferRequest
from core.schemas.request import RunRequest

OVERRIDES = {"training.max_epochs": 1, "training.batch_size": 4, "training.augment": "crop"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    add("speech_commands_v1", drawn(folder / "copy"), folder / "data")
    request = RunRequest(kind="snn", mask=["F9"], dataset="speech_commands_v1", recipe="smoke", overrides=OVERRIDES)
    train(
        build_config(request),
        out=folder / "run",
        data_dir=folder / "data",
        device="cpu",
        threads=1,
        emit=lambda _: None,
    )
    return Bundle(folder / "run")


def asked(bundle: Bundle, content: bytes, **more) -> InferRequest:
    picture = base64.b64encode(content).decode()
    return InferRequest(folders=(bundle.path,), data=bundle.path.parent / "data", picture=picture, **more)


def test_training_uses_the_authors_parts_and_says_that_it_is_a_subset(bundle):
    summary = bundle.summary()
    assert (summary.n_train, summary.n_validation, summary.n_test) == (12, 4, 6)
    assert summary.dataset_complete is False and summary.data_digest
    assert set(bundle.predictions().label.tolist()) == {0, 9} and len(bundle.predictions().classes) == 30


def test_a_kept_test_clip_gets_the_answer_of_the_test(bundle):
    kept = bundle.examples()
    found = infer(asked(bundle, png(kept.image[2]), kept=True), Networks())
    assert np.allclose(found.passes[0].outputs, bundle.predictions().outputs[kept.index[2]], atol=1e-4)
    assert found.clip is None


def test_a_wav_file_goes_in_as_its_log_mel_picture(bundle, tmp_path):
    content = write(tmp_path / "word.wav", tone(700, samples=44_100, rate=44_100), rate=44_100).read_bytes()
    found = infer(asked(bundle, content), Networks())
    assert found.image == png_uri(hear(content, DATASETS["speech_commands_v1"].sound).image)
    assert found.picture is None and (found.clip.rate, found.clip.seconds) == (44_100, 1.0)
    assert len(found.passes[0].outputs[0]) == 30


def test_a_picture_is_no_sound_and_a_sound_has_no_negative(bundle, tmp_path):
    with pytest.raises(BadValue, match="clip is 'no wav file"):
        infer(asked(bundle, png(np.zeros((40, 40, 3), np.uint8))), Networks())
    content = write(tmp_path / "word.wav", tone(700)).read_bytes()
    with pytest.raises(BadValue, match="invert is True; it must be false: a sound has no negative"):
        infer(asked(bundle, content, invert=True), Networks())


def test_mirrors_are_refused_before_anything_is_queued():
    request = RunRequest(kind="snn", mask="P", dataset="speech_commands", overrides={"augment": "crop-flip"})
    with pytest.raises(BadValue, match="training.augment is 'crop-flip'; it must be none or crop"):
        build_config(request)


@pytest.mark.parametrize("recipe", ["smoke", "fast", "best", "paper", "thesis"])
def test_no_recipe_mirrors_sounds(recipe):
    for dataset in ("speech_commands", "speech_commands_v1"):
        config = build_config(RunRequest(kind="snn", mask="P", dataset=dataset, recipe=recipe))
        assert "flip" not in config.training.augment


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_every_backbone_takes_its_pictures(backbone):
    spec = DATASETS["speech_commands"]
    for definition in BACKBONES[backbone].definitions:
        mask = layout_of(backbone, definition).blocks
        plan = plan_for(backbone=backbone, mask=mask, input_shape=spec.image_shape, n_classes=35, definition=definition)
        assert plan.input_shape == (3, 40, 40) and plan.n_classes == 35


def test_pictures_of_sounds_say_how_to_read_them():
    assert "low pitch is at the bottom" in reading("speech_commands") and reading("digits") is reading("pets") is None
