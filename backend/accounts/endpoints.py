"""Routes of accounts: signing in and out, who I am, tokens, people, and what was done by whom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field

from backend.accounts import sign_in as entering
from backend.accounts.service import AccountService
from backend.context import Context, of
from backend.contract import may
from backend.security import acting, asking
from backend.store import audit_log
from backend.store.actors import OWNER, Actor
from core.errors import (
    BadValue,
    Forbidden,
    NotFound,
    NotYours,
    PackageMissing,
    ProviderDown,
    SignInFailed,
    SignInRefused,
    StorageFull,
    TooManyTries,
)
from core.schemas.accounts import (
    LONGEST_LOG_PAGE,
    Account,
    AccountChange,
    Accounts,
    AuditLog,
    Me,
    NewAccount,
    NewToken,
    PasswordChange,
    ProviderAnswer,
    Role,
    SignedIn,
    SignIn,
    SignInBegun,
    SignInWays,
    TokenRequest,
    Tokens,
)
from core.schemas.base import Frozen

if TYPE_CHECKING:
    from backend.provider.oidc import Provider

router = APIRouter(tags=["accounts"])
door = APIRouter(tags=["accounts"])  # for whoever is not in yet

#: Threads of their own, and few: anybody may ask for a password to be looked at, which takes long.
THREADS = CapacityLimiter(2)
#: The same for what waits for the provider, which may be slow: passwords are looked at meanwhile.
ASKING_THREADS = CapacityLimiter(4)

Name = Annotated[str, Path(max_length=64)]
Given = Annotated[Context, Depends(of)]
Who = Annotated[Actor, Depends(acting)]
PROVING = (SignInFailed, TooManyTries, PackageMissing, StorageFull)


def service(context: Given, actor: Who) -> AccountService:
    return AccountService(context.database, actor, issuer=context.settings.oidc_issuer)


Service = Annotated[AccountService, Depends(service)]


@door.get("/sign-in")
def show_ways(context: Given) -> SignInWays:
    """How one gets into the dashboard here."""
    label = None if context.provider is None else context.settings.oidc_label
    return SignInWays(accounts=entering.any_account(context.database), provider=label)


@door.post("/sign-in", status_code=201, responses=may(*PROVING))
async def sign_in(
    asked: SignIn, request: Request, context: Given, actor: Annotated[Actor | None, Depends(asking)]
) -> SignedIn:
    """A session by name and password, with an end. A wrong name and a wrong password are answered alike."""
    address = asked.address if actor == OWNER and asked.address else _client(request)
    return await to_thread.run_sync(
        partial(entering.sign_in, context.database, asked, address=address), limiter=THREADS
    )


@router.post("/sign-in/provider", status_code=201, responses=may(NotFound, ProviderDown))
async def begin_at_provider(context: Given) -> SignInBegun:
    """Where the dashboard sends a browser that wants to sign in through the provider."""
    return await to_thread.run_sync(_provider(context).begin, limiter=ASKING_THREADS)


@router.post(
    "/sign-in/provider/answer",
    status_code=201,
    responses=may(NotFound, SignInRefused, TooManyTries, ProviderDown, StorageFull),
)
async def take_answer(answer: ProviderAnswer, context: Given) -> SignedIn:
    """A session, as by password, for whom the provider sent the browser back with; good for once."""
    provider = _provider(context)
    from backend.accounts import by_provider  # what it needs is loaded with the provider

    signing_in = partial(
        by_provider.sign_in, context.database, context.settings, provider, answer, address=answer.address
    )
    return await to_thread.run_sync(signing_in, limiter=ASKING_THREADS)


def _provider(context: Context) -> Provider:
    if context.provider is None:
        raise NotFound(kind="sign-in provider", id="SPIKEFRONT_OIDC_ISSUER")
    return context.provider


@router.post("/sign-out", status_code=204, responses=may(StorageFull))
def sign_out(context: Given, actor: Who) -> None:
    """End the session that asks; of a token nothing ends."""
    entering.sign_out(context.database, actor)


@router.get("/me")
def show_me(context: Given, actor: Who) -> Me:
    """Who asks, and what this credential may do."""
    role = next(role for role in Role if role.scope is actor.scope)
    there = actor.name is not None or entering.any_account(context.database)
    password = entering.has_password(context.database, actor)
    return Me(name=actor.name, role=role, scope=actor.scope, via=actor.via, accounts=there, has_password=password)


@router.post("/me/password", status_code=204, responses=may(NotFound, BadValue, *PROVING))
def change_password(change: PasswordChange, request: Request, context: Given, actor: Who) -> None:
    """Another password of one's own; every other page that is signed in is out."""
    entering.change_password(context.database, actor, change, address=_client(request))


@router.get("/accounts")
def list_accounts(accounts: Service) -> Accounts:
    """By name."""
    return Accounts(items=accounts.all())


@router.post("/accounts", status_code=201, responses=may(BadValue, PackageMissing, StorageFull))
def add_account(new: NewAccount, accounts: Service) -> Account:
    """A new account. With the first one the dashboard asks for a name and a password."""
    return accounts.add(new)


@router.patch("/accounts/{name}", responses=may(NotFound, BadValue, PackageMissing, StorageFull))
def change_account(name: Name, change: AccountChange, accounts: Service) -> Account:
    """Another role, another password, disabled or not."""
    return accounts.change(name, change)


@router.get("/tokens")
def list_tokens(accounts: Service) -> Tokens:
    """One's own tokens, also those that have ended; of all accounts for an admin."""
    return Tokens(items=accounts.tokens())


@router.post("/tokens", status_code=201, responses=may(NotFound, BadValue, NotYours, Forbidden, StorageFull))
def add_token(asked: TokenRequest, accounts: Service) -> NewToken:
    """A token of one's own; its value is shown this once."""
    return accounts.add_token(asked)


@router.delete("/tokens/{token_id}", status_code=204, responses=may(NotFound, StorageFull))
def revoke_token(token_id: Annotated[str, Path(max_length=64)], accounts: Service) -> None:
    """It opens nothing from now on."""
    accounts.revoke_token(token_id)


class AuditQuery(Frozen):
    action: list[str] = Field(
        default=[], max_length=20, description="such as sign-in.failed; may be given more than once"
    )
    actor: str | None = Field(default=None, max_length=64, description="the name of an account")
    cursor: int | None = Field(default=None, ge=1, lt=2**63, description="next_cursor of the page before")
    limit: int = Field(default=100, ge=1, le=LONGEST_LOG_PAGE)


@router.get("/audit-log")
def list_audit_log(query: Annotated[AuditQuery, Query()], context: Given) -> AuditLog:
    """Who did what to which, and when; newest first."""
    with context.database.read() as session:
        return audit_log.page(session, before=query.cursor, limit=query.limit, actor=query.actor, actions=query.action)


def _client(request: Request) -> str | None:
    return request.client.host if request.client is not None else None
