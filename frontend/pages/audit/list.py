"""Audited rows as cards, a page at a time, and what is above them: totals and filters."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.report.charts import audit as chart
from core.report.charts.audit_entries import SIGN, VERDICTS, Entry
from core.report.tables import audit_latex, audit_tables
from core.report.tables.csv_rows import as_csv
from core.schemas.audit import Audit, MeasuredPrint
from frontend.client.connection import plain
from frontend.keys import Key
from frontend.parts.chart_box import show
from frontend.places import link_compare, link_row, link_run

PAGE_SIZE = 8
CODE_ROWS = 100

MOST_SETTINGS = 20  # of a row, beside the first: those nearest to how the paper trained come first


def totals(audit: Audit, entries: Sequence[Entry]) -> None:
    """How many figures of these rows bear which verdict, and the rule."""
    with st.container(horizontal=True):
        for verdict in VERDICTS:
            n = sum(entry.count(verdict) for entry in entries)
            st.metric(f"{SIGN[verdict]} {verdict}", f"{n:,}", width="content")
    st.caption(plain(f"{audit.rule} Prices: {audit.profile}. Source: {audit.source}."))


def filters(entries: Sequence[Entry], titles: dict[str, str]) -> list[Entry]:
    """The rows with a chosen verdict, on a chosen data set."""
    first, second = st.columns([1.6, 1], vertical_alignment="bottom")
    verdict = first.pills(
        "Rows with a figure that is",
        list(VERDICTS),
        key=Key.AUDIT_VERDICT,
        persist_state="session",
        on_change=_first_page,
        format_func=lambda name: f"{SIGN[name]} {name}",
    )
    known = list(dict.fromkeys(name for entry in entries for name in entry.datasets))
    dataset = None
    if len(known) > 1:
        dataset = second.selectbox(
            "Data set",
            [None, *known],
            key=Key.AUDIT_DATASET,
            format_func=lambda name: titles.get(name, name) if name else "all",
            persist_state="session",
            on_change=_first_page,
        )
    return [
        entry
        for entry in entries
        if (verdict is None or entry.count(verdict)) and (dataset is None or dataset in entry.datasets)
    ]


def picture(entries: Sequence[Entry], titles: dict[str, str], *, source: str, name: str) -> None:
    """The chosen quantity of these rows, as ratios to the print."""
    quantity = st.segmented_control(
        "Quantity drawn",
        list(chart.QUANTITIES),
        default="Energy",
        required=True,
        key=Key.AUDIT_QUANTITY,
        wrap=True,
        persist_state="session",
    )
    drawn = chart.figure(entries, quantity, source=source, titles=titles)
    show(
        drawn,
        key=Key.AUDIT_CHART.of("ratio"),
        data=lambda: audit_tables.rows(entries),
        file_name=f"spikefront-audit-{name}.csv",
    )


def cards(entries: Sequence[Entry], titles: dict[str, str], *, ours: bool) -> None:
    """One card a row, PAGE_SIZE of them. `ours`: rows of the paper, that can be trained here."""
    noun = "sentence" if entries and entries[0].statement else "row"
    st.subheader(f"{len(entries):,} {noun}{'' if len(entries) == 1 else 's'}")
    if not entries:
        st.caption("Nothing fits these filters.")
        return
    entries = by_weight(entries)
    if entries[0].count("contradicted") and not entries[-1].count("contradicted"):
        st.caption(f"{noun.capitalize()}s with a contradicted figure come first.")
    pages = -(-len(entries) // PAGE_SIZE)
    if st.session_state.get(Key.AUDIT_PAGE, 1) > pages:
        _first_page()
    page = st.session_state.get(Key.AUDIT_PAGE, 1)
    for entry in entries[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]:
        _card(entry, titles, ours=ours)
    if pages > 1:
        st.pagination(pages, key=Key.AUDIT_PAGE)


def by_weight(entries: Sequence[Entry]) -> list[Entry]:
    """Rows with a contradicted figure first, else as they came."""
    return sorted(entries, key=lambda entry: not entry.count("contradicted"))


def exports(audit: Audit, entries: Sequence[Entry], titles: dict[str, str], *, name: str) -> None:
    """The rows that are shown, on all their pages, for elsewhere; put together when one asks."""
    if not entries:
        return
    box = st.expander(
        "For a paper: LaTeX and CSV", icon=":material/functions:", key=Key.AUDIT_EXPORT, on_change="rerun"
    )
    if not box.open:
        return

    def latex() -> str:
        return audit_latex.table(audit, by_weight(entries), titles)

    with box:
        if len(entries) <= CODE_ROWS:  # a long one is for a file, not for the eye
            st.code(latex(), language="latex", wrap_lines=True, height=320)
        with st.container(horizontal=True):
            for kind, content, ending, mime in (
                ("LaTeX", latex, "tex", "application/x-tex"),
                ("CSV", lambda: as_csv(audit_tables.rows(entries)), "csv", "text/csv"),
            ):
                st.download_button(
                    f"Download {kind}",
                    content,
                    file_name=f"spikefront-audit-{name}.{ending}",
                    mime=mime,
                    on_click="ignore",
                    icon=":material/download:",
                )


def _card(entry: Entry, titles: dict[str, str], *, ours: bool) -> None:
    with st.container(border=True):
        trainable = ours and entry.trainable
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(width="content", gap=None):
                st.markdown(_title(entry, titles))
                st.html(audit_tables.totals(entry))
            if trainable:
                with st.container(width="content"):
                    link_row(entry.row)
        st.html(audit_tables.html(entry))
        if trainable:
            _measured(entry)


def _title(entry: Entry, titles: dict[str, str]) -> str:
    """A network and where its row stands, or what the text says and where."""
    where = ", ".join(titles.get(name, name) for name in entry.datasets)
    if entry.statement is not None:
        return f"**{plain(entry.statement)}** · {plain(entry.where or entry.row)}"
    return f"**{plain(entry.model)}** · {plain(f'{entry.table} · {where}' if where else entry.row)}"


def _measured(entry: Entry) -> None:
    if not entry.measured:
        st.caption("Not measured here: no run of this network on this data set has succeeded.")
        return
    first, *others = entry.measured
    st.caption(plain(f"Measured: {audit_tables.group_words(first)}. {audit_tables.differences(first)}"))
    _open(first)
    if others:
        with st.expander(f"{len(others)} more settings measured" if len(others) > 1 else "One more setting measured"):
            for group in others[:MOST_SETTINGS]:
                st.caption(plain(f"{audit_tables.group_figures(group)}: {audit_tables.group_words(group)}."))
                _open(group)
            if n := len(others[MOST_SETTINGS:]):
                st.caption(f"and {n:,} more, which Runs and Explore show")


def _open(group: MeasuredPrint) -> None:
    if len(group.run_ids) == 1:
        link_run(group.run_ids[0], "Open the run")
    else:
        link_compare(group.run_ids[:10], "Compare the seeds")


def _first_page() -> None:
    st.session_state.pop(Key.AUDIT_PAGE, None)
