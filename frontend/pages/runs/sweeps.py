"""Sweeps: what they are, how far they are, and their groups as mean and deviation over seeds."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import streamlit as st

from core.datasets.catalog import title_of
from core.schemas.run import RunState
from core.schemas.sweep import Aggregate, AxisValue, Sweep, SweepDetail, SweepGroup
from core.units import energy_scale, pj_to_mj
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts import run_state as state
from frontend.parts.chart_box import csv_button
from frontend.parts.lens import Lens
from frontend.places import link

PAGE_SIZE = 20


def listing() -> None:
    """A page of sweeps, newest first."""
    memory = st.session_state
    cursors: list[str] = memory.get(Key.RUNS_CURSORS, [])
    shown = api().sweeps(limit=PAGE_SIZE, cursor=cursors[-1] if cursors else None)
    if not shown.items:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(
                "No sweep yet. A sweep is several runs that are launched together, such as one mask over seeds."
            )
            link("launch", "Launch a sweep")
        return
    st.caption(f"{shown.total:,} sweep{'' if shown.total == 1 else 's'}, newest first")
    for sweep in shown.items:
        _row(sweep)
    pager(cursors, shown.next_cursor)


def pager(cursors: list[str], next_cursor: str | None) -> None:
    """Newer and older: the cursors of the pages before are kept, since a cursor only leads on."""
    with st.container(horizontal=True):
        if cursors:
            st.button("Newer", icon=":material/arrow_back:", on_click=_turn, args=(cursors[:-1],))
        if next_cursor:
            st.button("Older", icon=":material/arrow_forward:", on_click=_turn, args=([*cursors, next_cursor],))


def _turn(cursors: list[str]) -> None:
    st.session_state[Key.RUNS_CURSORS] = cursors


def progress(sweep: Sweep) -> str:
    """Such as `12 runs · 8 succeeded · 4 queued`; states in the order of a run's life."""
    parts = [f"{sweep.n_runs:,} run{'' if sweep.n_runs == 1 else 's'}"]
    parts += [f"{sweep.states[one]:,} {state.WORDS[one]}" for one in RunState if sweep.states.get(one)]
    return " · ".join(parts)


def axes(sweep: Sweep) -> str:
    """Such as `network: SNN, CNN; seed: 0, 1, 2`."""
    said = {"kind": ("network", str.upper), "dataset": ("data set", title_of)}
    parts = []
    for axis, values in sweep.request.axes.items():
        title, words = said.get(axis, (axis, str))
        parts.append(f"{title}: {', '.join(words(_value(value)) for value in values)}")
    return "; ".join(parts)


def groups(detail: SweepDetail) -> None:
    """The groups of one sweep as a table, with CSV."""
    with st.container(border=True, key="runs_sweep_groups"):
        head, act = st.columns([3, 1.4], vertical_alignment="center")
        with head:
            st.markdown(f"**{plain(detail.name)}** · {plain(progress(detail))}")
            st.caption(plain(axes(detail)))
        with act:
            _acts(detail)
        st.html(table(detail.groups))
        st.caption(
            plain(
                f"Mean ± sample deviation over n seeds that have succeeded; energy in mode {detail.mode} at "
                f"{detail.profile}. One run has no deviation."
            )
        )
        csv_button(
            lambda: rows(detail),
            key=Key.RUNS_SWEEP_ACT.of("csv"),
            file_name=f"spikefront-sweep-{detail.id}.csv",
            what=detail.name,
        )


def table(found: list[SweepGroup]) -> str:
    """HTML: a row a group, in the sweep's order."""
    largest = max((group.energy_pj.mean for group in found if group.energy_pj), default=0.0)
    factor, unit = energy_scale(largest)
    columns: list[tuple[str, Callable[[SweepGroup], str]]] = [
        ("n", lambda group: f"{group.n} of {len(group.run_ids)}"),
        ("Accuracy in %", lambda group: _aggregate(group.accuracy, 100, 1)),
        ("F1, macro", lambda group: _aggregate(group.f1_macro, 1, 3)),
        (f"Energy in {unit}", lambda group: _aggregate(group.energy_pj, 1 / factor, 2)),
        ("Firing rate", lambda group: _aggregate(group.firing_rate, 1, 3)),
        ("Parameters", lambda group: f"{group.params.mean:,.0f}" if group.params else "–"),
    ]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title, _ in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(name(group))}</th>'
        + "".join(f"<td>{escape(text(group))}</td>" for _, text in columns)
        + "</tr>"
        for group in found
    )
    return (
        '<div class="sf-scroll" tabindex="0" role="region" aria-label="Groups of the sweep"><table class="sf-table sf-groups">'
        f'<thead><tr><th scope="col">Group</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def name(group: SweepGroup) -> str:
    """The network, and the values that are not in its name already."""
    hidden = ("kind", "mask", "backbone")
    words = [f"{axis} {_value(value)}" for axis, value in group.values.items() if axis not in hidden]
    return " · ".join([group.label, *words])


def rows(detail: SweepDetail) -> list[dict[str, Any]]:
    """One row a group; deviation and interval are empty for one run. Energy in mJ."""
    found = []
    for group in detail.groups:
        row: dict[str, Any] = {"group": name(group), "runs": " ".join(group.run_ids), "n": group.n}
        for column, aggregate, scale in (
            ("accuracy_percent", group.accuracy, lambda value: 100 * value),
            ("f1_macro", group.f1_macro, float),
            ("energy_mj", group.energy_pj, pj_to_mj),
            ("firing_rate", group.firing_rate, float),
            ("params", group.params, float),
        ):
            for part in ("mean", "deviation", "low", "high"):
                value = getattr(aggregate, part) if aggregate else None
                row[f"{column}_{part}"] = None if value is None else scale(value)
        found.append({**row, "mode": detail.mode, "profile": detail.profile})
    return found


def detail_of(sweep_id: str, lens: Lens) -> SweepDetail:
    return api().sweep(sweep_id, mode=lens.mode, profile=lens.profile)


def _row(sweep: Sweep) -> None:
    with st.container(border=True, key=f"sweep_row_{sweep.id}"):
        first, second, third = st.columns([2, 1.6, 1.6], vertical_alignment="center")
        with first, st.container(gap="xsmall"):
            st.markdown(f"**{plain(sweep.name)}**")
            st.caption(plain(f"{axes(sweep)} · {state.ago(sweep.created_at)}"))
        with second:
            ended = sum(count for one, count in sweep.states.items() if one.is_final)
            st.progress(ended / sweep.n_runs if sweep.n_runs else 1.0, text=plain(progress(sweep)))
        with third:
            _acts(sweep, listed=True)


def _acts(sweep: Sweep, *, listed: bool = False) -> None:
    with st.container(horizontal=True, horizontal_alignment="right", gap="xsmall"):
        if listed and st.button("Open", key=Key.RUNS_SWEEP_ACT.of(f"open_{sweep.id}")):
            st.query_params.from_dict({"sweep": sweep.id})  # the page takes its filters from a new address
            st.rerun()
        if any(one.is_active for one, count in sweep.states.items() if count):
            st.button(
                "Cancel", key=Key.RUNS_SWEEP_ACT.of(f"cancel_{sweep.id}"), on_click=acts.cancel_sweep, args=(sweep.id,)
            )
        st.button(
            "Forget",
            key=Key.RUNS_SWEEP_ACT.of(f"forget_{sweep.id}"),
            on_click=acts.forget_sweep,
            args=(sweep.id,),
            type="tertiary",
            help="Only the grouping is forgotten; the runs stay",
        )


def _aggregate(aggregate: Aggregate | None, scale: float, digits: int) -> str:
    if aggregate is None:
        return "–"
    mean = f"{scale * aggregate.mean:.{digits}f}"
    return mean if aggregate.deviation is None else f"{mean} ± {scale * aggregate.deviation:.{digits}f}"


def _value(value: AxisValue) -> str:
    if isinstance(value, list):
        return ",".join(value) or "nothing"
    return "none" if value is None else str(value)
