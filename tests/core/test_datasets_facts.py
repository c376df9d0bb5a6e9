"""Facts of the published sets: on small generated ones always, on the real files where SPIKEFRONT_DATA holds them.

One function looks at both, so what would be found out about the real files is tried without them.
"""

import dataclasses
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.datasets.catalog import DATASETS
from core.datasets.cifar import CifarReader
from core.datasets.cifar_layout import CIFAR100
from core.datasets.load import load, verify

#: As printed wherever these sets are normalised: mean and deviation of the training images, of red, green, blue.
PUBLISHED = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "tiny_imagenet": ((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)),
    "fashion_mnist": ((0.2860,) * 3, (0.3530,) * 3),
}
DECODERS_DIFFER = {"tiny_imagenet": 5e-4}  # by a unit of a JPEG's value


def wrong(data) -> list[str]:
    """What of loaded images is not as their spec says: counts, shape, classes equally often, mean, deviation."""
    spec, n = data.spec, len(data.classes)
    pixels = data.train_images.reshape(-1, 3)
    mean = pixels.mean(0, dtype=np.float64) / 255
    square = sum((part.astype(np.float64) ** 2).sum(0) for part in np.array_split(pixels, 50)) / len(pixels) / 255**2
    near = DECODERS_DIFFER.get(spec.name, 5e-5)
    told = {
        "not whole": not data.complete,
        "counts": (len(data.train_labels), len(data.test_labels)) != (spec.n_train, spec.n_test),
        "shape": data.train_images.shape[3:0:-1] != spec.image_shape
        or data.test_images.shape[1:] != (*spec.image_shape[1:], 3),
        "classes": n != spec.n_classes or len(set(np.bincount(data.train_labels, minlength=n).tolist())) != 1,
        "mean": not np.allclose(mean, spec.mean, atol=near),
        "deviation": not np.allclose(np.sqrt(square - mean**2), spec.std, atol=near),
    }
    return [what for what, is_wrong in told.items() if is_wrong]


def shifted(images: np.ndarray) -> dict:
    """The mean and deviation that a catalogue would hold of these, from their sums: E[x], sqrt(E[x^2] - E[x]^2)."""
    values = images.reshape(-1, 3).astype(np.int64)
    n = len(values) * 255.0
    mean = values.sum(0) / n
    return {"mean": tuple(mean), "std": tuple(np.sqrt((values**2).sum(0) / n / 255.0 - mean**2))}


@pytest.fixture
def generated(
    tmp_path, monkeypatch, cifar10_files, cifar10_batch, write_pickle, idx_files, small_cifar10, small_fashion
):
    """Writes a small set in its official layout, with every class equally often, and its facts into the catalogue."""

    def facts(name: str, images: np.ndarray, **changes) -> None:
        spec = dataclasses.replace(DATASETS[name], **shifted(images), **changes)
        monkeypatch.setitem(DATASETS._entries, name, spec)

    def rows(flat: np.ndarray) -> np.ndarray:  # colour by colour, as CIFAR stores a picture
        return flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)

    def write(name: str) -> Path:
        random = np.random.default_rng(5)
        home = tmp_path / name
        if name == "cifar10":
            cifar10_files(home)
            facts(name, rows(np.concatenate([cifar10_batch(number)[b"data"] for number in range(1, 6)])))
        elif name == "cifar100":
            home.mkdir()
            parts = {
                part: random.integers(0, 200, (n, 3072), dtype=np.uint8) for part, n in (("train", 200), ("test", 100))
            }
            for part, flat in parts.items():
                labels = {
                    b"fine_labels": [i % 100 for i in range(len(flat))],
                    b"coarse_labels": [i % 20 for i in range(len(flat))],
                }
                write_pickle({b"data": flat, **labels, b"filenames": [b"a.png"] * len(flat)}, home / part)
            names = [one.encode() for one in DATASETS[name].classes]
            write_pickle({b"fine_label_names": names, b"coarse_label_names": [b"fish"] * 20}, home / "meta")
            reader = CifarReader(dataclasses.replace(CIFAR100, train_rows=200, test_rows=100))
            facts(name, rows(parts["train"]), n_train=200, n_test=100, reader=reader)
        elif name == "fashion_mnist":
            idx_files(home)
            raw = (home / "train-images-idx3-ubyte.gz").read_bytes()
            grey = np.frombuffer(gzip.decompress(raw), np.uint8, offset=16)
            facts(name, np.repeat(grey, 3))
        else:
            wnids = [f"n{number:08d}" for number in range(2)]
            (home / "val" / "images").mkdir(parents=True)
            (home / "wnids.txt").write_text("\n".join(wnids) + "\n")
            (home / "words.txt").write_text("".join(f"{wnid}\tword {wnid}\n" for wnid in wnids))
            colours = [(40 * number + 20, 200 - 30 * number, 60 + 25 * number) for number in range(4)]
            for number, colour in enumerate(colours):  # even colours: a JPEG keeps those
                for place in (
                    f"train/{wnids[number % 2]}/images/{wnids[number % 2]}_{number}",
                    f"val/images/val_{number}",
                ):
                    (home / place).parent.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (64, 64), colour).save(home / f"{place}.JPEG", quality=95)
            table = [f"val_{number}.JPEG\t{wnids[number % 2]}\t0\t0\t63\t63\n" for number in range(4)]
            (home / "val" / "val_annotations.txt").write_text("".join(table))
            facts(name, np.array(colours), n_train=4, n_test=4, class_count=2)
            monkeypatch.setitem(DECODERS_DIFFER, name, 1.5 / 255)
        return tmp_path

    return write


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_generated_set_has_the_facts_that_it_was_written_with(generated, name):
    home = generated(name)
    assert wrong(load(name, home)) == []
    assert verify(name, home).state == "complete"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_fact_that_is_not_so_is_noticed(generated, monkeypatch, name):
    home = generated(name)
    spec = DATASETS[name]
    red, green, blue = spec.mean
    for changed, what in (
        ({"mean": (red + 0.02, green, blue)}, ["mean"]),
        ({"std": (spec.std[0], spec.std[1], spec.std[2] - 0.02)}, ["deviation"]),
        ({"n_test": spec.n_test + 1}, ["not whole", "counts"]),
    ):
        monkeypatch.setitem(DATASETS._entries, name, dataclasses.replace(spec, **changed))
        assert set(wrong(load(name, home))) >= {what[-1]}, changed


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_catalogue_holds_the_published_means_and_deviations(name):
    mean, deviation = PUBLISHED[name]
    assert DATASETS[name].mean == pytest.approx(mean, abs=1e-9) and DATASETS[name].std == pytest.approx(
        deviation, abs=1e-9
    )


@pytest.mark.skipif("SPIKEFRONT_DATA" not in os.environ, reason="needs the real files in SPIKEFRONT_DATA")
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_real_set_has_the_catalogues_facts(name):
    home = Path(os.environ["SPIKEFRONT_DATA"])
    if verify(name, home).state != "complete":
        pytest.skip(f"{name} is not whole in SPIKEFRONT_DATA")
    assert wrong(load(name, home)) == []
