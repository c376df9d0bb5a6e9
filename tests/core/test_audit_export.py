"""The audit for elsewhere: LaTeX and CSV, and a sentence's card."""

import csv
import io
import re

from core.paper.own_table import content_audit
from core.paper.tables import paper_audit
from core.report.charts.audit_entries import entries
from core.report.tables import audit_latex, audit_tables
from core.report.tables.csv_rows import as_csv


def one(row):
    return next(entry for entry in entries(paper_audit()) if entry.row == row)


def test_latex_has_every_figure_under_its_sentence_or_row():
    chosen = [one("text/headline"), one("table1/cifar10/MnasNet")]
    made = audit_latex.table(paper_audit(), chosen, {"cifar10": "CIFAR-10"})
    assert made.count(r" \\*") == 2  # a heading stays with its figures
    assert r"\textit{SNN-SqueezeNet-P is 1 \% less accurate than CNN SqueezeNet" in made
    assert r"(paper, abstract)" in made and r"\textbf{MnasNet}, CIFAR-10 (Table 1)" in made
    rows = [line for line in made.splitlines() if re.search(r"& (confirmed|contradicted|not checkable) &", line)]
    assert len(rows) == sum(len(entry.findings) for entry in chosen)
    assert r"Energy below CNN SqueezeNet-P, \% & 88.1 & 82.14 & contradicted & 1 - 0.03 / 0.168 = 82.1429 \%" in made
    assert "-- & -- & not checkable & Points of accuracy" in made
    assert made.count("{") == made.count("}") and not re.search(r"(?<!\\)[%#_$]", made.partition("\n")[2])


def test_names_of_a_table_of_ones_own_are_no_latex():
    audit = content_audit(b"model,ac,mac,energy_mj\n\\input{x}_$1,1000000,1000,0.5\n", "100%.csv")
    made = audit_latex.table(audit, entries(audit))
    assert r"\input" not in made and r"\textbackslash{}input\{x\}\_\$1" in made and r"100\%.csv" in made


def test_csv_says_what_was_said_and_where():
    rows = list(csv.DictReader(io.StringIO(as_csv(audit_tables.rows([one("text/leakage"), one("table3/Alt-1")])))))
    said, table = rows[0], rows[-1]
    assert said["place"] == "thesis, section 3.1" and said["statement"].startswith("The neurons' leakage is 0.1")
    assert said["verdict"] == "contradicted" and said["arithmetic"].startswith("A step loses 0.500")
    assert table["place"] == table["statement"] == ""


def test_a_sentence_shows_all_its_arithmetic_unfolded_and_numbers_only_where_there_are_some():
    shown = audit_tables.html(one("text/headline"))
    assert "<details" not in shown and "sf-rest" not in shown
    assert shown.count('class="sf-sum"') == len(one("text/headline").findings) == 5
    assert "Energy below CNN SqueezeNet-P, %" in shown and "Recomputed" in shown
    assert "Recomputed" not in audit_tables.html(one("text/outperforms"))


def test_a_sentence_cannot_be_trained_and_a_row_can():
    assert not one("text/headline").trainable and one("table1/cifar10/MnasNet").trainable
    assert not one("table1/cifar10/MnasNet+table1/cifar100/MnasNet").trainable
