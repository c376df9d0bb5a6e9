"""The gallery: what travels of a run, what does not, and what a second test of it says."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from typer.testing import CliRunner

from core.analysis.predictions import as_stored, in_steps, running_mean, with_fewer_bits
from core.bundle import Bundle
from core.cli.commands.results import page
from core.cli.main import build_app
from core.datasets.load import load
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.engine.experiment import run
from core.engine.retest import Retest, retest
from core.errors import BadValue, BundleCorrupt, UnknownName
from core.gallery import catalog, pack
from core.gallery.catalog import content_of, gallery, unpacked
from core.gallery.pictures import example_images
from core.measured import read_runs
from core.recipes.build import build_config
from core.schemas.request import RunRequest

TINY = {"training.max_epochs": 1, "training.train_limit": 48, "time_steps": 2}
NOWHERE = Path("/nonexistent")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("runs") / "snn"
    config = build_config(RunRequest(mask=["F9"], dataset="digits", recipe="smoke", overrides=TINY))
    run(config, out=folder, data_dir=folder.parent, device="cpu", threads=1, emit=lambda _: None)
    return Bundle(folder)


@pytest.fixture
def shown(finished, tmp_path, monkeypatch) -> Path:
    """A gallery of one run, in the place of the product's own."""
    pack.add(finished, tmp_path)
    monkeypatch.setattr(catalog, "RUNS", tmp_path)
    return tmp_path


def call(*words: str):
    return CliRunner().invoke(build_app(words[0]), list(words))


def test_what_travels_has_every_figure_and_no_image(finished, shown):
    (listed,) = gallery().runs
    with unpacked(listed) as bare:
        assert finished.examples().image.size > 0 and bare.examples().image.size == 0
        assert np.array_equal(bare.examples().index, finished.examples().index)
        for name in ("config.json", "counts.json", "metrics.json", "summary.json", "weights.safetensors"):
            assert bare.read(name) == finished.read(name)
        kept, whole = bare.predictions().outputs, finished.predictions().outputs
        assert np.array_equal(kept * 2048, np.round(whole * 2048))
        assert np.array_equal(running_mean(kept).argmax(-1), running_mean(whole).argmax(-1))
        assert retest(bare, load("digits", NOWHERE)).same_bits
    pixels = finished.examples().image[0].tobytes()
    with zipfile.ZipFile(shown / listed.file) as archive:
        assert not any(pixels in archive.read(name) for name in archive.namelist())


def test_outputs_keep_their_bits_where_an_answer_hangs_on_them():
    first, second = np.float32([[[1.0001, 1.0]]]), np.float32([[[1.001, 1.0]]])
    assert np.array_equal(with_fewer_bits(second), np.float32([[[2050 / 2048, 1.0]]]))
    assert np.array_equal(in_steps(first), np.float32([[[1.0, 1.0]]]))  # a tie, and ties go to the lowest class
    assert np.array_equal(with_fewer_bits(first), in_steps(first))
    turned = first[..., ::-1].copy()
    assert np.array_equal(with_fewer_bits(turned), turned)  # its answer was the second class
    both = np.concatenate([turned, second])
    assert np.array_equal(with_fewer_bits(both), np.concatenate([turned, with_fewer_bits(second)]))  # image by image


def test_bits_are_compared_as_they_were_stored():
    rng = np.random.default_rng(0)
    again = rng.normal(size=(5, 2, 3)).astype(np.float32)
    small = np.concatenate([in_steps(again[:4]), again[4:]])  # as where the last image's answer hung on its bits
    assert np.array_equal(as_stored(again, small), small)
    assert np.array_equal(as_stored(again, again), again)
    other = again.copy()
    other[4] = np.nextafter(other[4], np.float32(9))
    assert not np.array_equal(as_stored(other, small), small)
    assert not np.array_equal(as_stored(other, again), again)  # nothing was made small: one bit is a difference


def test_the_same_run_gives_the_same_zip_once(finished, shown):
    before = (shown / gallery().runs[0].file).read_bytes()
    pack.add(finished, shown)
    assert len(gallery().runs) == 1 and content_of(gallery().runs[0]) == before


def test_of_a_record_travel_figures_and_curves_alone(finished, shown):
    whole = page_of_results()
    listed = pack.add(finished, shown, record=True)
    assert gallery().runs == (listed,) and gallery().whole == gallery().chosen(None) == []
    with zipfile.ZipFile(shown / listed.file) as archive:
        there = set(archive.namelist())
    assert {"config.json", "metrics.json", "gradients.json", "counts.json", "summary.json", "manifest.json"} <= there
    assert not [name for name in there if not name.endswith(".json")] and listed.bytes < 40_000
    with unpacked(listed) as record:
        assert record.files() == finished.files() and record.summary() == finished.summary()
    assert "a record" in call("gallery", "list").output
    assert page_of_results().replace(", a record |", " |") == whole != page_of_results()


def test_a_record_with_a_changed_figure_is_refused(finished, shown):
    changed = Bundle(shown / "changed")
    for entry in finished.files():
        changed.write_bytes(entry.name, finished.read(entry.name))
    changed.write_bytes("manifest.json", finished.read("manifest.json"))
    changed.write_bytes("summary.json", finished.read("summary.json").replace(b'"accuracy":', b'"accuracy": '))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Bundle, "verify", lambda _: None)
        listed = pack.add(changed, shown, record=True)
    with pytest.raises(BundleCorrupt, match=r"summary\.json"), unpacked(listed):
        pass


def page_of_results() -> str:
    return call("results").output


def test_a_gallery_has_a_largest_size(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "MOST_BYTES", 1000)
    with pytest.raises(BadValue, match="at most 0 MB in all"):
        pack.add(finished, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_changed_zip_is_refused(shown):
    (listed,) = gallery().runs
    path = shown / listed.file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleCorrupt, match="its SHA-256 differs from the index's"):
        content_of(listed)


def test_an_index_with_a_fault_names_its_field(tmp_path):
    (tmp_path / "index.json").write_text('{"version": 1, "runs": [{"file": "../x.zip"}]}')
    with pytest.raises(BundleCorrupt, match=r"runs\.0\.file"):
        gallery(tmp_path)
    assert gallery(tmp_path / "none").runs == ()


def test_an_unknown_name_of_the_gallery_suggests_a_near_one(shown):
    name = gallery().runs[0].name
    with pytest.raises(UnknownName, match=name):
        gallery().chosen([name[:-1]])


def test_images_that_were_left_out_come_from_the_data_set(finished, shown, monkeypatch):
    with unpacked(gallery().runs[0]) as bare:
        images = example_images(bare, NOWHERE)  # digits comes with scikit-learn
        assert np.array_equal(images.image, finished.examples().image)
        assert np.array_equal(images.index, finished.examples().index)
        other = dataclasses.replace(load("digits", NOWHERE), test_labels=load("digits", NOWHERE).test_labels[::-1])
        monkeypatch.setattr("core.gallery.pictures.load", lambda *_: other)
        assert len(example_images(bare, NOWHERE).index) == 0  # other labels: another set
        fewer = dataclasses.replace(other, test_labels=other.test_labels[:5])
        monkeypatch.setattr("core.gallery.pictures.load", lambda *_: fewer)
        assert len(example_images(bare, NOWHERE).index) == 0
    assert example_images(finished, NOWHERE).image is not None


def test_a_second_test_gives_the_same_bits(finished):
    seen = []
    again = retest(finished, load("digits", NOWHERE), progress=lambda done, total: seen.append((done, total)))
    summary = finished.summary()
    assert again.same_bits and again.agrees and again.n == again.answers_equal == summary.n_test
    assert again.accuracy_again == summary.accuracy and seen[-1] == (summary.n_test, summary.n_test)
    assert retest(finished, load("digits", NOWHERE), n=40).n == 40


def test_a_second_test_sees_other_weights(finished, tmp_path):
    other = Bundle(tmp_path)
    for entry in finished.files():
        other.write_bytes(entry.name, finished.read(entry.name))
    # every neuron fires
    weights = {name: value - 10 if "running_mean" in name else value for name, value in finished.weights().items()}
    other.write_bytes("weights.safetensors", save(weights))
    other.seal()
    again = retest(other, load("digits", NOWHERE))
    assert not again.same_bits and not again.agrees


def test_a_second_test_wants_the_same_test_set(finished):
    digits = load("digits", NOWHERE)
    with pytest.raises(BadValue, match="the same 360 test images"):
        retest(finished, dataclasses.replace(digits, test_labels=digits.test_labels[::-1]))


@pytest.mark.parametrize(
    ("changed", "agrees"),
    [
        ({}, True),
        ({"answers_equal": 995}, True),
        ({"answers_equal": 994}, False),
        ({"operations_again": 1_005_000}, True),
        ({"operations_again": 1_005_001}, False),
        ({"operations_again": 994_999}, False),
    ],
)
def test_rounding_explains_half_a_percent(changed, agrees):
    given = {"n": 1000, "answers_equal": 1000, "operations": 1_000_000, "operations_again": 1_000_000}
    again = Retest(accuracy=0.5, accuracy_again=0.5, same_bits=False, **given | changed)
    assert again.agrees is agrees


def test_verify_says_what_it_found(shown):
    said = call("gallery", "verify")
    assert said.exit_code == 0, said.output
    assert "360 answers equal" in said.output and "bit for bit" in said.output and "all equal" in said.output
    rows = json.loads(call("gallery", "verify", "--images", "16", "--json").output)
    assert rows[0]["agrees"] and rows[0]["test"]["n"] == 16 and rows[0]["recount"]["equal"]


def test_verify_fails_where_a_network_answers_otherwise(shown, monkeypatch):
    class Other(Retest):
        agrees = False

    monkeypatch.setattr("core.engine.retest.Retest", Other)
    said = call("gallery", "verify", "--images", "16")
    assert said.exit_code == 1 and "OTHERWISE" in said.output


def test_list_says_where_how_long_and_how_to_repeat(shown, finished):
    said = call("gallery", "list").output
    assert "thread" in said and "spikefront train --backbone squeezenet" in said and "1 runs" in said
    (row,) = json.loads(call("gallery", "list", "--json").output)
    assert row["accuracy"] == finished.summary().accuracy and row["name"] == gallery().runs[0].name


def test_results_are_a_page_made_from_the_gallery(shown, finished, tmp_path):
    out = tmp_path / "results.md"
    assert call("results", "--out", str(out)).exit_code == 0
    text = out.read_text()
    (run_,) = read_runs([finished.path], modes=MODES.values(), profile=profiles()["horowitz-45nm"])
    assert text == page([[run_]], "horowitz-45nm")
    accuracy = f"{100 * finished.summary().accuracy:.2f} %"
    (line,) = [line for line in text.splitlines() if accuracy in line]
    assert "| SNN |" in line and "(seed 0)" in line and f"{finished.summary().firing_rate:.3f}" in line
    exact = next(line for line in text.splitlines() if "| exact |" in line)
    assert f"{round(finished.summary().acs):,}" in exact and f"{round(finished.summary().macs):,}" in exact


def test_the_products_own_gallery_is_whole():
    listed = gallery()
    assert listed.bytes <= catalog.MOST_BYTES
    there = {path.name for path in catalog.RUNS.glob("*.zip")}
    assert there == {one.file for one in listed.runs}
    for one in listed.runs:
        assert len(content_of(one)) == one.bytes
        with unpacked(one) as bundle:
            assert bundle.config().config_hash == one.config_hash
            assert one.record or not bundle.examples().image.size
