"""The way to the sign-in provider and back: what a browser keeps meanwhile, and what it comes back with.

It keeps the ticket of its sign-in (`backend.provider.tickets`) in a cookie, so that nobody can make it finish a sign-in that
another browser began, and the address that it wanted. The cookie is `Lax`: the way back is a link on another site.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.schemas.accounts import ProviderAnswer
from core.settings import PROVIDER_BACK

BEGIN, BACK = "/_provider", PROVIDER_BACK
KEPT_S = 600
MOST_PATH = 1500  # signs of an address that is kept; a cookie holds some 4,000
NOT_HERE = "This sign-in was begun in another browser, or took too long. Begin again."
UNREADABLE = "What the provider sent cannot be read. Begin again."
_KEPT = re.compile(r"(?P<ticket>[A-Za-z0-9_-]{43}\.[0-9]{10})\.(?P<path>[A-Za-z0-9_-]*={0,2})")
_CODE = re.compile(r"[a-z_]{1,40}")  # of an error, RFC 6749


@dataclass(frozen=True, kw_only=True)
class Kept:
    ticket: str
    path: str


def kept(ticket: str, path: str) -> str:
    """The cookie's value. A path that is too long is left out: one then comes to the first page."""
    if len(path) > MOST_PATH:
        path = "/"
    return f"{ticket}.{base64.urlsafe_b64encode(path.encode()).decode()}"


def read_kept(values: Iterable[str]) -> Kept | None:
    """Of the cookies of that name the first that is one of ours. Its path may be anything: who wrote it is not known."""
    for value in values:
        if found := _KEPT.fullmatch(value):
            try:
                return Kept(ticket=found["ticket"], path=base64.urlsafe_b64decode(found["path"]).decode())
            except ValueError:
                continue
    return None


def complaint(query: Mapping[str, str]) -> str | None:
    """Why the provider sent the browser back without a code; None where it sent one."""
    error = query.get("error")
    if error is None:
        return None if query.get("code") and query.get("state") else UNREADABLE
    if error == "access_denied":
        return "The provider did not let you in."
    return f"The provider did not let you in: {error if _CODE.fullmatch(error) else 'it says no more'}."


def answer(kept: Kept, query: Mapping[str, str], *, address: str) -> ProviderAnswer:
    """Raises ValueError for what is longer than any answer is."""
    return ProviderAnswer(
        ticket=kept.ticket,
        returned_state=query.get("state", ""),
        returned_code=query.get("code", ""),
        issuer=query.get("iss"),
        address=address[:64],
    )
