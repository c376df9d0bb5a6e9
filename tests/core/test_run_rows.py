"""Many runs as rows of a table, as groups with mean and deviation, and what changed among them."""

from __future__ import annotations

from statistics import stdev

import pytest

from core.report.tables import csv_rows, run_rows
from core.schemas.run_table import RunColumns, RunCounts, change


def columns(*runs: dict) -> RunColumns:
    plain = {
        "id": "a", "state": "succeeded", "kind": "snn", "backbone": "squeezenet", "dataset": "digits", "recipe": "smoke",
        "seed": 0, "time_steps": 4, "accuracy": 0.9, "f1_macro": 0.8, "params": 1000, "firing_rate": 0.1, "n_train": 300,
        "n_test": 360, "dataset_complete": True, "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:01Z",
        "finished_at": "2026-01-01T00:01:01Z", "name": None, "note": "", "archived": False, "label": "SNN Ref-1, epochs 2",
        "mask": "Ref-1", "acs": 10.0, "macs": 5.0, "energy_pj": 8e6, "tags": [], "sweeps": [],
        "submitter": None, "project": None,
    }  # fmt: skip
    made = [plain | run for run in runs]
    return RunColumns(
        n=len(made), mode="exact", profile="p", columns={name: [run[name] for run in made] for name in plain}
    )


def test_a_run_in_the_table_has_its_figures_in_the_units_of_the_titles():
    (row,) = run_rows.rows(run_rows.table(columns({"tags": ["b", "a"]})))
    assert (row["accuracy_percent"], row["energy_uj"], row["took_s"]) == (90.0, 8.0, 60.0)
    assert (row["run"], row["tags"], row["kind"]) == ("SNN Ref-1, epochs 2", "b, a", "SNN")
    assert set(row) == set(run_rows.TITLES)


def test_a_name_of_its_own_stands_before_the_label_which_stays_beside_it():
    (row,) = run_rows.rows(run_rows.table(columns({"name": "for figure 3"})))
    assert (row["run"], row["label"]) == ("for figure 3", "SNN Ref-1, epochs 2")


def test_a_group_has_mean_and_sample_deviation_of_what_has_succeeded():
    waits = {
        "state": "queued",
        "accuracy": None,
        "energy_pj": None,
        "f1_macro": None,
        "params": None,
        "firing_rate": None,
    }
    found = run_rows.groups(columns({"accuracy": 0.90}, {"accuracy": 0.94}, waits, {"recipe": "fast"}), "recipe")
    fast, smoke = found
    assert (smoke["recipe"], smoke["n"], smoke["succeeded"]) == ("smoke", 3, 2)
    assert smoke["accuracy_percent"] == pytest.approx(92.0)
    assert smoke["accuracy_percent_deviation"] == pytest.approx(stdev([90.0, 94.0]))
    assert fast["n"] == 1 and fast["accuracy_percent_deviation"] is None


def test_networks_and_data_sets_are_never_averaged_together():
    found = run_rows.groups(columns({}, {"kind": "cnn"}, {"dataset": "cifar10"}), "backbone")
    assert [group["n"] for group in found] == [1, 1, 1]


def test_a_run_in_two_sweeps_is_in_both_groups_and_one_in_none_in_its_own():
    found = run_rows.groups(columns({"sweeps": ["x", "y"]}, {}), "sweep", sweeps={"x": "masks"})
    assert [group["sweep"] for group in found] == [run_rows.NO_SWEEP, "masks", "y"]


@pytest.mark.parametrize("by", run_rows.GROUPED)
def test_nothing_gathers_to_nothing(by):
    assert run_rows.groups(columns(), by) == [] and run_rows.rows(run_rows.table(columns())) == []


def test_no_text_of_the_table_starts_a_formula():
    text = csv_rows.as_csv(run_rows.rows(run_rows.table(columns({"name": "=1+1", "note": "@x"}))))
    assert "'=1+1" in text and "'@x" in text


def counts(**states: int) -> RunCounts:
    return RunCounts(states=states)


def test_what_changed_is_said_in_one_line():
    before = counts(running=1, succeeded=3)
    assert not change(before, before)
    assert change(before, counts(queued=2, succeeded=4)).words == "2 new runs, 1 ended"
    assert change(before, counts(running=2, succeeded=3)).words == "1 new run"
    assert change(before, counts(succeeded=2)).words == "2 gone"


def test_whose_a_run_is_is_a_column_at_once_where_any_says_so_and_a_group():
    assert run_rows.first(columns({}, {})) == run_rows.FIRST
    shared = columns({"submitter": "ann", "project": "p"}, {"submitter": "ann"}, {})
    assert run_rows.first(shared) == (*run_rows.FIRST, "submitter", "project")
    assert {(row["submitter"], row["n"]) for row in run_rows.groups(shared, "submitter")} == {
        ("ann", 2), ("nobody by name", 1),
    }  # fmt: skip
    assert {(row["project"], row["n"]) for row in run_rows.groups(shared, "project")} == {("p", 1), ("no project", 2)}
