"""Settings, Account: who looks at this page, their password and tokens; for administrators accounts, who did what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st
from pydantic import ValidationError

from core.report.markup import piece
from core.report.tables import html
from core.schemas.accounts import (
    LONGEST_ACCOUNT_NAME,
    LONGEST_PASSWORD,
    SHORTEST_PASSWORD,
    Account,
    AuditEntry,
    Me,
    NewAccount,
    NewToken,
    PasswordChange,
    Role,
    Scope,
    Token,
    TokenRequest,
)
from frontend.client.api import ApiDown, ApiProblem
from frontend.client.connection import DOWN_TITLE, api, base_path, plain, show_problem
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts import run_state as state

Answer = TypeVar("Answer")
ROLES = {
    Role.VIEWER: "viewer: looks at everything",
    Role.MEMBER: "member: also launches runs, and changes what is its own",
    Role.ADMIN: "admin: everything",
}
SCOPES = {Scope.READ: "read", Scope.SUBMIT: "submit: also launches runs", Scope.ADMIN: "admin: everything"}
ENDS = {30: "30 days", 90: "90 days", 365: "a year", None: "no end"}
PAGE = 50  # entries of the audit log
PASSWORD_RULE = f"{SHORTEST_PASSWORD} characters or more"


def draw(me: Me) -> None:
    accounts = api().accounts().items if me.scope is Scope.ADMIN else []
    _who(me)
    if me.via == "session" and me.has_password:
        with st.expander("Change the password", icon=":material/password:"):
            _password()
    st.subheader("Tokens")
    st.caption("What a program shows in place of a name and a password. Each is shown once; only its hash is kept.")
    _new_token(me, [account.name for account in accounts])
    _tokens(me)
    if me.scope is Scope.ADMIN:
        st.subheader("Accounts")
        if _new_account():
            accounts = api().accounts().items
        for account in accounts:
            _account(account, me)
        st.subheader("Who did what")
        _log()


def _who(me: Me) -> None:
    name = f"Signed in as **{plain(me.name)}**" if me.name else "In by the **key of this installation**"
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.markdown(f"{name}, {me.role.value}", width="content")
        st.html(piece("link", f"{base_path()}/_sign-out", "Sign out"), width="content")


def _password() -> None:
    with st.form(Key.ACCOUNT_CHANGE.of("form"), border=False, clear_on_submit=True):
        current = st.text_input("The present one", type="password", key=Key.ACCOUNT_CHANGE.of("current"))
        new = st.text_input("A new one", type="password", help=PASSWORD_RULE, key=Key.ACCOUNT_CHANGE.of("new"))
        again = st.text_input("The same again", type="password", key=Key.ACCOUNT_CHANGE.of("again"))
        sent = st.form_submit_button("Change it")
    if not sent:
        return
    if new != again:
        st.error("The new password is not the same both times.")
    elif not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
        st.error(f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.")
    else:
        change = PasswordChange(current=current, new=new)
        changed = "The password is changed; every other page that you had signed in on is out."
        _ask(lambda: api().change_password(change), lambda _: st.success(changed))


def _new_token(me: Me, owners: Sequence[str]) -> None:
    """`owners`: whose it may be; without any it is the visitor's."""
    scopes = [scope for scope in Scope if me.scope.covers(scope)]
    with st.expander("New token", icon=":material/key:"), st.form(Key.ACCOUNT_ISSUE.of("form"), border=False):
        first, second, third, fourth = st.columns([1.4, 1.2, 1, 1.2])
        name = first.text_input("What for", max_chars=100, placeholder="laptop", key=Key.ACCOUNT_ISSUE.of("name"))
        scope = second.selectbox(
            "What it may", scopes, format_func=SCOPES.__getitem__, key=Key.ACCOUNT_ISSUE.of("scope")
        )
        days = third.selectbox(
            "Ends after", list(ENDS), index=1, format_func=ENDS.__getitem__, key=Key.ACCOUNT_ISSUE.of("days")
        )
        owner = me.name
        if owners:
            index = owners.index(me.name) if me.name in owners else 0
            owner = fourth.selectbox("Whose", owners, index=index, key=Key.ACCOUNT_ISSUE.of("owner"))
        sent = st.form_submit_button("Make it")
    if sent:
        if not name.strip():
            st.error("Say what the token is for.")
            return
        asked = TokenRequest(name=name, scope=scope, expires_in_days=days, account=owner)
        _ask(lambda: api().add_token(asked), _show_once)


def _show_once(made: NewToken) -> None:
    st.success("Copy it now: it is not shown again.")
    st.code(made.token, language=None, wrap_lines=True)


def _tokens(me: Me) -> None:
    tokens = api().tokens().items
    living = [token for token in tokens if _lives(token)]
    for token in living:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"token_{token.id}"):
            whose = "" if token.account == me.name else f" of {token.account}"
            st.markdown(f"**{plain(token.name)}**{plain(whose)} · {token.scope.value}", width="content")
            st.caption(plain(_says(token)))
            st.button("Revoke", key=Key.ACCOUNT_REVOKE.of(token.id), on_click=acts.revoke_token, args=(token.id,))
    if not living:
        st.caption("There is none that opens anything.")


def _lives(token: Token) -> bool:
    return token.revoked_at is None and (token.expires_at is None or state.ahead(token.expires_at))


def _says(token: Token) -> str:
    until = "no end" if token.expires_at is None else f"until {token.expires_at:%Y-%m-%d}"
    used = "never used" if token.last_used_at is None else f"last used {state.ago(token.last_used_at)}"
    return f"made {state.ago(token.created_at)} · {until} · {used}"


def _new_account() -> bool:
    """Whether there is one more now."""
    with st.expander("New account", icon=":material/person_add:"), st.form(Key.ACCOUNT_NEW.of("form"), border=False):
        first, second, third = st.columns([1.2, 1.2, 1.4])
        name = first.text_input(
            "Name",
            max_chars=LONGEST_ACCOUNT_NAME,
            help="A login or an e-mail address; it never changes.",
            key=Key.ACCOUNT_NEW.of("name"),
        )
        password = second.text_input(
            "Password", type="password", help=PASSWORD_RULE, key=Key.ACCOUNT_NEW.of("password")
        )
        role = third.selectbox(
            "Role", list(ROLES), index=1, format_func=ROLES.__getitem__, key=Key.ACCOUNT_NEW.of("role")
        )
        sent = st.form_submit_button("Make it")
    if not sent:
        return False
    try:
        new = NewAccount(name=name, role=role, password=password)
    except ValidationError:
        st.error(
            f"A name is 1 to {LONGEST_ACCOUNT_NAME} letters, digits and . _ @ + -, a password {SHORTEST_PASSWORD} to "
            f"{LONGEST_PASSWORD} characters."
        )
        return False
    return _ask(lambda: api().add_account(new), lambda made: st.success(f"{plain(made.name)} can sign in."))


def _account(account: Account, me: Me) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"account_{account.name}"):
        words = [] if account.has_password else ["no password"]
        words += [] if account.subject is None else ["signs in through the provider"]
        words += ["disabled"] if account.disabled else []
        st.markdown(f"**{plain(account.name)}**", width="content")
        st.caption(plain(" · ".join([*words, f"made {state.ago(account.created_at)}"])))
        key = Key.ACCOUNT_ROLE.of(account.name)
        st.selectbox(
            "Role", list(Role), index=list(Role).index(account.role), format_func=lambda role: role.value, key=key,
            label_visibility="collapsed", width=130, on_change=acts.change_role, args=(account.name, key),
        )  # fmt: skip
        st.button(
            "Enable" if account.disabled else "Disable", key=Key.ACCOUNT_DISABLE.of(account.name),
            on_click=acts.set_disabled, args=(account.name, not account.disabled), disabled=account.name == me.name,
        )  # fmt: skip


def _log() -> None:
    cursor = st.session_state.get(Key.ACCOUNT_LOG)
    found = api().audit_log(cursor=cursor, limit=PAGE)
    head = ("When, UTC", "Who", "What", "Which", "More")
    st.html(html.table(head, [_entry(entry) for entry in found.items], label="Who did what", kind="sf-words"))
    with st.container(horizontal=True):
        if found.next_cursor is not None:
            st.button("Older", key=Key.ACCOUNT_OLDER, on_click=_turn_to, args=(found.next_cursor,))
        if cursor is not None:
            st.button("Newest", key=Key.ACCOUNT_NEWEST, on_click=_turn_to, args=(None,))


def _turn_to(cursor: str | None) -> None:
    st.session_state[Key.ACCOUNT_LOG] = cursor


def _entry(entry: AuditEntry) -> tuple[str, ...]:
    who = entry.actor or entry.via
    where = f" from {entry.address}" if entry.address else ""
    detail = ", ".join(f"{name} {value}" for name, value in entry.detail.items() if value is not None)
    return (f"{entry.at:%Y-%m-%d %H:%M:%S}", who, entry.action, entry.subject, f"{detail}{where}".strip())


def _ask(act: Callable[[], Answer], done: Callable[[Answer], object]) -> bool:
    """Whether it was done; `done` says what came of it, and what is refused is said here."""
    try:
        answer = act()
    except ApiProblem as problem:
        show_problem(problem)
    except ApiDown:
        st.error(DOWN_TITLE)
    else:
        done(answer)
        return True
    return False
