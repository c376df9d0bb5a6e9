"""Signing in through a provider (OpenID Connect): the authorization code flow with PKCE, and whom an answer is about."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet, import_key
from joserfc.jwt import Token, decode

from backend.provider.about import TIMEOUT, About, about_of, ask
from backend.provider.refusals import UNFIT, down, refused
from backend.provider.tickets import Tickets
from core.errors import ProviderDown
from core.schemas.accounts import LONGEST_SUBJECT, ProviderAnswer, SignInBegun
from core.settings import PROVIDER_BACK, Settings, read_client_secret

KEPT_S = 3600.0  # what it says of itself
AGAIN_S = 30.0  # before its keys are asked for anew, which any answer with an unknown one would bring about
DOWN_S = 3.0  # after it did not answer: whoever waits for the same is not kept waiting in turn
LEEWAY_S = 60  # between its clock and ours
MOST_GROUPS = 10_000
KEY_TYPES = ("RSA", "EC", "OKP")


@dataclass(frozen=True, kw_only=True)
class Person:
    """Whom the provider has let in. `name` is what it calls them, and may be no name of an account."""

    subject: str
    name: str | None
    groups: frozenset[str]


class Provider:
    """One a process, used from many threads."""

    def __init__(
        self, settings: Settings, *, key: str, clock: Callable[[], float] = time.time, http: httpx.Client | None = None
    ) -> None:
        """`key`: what all copies of the API share, and nobody else knows."""
        assert settings.oidc_issuer is not None and settings.oidc_client_id is not None
        self.issuer, self._client_id = settings.oidc_issuer, settings.oidc_client_id
        self._secret = read_client_secret(settings)
        self._scopes, self._back = settings.oidc_scopes, settings.dashboard_url + PROVIDER_BACK
        self._name_claim, self._group_claim = settings.oidc_name_claim, settings.oidc_group_claim
        self._clock = clock
        self._tickets = Tickets(key, clock=clock)
        self._http = http or httpx.Client(timeout=TIMEOUT, follow_redirects=False)
        self._about: tuple[float, About] | None = None  # with the time at which it was fetched
        self._keys: tuple[float, KeySet] | None = None
        self._down_at = float("-inf")
        self._lock = threading.Lock()

    def close(self) -> None:
        self._http.close()

    def begin(self) -> SignInBegun:
        """Where a browser is sent, and the ticket that it comes back with. Raises ProviderDown."""
        about, ticket = self._told(), self._tickets.new()
        url = prepare_grant_uri(
            about.authorization,
            self._client_id,
            "code",
            redirect_uri=self._back,
            scope=self._scopes,
            state=self._tickets.derived(ticket, "state"),
            nonce=self._tickets.derived(ticket, "nonce"),
            code_challenge=create_s256_code_challenge(self._tickets.derived(ticket, "verifier")),
            code_challenge_method="S256",
        )
        return SignInBegun(url=url, ticket=ticket)

    def ends_at(self, answer: ProviderAnswer) -> datetime:
        """When the ticket of an answer ends; raises SignInRefused where they do not belong together, or it has ended."""
        return self._tickets.ends_at(answer.ticket, answer.returned_state)

    def person(self, answer: ProviderAnswer) -> Person:
        """Whom an answer is about, by the ID token that its code is exchanged for; `ends_at` was asked before.

        Raises SignInRefused or ProviderDown.
        """
        about = self._told()
        if answer.issuer != self.issuer and (about.names_itself or answer.issuer is not None):
            raise refused("issuer of the answer", UNFIT)
        given = self._exchanged(about, answer)
        return self._read(self._verified(about, given, nonce=self._tickets.derived(answer.ticket, "nonce")))

    def _told(self) -> About:
        """What it says of itself, asked for once an hour. Raises ProviderDown."""
        with self._lock:
            now = self._clock()
            if self._about is not None and now - self._about[0] < KEPT_S:
                return self._about[1]
            if now - self._down_at < DOWN_S:
                raise ProviderDown(why="it did not answer a moment ago.")
            try:
                about = about_of(
                    ask(self._http, "GET", get_well_known_url(self.issuer, external=True))[1], issuer=self.issuer
                )
            except ProviderDown:
                self._down_at = self._clock()
                raise
            self._about, self._keys = (now, about), None
            return about

    def _signing(self, about: About, *, anew: bool = False) -> KeySet:
        with self._lock:
            now = self._clock()
            if self._keys is None or (anew and now - self._keys[0] >= AGAIN_S):
                self._keys = now, _key_set(ask(self._http, "GET", about.keys)[1])
            return self._keys[1]

    def _exchanged(self, about: About, answer: ProviderAnswer) -> Mapping[str, Any]:
        """What the provider gives for the code, the ID token in it."""
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=self._back,
            code=answer.returned_code,
            code_verifier=self._tickets.derived(answer.ticket, "verifier"),
        )
        shown = ClientAuth(self._client_id, self._secret, about.authentication if self._secret else "none")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        url, headers, body = shown.prepare("POST", about.token, headers, body)
        status, given = ask(self._http, "POST", url, headers=headers, content=body)
        if status == 200:
            return given
        error = given.get("error")
        if error == "invalid_grant":  # a code that is spent, or never was one
            raise refused("code", UNFIT)
        known = error if isinstance(error, str) and re.fullmatch("[a-z_]{1,40}", error) else f"status {status}"
        raise down(f"it refuses to exchange a code: {known}.")

    def _verified(self, about: About, given: Mapping[str, Any], *, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that is of this provider, for us, of now, and of this sign-in."""
        token = given.get("id_token")
        if not isinstance(token, str):
            raise refused("no ID token", UNFIT)
        try:
            read = self._decoded(about, token)
            options = {
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": self._client_id},
            }
            params = {"nonce": nonce, "client_id": self._client_id, "access_token": given.get("access_token")}
            CodeIDToken(read.claims, read.header, options, params).validate(now=int(self._clock()), leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:  # whatever stands in it
            claim = getattr(error, "claim", None)
            raise refused(f"{type(error).__name__}{f' of {claim}' if claim else ''}", UNFIT) from None
        return read.claims

    def _decoded(self, about: About, token: str) -> Token:
        try:
            return decode(token, self._signing(about), algorithms=about.algorithms)
        except (InvalidKeyIdError, BadSignatureError):  # it may have new keys
            return decode(token, self._signing(about, anew=True), algorithms=about.algorithms)

    def _read(self, claims: Mapping[str, Any]) -> Person:
        subject = claims["sub"]
        if not (isinstance(subject, str) and 0 < len(subject) <= LONGEST_SUBJECT and subject.isprintable()):
            raise refused("subject", UNFIT)
        name, groups = claim_of(claims, self._name_claim), claim_of(claims, self._group_claim)
        if self._name_claim == "email" and claims.get("email_verified") is not True:
            name = None  # anybody can type any address in
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Person(
            subject=subject,
            name=name if isinstance(name, str) else None,
            groups=frozenset(one for one in listed[:MOST_GROUPS] if isinstance(one, str)),
        )


def claim_of(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path such as `realm_access.roles`; None where there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _key_set(told: Mapping[str, Any]) -> KeySet:
    """Its keys for signatures, of the kinds of which only the provider has the private half."""
    listed = told.get("keys")
    found: list[Key] = []
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and one.get("kty") in KEY_TYPES and one.get("use", "sig") == "sig":
            try:
                found.append(import_key(one))
            except (JoseError, ValueError, TypeError, KeyError):
                continue  # of a kind that is not known here
    if not found:
        raise down("it shows no key that its answers could be held against.")
    return KeySet(found)
