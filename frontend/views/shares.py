"""Shares: every link that was given away, what it opens and how often it was used."""

from __future__ import annotations

import streamlit as st

from frontend.connection import api, plain
from frontend.elements import acts, sharing
from frontend.keys import Key
from frontend.pages import link, link_run


def render() -> None:
    st.title("Shares")
    shares = api().shares().items
    if not shares:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown("Nothing is shared. Open a finished run and choose *Share* at its end.")
            link("runs")
        return
    st.caption("Links are shown once, when they are made; only their hashes are kept. A withdrawn link leads nowhere.")
    made = st.session_state.get(Key.SHARE_LINK)
    for share in shares:
        with st.container(border=True, key=f"share_{share.id}"):
            first, second, third = st.columns([2, 2.4, 0.8], vertical_alignment="center")
            with first:
                link_run(share.run_id, share.label + (", with its twin" if share.with_twin else ""))
            second.caption(plain(sharing.status(share)))
            third.button(
                "Withdraw",
                key=Key.SHARE_REVOKE.of(share.id),
                on_click=acts.revoke,
                args=(share.id,),
                disabled=share.revoked_at is not None,
                width="stretch",
            )
    if made:
        st.caption("The link made last in this window:")
        st.code(made[1], language=None, wrap_lines=True)
