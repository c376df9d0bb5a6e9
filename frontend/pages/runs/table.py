"""All runs as one table: sorted by any figure, columns of choice, gathered with mean and deviation, as CSV.

The rows are those that were read last: they do not move under a choice, and what changed since is said above them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from core.report.tables import csv_rows, run_rows
from core.schemas.run import RunState
from core.schemas.run_table import RunColumns, RunCounts
from core.showing import inert
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.pages.runs import bulk
from frontend.parts import changes
from frontend.parts import run_state as state
from frontend.parts.chart_box import csv_button
from frontend.parts.lens import Lens

HEIGHT = 620  # px: about fifteen rows, and the head
NUMBERS = {
    "accuracy_percent": "%.2f", "energy_uj": "%.4g", "f1_macro": "%.3f", "firing_rate": "%.3f", "params": "localized",
    "acs": "compact", "macs": "compact", "seed": "%d", "time_steps": "%d", "n_train": "localized",
    "n_test": "localized", "took_s": "%.0f", "n": "%d", "succeeded": "%d",
}  # fmt: skip


class Kept(NamedTuple):
    """Rows as they were read last, and for what."""

    asked: tuple
    turn: int
    counts: RunCounts
    revision: int  # of all runs, when these were read
    rows: RunColumns
    read: int  # how often rows were read: another reading has other rows in the same places


def draw(filters: dict[str, Any], priced: Lens, *, sweeps: dict[str, str]) -> bool:
    """Whether there is a run to show."""
    kept = _kept(filters, priced)
    changes.watch(kept.counts, kept.revision, key=Key.RUNS_TABLE.of("changed"), on_show=refresh, **filters)
    if not kept.rows.n:
        return False
    _controls(kept.rows)
    by = st.session_state.get(Key.RUNS_GROUP)
    if by:
        _groups(kept.rows, by, sweeps)
    else:
        _rows(kept)
    st.caption(plain(f"Energy per inference, estimated: mode {kept.rows.mode}, profile {kept.rows.profile}."))
    return True


def refresh() -> None:
    """Read the rows anew at the next turn."""
    st.session_state[Key.RUNS_TURN] = st.session_state.get(Key.RUNS_TURN, 0) + 1
    bulk.chosen().clear()


def _kept(filters: dict[str, Any], priced: Lens) -> Kept:
    """The rows as read last; read anew for another question, after an act, or when others came and none is chosen."""
    memory = st.session_state
    asked = (repr(sorted(filters.items())), priced.mode, priced.profile)
    turn, known = memory.get(Key.RUNS_TURN, 0), memory.get(Key.RUNS_KEPT)
    revision = api().activity().revision  # before the rows, which are then as new at least
    counts = api().run_counts(**filters)
    same = known is not None and (known.asked, known.turn) == (asked, turn)
    if same and ((counts, revision) == (known.counts, known.revision) or bulk.chosen()):
        return known
    rows = api().run_columns(mode=priced.mode, profile=priced.profile, **filters)
    memory[Key.RUNS_KEPT] = Kept(asked, turn, counts, revision, rows, 1 if known is None else known.read + 1)
    return memory[Key.RUNS_KEPT]


def _controls(rows: RunColumns) -> None:
    n = rows.n
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.caption(f"{n:,} run{'' if n == 1 else 's'}, newest first", width="content")
        st.selectbox(
            "Group by", [None, *run_rows.GROUPED], key=Key.RUNS_GROUP, persist_state="session", width=160,
            format_func=lambda name: run_rows.GROUPED.get(name, "no groups"),
        )  # fmt: skip
        with st.popover("Columns", icon=":material/view_column:"):
            st.pills(
                "Columns", list(run_rows.TITLES), selection_mode="multi", key=Key.RUNS_COLUMNS, persist_state="session",
                default=list(run_rows.first(rows)), format_func=run_rows.TITLES.__getitem__,
            )  # fmt: skip


def _rows(kept: Kept) -> None:
    columns = run_rows.table(kept.rows)
    order = [
        name
        for name in run_rows.TITLES
        if name in (st.session_state.get(Key.RUNS_COLUMNS) or run_rows.first(kept.rows))
    ]
    shown = {name: columns[name] for name in order}
    if "state" in shown:
        shown["state"] = [state.words(RunState(name)) for name in columns["state"]]
    texts = {name: [inert(value) for value in values] for name, values in shown.items()}
    with st.container():  # the acts stand above the table, and need what is chosen in it
        acts = st.container()
        event = st.dataframe(
            texts,
            key=Key.RUNS_TABLE.of(str(kept.read)),
            hide_index=True,
            placeholder="–",
            height=min(HEIGHT, 40 + 35 * kept.rows.n),
            row_height=35,
            on_select="rerun",
            selection_mode="multi-row",
            column_config=_config(order),
        )
    places = event.selection.rows if event else []
    chosen = bulk.chosen()
    chosen.clear()
    chosen.update({columns["id"][place]: columns["run"][place] for place in places if place < kept.rows.n})
    with acts:
        if not chosen:
            st.caption("Choose rows to act on them; click a column's head to sort.")
        bulk.bar(deleted=False)
    csv_button(
        lambda: run_rows.rows({"id": columns["id"], **{name: columns[name] for name in order}}),
        key=Key.RUNS_TABLE.of("csv"), file_name="spikefront-runs.csv", what="the runs in the table",
    )  # fmt: skip


def _groups(found: RunColumns, by: str, sweeps: dict[str, str]) -> None:
    """Read only: each group is many runs."""
    bulk.chosen().clear()
    rows = run_rows.groups(found, by, sweeps=sweeps)
    titles = {by: run_rows.GROUPED[by].capitalize(), "n": "Runs", "succeeded": "Succeeded"}
    for name in run_rows.FIGURES:
        titles |= {name: run_rows.TITLES[name], f"{name}_deviation": "±"}
    st.dataframe(
        csv_rows.inert_rows(rows), key=Key.RUNS_TABLE.of(f"groups_{by}"), hide_index=True,
        placeholder="–", column_config=_config(list(rows[0]), titles),
    )  # fmt: skip
    st.caption("Mean and sample deviation over the runs of a group that have succeeded; one run has no deviation.")
    csv_button(lambda: rows, key=Key.RUNS_TABLE.of("csv"), file_name=f"spikefront-runs-by-{by}.csv", what="the groups")


def _config(names: list[str], titles: dict[str, str] | None = None) -> dict[str, Any]:
    known = run_rows.TITLES | (titles or {})
    config: dict[str, Any] = {}
    for name in names:
        figure = name.removesuffix("_deviation")
        if figure in NUMBERS:
            config[name] = st.column_config.NumberColumn(known.get(name, name), format=NUMBERS[figure])
        elif name in ("created_at", "finished_at"):
            config[name] = st.column_config.DatetimeColumn(known[name], format="YYYY-MM-DD HH:mm")
        elif name == "archived":
            config[name] = st.column_config.CheckboxColumn(known[name])
        else:
            config[name] = st.column_config.TextColumn(known.get(name, name), width="large" if name == "run" else None)
    return config
