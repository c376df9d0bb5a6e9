"""`python -m backend.accounts WHAT ACT`: accounts and tokens by hand, for `spikefront user` and `spikefront token`."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import ValidationError

from backend.accounts.service import AccountService
from backend.store.actors import COMMAND
from backend.store.db import migrate, opened
from core.errors import BadValue, SpikefrontError
from core.schemas.accounts import (
    LONGEST_PASSWORD,
    Account,
    AccountChange,
    Accounts,
    NewAccount,
    Role,
    Scope,
    Token,
    TokenRequest,
    Tokens,
)
from core.schemas.base import Frozen
from core.schemas.wording import fault_of
from core.settings import Settings, prepare_home
from core.showing import printable

Model = TypeVar("Model", bound=Frozen)
NO_END = "no end"


def main(args: Sequence[str] | None = None) -> int:
    """0, or 1 with one sentence on standard error."""
    given = _parser().parse_args(args)
    try:
        settings = Settings()
        prepare_home(settings)
        migrate(settings)
        database = opened(settings)
        try:
            accounts = AccountService(database, COMMAND, issuer=settings.oidc_issuer)
            lines = ACTS[given.what, given.act](accounts, given)
        finally:
            database.close()
    except SpikefrontError as error:
        print(f"spikefront: {printable(error.message)}", file=sys.stderr)
        return 1
    for line in lines:
        print(printable(line))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.accounts")
    parser.add_argument("what", choices=("user", "token"))
    parser.add_argument("act")
    parser.add_argument("--name", default="", help="of the account")
    parser.add_argument("--role", choices=[role.value for role in Role], default=Role.MEMBER.value)
    parser.add_argument("--no-password", action="store_true")
    parser.add_argument("--subject", default="", help="of the person at the sign-in provider; none: nobody")
    parser.add_argument("--id", default="", help="of a token")
    parser.add_argument("--label", default="", help="what a token is for")
    parser.add_argument("--scope", choices=[scope.value for scope in Scope], default=Scope.READ.value)
    parser.add_argument("--days", type=int)
    parser.add_argument("--json", action="store_true")
    return parser


def _add(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    asked = {"name": given.name, "role": given.role}
    _model(NewAccount, asked)  # a name that cannot be is refused before anybody types a password
    if not given.no_password:
        asked["password"] = _password()
    return [_said(accounts.add(_model(NewAccount, asked)), given, "made")]


def _list(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    found = accounts.all()
    if given.json:
        return [Accounts(items=found).model_dump_json()]
    return [_line(one) for one in found] or ["There are no accounts: whoever has the key does everything."]


def _role(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    return [_said(accounts.change(_name(given), AccountChange(role=Role(given.role))), given, "changed")]


def _new_password(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    change = _model(AccountChange, {"password": _password()})
    return [_said(accounts.change(_name(given), change), given, "has another password")]


def _subject(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    change = _model(AccountChange, {"subject": given.subject})
    what = "signs in through the provider" if given.subject else "does not sign in through the provider"
    return [_said(accounts.change(_name(given), change), given, what)]


def _disable(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    return [_said(accounts.change(_name(given), AccountChange(disabled=True)), given, "disabled")]


def _enable(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    return [_said(accounts.change(_name(given), AccountChange(disabled=False)), given, "enabled")]


def _add_token(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    asked = {"name": given.label, "scope": given.scope, "expires_in_days": given.days, "account": given.name}
    made = accounts.add_token(_model(TokenRequest, asked))
    if given.json:
        return [made.model_dump_json()]
    print(f"spikefront: token {made.id} of {made.account}, {_until(made)}; it is not shown again.", file=sys.stderr)
    return [made.token]


def _list_tokens(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    found = accounts.tokens()
    if given.json:
        return [Tokens(items=found).model_dump_json()]
    return [_token_line(one) for one in found] or ["There are no tokens."]


def _revoke(accounts: AccountService, given: argparse.Namespace) -> list[str]:
    accounts.revoke_token(given.id)
    return [f"Token {given.id} opens nothing any more."]


ACTS: dict[tuple[str, str], Callable[[AccountService, argparse.Namespace], list[str]]] = {
    ("user", "add"): _add,
    ("user", "list"): _list,
    ("user", "role"): _role,
    ("user", "password"): _new_password,
    ("user", "subject"): _subject,
    ("user", "disable"): _disable,
    ("user", "enable"): _enable,
    ("token", "add"): _add_token,
    ("token", "list"): _list_tokens,
    ("token", "revoke"): _revoke,
}


def _password() -> str:
    """Asked for twice on a terminal, else the first line of standard input; never an argument, which others can see."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(LONGEST_PASSWORD + 2).rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != first:
        raise BadValue(field="password", value="(not shown)", expected="the same both times")
    return first


def _model(model: type[Model], values: dict[str, object]) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        field, value, expected = fault_of(error.errors()[0])
        shown = "(not shown)" if field == "password" else value
        raise BadValue(field=field, value=shown, expected=expected) from None


def _name(given: argparse.Namespace) -> str:
    return str(given.name).strip().lower()


def _said(account: Account, given: argparse.Namespace, what: str) -> str:
    return account.model_dump_json() if given.json else f"{_line(account)}: {what}"


def _line(account: Account) -> str:
    words = [account.role.value]
    words += ["disabled"] if account.disabled else []
    words += [] if account.has_password else ["no password"]
    words += [] if account.subject is None else [f"at the provider {account.subject}"]
    return f"{account.name} ({', '.join(words)})"


def _token_line(token: Token) -> str:
    used = "never used" if token.last_used_at is None else f"last used {token.last_used_at:%Y-%m-%d %H:%M} UTC"
    return f"{token.id}  {token.account}  {token.scope.value}  {_until(token)}, {used}: {token.name}"


def _until(token: Token) -> str:
    if token.revoked_at is not None:
        return f"revoked {token.revoked_at:%Y-%m-%d}"
    return NO_END if token.expires_at is None else f"until {token.expires_at:%Y-%m-%d}"


if __name__ == "__main__":
    sys.exit(main())
