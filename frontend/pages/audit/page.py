"""Audit: printed tables beside ours, row by row: printed, recomputed, measured, and what contradicts."""

from __future__ import annotations

import streamlit as st

from core.report.charts.audit_entries import Entry, entries
from core.schemas.audit import DEFAULT_SOURCE, Audit
from frontend.client.connection import api
from frontend.keys import Key
from frontend.pages.audit import list as audit_list
from frontend.pages.audit import upload as audit_upload

OWN = "A table of yours"
SOURCE = "printed: Kabir et al., arXiv:2602.09717"
#: Each source that the API knows, for people.
SOURCES = {DEFAULT_SOURCE: "Kabir et al., printed tables", "lite-snn": "LitE-SNN, released code"}
OF_TABLES = (
    "Every figure that the paper prints, recomputed from the row's other figures and from the network itself, and "
    "measured by training it. Unfold a verdict to see the arithmetic."
)
OF_TEXT = (
    "What the paper, the thesis behind it and its authors' README say of their own tables, in our words, held against those "
    "tables; and cells that cannot be meant as they are printed."
)
OF_CODE = (
    "What the released code of LitE-SNN (Liu et al., IJCAI 2024) and its README say, in our words, held against arithmetic on that "
    "code and its two architectures. The result tables of the paper are not at hand: no figure of them is filled in or judged here."
)


def render() -> None:
    st.title("Audit")
    source = st.segmented_control(
        "Source", list(SOURCES), default=DEFAULT_SOURCE, required=True, key=Key.AUDIT_SOURCE, on_change=_other_source,
        persist_state="session", format_func=SOURCES.__getitem__,
    )  # fmt: skip
    ours = source == DEFAULT_SOURCE  # whose networks can be trained here as its rows
    audit = api().audit(source)
    printed = list(dict.fromkeys(finding.table for finding in audit.findings))
    table = st.segmented_control(
        "Table", [*printed, OWN], default=printed[0], required=True, key=Key.AUDIT_TABLE, on_change=_afresh,
        persist_state="session", wrap=True,
    )  # fmt: skip
    if table == OWN:
        _own()
        return
    said = any(finding.statement for finding in audit.findings if finding.table == table)
    st.markdown((OF_TEXT if said else OF_TABLES) if ours else OF_CODE)
    measured = api().measured_audit().measured if ours else ()
    rows = [entry for entry in entries(audit, measured) if entry.table == table]
    name = table.lower().replace(" ", "") if ours else f"{source}-{table.lower()}"
    _show(audit, rows, source=f"{SOURCE}, {table.lower()}", name=name, ours=ours)


def _own() -> None:
    found = audit_upload.draw()
    if found is not None:
        name, audit = found
        _show(audit, entries(audit), source=f"printed: {name}", name="own-table", ours=False)


def _show(audit: Audit, rows: list[Entry], *, source: str, name: str, ours: bool) -> None:
    titles = {item.name: item.title for item in api().catalog().datasets}
    audit_list.totals(audit, rows)
    shown = audit_list.filters(rows, titles)
    if not any(row.statement for row in rows):  # sentences have no one quantity to draw
        audit_list.picture(shown, titles, source=source, name=name)
    audit_list.cards(shown, titles, ours=ours)
    audit_list.exports(audit, shown, titles, name=name)


def _other_source() -> None:
    """Another source: its first table."""
    st.session_state.pop(Key.AUDIT_TABLE, None)
    _afresh()


def _afresh() -> None:
    """Another table: from its first page, and without a filter that it may not have."""
    for key in (Key.AUDIT_PAGE, Key.AUDIT_DATASET):
        st.session_state.pop(key, None)
