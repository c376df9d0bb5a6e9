"""The page Audit, run by Streamlit's own test runner against the real API."""

from __future__ import annotations

import json

from core.analysis.aggregate import aggregate
from core.paper.beside import MODES_BESIDE
from core.paper.sources import SOURCES as KNOWN
from core.paper.tables import paper_audit
from core.report.charts.audit_entries import entries
from core.schemas.audit import MeasuredAudit, MeasuredMode, MeasuredPrint
from frontend.client.api import Client
from frontend.keys import Key
from frontend.pages.audit.list import PAGE_SIZE, by_weight
from frontend.pages.audit.page import SOURCES


def rows_of(table):
    return [entry for entry in entries(paper_audit()) if entry.table == table]


def test_the_paper_s_first_table_comes_with_its_totals_and_a_way_to_reproduce_each_row(visit, words):
    page = visit("audit")
    text, rows = words(page), rows_of("Table 1")
    assert f"contradicted {sum(row.count('contradicted') for row in rows)}" in text
    assert f"{len(rows)} rows" in text and "Not measured here" in text
    links = [link.proto.query_string for link in page.get("page_link") if link.proto.label == "Reproduce this row"]
    listed = by_weight(rows)
    assert links == [f"row={row.row.replace('/', '%2F')}" for row in listed[:PAGE_SIZE] if not row.several]
    assert listed[0].count("contradicted") and "Rows with a contradicted figure come first." in text
    drawn = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert any(trace["name"] == "recomputed, contradicted" for trace in drawn["data"])


def test_a_verdict_leaves_only_rows_that_bear_it(visit, words):
    page = visit("audit")
    page.segmented_control(key=Key.AUDIT_TABLE).set_value("Table 3").run()
    page.pills(key=Key.AUDIT_VERDICT).set_value("confirmed").run()
    kept = [row for row in rows_of("Table 3") if row.count("confirmed")]
    assert f"{len(kept)} rows" in words(page) and 0 < len(kept) < len(rows_of("Table 3"))
    assert all(f"**{row.model.replace('-', '-')}**" in words(page) for row in kept)


def test_the_text_stands_beside_the_tables_with_its_arithmetic_and_leaves_as_latex(visit, words):
    page = visit("audit")
    page.segmented_control(key=Key.AUDIT_TABLE).set_value("Text").run()
    said = words(page)
    assert f"{len(rows_of('Text'))} sentences" in said and "· paper, abstract" in said
    assert "against CNN SqueezeNet-P 1 and 82.1" in said and "Reproduce this row" not in said
    assert not page.get("plotly_chart") and not page.code
    page.session_state[Key.AUDIT_EXPORT] = True
    page.run()
    assert r"\begin{longtable}" in page.code[0].value
    page.pills(key=Key.AUDIT_VERDICT).set_value("not checkable").run()
    kept = [row for row in rows_of("Text") if row.count("not checkable")]
    assert f"{len(kept)} sentences" in words(page) and len(kept) == 3


def test_the_second_source_says_what_is_not_at_hand_and_shows_its_own_sentences(visit, words):
    page = visit("audit")
    page.segmented_control(key=Key.AUDIT_TABLE).set_value("Table 3").run()
    page.segmented_control(key=Key.AUDIT_SOURCE).set_value("lite-snn").run()
    said = words(page)
    assert "no figure of them is filled in or judged" in said and "Reproduce this row" not in said
    assert "Drawn of the other half: 0, not 25,000" in said and "6 sentences" in said
    assert page.segmented_control(key=Key.AUDIT_TABLE).value == "Search"
    page.segmented_control(key=Key.AUDIT_TABLE).set_value("Sizes").run()
    assert "15,603,120" in words(page) and not page.get("plotly_chart")
    page.session_state[Key.AUDIT_EXPORT] = True
    page.run()
    assert "2,367,023 bytes" in page.code[0].value
    assert set(SOURCES) == set(KNOWN)


def test_another_page_shows_other_rows(visit, words):
    page = visit("audit")
    first = words(page)
    page.session_state[Key.AUDIT_PAGE] = 2
    page.run()
    assert words(page) != first and by_weight(rows_of("Table 1"))[PAGE_SIZE].row in words(page)


def test_a_table_of_another_paper_is_audited_on_the_same_page(visit, words):
    page = visit("audit")
    page.segmented_control(key=Key.AUDIT_TABLE).set_value("A table of yours").run()
    assert "Bring the table of another paper" in words(page) and "MixNet,862,506.9,0.0023" in words(page)
    good = b"model,ac_k,mac_k,energy_mj\nNet-A,16610,4470,0.0355\nNet-B,16610,4470,0.0455\n"
    page.file_uploader(key=Key.AUDIT_FILE).set_value(("other.csv", good, "text/csv")).run()
    assert "Net-B" in words(page) and "contradicted 1" in words(page) and "Source: other.csv" in words(page)
    bad = b"model,ac,mac,energy_mj\nNet,1,x,3\n"
    page.file_uploader(key=Key.AUDIT_FILE).set_value(("bad.csv", bad, "text/csv")).run()
    said = words(page)
    assert "This table cannot be read." in said and "bad.csv, line 2" in said and "Value not allowed" not in said


def test_of_very_many_settings_those_nearest_to_the_paper_are_shown(visit, words, monkeypatch):
    one = aggregate([0.5])
    modes = [
        MeasuredMode(mode=name, acs=1.0, macs=1.0, energy_pj=one, difference="as printed") for name in MODES_BESIDE
    ]
    groups = [
        MeasuredPrint(
            row="table1/cifar10/SqueezeNet-P", run_ids=[f"{number:016x}"], seeds=[0], recipe="smoke", time_steps=4,
            n_train=1000 - number, n_train_available=48_000, n_test=10_000, dataset_complete=True, params=549_127,
            accuracy=one, f1_macro=one, modes=modes,
        )
        for number in range(24)
    ]  # fmt: skip
    found = MeasuredAudit(profile="horowitz-45nm", measured=groups)
    monkeypatch.setattr(Client, "measured_audit", lambda client: found)
    said = words(visit("audit"))
    assert "trained on 1,000 of 48,000 images" in said and "trained on 980 of 48,000" in said
    assert "trained on 979 of 48,000" not in said and "and 3 more" in said
