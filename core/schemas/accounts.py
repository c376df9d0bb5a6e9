"""Accounts, what each may do, their tokens, and how a person signs in. Times are ISO 8601 in UTC."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from core.schemas.base import Frozen, Switch, Whole

LONGEST_ACCOUNT_NAME = 64
SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 200  # characters
MOST_DAYS = 3650  # of a token
LONGEST_LOG_PAGE = 500
LONGEST_SUBJECT = 255  # OpenID Connect Core 1.0, section 2
_TEXT = r"^[^\x00]*$"  # a pattern also keeps out what is no text in UTF-8

#: As an e-mail address or a login has it: it stands in addresses and logs, and is the same in small letters.
AccountName = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        to_lower=True,
        min_length=1,
        max_length=LONGEST_ACCOUNT_NAME,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$",
    ),
]
TokenName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
]
NewPassword = Annotated[
    str, StringConstraints(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD, pattern=_TEXT)
]
#: One that is only held against another: one that is too short is wrong, and no other answer.
GivenPassword = Annotated[str, StringConstraints(max_length=4000, pattern=_TEXT)]


class Scope(StrEnum):
    """What a request needs and a token gives; each holds the ones before it."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def covers(self, needed: Scope) -> bool:
        return _RANK[self] >= _RANK[needed]


_RANK = {scope: rank for rank, scope in enumerate(Scope)}


class Role(StrEnum):
    """What an account may do at most: look, also submit and change its own runs, or everything."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"

    @property
    def scope(self) -> Scope:
        return _SCOPES[self]


_SCOPES = {Role.VIEWER: Scope.READ, Role.MEMBER: Scope.SUBMIT, Role.ADMIN: Scope.ADMIN}

#: How a request showed who it is from: the installation's own token (or the metrics key), a token, a signed-in page, a
#: command on the machine, a link.
Via = Literal["installation", "token", "session", "command", "link"]


class Account(Frozen):
    """A person or a program with a name of its own here; the name never changes, since runs carry it."""

    name: str
    role: Role
    disabled: bool
    has_password: bool = Field(description="false: uses tokens alone, or signs in through the provider")
    subject: str | None = Field(
        default=None, description="the provider's identifier of the person who signs in through it; null: nobody does"
    )
    created_at: datetime


class Accounts(Frozen):
    items: list[Account]


class NewAccount(Frozen):
    """Body of `POST /accounts`."""

    name: AccountName
    role: Role = Role.MEMBER
    password: NewPassword | None = Field(default=None, description="left out: no sign-in by password")


class AccountChange(Frozen):
    """Body of `PATCH /accounts/{name}`: what is left out stays as it is."""

    role: Role | None = None
    disabled: Switch | None = Field(default=None, description="true: no sign-in, no token of it opens anything")
    password: NewPassword | None = Field(default=None, description="a new one; every page that is signed in is out")
    subject: Annotated[str, StringConstraints(max_length=LONGEST_SUBJECT, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = (
        Field(
            default=None,
            description="the provider's identifier (`sub`) of the person who signs in through it; empty: nobody does",
        )
    )


class Token(Frozen):
    """A token of an account; what it gives is never shown again."""

    id: str
    account: str
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = Field(default=None, description="to the minute")


class Tokens(Frozen):
    items: list[Token]


class TokenRequest(Frozen):
    """Body of `POST /tokens`."""

    name: TokenName = Field(description="what it is for, such as `laptop` or `nightly sweep`")
    scope: Scope = Field(default=Scope.READ, description="no more than the account may")
    expires_in_days: Annotated[Whole, Field(ge=1, le=MOST_DAYS)] | None = Field(
        default=None, description="null: it has no end"
    )
    account: AccountName | None = Field(default=None, description="whose; another's may be made by an admin alone")


class NewToken(Token):
    """Its value, which is in this answer and nowhere else."""

    token: str


class SignInWays(Frozen):
    """How a person gets into the dashboard."""

    accounts: bool = Field(description="there are accounts: by name and password")
    provider: str | None = Field(default=None, description="words of the button that leads to the provider; null: none")


class SignIn(Frozen):
    """Body of `POST /sign-in`."""

    name: str = Field(max_length=200, pattern=_TEXT)
    password: GivenPassword
    address: str | None = Field(
        default=None,
        max_length=64,
        pattern=_TEXT,
        description="of the person's machine; heeded of the dashboard alone, which shows the installation's token",
    )


class SignInBegun(Frozen):
    """A sign-in through the provider that was begun: `url` is where the browser goes, `ticket` what it must come back with."""

    url: str
    ticket: str


class ProviderAnswer(Frozen):
    """Body of `POST /sign-in/provider/answer`: the ticket, and what the provider sent the browser back with."""

    ticket: str = Field(max_length=100, pattern=_TEXT)
    returned_state: str = Field(max_length=200, pattern=_TEXT)
    returned_code: str = Field(min_length=1, max_length=4000, pattern=_TEXT)
    issuer: str | None = Field(default=None, max_length=500, pattern=_TEXT, description="its parameter `iss`, RFC 9207")
    address: str | None = Field(default=None, max_length=64, pattern=_TEXT, description="of the person's machine")


class SignedIn(Frozen):
    """A session: `token` is good as a bearer token until its end."""

    token: str
    expires_at: datetime
    name: str
    role: Role


class Me(Frozen):
    """Who asks, as far as the API knows, and what this credential may do."""

    name: str | None = Field(description="null: the installation's own token, which is no person's")
    role: Role
    scope: Scope
    via: Via
    accounts: bool = Field(description="there are accounts here")
    has_password: bool = Field(default=False, description="this account signs in by a password too")


class PasswordChange(Frozen):
    """Body of `POST /me/password`."""

    current: GivenPassword
    new: NewPassword


class AuditEntry(Frozen):
    """Who did what to which, and when."""

    id: int
    at: datetime
    actor: str | None = Field(description="the account; null: nobody by name")
    via: str = Field(description="installation, token, session, command, or door for whoever is not in yet")
    address: str | None = None
    action: str
    subject: str = Field(description="which: a name or an id")
    detail: dict[str, str | float | bool | None] = Field(default_factory=dict)


class AuditLog(Frozen):
    """Newest first."""

    items: list[AuditEntry]
    next_cursor: str | None = None
