"""Views that were kept under a name: opened, kept, forgotten."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from core.schemas.named import LONGEST_NAME
from core.schemas.saved_view import NewView, SavedView
from frontend.client.connection import api
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts import address, lens_address
from frontend.parts.address import Part


def draw(parts: Mapping[str, Part]) -> None:
    """A list of the kept views, and a field that keeps this one. `parts`: what the page's address says."""
    with st.popover("Views", icon=":material/bookmark:"):
        views = api().views().items
        for view in views:
            with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"view_row_{view.id}"):
                if st.button(view.name, key=Key.EXPLORE_VIEW.of(f"open_{view.id}"), type="tertiary"):
                    _open(view)
                st.button(
                    "Forget", key=Key.EXPLORE_VIEW.of(f"forget_{view.id}"), on_click=acts.forget_view, args=(view.id,),
                    type="tertiary", icon=":material/close:",
                )  # fmt: skip
        if not views:
            st.caption("None is kept yet. A view is what stands in the address: data set, axes, filter, prices.")
        st.text_input("Keep this view as", key=Key.EXPLORE_VIEW.of("name"), max_chars=LONGEST_NAME)
        words = address.said(parts, always=("dataset", *lens_address.KEPT))
        st.button(
            "Keep", key=Key.EXPLORE_VIEW.of("save"), on_click=_keep, args=(words,), icon=":material/bookmark_add:"
        )


def _open(view: SavedView) -> None:
    """The page takes its view from a new address, as it does from anybody's."""
    st.session_state.pop(Key.EXPLORE_ADDRESS, None)
    st.query_params.from_dict(view.parts)
    st.rerun()


def _keep(words: dict[str, str]) -> None:
    name = st.session_state.get(Key.EXPLORE_VIEW.of("name"), "").strip()
    if not name:
        st.toast("Type a name for this view.", icon=":material/bookmark:")
        return
    acts.keep_view(NewView.model_construct(name=name, parts=words))
    st.session_state[Key.EXPLORE_VIEW.of("name")] = ""
