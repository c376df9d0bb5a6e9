"""Bundles: whole files, exact readers, and a manifest that notices one altered byte."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from core.bundle import FILES, LATER_FILES, Bundle, Predictions, unwritable, write_atomic
from core.errors import BundleCorrupt, HomeUnusable, StorageFull
from core.schemas.diagnostics import Diagnostics
from core.schemas.recount import Operations, Recount, RecountedLayer
from core.schemas.results import Counts, Gradients, LayerCounts, Metrics, Summary
from core.schemas.run import Kind, RunConfig

CONFIG = RunConfig(mask=("F9",))
SUMMARY = Summary(
    accuracy=0.5, f1_macro=0.4, params=10, acs=1.0, macs=2.0, energy_pj=10.1, mode="exact", profile="horowitz-45nm",
    firing_rate=0.1, seed=0, dataset="digits", dataset_complete=True, kind=Kind.SNN, backbone="squeezenet", mask=("F9",),
    recipe="smoke", time_steps=2, n_train=4, n_train_available=4, n_validation=2, n_test=3, best_epoch=1,
    best_validation_accuracy=0.5, epochs_run=1, train_wall_s=1.0, train_images_per_s=4.0, evaluate_wall_s=0.1,
    device="cpu", config_hash=CONFIG.config_hash,
)  # fmt: skip
METRICS = Metrics(
    epoch=[1], lr=[0.1], train_loss=[1.0], train_accuracy=[0.5], validation_loss=[0.1 + 0.2],
    validation_accuracy=[0.5], firing_rate=[None], wall_s=[1.0],
)  # fmt: skip
COUNTS = Counts(
    kind=Kind.SNN, time_steps=2, n_samples=3, layers=(LayerCounts(name="a", kind="conv", output_shape=(1, 1, 1)),)
)
DIAGNOSTICS = Diagnostics(
    kind=Kind.SNN, time_steps=2, n_probe=3, layers=["a"], epochs=[1], gradient_norm=[[[0.1 + 0.2, float("nan")]]],
    firing_rate=[[[0.5, 0.0]]], active=[[[0.25, 0.5]]], dead=[[0.5]], saturated=[[0.0]],
)  # fmt: skip
RECOUNT = Recount(counter="spikingjelly", counter_version="2.0.0", n_images=3, answers_equal=3, layers=(
    RecountedLayer(name="a", kind="conv", exact=Operations(acs=3), ours=Operations(acs=3), theirs=Operations(acs=3),
                   equal=True),
))  # fmt: skip
EVERY_FILE = FILES + tuple(name for name in LATER_FILES if name != "search.json")  # this run searches nothing


def make(path: Path) -> Bundle:
    bundle = Bundle(path)
    bundle.write_model("config.json", CONFIG)
    bundle.write_json("environment.json", {"torch": "2"})
    bundle.write_model("metrics.json", METRICS)
    bundle.write_model("counts.json", COUNTS)
    bundle.write_model("gradients.json", Gradients(layers=["a"], epochs=[1], norm=[[0.25]]))
    bundle.write_arrays("counts_per_sample.npz", {"ac": np.arange(6).reshape(3, 1, 2)}, compressed=True)
    outputs = np.arange(12, dtype=np.float32).reshape(3, 2, 2) / 7
    bundle.write_predictions(
        Predictions(index=np.arange(3), label=np.array([0, 1, 1]), outputs=outputs, classes=["cat", "dög"])
    )
    bundle.write_arrays("examples.npz", {"index": np.array([1]), "image": np.zeros((1, 2, 2, 3), np.uint8)})
    bundle.write_bytes("weights.safetensors", save({"w": np.ones(3, np.float32)}))
    bundle.write_model("summary.json", SUMMARY)
    bundle.write_model("diagnostics.json", DIAGNOSTICS)
    bundle.write_model("recount.json", RECOUNT)
    return bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = make(tmp_path / "run")
    made.checkpoint.mkdir()
    assert not made.complete
    made.seal()
    return made


def test_what_is_written_comes_back_equal(bundle: Bundle) -> None:
    assert bundle.complete
    assert not bundle.checkpoint.exists()
    bundle.verify()
    assert bundle.config() == CONFIG
    assert bundle.summary() == SUMMARY
    assert bundle.metrics() == METRICS  # floats too: 0.1 + 0.2 is not 0.3
    assert bundle.counts() == COUNTS
    assert bundle.gradients().norm == [[0.25]]
    assert bundle.environment() == {"torch": "2"}
    predictions = bundle.predictions()
    assert predictions.classes == ["cat", "dög"]
    assert predictions.outputs.dtype == np.float32
    assert (predictions.outputs == np.arange(12, dtype=np.float32).reshape(3, 2, 2) / 7).all()
    assert bundle.examples().image.shape == (1, 2, 2, 3)
    assert bundle.counts_per_sample()["ac"].tolist() == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert bundle.weights()["w"].tolist() == [1, 1, 1]
    found = bundle.diagnostics()
    assert found is not None and found.model_dump_json() == DIAGNOSTICS.model_dump_json()  # a NaN is not itself
    assert bundle.recount() == RECOUNT and RECOUNT.equal
    assert [entry.name for entry in bundle.files()] == list(EVERY_FILE)


def test_a_bundle_from_before_a_file_was_introduced_is_whole_without_it(tmp_path: Path) -> None:
    bundle = make(tmp_path)
    for name in LATER_FILES:
        (tmp_path / name).unlink(missing_ok=True)
    bundle.seal()
    assert [entry.name for entry in bundle.files()] == list(FILES)
    bundle.verify()
    assert bundle.diagnostics() is None and bundle.recount() is None


def test_a_file_that_the_manifest_lists_and_that_is_gone_is_no_old_bundle(bundle: Bundle) -> None:
    (bundle.path / "diagnostics.json").unlink()
    with pytest.raises(BundleCorrupt, match=r"diagnostics\.json cannot be used: it is missing"):
        bundle.diagnostics()


@pytest.mark.parametrize("name", EVERY_FILE)
def test_one_altered_byte_is_noticed(bundle: Bundle, name: str) -> None:
    path = bundle.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleCorrupt) as caught:
        bundle.verify()
    assert caught.value.fields["file"] == name
    assert "SHA-256" in caught.value.message


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_missing_or_shortened_file_is_named(bundle: Bundle, name: str) -> None:
    path = bundle.path / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleCorrupt, match="bytes"):
        bundle.verify()
    path.unlink()
    with pytest.raises(BundleCorrupt, match=f"{name} cannot be used: it is missing"):
        bundle.verify()


def test_every_reader_refuses_rubbish_with_the_file_named(bundle: Bundle) -> None:
    readers = {
        "config.json": bundle.config, "summary.json": bundle.summary, "metrics.json": bundle.metrics,
        "counts.json": bundle.counts, "gradients.json": bundle.gradients, "environment.json": bundle.environment,
        "predictions.npz": bundle.predictions, "examples.npz": bundle.examples, "weights.safetensors": bundle.weights,
        "counts_per_sample.npz": bundle.counts_per_sample, "diagnostics.json": bundle.diagnostics,
        "recount.json": bundle.recount, "manifest.json": bundle.files,
    }  # fmt: skip
    manifest = (bundle.path / "manifest.json").read_bytes()
    for rubbish in (b"", b"\x00\xff rubbish", b"[]", b"PK\x03\x04 no zip"):
        (bundle.path / "manifest.json").write_bytes(manifest)
        for name, read in readers.items():
            (bundle.path / name).write_bytes(rubbish)
            with pytest.raises(BundleCorrupt) as caught:
                read()
            assert caught.value.fields["file"] == name


def test_a_pickle_in_an_array_file_is_never_opened(bundle: Bundle) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, index=np.array([{"a": 1}], dtype=object), image=np.zeros((1, 2, 2, 3), np.uint8))
    (bundle.path / "examples.npz").write_bytes(buffer.getvalue())
    with pytest.raises(BundleCorrupt, match="examples.npz"):
        bundle.examples()


def test_predictions_of_unequal_length_or_unknown_label_are_refused(bundle: Bundle) -> None:
    good = bundle.predictions()
    for changes in ({"label": np.array([0, 1])}, {"label": np.array([0, 1, 2])}, {"classes": ["cat"]}):
        content = {"index": good.index, "label": good.label, "outputs": good.outputs, "classes": good.classes}
        bundle.write_predictions(Predictions(**{**content, **changes}))
        with pytest.raises(BundleCorrupt, match="predictions.npz"):
            bundle.predictions()


def test_a_manifest_cannot_name_a_path(bundle: Bundle) -> None:
    manifest = bundle.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace("config.json", "../config.json"))
    with pytest.raises(BundleCorrupt, match="manifest.json"):
        bundle.verify()


def test_a_manifest_that_leaves_a_file_out_is_refused(bundle: Bundle) -> None:
    manifest = bundle.path / "manifest.json"
    manifest.write_text('{"version": 1, "files": []}')
    with pytest.raises(BundleCorrupt, match="does not list"):
        bundle.verify()


def test_a_bundle_is_not_sealed_while_a_file_is_missing(tmp_path: Path) -> None:
    bundle = make(tmp_path)
    (tmp_path / "counts.json").unlink()
    with pytest.raises(BundleCorrupt, match="counts.json"):
        bundle.seal()
    assert not bundle.complete


def test_a_write_that_fails_leaves_the_old_content_and_no_litter(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.bundle.os.fsync", full_disk)
    with pytest.raises(StorageFull, match="Free some space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_of_a_write_that_fails_only_a_full_disk_is_called_full() -> None:
    for number, kind in (
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, HomeUnusable),
        (errno.EACCES, HomeUnusable),
    ):
        assert type(unwritable(Path("runs"), OSError(number, os.strerror(number)))) is kind


def test_reading_a_bundle_needs_no_torch() -> None:
    code = "import core.bundle, core.recipes.build, core.cli.commands.bundle, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
