"""Shares of a run: make a link, show it once, list and revoke."""

from __future__ import annotations

import streamlit as st

from core.schemas.api import Run, Share, ShareRequest
from frontend.api import ApiProblem
from frontend.connection import api, plain, show_problem
from frontend.elements import acts, state
from frontend.keys import Key

DAYS: dict[int | None, str] = {7: "7 days", 30: "30 days", 90: "90 days", 365: "a year", None: "until withdrawn"}


def draw(run: Run) -> None:
    """The form for a new link, the link just made, and the links that there are."""
    st.subheader("Share")
    with st.container(border=True):
        st.caption(
            "A link opens this run's results for anyone who has it: read-only, without a login, and nothing else."
        )
        first, second, third = st.columns([1, 1.3, 1], vertical_alignment="bottom")
        days = first.selectbox("Valid for", list(DAYS), index=1, format_func=DAYS.__getitem__, key=Key.SHARE_DAYS)
        with_twin = second.checkbox("Show the twin's answers too", value=True, key=Key.SHARE_TWIN)
        if third.button("Make a link", key=Key.SHARE_CREATE, icon=":material/link:", type="primary", width="stretch"):
            _create(ShareRequest(run_id=run.id, expires_in_days=days, with_twin=with_twin))
        made = st.session_state.get(Key.SHARE_LINK)
        if made and made[0] == run.id:
            st.code(made[1], language=None, wrap_lines=True)
            st.caption("Copy it now: only a hash is kept, so this is the only time that it can be shown.")
        for share in (item for item in api().shares().items if item.run_id == run.id):
            row(share)


def row(share: Share) -> None:
    """One share: what it is, whether it still opens, and the button that withdraws it."""
    first, second, third = st.columns([2, 2, 0.8], vertical_alignment="center")
    first.markdown(f"**{plain(share.label)}**{', with its twin' if share.with_twin else ''}")
    second.caption(plain(status(share)))
    third.button(
        "Withdraw", key=Key.SHARE_REVOKE.of(share.id), on_click=acts.revoke, args=(share.id,),
        disabled=share.revoked_at is not None, width="stretch",
    )  # fmt: skip


def status(share: Share) -> str:
    """In words: made when, open until when, looked at how often."""
    words = [f"made {state.ago(share.created_at)}"]
    if share.revoked_at is not None:
        words.append(f"withdrawn {state.ago(share.revoked_at)}")
    elif share.expires_at is None:
        words.append("open until withdrawn")
    else:
        words.append(f"{'open until' if state.ahead(share.expires_at) else 'expired on'} {share.expires_at:%Y-%m-%d}")
    words.append(f"opened {share.views} time{'' if share.views == 1 else 's'}")
    return " · ".join(words)


def _create(request: ShareRequest) -> None:
    try:
        made = api().share(request)
    except ApiProblem as problem:
        show_problem(problem)
        return
    # One link at a time, for this session only: what must be shown once is not collected.
    st.session_state[Key.SHARE_LINK] = (request.run_id, made.url)
