"""The audit's figure and tables against the paper's own audit."""

import csv
import dataclasses
import io

import pytest

from core.paper.own_table import content_audit
from core.paper.tables import paper_audit
from core.report.charts import audit as chart
from core.report.charts.audit_entries import entries, measure
from core.report.tables import audit_tables
from core.report.tables.csv_rows import as_csv
from core.schemas.audit import MeasuredMode, MeasuredPrint
from core.schemas.sweep import Aggregate
from frontend.pages.audit.list import by_weight

ROW = "table1/cifar10/SqueezeNet-P"


def several(mean, deviation=None, n=1):
    return Aggregate(n=n, mean=mean, deviation=deviation, low=None, high=None)


def group(row=ROW, **changes):
    modes = [
        MeasuredMode(mode="paper", acs=5e6, macs=4e6, energy_pj=several(29.5e6, 2e6, 3), difference="x1.00: same."),
        MeasuredMode(mode="exact", acs=9e6, macs=1e6, energy_pj=several(59e6, 1e6, 3), difference="x2.00: four steps."),
    ]
    fields = {"row": row, "run_ids": ["a", "b", "c"], "seeds": [0, 1, 2], "recipe": "paper", "time_steps": 4,
              "n_train": 40_000, "n_train_available": 45_000, "n_test": 10_000, "dataset_complete": True, "params": 549_114,
              "accuracy": several(0.8, 0.01, 3), "f1_macro": several(0.79, 0.01, 3), "modes": modes} | changes  # fmt: skip
    return MeasuredPrint(**fields)


def entry(row=ROW, measured=()):
    return next(one for one in entries(paper_audit(), measured) if one.row == row)


def test_every_finding_is_in_one_row():
    rows = entries(paper_audit())
    assert sum(len(one.findings) for one in rows) == len(paper_audit().findings)
    assert sum(one.count("contradicted") for one in rows) == paper_audit().contradicted


def test_a_measured_figure_is_in_the_printed_unit():
    one = entry(measured=[group()])
    energy = measure(one, "energy", "exact")
    assert (energy.value, energy.deviation, energy.n) == (
        pytest.approx(0.059),
        pytest.approx(0.001),
        3,
    )  # 59e6 pJ in mJ
    assert measure(one, "accuracy", "paper").value == 0.8
    assert measure(one, "params", "paper").value == 549_114 and measure(one, "time_steps", "paper") is None
    assert measure(entry(), "energy", "paper") is None


def test_table_2_takes_the_cnn_from_its_row_and_the_snn_from_table_1():
    cnn = group(row="table2/cifar10/SqueezeNet-P", accuracy=several(0.82))
    one = entry("table2/cifar10/SqueezeNet-P", [cnn, group()])
    assert measure(one, "cnn_accuracy", "paper").value == pytest.approx(82)  # printed in per cent there
    assert measure(one, "snn_accuracy", "paper").value == pytest.approx(80)
    assert measure(one, "delta_accuracy", "paper") is None


def test_the_figure_draws_ratios_to_the_print_and_a_contradiction_as_a_red_cross():
    rows = [one for one in entries(paper_audit(), [group()]) if one.table == "Table 1"]
    figure = chart.figure(rows, "Energy", source="printed")
    marks = {trace.name: trace for trace in figure.data}
    wrong = marks["recomputed, contradicted"]
    # MixNet: 0.00310754 of 0.0023 on CIFAR-100, 0.0027338 of 0.0093 on Tiny ImageNet
    assert sorted(wrong.x) == [pytest.approx(0.0027338 / 0.0093), pytest.approx(0.00310754 / 0.0023)]
    assert wrong.marker.symbol == "x" and len(marks["recomputed, confirmed"].x) == 18 - 2
    assert list(marks["measured, mode paper"].x) == [pytest.approx(0.0295 / 0.0295)]
    assert list(marks["measured, mode exact"].error_x.array) == [pytest.approx(0.001 / 0.0295)]
    assert "n = 3 seeds" in figure.layout.meta["caption"]


def test_a_figure_without_anything_to_hold_against_says_so():
    figure = chart.figure([entry()], "Accuracy", source="printed")
    assert not figure.data and "not measured" in figure.layout.annotations[0].text.replace("<br>", " ")


def test_a_row_shows_measured_columns_only_where_something_was_measured():
    assert "Measured" not in audit_tables.html(entry())
    shown = audit_tables.html(entry(measured=[group()]))
    assert "0.02950 ± 0.00200" in shown and "0.05900 ± 0.00100" in shown and "n = 3" in shown
    assert shown.count("<details>") == len(entry().findings)
    assert "549,114, which does not round to 599,100" in shown  # the arithmetic lies in the page, folded


def test_what_cannot_be_checked_is_folded_below_until_something_was_measured():
    shown = audit_tables.html(entry())
    table, _, rest = shown.partition('<details class="sf-rest">')
    assert "Not checkable: ACs, Accuracy, F1</summary>" in rest
    assert "<td>11,200,000</td>" in rest and "<td>11,200,000</td>" not in table
    assert "ACs depend on the spikes of the trained network" in rest and table.count("<details>") == 4
    assert "sf-rest" not in audit_tables.html(entry(measured=[group()]))  # there the row holds what was measured
    bare = entry("table1/cifar10/MnasNet")
    unknown = dataclasses.replace(bare, findings=tuple(f for f in bare.findings if f.verdict == "not checkable"))
    assert audit_tables.html(unknown).startswith('<details class="sf-rest">')  # no table without a row


def test_rows_with_a_contradiction_come_first_and_keep_their_order():
    rows = entries(paper_audit())
    sorted_rows = by_weight(rows)
    wrong = [one for one in rows if one.count("contradicted")]
    assert sorted_rows[: len(wrong)] == wrong and len(sorted_rows) == len(rows)
    assert sorted_rows[len(wrong) :] == [one for one in rows if one not in wrong]


def test_the_figure_prints_how_far_off_a_contradiction_is_and_the_titles_of_data_sets():
    rows = [one for one in entries(paper_audit()) if one.table == "Table 1"]
    figure = chart.figure(rows, "Energy", source="printed", titles={"cifar100": "CIFAR-100"})
    marks = {trace.name: trace for trace in figure.data}
    wrong = marks["recomputed, contradicted"]
    assert sorted(wrong.text) == ["0.294", "1.35"] and "text" in wrong.mode  # the ratios of the test above
    assert marks["recomputed, confirmed"].mode == "markers"
    assert "MixNet, CIFAR-100" in wrong.y and "MixNet, tiny_imagenet" in wrong.y


def test_the_first_row_s_figure_has_room_above_it():
    rows = [one for one in entries(paper_audit()) if one.table == "Table 2"]
    figure = chart.figure(rows, "Energy", source="printed")
    wrong = next(trace for trace in figure.data if trace.name == "recomputed, contradicted")
    assert wrong.y[0] == figure.layout.yaxis.categoryarray[0] and wrong.textposition == "top center"
    assert tuple(figure.layout.yaxis.range) == (3 - 0.5, -1)  # rows at 0, 1, 2 from above


def test_the_totals_name_the_verdict_beside_its_colour():
    said = audit_tables.totals(entry())
    assert "2 contradicted" in said and "2 confirmed" in said and "3 not checkable" in said


def test_names_in_a_table_of_ones_own_are_content():
    audit = content_audit(b"model,ac,mac,energy_mj\n<script>alert(1)</script>,1000000,1000,0.5\n", "<b>.csv")
    (one,) = entries(audit)
    assert one.count("contradicted") == 1 and "<script" not in audit_tables.html(one) + audit_tables.totals(one)
    assert "<script" not in chart.figure([one], "Energy", source="x").to_json()


def test_the_example_is_understood_and_finds_the_contradiction_it_shows():
    audit = content_audit(audit_tables.example_csv().encode(), "example.csv")
    assert (audit.confirmed, audit.contradicted) == (5, 1)  # MixNet on CIFAR-100
    assert [found.model for found in audit.findings if found.verdict == "contradicted"] == ["MixNet"]


def test_the_csv_has_a_row_a_finding_with_both_measured_modes():
    rows = list(csv.DictReader(io.StringIO(as_csv(audit_tables.rows([entry(measured=[group()])])))))
    assert len(rows) == len(entry().findings)
    energy = next(row for row in rows if row["field"] == "energy")
    assert (float(energy["measured_paper"]), float(energy["measured_exact"])) == (0.0295, 0.059)
    assert energy["n_seeds"] == "3" and energy["verdict"] == "confirmed"
