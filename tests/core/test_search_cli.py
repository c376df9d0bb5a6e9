"""`spikefront search` from the shell: a real search, and bundles made by hand for what it says of masks."""

import json

import pytest

from core.bundle import Bundle
from core.cli.main import main
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.measured import read_runs
from core.recipes.build import build_config, plan_of
from core.schemas.request import RunRequest
from core.schemas.results import Counts, LayerCounts, Summary

MASKS = ["F9", "F2,F9", "F4,F6,F8,F9", "F2,F3,F4,F5", "Full"]
SHORT = ["--set", "max_epochs=1", "--set", "train_limit=32", "--set", "time_steps=2", "--threads", "1"]


@pytest.fixture
def spikefront(capsys):
    def call(*words):
        code = 0
        try:
            main(["search", *words])
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


def finished(folder, mask, accuracy, test_accuracy=0.0, **changes):
    """A bundle as far as a search reads it: 0.5 ACs for each dense op."""
    config = build_config(RunRequest(dataset="digits", mask=mask, **changes))
    plan, bundle = plan_of(config), Bundle(folder / config.config_hash[:8])
    layer = LayerCounts(name="c", kind="conv", output_shape=(1, 1, 1), input_is_spikes=True, ac=(plan.dense_ops // 2,))
    bundle.write_model("config.json", config)
    bundle.write_model("counts.json", Counts(kind="snn", time_steps=1, n_samples=1, layers=(layer,)))
    summary = Summary(
        accuracy=test_accuracy, f1_macro=0, params=plan.params, acs=0, macs=0, energy_pj=0, mode="exact",
        profile="horowitz-45nm", firing_rate=0.1, seed=config.seed, dataset="digits", dataset_complete=True, kind="snn",
        backbone="squeezenet", mask=config.mask, recipe="smoke", time_steps=4, n_train=1149, n_train_available=1149,
        n_validation=288, n_test=360, best_epoch=1, best_validation_accuracy=accuracy, epochs_run=5, train_wall_s=50,
        train_images_per_s=1, evaluate_wall_s=1, device="cpu", config_hash=config.config_hash,
    )  # fmt: skip
    bundle.write_model("summary.json", summary)
    bundle.write_json("manifest.json", {})  # its being there says that the run has ended


@pytest.fixture
def runs(tmp_path):
    for place, mask in enumerate(MASKS):
        finished(tmp_path / "runs", mask, 0.5 + place / 10)
    return tmp_path / "runs"


def test_masks_are_predicted_from_validation_accuracy_and_never_from_test_accuracy(spikefront, runs, tmp_path):
    for place, mask in enumerate(MASKS):
        finished(tmp_path / "others", mask, 0.5 + place / 10, test_accuracy=0.99 - place / 10)
    _, out, _ = spikefront("masks", "--dataset", "digits", "--runs", str(runs), "--json")
    code, others, _ = spikefront("masks", "--dataset", "digits", "--runs", str(tmp_path / "others"), "--json")
    content = json.loads(out)
    assert code == 0 and content == json.loads(others)
    assert len(content["masks"]) == content["possible"] == 255 and not content["sampled"]
    assert (content["predicted"]["n_runs"], content["predicted"]["n_masks"]) == (5, 5)
    for row in content["masks"]:
        assert row["energy_pj"] == pytest.approx(0.5 * row["dense_ops"] * 0.9, rel=1e-3)  # ACs at 0.9 pJ
    assert sum(row["n_runs"] for row in content["masks"]) == 5


def test_too_few_comparable_runs_are_said_and_nothing_is_predicted(spikefront, tmp_path):
    for mask in MASKS[:3]:
        finished(tmp_path, mask, 0.5)
    finished(tmp_path, MASKS[3], 0.5, overrides={"training.lr": 0.01})  # a fourth mask, trained otherwise
    code, out, _ = spikefront("masks", "--dataset", "digits", "--runs", str(tmp_path))
    assert code == 0 and "No prediction: the runs have 3 comparable masks, and at least 4 are needed." in " ".join(
        out.split()
    )
    content = json.loads(spikefront("masks", "--dataset", "digits", "--json")[1])
    assert content["predicted"] is None and "validation_accuracy" not in content["masks"][0]
    code, _, err = spikefront("next", "--dataset", "digits", "--runs", str(tmp_path))
    assert code == 1 and "at least 4" in err


def test_next_names_untrained_masks_with_reasons(spikefront, runs):
    code, out, _ = spikefront("next", "--dataset", "digits", "--runs", str(runs), "-n", "2", "--json")
    content = json.loads(out)
    trained = {
        run.config.mask for run in read_runs([runs], modes=[MODES["exact"]], profile=profiles()["horowitz-45nm"])
    }
    assert code == 0 and len(content["suggestions"]) == 2 and len(trained) == 5
    for row in content["suggestions"]:
        assert tuple(row["mask"]) not in trained and row["gain"] > 0 and row["cost_s"] > 0 and row["reason"]
    code, out, _ = spikefront("next", "--dataset", "digits", "--runs", str(runs))
    assert code == 0 and "test accuracy is not looked at" in " ".join(out.split())


def test_a_search_trains_real_networks_and_shows_its_front(spikefront, tmp_path):
    words = ["pareto", "--dataset", "digits", "--out", str(tmp_path / "found"), "--trials", "1", "--masks-only", *SHORT]
    code, out, err = spikefront(*words, "--json")
    content = json.loads(out)
    (trial,) = content["trials"]
    assert code == 0, err
    bundle = Bundle(tmp_path / "found" / trial["bundle"])
    bundle.verify()
    assert trial["on_front"] and trial["validation_accuracy"] == bundle.summary().best_validation_accuracy
    assert trial["energy_pj"] == pytest.approx(bundle.summary().energy_pj)  # both in mode exact at horowitz-45nm
    assert (
        set(trial["chosen"]) == {f"keep.F{n}" for n in range(2, 10)} and content["chosen_on"] == "validation accuracy"
    )
    code, out, _ = spikefront("show", str(tmp_path / "found"))
    assert code == 0 and "Pareto front" in out and "1 runs, 0 failed" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pareto", "--sampler", "grid"], "nsga2"),
        (["pareto", "--masks-only", "--space", "tau=1.1:2"], "--space"),
        (["random", "--space", "taa=1.1:2"], "tau"),
        (["random", "--mode", "exakt"], "exact"),
        (["random", "--device", "gpu"], "device"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_written(spikefront, tmp_path, words, says):
    code, _, err = spikefront(*words, "--out", str(tmp_path / "found"))
    assert code == 1 and says in err and not (tmp_path / "found").exists()
