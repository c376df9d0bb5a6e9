"""What a request needs: one table, asked by the gate before anything of a request is read.

A request that reads needs `read`, one that changes something `admin`, unless it stands here.
"""

from __future__ import annotations

import re
from functools import lru_cache

from core.schemas.accounts import Scope

PREFIX = "/api/v1"

#: Sent with a body, or about the account that asks alone; nothing of an installation changes by them.
READ = (
    "POST /preview",
    "POST /sweeps/preview",
    "POST /audit",
    "POST /runs/{id}/try",
    "POST /sign-out",
    "POST /me/password",
    "POST /tokens",
    "DELETE /tokens/{id}",
)
#: Make something, or change what is one's own: whose a run is, is asked where it is changed.
SUBMIT = (
    "POST /runs",
    "POST /runs/bulk",
    "PATCH /runs/{id}",
    "DELETE /runs/{id}",
    "POST /runs/{id}/restore",
    "POST /runs/{id}/cancel",
    "POST /runs/{id}/retry",
    "POST /runs/{id}/fork",
    "POST /runs/{id}/robustness",
    "POST /sweeps",
    "POST /sweeps/{id}/cancel",
    "DELETE /sweeps/{id}",
    "POST /imports",
    "POST /datasets",
    "POST /datasets/{id}/fetch",
    "DELETE /datasets/{id}/fetch",
    "POST /views",
    "DELETE /views/{id}",
    "POST /shares",
    "DELETE /shares/{id}",
)
#: Read by whoever administers alone.
ADMIN = ("GET /accounts", "GET /audit-log")


def needed(method: str, path: str) -> Scope:
    """`path`: the address as it was asked for, or a route's pattern."""
    return _needed(method.upper(), path.removeprefix(PREFIX))


def _pattern(routes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(route).replace(r"\{id\}", "[^/]+") for route in routes))


_TABLE = tuple((scope, _pattern(routes)) for scope, routes in ((Scope.READ, READ), (Scope.SUBMIT, SUBMIT)))
_ADMIN = _pattern(ADMIN)
_READING = ("GET", "HEAD", "OPTIONS")


@lru_cache(maxsize=1024)
def _needed(method: str, path: str) -> Scope:
    asked = f"{method} {path}"
    if method in _READING:
        return Scope.ADMIN if _ADMIN.fullmatch(f"GET {path}") else Scope.READ
    return next((scope for scope, pattern in _TABLE if pattern.fullmatch(asked)), Scope.ADMIN)
