"""The offline default and the catalogue's facts."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core.datasets import digits
from core.datasets.catalog import DATASETS
from core.datasets.digits import upsample
from core.datasets.load import load, status, verify
from core.errors import DatasetMissing, UnknownName

NOWHERE = Path("/nonexistent")


@pytest.fixture(scope="module")
def loaded():
    return load("digits", NOWHERE)


def test_digits_need_no_folder_and_say_so(loaded):
    state = status("digits", NOWHERE)
    assert (state.ready, state.complete) == (True, True)
    assert (state.n_train, state.n_test) == (1797 - 360, 360)
    assert (len(loaded.train_labels), len(loaded.test_labels)) == (state.n_train, state.n_test)
    assert loaded.complete


def test_digits_are_16_by_16_colour_bytes_with_equal_channels(loaded):
    assert loaded.train_images.shape == (1437, 16, 16, 3)
    assert loaded.train_images.dtype == np.uint8 and loaded.train_labels.dtype == np.int64
    assert (loaded.train_images[..., 0] == loaded.train_images[..., 2]).all()
    assert loaded.train_images.max() == 255 and loaded.train_images.min() == 0


def test_the_digits_are_those_of_scikit_learn(loaded):
    from sklearn.datasets import load_digits

    images, labels = digits._raw()
    original = load_digits()
    assert np.array_equal(images, original.images) and np.array_equal(labels, original.target)


def test_the_digits_come_from_scikit_learns_own_loader_where_its_file_has_moved(monkeypatch, tmp_path):
    images, labels = digits._raw()
    (tmp_path / "sklearn").mkdir()

    moved = SimpleNamespace(submodule_search_locations=[str(tmp_path / "sklearn")])
    monkeypatch.setattr(digits, "find_spec", lambda name: moved)
    again, labels_again = digits._raw()
    assert np.array_equal(images, again) and np.array_equal(labels, labels_again)


def test_the_test_digits_hold_a_fifth_of_each_class(loaded):
    test, train = np.bincount(loaded.test_labels), np.bincount(loaded.train_labels)
    assert np.abs(test - (test + train) * 360 / 1797).max() < 1


def test_the_digits_split_is_the_one_that_earlier_results_rest_on(loaded):
    """Recorded once: the pixels and labels of the test set, in order."""
    content = loaded.test_images.tobytes() + loaded.test_labels.astype("<i8").tobytes()
    assert hashlib.sha256(content).hexdigest()[:12] == "c07087184553"


def test_upsampling_weighs_the_four_nearest_pixels_9_3_3_1():
    image = np.array([[[0, 16], [32, 64]]])
    large = upsample(image)
    assert large.shape == (1, 4, 4)
    assert large[0, 0, 0] == 16 * 0  # a corner has only itself
    assert large[0, 1, 1] == 9 * 0 + 3 * 16 + 3 * 32 + 1 * 64
    assert large[0, 1, 2] == 9 * 16 + 3 * 0 + 3 * 64 + 1 * 32
    assert large[0, 0, 1] == 4 * (3 * 0 + 1 * 16)  # on an edge the other axis repeats
    assert (upsample(np.full((1, 3, 3), 5)) == 16 * 5).all()


def test_the_catalogue_holds_the_mean_and_deviation_of_the_training_digits(loaded):
    pixels = loaded.train_images / 255
    spec = DATASETS["digits"]
    assert np.allclose(pixels.mean((0, 1, 2)), spec.mean, atol=5e-5)
    assert np.allclose(pixels.std((0, 1, 2)), spec.std, atol=5e-5)


def test_digits_verify_as_complete():
    report = verify("digits", NOWHERE)
    assert report.state == "complete" and report.files[0].n == 1797


@pytest.mark.parametrize(
    ("name", "classes", "shape"),
    [
        ("digits", 10, (3, 16, 16)),
        ("cifar10", 10, (3, 32, 32)),
        ("cifar100", 100, (3, 32, 32)),
        ("tiny_imagenet", 200, (3, 64, 64)),
        ("fashion_mnist", 10, (3, 28, 28)),
        ("imagenet", 1000, (3, 224, 224)),
    ],
)
def test_every_data_sets_geometry_is_known_without_its_files(name, classes, shape):
    spec = DATASETS[name]
    assert (spec.n_classes, spec.image_shape) == (classes, shape)
    assert spec.citation and spec.licence and spec.home


def test_a_data_set_for_counting_only_says_that_it_cannot_be_trained_on():
    state = status("imagenet", NOWHERE)
    assert not state.ready and "not possible yet" in state.note
    for question in (load, verify):
        with pytest.raises(DatasetMissing, match="not possible yet"):
            question("imagenet", NOWHERE)


def test_an_unknown_data_set_suggests_a_near_one():
    with pytest.raises(UnknownName, match="Did you mean cifar10"):
        load("cifar-10", NOWHERE)
