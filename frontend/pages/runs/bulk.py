"""Many runs at once: which are chosen, what can be done with them, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.schemas.runs import Run
from frontend.client.connection import plain
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.places import link_run, open_place

LONGEST_TAG = 40
COMPARED = (2, 10)  # fewest and most runs of a comparison


def chosen() -> dict[str, str]:
    """Run id -> label of what is chosen in this tab, in the order of choosing."""
    return st.session_state.setdefault(Key.RUNS_CHOSEN, {})


def box(run: Run) -> None:
    """The check box of one run. What is chosen outlives the box, which is gone on the next page.

    Its state is written only where it is another: written at each turn of the poll, a turn that began before a
    click would take the click back.
    """
    key = Key.RUNS_CHOOSE.of(run.id)
    _set(key, run.id in chosen())
    st.checkbox(
        f"Choose {run.title}, seed {run.config.seed}",
        key=key,
        on_change=_toggle,
        args=(run.id, run.title),
        label_visibility="collapsed",
    )


def box_of_page(runs: Sequence[Run]) -> None:
    """Chooses all runs in sight, or none of them."""
    _set(Key.RUNS_CHOOSE_PAGE, all(run.id in chosen() for run in runs))
    st.checkbox("Choose all shown", key=Key.RUNS_CHOOSE_PAGE, on_change=_toggle_page, args=(tuple(runs),))


def bar(*, deleted: bool) -> None:
    """What can be done with the chosen runs; nothing while none is chosen."""
    ids = list(chosen())
    if not ids:
        return
    one = ids[0] if len(ids) == 1 and not deleted else None
    with st.container(border=True, key="runs_bulk_bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{len(ids):,} chosen**", width="content")
        if one:
            link_run(one, "Open")
            st.button("More", key=Key.RUNS_BULK.of("more"), on_click=_more, args=(one,), icon=":material/more_horiz:",
                      help="Name, tags, note, edit and launch again, delete")  # fmt: skip
        if deleted:
            _button("restore", "Bring back", ":material/restore_from_trash:", ids)
            _button("purge", "Remove for good", ":material/delete_forever:", ids)
        else:
            _button("cancel", "Cancel run" if len(ids) == 1 else "Cancel runs", ":material/stop_circle:", ids)
            _button("retry", "Launch again", ":material/replay:", ids)
            _tag(ids)
            _button("archive", "Archive", ":material/archive:", ids)
            if st.session_state.get(Key.RUNS_ARCHIVED):
                _button("unarchive", "Out of the archive", ":material/unarchive:", ids)
            fewest, most = COMPARED
            if st.button(
                "Compare",
                key=Key.RUNS_BULK.of("compare"),
                icon=":material/balance:",
                disabled=not fewest <= len(ids) <= most,
                help=f"{fewest} to {most} runs that have succeeded",
            ):
                st.session_state[Key.COMPARE_RUNS] = ids
                open_place("compare")
            _button("delete", "Delete", ":material/delete:", ids)
        st.button("Clear", key=Key.RUNS_BULK.of("clear"), on_click=_clear, type="tertiary")


def notice() -> None:
    """What came of the last act, over the end of the page, with the way back from a deletion."""
    known: acts.Notice | None = st.session_state.get(Key.RUNS_NOTICE)
    if known is None:
        return
    with st.container(key="runs_notice", horizontal=True, vertical_alignment="center", gap="small"):
        words = " ".join((known.text, *known.refused))
        st.markdown(plain(words), width="stretch")
        if known.deleted:
            st.button("Undo", key=Key.RUNS_BULK.of("undo"), on_click=acts.undo, icon=":material/undo:")
        st.button(
            "Dismiss", key=Key.RUNS_BULK.of("dismiss"), on_click=acts.dismiss, type="tertiary", icon=":material/close:"
        )


def _button(action: str, label: str, icon: str, ids: list[str]) -> None:
    st.button(label, key=Key.RUNS_BULK.of(action), on_click=acts.many, args=(action, ids), icon=icon)


def _tag(ids: list[str]) -> None:
    with st.popover("Tag", icon=":material/label:"):
        st.text_input("Tag to add", key=Key.RUNS_BULK.of("tag"), max_chars=LONGEST_TAG)
        st.button("Add to the chosen runs", key=Key.RUNS_BULK.of("add_tag"), on_click=_add_tag, args=(ids,))


def _add_tag(ids: list[str]) -> None:
    tag = st.session_state.get(Key.RUNS_BULK.of("tag"), "").strip()
    if not tag:
        st.toast("Type a word to tag the runs with.", icon=":material/label:")
        return
    acts.many("tag", ids, tag)
    st.session_state[Key.RUNS_BULK.of("tag")] = ""


def _clear() -> None:
    chosen().clear()
    st.session_state[Key.RUNS_TURN] = st.session_state.get(Key.RUNS_TURN, 0) + 1  # the table forgets its rows too


def _more(run_id: str) -> None:
    st.session_state[Key.RUNS_OPEN] = run_id


def _set(key: str, value: bool) -> None:
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def _toggle(run_id: str, label: str) -> None:
    if st.session_state[Key.RUNS_CHOOSE.of(run_id)]:
        chosen()[run_id] = label
    else:
        chosen().pop(run_id, None)


def _toggle_page(runs: Sequence[Run]) -> None:
    for run in runs:
        if st.session_state[Key.RUNS_CHOOSE_PAGE]:
            chosen()[run.id] = run.title
        else:
            chosen().pop(run.id, None)
