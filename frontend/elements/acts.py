"""What buttons do. Callbacks: they run before the page is drawn, so what goes wrong becomes a toast."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from frontend.api import ApiDown, ApiProblem
from frontend.connection import DOWN_TITLE, api, plain


def cancel(run_id: str) -> None:
    """Ask a run to stop; the page then shows `asked to stop`, and `stopped` when the trainer is gone."""
    _try(lambda: api().cancel(run_id))


def revoke(share_id: str) -> None:
    """Withdraw a share: its link leads nowhere from now on."""
    _try(lambda: api().revoke(share_id), done="The link is withdrawn.")


def _try(act: Callable[[], object], *, done: str | None = None) -> None:
    try:
        act()
    except ApiProblem as problem:  # such as: the run ended a moment ago
        st.toast(plain(problem.detail), icon=":material/error:")
    except ApiDown:
        st.toast(DOWN_TITLE, icon=":material/cloud_off:")
    else:
        if done:
            st.toast(done, icon=":material/check:")
