"""What buttons do. Callbacks: they run before the page is drawn, so what goes wrong becomes a toast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from core.schemas.runs import MOST_IDS, BulkAnswers, BulkRequest, RunChange
from core.schemas.saved_view import NewView
from frontend.client.api import ApiDown, ApiProblem
from frontend.client.connection import DOWN_TITLE, api, plain
from frontend.keys import Key

DONE = {
    "cancel": "asked to stop",
    "retry": "launched again",
    "delete": "deleted",
    "restore": "back",
    "purge": "removed for good",
    "tag": "tagged",
    "archive": "archived",
    "unarchive": "listed again",
}


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What came of an act, shown until it is dismissed or the next one; `deleted` can be undone."""

    text: str
    refused: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def cancel(run_id: str) -> None:
    """Ask a run to stop; the page then shows `asked to stop`, and `stopped` when the trainer is gone."""
    _try(lambda: api().cancel(run_id))


def set_priority(run_id: str, key: str) -> None:
    """Of a run that waits, as the field `key` has it."""
    _try(lambda: api().change(run_id, RunChange(priority=st.session_state[key])))


def revoke_token(token_id: str) -> None:
    _try(lambda: api().revoke_token(token_id), done="The token opens nothing any more.")


def change_role(name: str, key: str) -> None:
    """Of an account, as the field `key` has it."""
    _try(lambda: api().change_account(name, role=st.session_state[key]), done=f"{name} has another role.")


def set_disabled(name: str, disabled: bool) -> None:
    done = f"{name} is {'disabled' if disabled else 'enabled'}."
    _try(lambda: api().change_account(name, disabled=disabled), done=done)


def retry(run_id: str) -> None:
    """A new run with the config of one that ended without a result."""
    _try(lambda: api().retry(run_id), done="Launched again. The new run is at the top of the list.")


def delete(run_id: str, label: str) -> None:
    """Put a run into the bin, and offer to bring it back."""

    def act() -> None:
        api().delete(run_id)
        st.session_state[Key.RUNS_NOTICE] = Notice(text=f"{label} is deleted.", deleted=(run_id,))
        st.session_state.get(Key.RUNS_CHOSEN, {}).pop(run_id, None)

    _try(act)


def restore(run_id: str) -> None:
    _try(lambda: api().restore(run_id), done="The run is back.")


def many(action: str, ids: Sequence[str], tag: str | None = None) -> None:
    """One act on many runs, each by itself; those that refuse stay chosen, with the reason."""

    def act() -> None:
        answers = [
            api().bulk(BulkRequest(action=action, ids=list(ids[start : start + MOST_IDS]), tag=tag))
            for start in range(0, len(ids), MOST_IDS)
        ]
        items = [item for answer in answers for item in answer.items]
        st.session_state[Key.RUNS_NOTICE] = notice(action, BulkAnswers(items=items))
        chosen = st.session_state.get(Key.RUNS_CHOSEN, {})
        for item in items:
            if item.ok:
                chosen.pop(item.id, None)

    _try(act)


def undo() -> None:
    """Bring back what the notice says is deleted."""
    known = st.session_state.pop(Key.RUNS_NOTICE, None)
    if known is not None and known.deleted:
        many("restore", known.deleted)


def dismiss() -> None:
    st.session_state.pop(Key.RUNS_NOTICE, None)


def notice(action: str, answers: BulkAnswers) -> Notice:
    """The answers in words: how many, and each reason of those that refused once."""
    good = [item for item in answers.items if item.ok]
    reasons = Counter(item.problem.title for item in answers.items if not item.ok and item.problem is not None)
    count = len(good)
    said = f"{count:,} run{'' if count == 1 else 's'} {DONE[action]}." if count else "Nothing was changed."
    return Notice(
        text=said,
        refused=tuple(f"{number:,} refused: {title[:1].lower()}{title[1:]}." for title, number in reasons.items()),
        deleted=tuple(item.id for item in good) if action == "delete" else (),
    )


def take_up() -> None:
    """List runs again whose folders are there and whose rows are not."""
    _try(lambda: api().take_up(), done="They are listed again. One that could not be read is named in the API's log.")


def revoke(share_id: str) -> None:
    """Withdraw a share: its link leads nowhere from now on."""
    _try(lambda: api().revoke(share_id), done="The link is withdrawn.")


def cancel_sweep(sweep_id: str) -> None:
    _try(lambda: api().cancel_sweep(sweep_id), done="Every unfinished run of the sweep is asked to stop.")


def forget_sweep(sweep_id: str) -> None:
    """Only the grouping: the runs stay."""

    def act() -> None:
        api().forget_sweep(sweep_id)
        if st.session_state.get(Key.RUNS_SWEEP) == sweep_id:
            st.session_state[Key.RUNS_SWEEP] = None

    _try(act, done="The sweep is forgotten; its runs stay.")


def keep_view(view: NewView) -> None:
    """Under its name, in place of one that has it."""
    _try(lambda: api().save_view(view), done=f"This view is kept as {plain(view.name)}.")


def forget_view(view_id: str) -> None:
    _try(lambda: api().forget_view(view_id), done="The view is forgotten; its runs stay.")


def _try(act: Callable[[], object], *, done: str | None = None) -> None:
    try:
        act()
    except ApiProblem as problem:  # such as: the run ended a moment ago, or another tab was first
        st.toast(plain(problem.detail), icon=":material/error:")
    except ApiDown:
        st.toast(DOWN_TITLE, icon=":material/cloud_off:")
    else:
        st.session_state[Key.RUNS_TURN] = st.session_state.get(Key.RUNS_TURN, 0) + 1
        if done:
            st.toast(done, icon=":material/check:")
