"""What ties the browser that began a sign-in to the provider's answer, kept by that browser alone.

A ticket is 256 random bits and an end, in a cookie. State, nonce and code verifier follow from it by a key of this
installation: a state fits one ticket alone, a ticket whose end was changed fits none, whoever only begins fills no table,
and any copy of the API can go on. What the browser sends through the address bar tells nothing of its cookie.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from backend.provider.refusals import TOO_LATE, refused

TICKET = re.compile(r"[A-Za-z0-9_-]{43}\.(?P<end>[0-9]{10})")
PATIENCE_S = 600.0  # that somebody may take at the provider


class Tickets:
    def __init__(self, key: str, *, clock: Callable[[], float]) -> None:
        """`key`: what all copies of the API share, and nobody else knows."""
        self._key = hmac.digest(key.encode(), b"sign-in through a provider", "sha256")
        self._clock = clock

    def new(self) -> str:
        return f"{secrets.token_urlsafe(32)}.{int(self._clock() + PATIENCE_S)}"

    def derived(self, ticket: str, what: Literal["state", "nonce", "verifier"]) -> str:
        """43 signs that follow from a ticket, and that nobody else can tell."""
        made = hmac.digest(self._key, f"{what}:{ticket}".encode("utf-8", "replace"), "sha256")
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()

    def ends_at(self, ticket: str, state: str) -> datetime:
        """When it ends; raises SignInRefused where the state is another ticket's, or comes too late."""
        found, own = TICKET.fullmatch(ticket), self.derived(ticket, "state")
        if not hmac.compare_digest(own.encode(), state.encode("utf-8", "replace")) or found is None:
            raise refused("state", TOO_LATE)
        if int(found["end"]) <= self._clock():
            raise refused("late", TOO_LATE)
        return datetime.fromtimestamp(int(found["end"]), UTC)
