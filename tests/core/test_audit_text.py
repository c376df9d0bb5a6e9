"""What the text of Kabir et al. says, against their tables: every figure by hand, and every printed one decides."""

import copy
import dataclasses
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from core.paper import printed, prose, prose_ratios, statements
from core.paper.prose import CHECKS, text_findings
from core.paper.tables import paper_audit
from core.report.faults import faults


def found(row, field):
    matching = [f for f in text_findings() if (f.row, f.field) == (f"text/{row}", field)]
    assert len(matching) == 1, f"{row} {field}: {len(matching)}"
    return matching[0]


#: Statement, figure, verdict, and the value by literal arithmetic on the printed cells (None: a sentence alone).
BY_HAND = [
    ("headline", "accuracy below CNN SqueezeNet", "not checkable", 81 - 81),
    ("headline", "energy below CNN SqueezeNet", "confirmed", 100 * (0.252 - 0.030) / 0.252),
    ("headline", "accuracy below CNN SqueezeNet-P", "confirmed", 82 - 81),
    ("headline", "energy below CNN SqueezeNet-P", "contradicted", 100 * (0.168 - 0.030) / 0.168),
    ("headline", "both against one CNN", "not checkable", None),
    ("counterpart", "energy below CNN SqueezeNet-P", "contradicted", 100 * (0.168 - 0.030) / 0.168),
    ("efficiency", "gain in energy efficiency", "contradicted", 100 * (0.252 / 0.030 - 1)),
    ("up-to", "largest ratio of energies", "confirmed", 0.047 / 0.003),
    ("own-twin", "ratio of energies", "confirmed", 0.168 / 0.030),
    ("own-twin", "accuracy of the SNN", "confirmed", 81),
    ("own-twin", "accuracy of the CNN", "confirmed", 82),
    ("outperforms", "most accurate on CIFAR-10", "contradicted", None),
    ("outperforms", "most accurate on CIFAR-100", "contradicted", None),
    ("outperforms", "most accurate on Tiny ImageNet", "confirmed", None),
    ("best-of-six", "most accurate on CIFAR-10", "confirmed", None),
    ("best-of-six", "most accurate on CIFAR-100", "confirmed", None),
    ("best-of-six", "most accurate on Tiny ImageNet", "confirmed", None),
    ("pruning", "gain in accuracy", "confirmed", 81 - 75),
    ("pruning", "parameters saved", "confirmed", 100 * (736.5 - 599.1) / 736.5),
    ("pruning-cifar10", "parameters saved", "confirmed", 100 * (736.5 - 599.1) / 736.5),
    ("pruning-cifar10", "energy saved", "confirmed", 100 * (0.0355 - 0.0295) / 0.0355),
    ("pruning-cifar100", "parameters saved", "confirmed", 100 * (782.6 - 645.3) / 782.6),
    ("pruning-cifar100", "energy saved", "confirmed", 100 * (0.0393 - 0.0316) / 0.0393),
    ("pruning-cifar100", "relative gain in accuracy", "confirmed", 100 * (54 - 47) / 47),
    ("pruning-tiny_imagenet", "parameters saved", "confirmed", 100 * (833.9 - 696.6) / 833.9),
    ("pruning-tiny_imagenet", "energy saved", "confirmed", 100 * (0.1543 - 0.1246) / 0.1543),
    ("pruning-tiny_imagenet", "relative gain in accuracy", "confirmed", 100 * (45 - 41) / 41),
    ("schedules", "parameters saved by Head-2", "confirmed", 100 * (736_500 - 376_220) / 736_500),
    ("schedules", "parameters saved by Alt-1", "confirmed", 100 * (736_500 - 362_030) / 736_500),
    ("head-heavy", "names of the schedules", "confirmed", None),
    ("equation", "energy on CIFAR-10", "confirmed", (523e3 * 0.9 + 506.9e3 * 4.6) * 1e-9),
    ("equation", "energy on CIFAR-100", "contradicted", (862e3 * 0.9 + 506.9e3 * 4.6) * 1e-9),
    ("equation", "energy on Tiny ImageNet", "contradicted", (2000e3 * 0.9 + 203e3 * 4.6) * 1e-9),
    ("mixnet-macs", "MACs on Tiny ImageNet", "contradicted", 4 * 506_900),
    ("xception-params", "parameters for 100 classes", "contradicted", 10.46e6 - 100 * (385.63e6 - 4 * 96.31e6) / 200),
    ("xception-params", "parameters for 10 classes", "contradicted", 10.46e6 - 190 * (385.63e6 - 4 * 96.31e6) / 200),
    ("names", "parameters of ShuffleNetV2", "contradicted", None),
    # the literature's for 1000 classes, less 990 classes of 1280 and 1536 features and a bias
    ("names", "parameters of MnasNet", "contradicted", 4_383_312 - 990 * 1281),
    ("names", "parameters of MixNet", "contradicted", 4_134_606 - 990 * 1537),
    ("leakage", "leakage at tau 2.0", "contradicted", None),
    ("leakage", "leakage at tau 1.08", "not checkable", None),
    ("patience", "best epoch", "not checkable", None),
]


@pytest.mark.parametrize(("row", "field", "verdict", "value"), BY_HAND)
def test_a_figure_of_the_text_is_what_the_cells_give_by_hand(row, field, verdict, value):
    one = found(row, field)
    assert one.verdict == verdict
    assert one.recomputed == (value if value is None else pytest.approx(value, rel=1e-9))


def test_every_finding_was_computed_by_hand_and_says_what_is_said_and_where():
    rows = [(f.row.removeprefix("text/"), f.field) for f in text_findings()]
    assert rows == [(row, field) for row, field, *_ in BY_HAND]
    for one in text_findings():
        assert one.statement and one.place and one.table == "Text" and one.arithmetic.endswith(".")
        assert one.place.startswith(("paper, ", "thesis, ", "README, ", "table "))


def test_the_headlines_two_halves_have_a_baseline_each():
    said = found("headline", "both against one CNN").arithmetic
    assert "against CNN SqueezeNet 0 and 88.1, against CNN SqueezeNet-P 1 and 82.1" in said
    assert "the 1 is that of CNN SqueezeNet-P, the 88.1 is that of CNN SqueezeNet" in said
    open_ = found("headline", "accuracy below CNN SqueezeNet")
    assert (open_.low, open_.high) == (80.5 - 81.5, 81.5 - 80.5) and "only if the rounding" in open_.arithmetic
    assert (
        "Against CNN SqueezeNet, which is not pruned, it is 88.1."
        in found("counterpart", "energy below CNN SqueezeNet-P").arithmetic
    )
    finer = 100 * (0.252 - 0.0295) / 0.252
    assert (
        f"With the 0.0295 mJ of table 1 it is {finer:.1f}"
        in found("headline", "energy below CNN SqueezeNet").arithmetic
    )


def test_a_reduction_is_no_efficiency():
    said = found("efficiency", "gain in energy efficiency").arithmetic
    assert f"{0.252 / 0.030:.1f} times as many" in said and "1 - 0.03 / 0.252 = 88.1 %" in said


def test_mixnets_wrong_energies_are_those_of_its_macs_alone():
    assert 506.9e3 * 4.6e-9 == pytest.approx(0.0023, abs=0.00005)
    assert "The MACs alone give 0.00233174 mJ, which does" in found("equation", "energy on CIFAR-100").arithmetic
    assert 4 * 506.9e3 * 4.6e-9 == pytest.approx(0.0093, abs=0.00005) and 203.0e3 * 4.6e-9 < 0.00094
    assert "The MACs alone do if they are 2,027,600" in found("equation", "energy on Tiny ImageNet").arithmetic
    assert "2.03 M, it does" in found("mixnet-macs", "MACs on Tiny ImageNet").arithmetic


def test_xceptions_parameters_for_100_classes_are_ten_times_the_printed():
    one = found("xception-params", "parameters for 100 classes")
    # a class has from (390 - 25) k / 200 to (390 + 25) k / 200 parameters, the largest count is within 5 k
    assert (one.low, one.high) == (pytest.approx(10_455e3 - 100 * 2075), pytest.approx(10_465e3 - 100 * 1825))
    assert one.low < 10.25e6 < one.high and "10.25 M, it does." in one.arithmetic
    assert 1825 < 2048 + 1 < 2075  # Xception's own head
    ten = found("xception-params", "parameters for 10 classes")
    assert not ten.low < 10.25e6 < ten.high and "it does not either" in ten.arithmetic


def test_half_of_shufflenets_width_is_less_than_is_printed_for_less():
    half = 1_366_792 - 990 * 1025  # the literature's for 1000 classes
    said = found("names", "parameters of ShuffleNetV2").arithmetic
    assert half < 911_000 and f"{half:,} for 10 classes" in said


def test_leakage_has_two_readings():
    assert (1 / 2.0, 1 - 1 / 2.0) == (0.5, 0.5) and round(1 / 1.08, 3) == 0.926 and round(1 - 1 / 1.08, 1) == 0.1
    assert "loses 0.926 and keeps 0.074" in found("leakage", "leakage at tau 1.08").arithmetic


def test_parameters_saved_name_what_the_mask_saves():
    said = found("pruning", "parameters saved").arithmetic
    assert f"By its mask it has 549,114, which is {1 - 549_114 / 736_458:.1%} fewer." in said
    assert f"relative to 75 % it is {100 * (81 / 75 - 1):.1f} %" in found("pruning", "gain in accuracy").arithmetic


# A printed figure decides


#: Statement, figure as the file names it, another value, finding, and the verdict it then has.
MUTATIONS = [
    ("headline", "accuracy_points", "3", "accuracy below CNN SqueezeNet-P", "contradicted"),
    ("headline", "accuracy_points", "0", "both against one CNN", "confirmed"),
    ("headline", "accuracy_points", "3", "both against one CNN", "contradicted"),
    ("headline", "energy_pct", "82.1", "both against one CNN", "confirmed"),
    ("headline", "energy_pct", "86.1", "energy below CNN SqueezeNet", "contradicted"),
    ("counterpart", "energy_pct", "82.1", "energy below CNN SqueezeNet-P", "confirmed"),
    ("efficiency", "gain_pct", "740", "gain in energy efficiency", "confirmed"),
    ("up-to", "ratio", "25.7", "largest ratio of energies", "contradicted"),
    ("own-twin", "ratio", "6.5", "ratio of energies", "contradicted"),
    ("own-twin", "snn_accuracy_pct", "83", "accuracy of the SNN", "contradicted"),
    ("own-twin", "cnn_accuracy_pct", "80", "accuracy of the CNN", "contradicted"),
    ("pruning", "accuracy_points", "8", "gain in accuracy", "contradicted"),
    ("pruning", "params_pct", "25", "parameters saved", "contradicted"),
    ("pruning-cifar10", "params_pct", "18.8", "parameters saved", "contradicted"),
    ("pruning-cifar10", "energy_pct", "17.9", "energy saved", "contradicted"),
    ("pruning-cifar100", "params_pct", "17.7", "parameters saved", "contradicted"),
    ("pruning-cifar100", "energy_pct", "20.6", "energy saved", "contradicted"),
    ("pruning-cifar100", "relative_accuracy_pct", "7", "relative gain in accuracy", "contradicted"),
    ("pruning-tiny_imagenet", "params_pct", "16.6", "parameters saved", "contradicted"),
    ("pruning-tiny_imagenet", "energy_pct", "18.2", "energy saved", "contradicted"),
    ("pruning-tiny_imagenet", "relative_accuracy_pct", "4", "relative gain in accuracy", "contradicted"),
    ("schedules", "Head-2", "49.8", "parameters saved by Head-2", "contradicted"),
    ("schedules", "Alt-1", "48.9", "parameters saved by Alt-1", "contradicted"),
    ("mixnet-macs", "macs_k", "2027.6", "MACs on Tiny ImageNet", "confirmed"),
    ("xception-params", "cifar100_k", "10265.0", "parameters for 100 classes", "confirmed"),
    ("xception-params", "cifar10_k", "10089.5", "parameters for 10 classes", "confirmed"),
    ("names", "ShuffleNetV2", "1.0", "parameters of ShuffleNetV2", "not checkable"),
    ("leakage", "leakage", "0.5", "leakage at tau 2.0", "confirmed"),
    ("leakage", "tau", "1.1", "leakage at tau 1.1", "not checkable"),
    ("leakage", "tau_found", "1.50", "leakage at tau 1.50", "contradicted"),
    ("patience", "patience", "150", "best epoch", "confirmed"),
    ("patience", "epochs", "10", "best epoch", "confirmed"),
]


@pytest.mark.parametrize(("row", "name", "value", "field", "verdict"), MUTATIONS)
def test_another_printed_figure_gets_another_verdict(monkeypatch, row, name, value, field, verdict):
    before = {f.field: f.verdict for f in text_findings() if f.row == f"text/{row}"}
    changed = tuple(
        dataclasses.replace(said, printed=said.printed | {name: value}) if said.id == row else said
        for said in statements.statements()
    )
    monkeypatch.setattr(prose, "statements", lambda: changed)
    assert found(row, field).verdict == verdict
    assert before.get(field) != verdict


def test_every_printed_figure_was_changed_once():
    assert {(row, name) for row, name, *_ in MUTATIONS} == {
        (said.id, name) for said in statements.statements() for name in said.printed
    }


@pytest.mark.parametrize(
    ("table", "row", "cell", "value", "said", "field", "verdict"),
    [
        # Xception then is the best of the others, and prints as much as SqueezeNet
        ("table1_snn", ("cifar10", "MnasNet"), "accuracy", 0.72, "outperforms", "most accurate on CIFAR-10", "not checkable"),
        ("table1_snn", ("cifar100", "MixNet"), "accuracy", 0.60, "best-of-six", "most accurate on CIFAR-100", "contradicted"),
        ("table1_snn", ("cifar100", "MixNet"), "energy_mj", 0.0031, "equation", "energy on CIFAR-100", "confirmed"),
        ("table1_snn", ("cifar10", "MixNet"), "ac_k", 923.0, "equation", "energy on CIFAR-10", "contradicted"),
        ("table2_cnn_cifar10", (None, "SqueezeNet"), "accuracy_pct", 82.0, "headline", "both against one CNN", "confirmed"),
        ("table2_cnn_cifar10", (None, "MixNet"), "energy_mj", 0.147, "up-to", "largest ratio of energies", "contradicted"),
    ],
)  # fmt: skip
def test_another_cell_gets_another_verdict(monkeypatch, table, row, cell, value, said, field, verdict):
    assert found(said, field).verdict != verdict
    changed = copy.deepcopy(printed.tables())
    dataset, model = row
    (one,) = [r for r in changed[table] if r["model"] == model and dataset == r.get("dataset")]
    one[cell] = value
    for module in (statements, prose_ratios):
        monkeypatch.setattr(module, "tables", lambda: changed)
    assert found(said, field).verdict == verdict


def test_a_schedule_that_keeps_its_tail_is_not_head_heavy(monkeypatch):
    changed = copy.deepcopy(printed.tables())
    (head,) = [row for row in changed["table3_masks_cifar10"] if row["schedule"] == "Head-1"]
    head["kept"] = ["F2", "F6", "F7", "F8", "F9"]
    monkeypatch.setattr(prose_ratios, "tables", lambda: changed)
    assert found("head-heavy", "names of the schedules").verdict == "contradicted"


# The file, and the audit


def test_the_file_holds_statements_whose_checks_are_there_and_none_is_left_over():
    content = json.loads(files("core.paper").joinpath("prose.json").read_text(encoding="utf-8"))
    ids = [entry["id"] for entry in content["statements"]]
    assert len(ids) == len(set(ids)) and {entry["check"] for entry in content["statements"]} == set(CHECKS)
    for entry in content["statements"]:
        assert all(float(digits) >= 0 and isinstance(digits, str) for digits in entry["printed"].values())


def test_the_audit_holds_the_text_behind_its_tables():
    tables = list(dict.fromkeys(f.table for f in paper_audit().findings))
    assert tables == ["Table 1", "Table 2", "Table 3", "Text"]
    assert [f for f in paper_audit().findings if f.statement] == list(text_findings())


def test_a_sentence_marks_no_point_of_a_plot():
    told = faults(paper_audit().findings, "cifar10")
    assert not [name for name in told if name.startswith("Text")] and any(name.startswith("Table 1/") for name in told)


def test_the_page_of_the_docs_has_every_statement_with_its_place_and_verdicts():
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8").partition("## LitE-SNN")[0]
    for said in statements.statements():
        verdicts = Counter(one.verdict for one in CHECKS[said.check](said))
        told = ", ".join(
            f"{verdicts[name]} {name}" for name in ("contradicted", "confirmed", "not checkable") if verdicts[name]
        )
        assert f"| {said.place} | {said.says} | {told} |" in page
    assert page.count("\n| ") - 2 == len(statements.statements())
