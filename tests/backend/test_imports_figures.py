"""What an imported bundle claims is no more than a run of its config can have given: classes, counts, sizes, epochs."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from backend.imports.upload import unpack
from backend.problems import UploadCorrupt
from core.bundle import Bundle
from core.datasets.class_names import MAX_CLASSES
from core.energy.modes import MODES
from core.energy.price import price
from core.energy.profiles import profiles
from core.engine.experiment import run as train
from core.recipes.build import build_config
from core.schemas.request import RunRequest


@pytest.fixture
def bundle(trained: dict[str, Path], tmp_path: Path) -> Bundle:
    """A copy to be tampered with."""
    return Bundle(shutil.copytree(trained["snn"], tmp_path / "bundle"))


def taken(bundle: Bundle, into: Path) -> Any:
    bundle.seal()
    archive = into / "upload.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(bundle.path.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                file.write(path, path.name)
    return unpack(archive, into / "unpacked")


def edited(bundle: Bundle, name: str, edit: Callable[[dict], object]) -> None:
    path = bundle.path / name
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def answers(bundle: Bundle, **arrays: np.ndarray) -> None:
    given = bundle.predictions()
    kept = {"index": given.index, "label": given.label, "outputs": given.outputs, "classes": np.array(given.classes)}
    bundle.write_arrays("predictions.npz", kept | arrays)


def resummed(bundle: Bundle) -> None:
    """The summary as it follows from the counts that are there now."""
    counts, summary = bundle.counts(), bundle.summary()
    tally = MODES[summary.mode].tally(counts)
    told = {"acs": tally.acs, "macs": tally.macs, "energy_pj": price(tally, profiles()[summary.profile])}
    edited(bundle, "summary.json", lambda content: content.update(told))


def test_what_the_trainer_writes_is_taken(bundle: Bundle, trained: dict[str, Path], tmp_path: Path) -> None:
    for kind in ("snn", "cnn"):
        folder = tmp_path / kind
        folder.mkdir()
        upload = taken(Bundle(shutil.copytree(trained[kind], folder / "copy")), folder)
        assert upload.summary == Bundle(trained[kind]).summary()


@pytest.mark.parametrize(
    "changes",
    [
        {"neuron.model": "plif", "neuron.learn_threshold": True},
        {"neuron.model": "count", "training.max_epochs": 3, "training.validate_every": 2, "training.select": "last"},
        {"encoding": "rate", "training.max_epochs": 2, "training.stages": "2:1,4:1", "training.patience": None},
        {"training.max_epochs": 3, "training.patience": 1, "training.lr": 1e-9},
    ],
    ids=["learned", "count", "stages", "patience"],
)
def test_what_any_choice_of_a_config_makes_the_trainer_write_is_taken(
    tmp_path: Path, changes: dict[str, str | int | float | None]
) -> None:
    tiny = {"training.max_epochs": 1, "training.train_limit": 32}
    config = build_config(RunRequest(mask="F9", overrides=tiny | changes))
    options = {"data_dir": tmp_path, "device": "cpu", "threads": 1, "emit": lambda event: None}
    train(config, out=tmp_path / "out", **options)
    assert taken(Bundle(tmp_path / "out"), tmp_path).config == config


# Classes


def more_classes(bundle: Bundle, n: int) -> None:
    given = bundle.predictions()
    outputs = np.zeros((*given.outputs.shape[:2], n), np.float32)
    outputs[:, :, : given.outputs.shape[2]] = given.outputs
    answers(bundle, outputs=outputs, classes=np.array([f"c{number}" for number in range(n)]))


def renamed_class(name: str) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        answers(bundle, classes=np.array([name, *bundle.predictions().classes[1:]]))

    return change


def labels(dtype: type, shift: int = 0) -> Callable[[Bundle], None]:
    return lambda bundle: answers(bundle, label=(bundle.predictions().label + shift).astype(dtype))


def outputs_of(dtype: type | np.dtype, value: float | None = None) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        outputs = bundle.predictions().outputs.astype(dtype)
        if value is not None:
            outputs[3, 0, 1] = value
        answers(bundle, outputs=outputs)

    return change


ANSWERS = [
    (lambda bundle: more_classes(bundle, 11), "the number of classes", 11),
    (renamed_class("O"), "class 0", "O"),
    (renamed_class("x" * 300), "the name of a class", "x" * 200 + "... (300 characters)"),
    (renamed_class("<b>0</b>"), "the name of a class", "<b>0</b>"),
    (renamed_class("a\nb"), "the name of a class", "a\nb"),
    (renamed_class("\ud800"), "the name of a class", "\ud800"),
    (renamed_class(""), "the name of a class", ""),
    (labels(np.float64), "label", "an array of 1 dimensions of float64"),
    (labels(np.str_), "label", "an array of 1 dimensions of <U21"),
    (labels(np.int64, 1), "a label", 10),
    (labels(np.int64, -1), "a label", -1),
    (outputs_of(np.dtype("U1")), "outputs", "an array of 3 dimensions of <U1"),
    (outputs_of(np.float32, np.nan), "outputs", "others (float32)"),
    (outputs_of(np.float64, 1e300), "outputs", "others (float64)"),
    (lambda b: answers(b, index=b.predictions().index[::-1].copy()), "index", "others"),
    (lambda b: answers(b, index=np.zeros_like(b.predictions().index)), "index", "others"),
]


@pytest.mark.parametrize(("tamper", "field", "value"), ANSWERS)
def test_answers_that_no_run_on_the_data_set_gives_are_refused(
    bundle: Bundle, tmp_path: Path, tamper: Callable[[Bundle], None], field: str, value: object
) -> None:
    tamper(bundle)
    with pytest.raises(UploadCorrupt) as caught:
        taken(bundle, tmp_path)
    found = caught.value.fields
    assert (found["file"], found["field"], found["value"]) == ("predictions.npz", field, value)
    assert found["expected"] and len(caught.value.message) < 500


@pytest.mark.parametrize("tamper", [lambda bundle: more_classes(bundle, MAX_CLASSES + 1), renamed_class("x" * 100_000)])
def test_classes_that_would_fill_the_memory_of_every_page_are_refused_unread(
    bundle: Bundle, tmp_path: Path, tamper: Callable[[Bundle], None]
) -> None:
    tamper(bundle)
    with pytest.raises(UploadCorrupt, match="for 360 images, 4 steps and 10 classes"):
        taken(bundle, tmp_path)


# Counts


def layer_with(bundle_content: dict, quantity: str) -> dict:
    return next(layer for layer in bundle_content["layers"] if sum(layer[quantity]))


def counted(quantity: str, change: Callable[[int], int]) -> Callable[[Bundle], None]:
    """Another number in one layer, and a summary that agrees with it."""

    def tamper(bundle: Bundle) -> None:
        def edit(content: dict) -> None:
            layer = layer_with(content, quantity)
            layer[quantity] = [change(n) for n in layer[quantity]]

        edited(bundle, "counts.json", edit)
        if all(change(n) >= 0 for n in (1, 100)) and change(1) < 2**62:
            resummed(bundle)

    return tamper


def of_layer(**values: object) -> Callable[[Bundle], None]:
    def tamper(bundle: Bundle) -> None:
        edited(bundle, "counts.json", lambda content: layer_with(content, "ac").update(values))

    return tamper


def per_sample(**changes: Callable[[np.ndarray], np.ndarray]) -> Callable[[Bundle], None]:
    def tamper(bundle: Bundle) -> None:
        arrays = bundle.counts_per_sample()
        bundle.write_arrays("counts_per_sample.npz", arrays | {k: change(arrays[k]) for k, change in changes.items()})

    return tamper


COUNTS = [
    (counted("ac", lambda n: -n), "counts.json", "at least 0"),
    (counted("mac", lambda n: -1), "counts.json", "at least 0"),
    (counted("spikes", lambda n: -n), "counts.json", "at least 0"),
    (counted("ac", lambda n: 10**400), "counts.json", "below 2^63"),
    (counted("ac", lambda n: n * 10**6), "counts.json", "at most"),  # dense ops x images
    (counted("spikes", lambda n: n * 10**6), "counts.json", "at most"),
    (counted("input_nonzero", lambda n: n * 10**6), "counts.json", "at most"),
    (counted("ac", lambda n: n // 2), "counts_per_sample.npz", "as in counts.json"),
    (of_layer(ac=[1]), "counts.json", "the length of ac of F9.squeeze.conv is 1; it must be 4"),
    (of_layer(ac=[]), "counts.json", "one a step"),
    (of_layer(mac=[5, 5, 5, 5]), "counts.json", "at most 0"),
    (of_layer(name="other"), "counts.json", "the config's network has"),
    (of_layer(kind="teleport"), "counts.json", "one of add, avgpool"),
    (of_layer(dense_ops=10**12), "counts.json", "dense_ops"),
    (of_layer(output_numel=0), "counts.json", "output_numel"),
    (of_layer(input_numel=0), "counts.json", "input_numel"),
    (of_layer(constant_input=True), "counts.json", "constant_input"),
    (of_layer(bias_ops=-(10**6)), "counts.json", "at least 0"),
    (of_layer(params=1.5), "counts.json", "params"),
    (lambda b: edited(b, "counts.json", lambda c: c["layers"].pop()), "counts.json", "missing"),
    (lambda b: edited(b, "counts.json", lambda c: c["layers"].append(c["layers"][-1])), "counts.json", "its own"),
    (lambda b: edited(b, "counts.json", lambda c: c.update(n_samples=2**40)), "counts.json", "n_samples"),
    (lambda b: b.write_arrays("counts_per_sample.npz", {}), "counts_per_sample.npz", "there is none"),
    (per_sample(ac=lambda a: -a), "counts_per_sample.npz", "at least 0"),
    (per_sample(ac=lambda a: a[:, :, :1]), "counts_per_sample.npz", "images, layers, steps"),
    (per_sample(ac=lambda a: a.astype(float)), "counts_per_sample.npz", "whole numbers"),
    (per_sample(spikes=lambda a: a[::-1] + 1), "counts_per_sample.npz", "as in counts.json"),
    (per_sample(layers=lambda a: np.array([f"x{name}" for name in a])), "counts_per_sample.npz", "a layer of counts"),
]


@pytest.mark.parametrize(("tamper", "file", "says"), COUNTS)
def test_counts_that_the_network_cannot_have_given_are_refused(
    bundle: Bundle, tmp_path: Path, tamper: Callable[[Bundle], None], file: str, says: str
) -> None:
    tamper(bundle)
    with pytest.raises(UploadCorrupt) as caught:
        taken(bundle, tmp_path)
    assert caught.value.fields["file"] == file and says in caught.value.message, caught.value.message
    assert {"field", "value", "expected"} <= set(caught.value.fields)


# Figures


def told(name: str, **values: object) -> Callable[[Bundle], None]:
    return lambda bundle: edited(bundle, name, lambda content: content.update(values))


def recounted(**values: object) -> Callable[[Bundle], None]:
    """Other values in a layer of neurons of the recount."""

    def edit(content: dict) -> None:
        next(layer for layer in content["layers"] if layer["spikes"]).update(values)

    return lambda bundle: edited(bundle, "recount.json", edit)


FIGURES = [
    (told("summary.json", firing_rate=1e300), "firing_rate"),
    (told("summary.json", firing_rate="NaN"), "firing_rate"),
    (told("summary.json", firing_rate=-1), "firing_rate"),
    (told("summary.json", firing_rate=None), "firing_rate"),
    (told("summary.json", accuracy="NaN"), "accuracy"),
    (told("summary.json", n_train=-1), "n_train"),
    (told("summary.json", n_train=2**70), "n_train"),
    (told("summary.json", n_train_available=10**9), "n_train_available"),
    (told("summary.json", n_validation=0), "n_train_available and n_validation"),
    (told("summary.json", dataset_complete=False, n_validation=-5), "n_validation"),
    (told("summary.json", epochs_run=1e30), "epochs_run"),
    (told("summary.json", epochs_run=2), "epochs_run"),
    (told("summary.json", best_epoch=7), "best_epoch"),
    (told("summary.json", best_validation_accuracy=0.999), "best_validation_accuracy"),
    (told("summary.json", train_wall_s=-1.0), "train_wall_s"),
    (told("summary.json", train_images_per_s="Infinity"), "train_images_per_s"),
    (told("summary.json", device="x" * 300), "device"),
    (told("metrics.json", epoch=[1, 2]), "the length of lr is 1; it must be 2"),
    (told("metrics.json", epoch=[5]), "epoch"),
    (told("metrics.json", train_loss=["NaN"]), "train_loss"),
    (told("metrics.json", validation_accuracy=[7.0]), "validation_accuracy"),
    (told("metrics.json", firing_rate=[1.5]), "firing_rate"),
    (told("metrics.json", firing_rate=[None]), "firing_rate"),
    (told("gradients.json", norm=[[0.1]]), "a list in norm"),
    (told("gradients.json", norm=[]), "the length of norm is 0; it must be 1"),
    (told("gradients.json", layers=["a"], norm=[[0.1]]), "layers"),
    (told("gradients.json", epochs=[9]), "epochs"),
    (told("diagnostics.json", layers=[], gradient_norm=[[]], firing_rate=[[]], active=[[]], dead=[[]], saturated=[[]]),
     "layers"),
    (told("diagnostics.json", n_probe=10**9), "n_probe"),
    (told("diagnostics.json", active=None), "active"),
    (told("recount.json", n_images=361), "n_images"),
    (told("recount.json", answers_equal=10**6), "answers_equal"),
    (told("recount.json", time_steps=3), "time_steps"),
    (recounted(exact={"acs": -1, "macs": 0}), "acs"),
    (recounted(exact={"acs": 1e15, "macs": 0}), "exact of"),
    (recounted(ours={"acs": "NaN", "macs": 0}), "ours"),
    (recounted(spikes={"ours": 10**12, "theirs": 10**12}), "spikes of"),
    (recounted(spikes={"ours": 1, "theirs": 2}, equal=True), "false: spikes differ"),
    (told("metrics.json", validation_accuracy=[None]), "validation_accuracy"),
    (told("summary.json", layer_synchronous=True), "layer_synchronous"),
    (told("counts.json", layer_synchronous=True), "layer_synchronous"),
    (told("config.json", recipe='=cmd|" /C calc"!A0'), "recipe"),
    (lambda b: b.write_bytes("weights.safetensors", save({"w": np.ones(3, np.float32)})), "missing"),
    (lambda b: b.write_bytes("weights.safetensors", save({k: np.full_like(v, np.nan) if v.ndim else v for k, v in b.weights().items()})), "finite"),
    (lambda b: b.write_arrays("examples.npz", {"index": np.array([0]), "image": np.zeros((1, 9, 9, 3), np.uint8)}),
     "the size of an image"),
    (lambda b: b.write_arrays("examples.npz", {"index": np.array([999]), "image": np.zeros((1, 16, 16, 3), np.uint8)}),
     "below 360"),
]  # fmt: skip


@pytest.mark.parametrize(("tamper", "says"), FIGURES)
def test_figures_that_no_run_of_the_config_has_are_refused(
    bundle: Bundle, tmp_path: Path, tamper: Callable[[Bundle], None], says: str
) -> None:
    tamper(bundle)
    with pytest.raises(UploadCorrupt, match=says):
        taken(bundle, tmp_path)


def test_a_config_of_a_data_set_that_nobody_can_train_on_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """Its thousand classes times 50,000 images pack to little and unpack to much."""
    edited(bundle, "config.json", lambda content: content.update(dataset="imagenet"))
    with pytest.raises(UploadCorrupt, match="can only be counted"):
        taken(bundle, tmp_path)


# Bounds


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("predictions.npz", {"outputs": np.zeros((360, 4, 1000), np.float32)}),
        ("counts_per_sample.npz", {"ac": np.zeros((360, 500, 4), np.int64)}),
        ("examples.npz", {"image": np.zeros((360, 64, 64, 3), np.uint8)}),
    ],
)
def test_arrays_larger_than_the_run_can_have_written_are_refused_unread(
    bundle: Bundle, tmp_path: Path, name: str, arrays: dict[str, np.ndarray]
) -> None:
    bundle.write_arrays(name, arrays, compressed=True)
    with pytest.raises(UploadCorrupt, match=f"{name} cannot be used: the size, unpacked is"):
        taken(bundle, tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b'{"epoch":[' + b"x," * (40 << 20)),
        ("config.json", b" " * (2 << 20)),
        ("gradients.json", b"{" + b",".join(b'"%06x":0' % n for n in range(1 << 17)) + b"}"),
        ("diagnostics.json", b'{"layers":' + b"[" * (1 << 17)),
    ],
)
def test_files_that_would_take_gigabytes_to_read_are_refused_unread(
    bundle: Bundle, tmp_path: Path, name: str, content: bytes
) -> None:
    (bundle.path / name).write_bytes(content)
    with pytest.raises(UploadCorrupt, match=f"{name} cannot be used: the (size|number of fields|number of lists) is"):
        taken(bundle, tmp_path)
