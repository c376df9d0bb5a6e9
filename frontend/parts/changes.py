"""What changed elsewhere since a page was drawn: said by itself within seconds, and shown when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from core.schemas.run_table import RunCounts, change
from frontend.client.connection import api, part, plain

POLL_S = 8.0  # so that a change is told within ten seconds


def watch(
    before: RunCounts, revision: int, *, key: str, on_show: Callable[[], None] | None = None, **filters: Any
) -> None:
    """`2 new runs, 1 ended` with a button, as soon as the counts are not `before`'s; the rest of the page stays.

    Of another change, such as a new name, it is said that there is one: `revision` is no longer that of the activity.
    """
    st.fragment(run_every=POLL_S)(part(_look))(before, revision, key, on_show, filters)


def _look(
    before: RunCounts, revision: int, key: str, on_show: Callable[[], None] | None, filters: dict[str, Any]
) -> None:
    words = change(before, api().run_counts(**filters)).words
    if not words and api().activity().revision != revision:
        words = "Runs were changed"
    with st.container(key=f"{key}_box", horizontal=True, vertical_alignment="center", gap="small"):
        if words:
            st.markdown(f"**{plain(words)}** since this was drawn", width="content")
            if st.button("Show", key=key, icon=":material/refresh:", type="tertiary"):
                if on_show is not None:
                    on_show()
                st.rerun()
