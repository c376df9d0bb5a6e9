"""The released code of LitE-SNN against itself: every figure by hand, and the export of the findings."""

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import pytest

from core.errors import UnknownName
from core.paper import released_search as search
from core.paper.released import CHECKS, cell_bit_synops, compression, network
from core.paper.sources import SOURCES, audit_of
from core.paper.statements import read
from core.paper.tables import paper_audit
from core.report.charts.audit_entries import entries
from core.report.tables import audit_latex, audit_tables
from core.report.tables.csv_rows import as_csv

EXACT = {  # row -> figures in order: printed, recomputed, verdict
    "search/halves": [(25_000, 25_000, "confirmed"), (25_000, 0, "contradicted")],
    "search/second-batch": [(None, 0, "contradicted")],
    "search/operations": [(2, 1, "contradicted"), (None, 1 * 3 * 6, "not checkable")],
    "search/decoded": [(4, 3, "contradicted"), (2 + 3 + 4 + 5, 2 + 3 + 4, "contradicted"), (12, 48, "contradicted")],
    "search/time-steps": [(5, None, "not checkable")],
    "retraining/hundred-classes": [(100, 10, "contradicted")],
    "retraining/validation": [(None, 0, "contradicted")],
    "retraining/membranes": [(None, 1, "contradicted")],
    "retraining/stem": [(None, 27 * 144 * 1024, "contradicted")],
    "retraining/speech": [(None, None, "not checkable")],
}
WHOLE = audit_of("lite-snn")


def found(row):
    return [finding for finding in WHOLE.findings if finding.row == row]


@pytest.mark.parametrize("row", EXACT)
def test_a_count_is_the_one_by_hand(row):
    assert [(one.printed, one.recomputed, one.verdict) for one in found(row)] == EXACT[row]


def test_sizes_of_both_architectures_are_those_by_hand():
    # stem 27 x 144 = 3,888, classifier 10 x 576 = 5,760; an edge has 9 C_in C_out
    assert [one.recomputed for one in found("sizes/readme")] == [
        15_603_120, 62.41248, 0.958975, 2.909365, 2.367023, 2_212_288_128, 1_038_326_169.6,
    ]  # fmt: skip
    assert [one.recomputed for one in found("sizes/code")] == [
        14_898_096, 59.592384, 1.12072, 2.982982, 2.465145, 2_063_652_480, 1_369_571_328,
    ]  # fmt: skip
    assert {one.verdict for row in ("readme", "code") for one in found(f"sizes/{row}")} == {"not checkable"}
    assert all(one.printed is None for row in ("readme", "code") for one in found(f"sizes/{row}"))


def test_the_page_of_the_docs_has_both_architectures():
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    for row in ("readme", "code"):
        weights, float32, *sizes, macs, synops = (one.recomputed for one in found(f"sizes/{row}"))
        told = [f"{size:.3f} MB" for size in sizes]
        line = f"{weights:,.0f} | {float32:.2f} MB | {' | '.join(told)} | {macs / 1e6:,.1f}M | {synops / 1e6:,.1f}M |"
        assert line in page


def test_the_readmes_weights_are_a_sum_over_its_edges():
    # edges 0,1 | 2,3 | 5,7: every node reads the cell two before; nodes 1 and 2 the cell before, node 3 node 1
    before = [144, 144, 144, 144, 288, 288, 288, 576, 576]  # outputs of stem, stem, C1 ... C7
    widths = [48, 48, 96, 96, 96, 192, 192, 192]
    cells = sum(9 * c * (3 * before[cell] + 2 * before[cell + 1] + c) for cell, c in enumerate(widths))
    assert 27 * 144 + cells + 10 * 576 == found("sizes/readme")[0].recomputed == 15_603_120


def test_bit_synops_leave_out_what_reads_real_values():
    _, said = read("released.json")
    one = next(statement for statement in said if statement.id == "readme")
    plan, chosen = network("released-readme"), compression(one)
    assert chosen.by_block["C1"] == 1 and chosen.by_block["C8"] == 4 and chosen.keep == 0.2
    # all cells at 4 bits: 0.2 x 4 of the dense ones but the stem's 3,981,312 and the classifier's 5,760
    four = chosen.model_copy(update={"block_bits": ""})
    assert cell_bit_synops(plan, four) == Fraction(4, 5) * (2_212_288_128 - 3_981_312 - 5_760)


def test_a_weight_of_few_bits_needs_its_place_too():
    ones = found("sizes/size-per-weight")
    assert [one.printed for one in ones] == [0.2, 0.4, 0.8]
    assert [one.high for one in ones] == [1.2, 1.4, 1.8]  # a bit for every place
    assert [one.recomputed for one in ones] == pytest.approx([0.9219, 1.1219, 1.5219], abs=1e-4)  # and H(0.2) = 0.7219


def test_the_penalties_are_thousandths():
    # 4 nodes of 12 filters: cell 2 reads 48 and 48 channels over two operations, inner edges over one
    second = [edge for edge in search.mixed_edges(32) if edge.side == 32][4 + 6 :]
    assert sum(edge.weights for edge in second) == 4 * 2 * 9 * 96 * 12 + 6 * 9 * 12 * 12
    assert sum(edge.weights for edge in search.mixed_edges(32)) == 4_339_008
    assert search.size_bits(32) == Fraction(4_339_008 * 7, 15)
    size, synops = (one.recomputed for one in found("search/penalties"))
    assert size == pytest.approx(5e-10 * 4_339_008 * 7 / 15)
    assert synops == pytest.approx(5e-14 * float(search.most_bit_synops(32)) * 30 * 6)
    assert 1e-3 < size < synops < 1.3e-3


def test_param_size_counts_parameters():
    (one,) = found("sizes/megabytes")
    auxiliary = 576 * 128 + 4 * 128 * 768 + 768 * 10
    assert auxiliary == 474_624 and "474,624" in one.arithmetic
    normalised = 11_828 + 2 * (128 + 768 + 10)  # the network's, the auxiliary head's
    assert one.printed * 1e6 == pytest.approx(14_898_096 + auxiliary + normalised + 2 * 10)  # and two linear biases
    assert one.recomputed == pytest.approx(4 * one.printed)


def test_every_statement_has_an_arithmetic_and_none_is_idle():
    _, said = read("released.json")
    assert {statement.check for statement in said} == set(CHECKS)
    assert {finding.row for finding in WHOLE.findings} == {statement.row.id for statement in said}
    assert len(WHOLE.findings) == WHOLE.confirmed + WHOLE.contradicted + WHOLE.not_checkable == 34
    assert WHOLE.profile == "none" and "not at hand" in WHOLE.rule


def test_a_source_is_found_by_name_and_cut_by_data_set():
    assert audit_of("kabir") == paper_audit() and list(SOURCES) == ["kabir", "lite-snn"]
    part = audit_of("lite-snn", "cifar100")
    assert {one.row for one in part.findings} == {"search/halves", "retraining/hundred-classes"}
    assert part.rule == WHOLE.rule and part.profile == "none"
    with pytest.raises(UnknownName, match="Known: kabir, lite-snn"):
        audit_of("zzz")


def test_it_leaves_as_latex_and_csv():
    chosen = [entry for entry in entries(WHOLE) if entry.table == "Sizes"]
    assert [entry.row for entry in chosen][:2] == ["sizes/size-per-weight", "sizes/readme"] and not chosen[0].trainable
    made = audit_latex.table(WHOLE, chosen)
    assert r"Prices: none" in made and r"15,603,120 & not checkable" in made
    rows = list(csv.DictReader(io.StringIO(as_csv(audit_tables.rows(chosen)))))
    assert [row["row"] for row in rows].count("sizes/readme") == 7 and rows[0]["place"] == "SNN.py, SNN_2d"
    assert json.loads(WHOLE.model_dump_json())["findings"][0]["place"] == "search.py, main"
