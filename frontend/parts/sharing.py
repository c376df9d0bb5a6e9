"""Links to results: the form that makes one, the link shown once, and a link in a list.

`draw(target)` is all that a page needs: a button that opens the form for what the page shows.
"""

from __future__ import annotations

import streamlit as st

from core.addresses import on_this_machine_alone
from core.schemas.share import NewShare, Share, ShareRequest, ShareTarget, ShareType
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain, show_problem
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts import run_state as state

DAYS: dict[int | None, str] = {7: "7 days", 30: "30 days", 90: "90 days", 365: "a year", None: "until withdrawn"}
TITLES: dict[ShareType, str] = {
    "run": "this run",
    "comparison": "this comparison",
    "sweep": "this sweep",
    "view": "this view",
}
KINDS: dict[ShareType, str] = {"run": "Run", "comparison": "Comparison", "sweep": "Sweep", "view": "Explore view"}
LIVE, FROZEN = "Live", "Frozen"
ASKED = Key.SHARE_REVOKE.of("asked")  # the link whose Withdraw was pressed once
MEANINGS = {
    LIVE: "Live: shows what there is when it is opened, and leads nowhere once its runs are deleted.",
    FROZEN: "Frozen: stored now with a SHA-256 manifest, stays when runs are deleted, downloads as one file that works offline.",
}
GROWS: dict[str, str] = {
    "sweep": " Runs of the sweep that end later appear.",
    "view": " Runs on this data set that end later appear.",
}


def draw(target: ShareTarget) -> None:
    """A Share button; under it the form, the link just made, and the links to the same that there are. Once a page."""
    with st.popover("Share", icon=":material/link:", width="content"):
        form(target)


def form(target: ShareTarget, *, listed: bool = True) -> None:
    """The form itself, for a page that has room for it; `listed`: with the open links to the same."""
    st.markdown(f"**Share {TITLES[target.type]}**")
    st.caption("A link opens these results for anyone who has it: read-only, without a login, and nothing else.")
    new = st.container()  # over the choices: under them it would lie below the edge of a small window
    request = _options(target)
    if st.button("Make a link", key=Key.SHARE_CREATE, icon=":material/link:", type="primary"):
        _create(request)
    made = st.session_state.get(Key.SHARE_LINK)
    if made and made[0] == _address(target):
        with new:
            show_link(made[1], frozen=made[2])
            if on_this_machine_alone(made[1]):
                _only_here(request, frozen=made[2])
    for share in api().shares().items if listed else []:
        if _address(share.target) == _address(target):
            _row(share)


def show_link(url: str, *, frozen: bool) -> None:
    """A new link, this once."""
    st.code(url, language=None, wrap_lines=True)
    st.caption("Copy it now: only a hash is kept, so this is the only time that it can be shown.")
    if frozen:
        st.link_button("Save as one HTML file", f"{url}?file=offline.html", icon=":material/download:")


def _only_here(request: ShareRequest, *, frozen: bool) -> None:
    """What a link with a loopback address is good for, and the two ways to reach somebody else."""
    st.info(
        "This link opens on this machine only. To let others open it, start Spikefront with `SPIKEFRONT_HOST=0.0.0.0` and "
        "`SPIKEFRONT_PUBLIC_URL=http://` with this machine's name and the port. Or send a file: a frozen link saves as "
        "one HTML file, which needs no server.",
        icon=":material/wifi_off:",
    )
    if not frozen:
        st.button(
            "Freeze it, to save it as one HTML file",
            key=Key.SHARE_FREEZE,
            icon=":material/download:",
            on_click=_create,
            args=(request.model_copy(update={"frozen": True}),),
        )


def badges(share: Share) -> str:
    """What a link is, as Markdown badges."""
    words = [KINDS[share.type], FROZEN if share.frozen else LIVE]
    words += ["Double-blind"] if share.blind else []
    words += ["With weights"] if share.with_weights else []
    words += ["Moved prices"] if share.target.moved_prices else []
    words += ["Without images"] if share.type in ("run", "comparison") and not share.with_images else []
    return " ".join(f":gray-badge[{word}]" for word in words)


def status(share: Share) -> str:
    """In words: made when, open until when, looked at how often."""
    words = [f"made {state.ago(share.created_at)}" + (f" by {share.made_by}" if share.made_by else "")]
    if share.revoked_at is not None:
        words.append(f"withdrawn {state.ago(share.revoked_at)}")
    elif share.expires_at is None:
        words.append("open until withdrawn")
    else:
        words.append(f"{'open until' if state.ahead(share.expires_at) else 'expired on'} {share.expires_at:%Y-%m-%d}")
    words.append(f"opened {share.views} time{'' if share.views == 1 else 's'}")
    if share.last_viewed_at is not None:
        words.append(f"last {state.ago(share.last_viewed_at)}")
    if share.bytes:
        words.append(f"{share.bytes / 1e6:.1f} MB stored")
    return " · ".join(words)


def is_open(share: Share) -> bool:
    """Whether the link has neither been withdrawn nor expired."""
    return share.revoked_at is None and (share.expires_at is None or state.ahead(share.expires_at))


def _options(target: ShareTarget) -> ShareRequest:
    first, second = st.columns(2, vertical_alignment="bottom")
    kept = first.segmented_control(
        "Content", [LIVE, FROZEN], default=LIVE, required=True, key=Key.SHARE_FROZEN, width="stretch"
    )
    days = second.selectbox("Valid for", list(DAYS), index=1, format_func=DAYS.__getitem__, key=Key.SHARE_DAYS)
    st.caption(MEANINGS[kept] + (GROWS.get(target.type, "") if kept == LIVE else ""))
    twin, images, weights = True, True, False
    if target.type == "run":
        twin = st.checkbox("Show the twin's answers too", value=True, key=Key.SHARE_TWIN)
    if target.type in ("run", "comparison"):
        images = st.checkbox("Show test images", value=True, key=Key.SHARE_IMAGES)
    if target.type != "view":
        weights = st.checkbox("Let the weights be downloaded", value=False, key=Key.SHARE_WEIGHTS)
    blind = st.checkbox("Double-blind", value=False, key=Key.SHARE_BLIND)
    if blind:
        st.caption(
            "No user, host, path, worker, device, time, version or sweep name is in it. The data set's name and its "
            "classes are. The address of a link names this server: for a review, freeze it and send the saved file."
        )
    return ShareRequest(
        **target.model_dump(), expires_in_days=days, with_twin=twin, with_images=images, with_weights=weights,
        frozen=kept == FROZEN, blind=blind,
    )  # fmt: skip


def _row(share: Share) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        with st.container(gap=None):
            st.markdown(badges(share))
            st.caption(plain(status(share)))
        withdraw(share)


def withdraw(share: Share) -> None:
    """The button that ends a link, at its second press: there is no way back."""
    sure = st.session_state.get(ASKED) == share.id
    with st.container(horizontal=True, width="content", gap="small"):
        st.button(
            "Withdraw for good" if sure else "Withdraw",
            key=Key.SHARE_REVOKE.of(share.id),
            width="content",
            on_click=acts.revoke if sure else _ask,
            args=(share.id,),
            disabled=share.revoked_at is not None,
        )
        if sure:  # last, so that it comes to lie under the pointer, and the keyboard's focus stays where it is
            st.button(
                "Keep it", key=Key.SHARE_REVOKE.of(f"not_{share.id}"), on_click=_ask, args=(None,), width="content"
            )


def _ask(share_id: str | None) -> None:
    """Whether this link shall go; of one link at a time."""
    st.session_state[ASKED] = share_id


def _create(request: ShareRequest) -> None:
    try:
        made: NewShare = api().share(request)
    except ApiProblem as problem:
        show_problem(problem)
        return
    # One link at a time, for this session only: what must be shown once is not collected.
    st.session_state[Key.SHARE_LINK] = (_address(request), made.url, made.frozen)


def _address(target: ShareTarget) -> tuple:
    """What a link leads to, whatever the mode and profile."""
    return (target.run_id, tuple(target.runs or ()), target.sweep_id, target.view.dataset if target.view else None)
