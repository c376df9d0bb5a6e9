"""Runs beside the printed rows about the same network."""

from pathlib import Path

import pytest

from core.measured import Bill, MeasuredRun
from core.paper.beside import beside_printed
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.results import Summary


def run(*, energy_pj=30e6, accuracy=0.8, n_train=40_000, **request):
    config = build_config(RunRequest(**{"mask": "Ref-1", "dataset": "cifar10", "recipe": "fast"} | request))
    summary = Summary(
        accuracy=accuracy, f1_macro=accuracy, params=549_114, acs=1.0, macs=1.0, energy_pj=energy_pj, mode="exact",
        profile="horowitz-45nm", firing_rate=0.1, seed=config.seed, dataset="cifar10", dataset_complete=True,
        kind=config.kind, backbone=config.backbone, mask=config.mask, recipe=config.recipe, time_steps=config.steps,
        n_train=n_train, n_train_available=45_000, n_validation=5_000, n_test=10_000, best_epoch=1,
        best_validation_accuracy=0.8, epochs_run=1, train_wall_s=1.0, train_images_per_s=1.0, evaluate_wall_s=1.0,
        device="cpu", config_hash=config.config_hash,
    )  # fmt: skip
    bills = {
        "paper": Bill(acs=11.2e6, macs=4.23e6, energy_pj=energy_pj),
        "exact": Bill(acs=2, macs=1, energy_pj=energy_pj / 2),
    }
    return MeasuredRun(path=Path("unused"), config=config, summary=summary, bills=bills)


def test_a_network_of_two_tables_stands_beside_both_rows():
    found = beside_printed([("one", run())])
    assert [entry.row for entry in found] == ["table1/cifar10/SqueezeNet-P", "table3/Ref-1"]
    paper, exact = found[0].modes
    assert (paper.mode, paper.acs, exact.mode, exact.energy_pj.mean) == ("paper", 11.2e6, "exact", 15e6)
    assert paper.difference.startswith("x1.02: one step")  # 30 / 29.5 uJ


def test_seeds_are_one_entry_with_mean_and_deviation():
    found = beside_printed([("b", run(seed=1, accuracy=0.82)), ("a", run(seed=0, accuracy=0.80))])
    entry = found[0]
    assert len(found) == 2 and (entry.run_ids, entry.seeds) == (["a", "b"], [0, 1])
    assert entry.accuracy.n == 2 and entry.accuracy.mean == pytest.approx(0.81)
    assert entry.accuracy.deviation == pytest.approx(0.02 / 2**0.5)  # of two values: their distance over sqrt 2


def test_the_recipe_of_the_paper_comes_first_then_the_most_images():
    runs = [("few", run(n_train=100)), ("many", run(n_train=200)), ("paper", run(recipe="paper", n_train=10))]
    found = [entry.run_ids for entry in beside_printed(runs) if entry.row == "table3/Ref-1"]
    assert found == [["paper"], ["many"], ["few"]]


def test_what_the_paper_does_not_print_stands_beside_nothing():
    assert beside_printed([("x", run(mask="F2,F9"))]) == []
    assert beside_printed([("x", run(dataset="digits"))]) == []
    assert beside_printed([("x", run(definition="imagenet", mask="Full"))]) == []


def test_mnasnet_stands_beside_its_rows_in_the_recovered_definition_of_the_data_set():
    mnasnet = {"backbone": "mnasnet", "mask": "Full"}
    for definition, dataset in (("paper-cifar10", "cifar10"), ("paper", "cifar100")):
        ours = run(**mnasnet, definition=definition, dataset=dataset)
        assert [entry.row for entry in beside_printed([("x", ours)])] == [f"table1/{dataset}/MnasNet"]
    for definition, dataset in (("paper", "cifar10"), ("small", "cifar10"), ("imagenet", "cifar100")):
        assert beside_printed([("x", run(**mnasnet, definition=definition, dataset=dataset))]) == []


def test_a_cnn_stands_beside_table_2_alone():
    assert [entry.row for entry in beside_printed([("x", run(kind="cnn"))])] == ["table2/cifar10/SqueezeNet-P"]
