"""Accounts of each role, and what each can show the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from backend.accounts import passwords
from core.schemas.accounts import Role, Scope

PASSWORD = "correct horse battery"

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


def cheap_passwords(patch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time, for tests of what is around them."""
    patch.setattr(passwords, "_hasher", lambda: CHEAP)
    passwords._nobodys.cache_clear()
    patch.setattr(passwords, "_nobodys", lambda: CHEAP.hash("nobody's"))


#: What is shown -> what it may; None is nobody.
CREDENTIALS: dict[str, Scope | None] = {
    "nobody": None,
    "wrong": None,
    "ended": None,
    "revoked": None,
    "disabled": None,
    "viewer": Scope.READ,
    "member": Scope.SUBMIT,
    "admin": Scope.ADMIN,
    "token: read": Scope.READ,
    "token: submit": Scope.SUBMIT,
    "token: viewer's": Scope.READ,
    "installation": Scope.ADMIN,
}


@dataclass(frozen=True, kw_only=True)
class People:
    client: TestClient
    shown: dict[str, str]

    def headers(self, kind: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.shown[kind]}"} if self.shown[kind] else {"Authorization": ""}

    def sign_in_again(self) -> None:
        self.shown.update({role.value: session(self.client, role.value) for role in Role})

    def ask(self, method: str, path: str, **asked: Any) -> httpx.Response:
        return self.client.request(method, path, **asked)


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def account(client: TestClient, name: str, role: str, password: str | None = PASSWORD) -> None:
    made = client.post("/api/v1/accounts", json={"name": name, "role": role, "password": password})
    assert made.status_code == 201, made.text


def session(client: TestClient, name: str, password: str = PASSWORD) -> str:
    signed_in = client.post("/api/v1/sign-in", json={"name": name, "password": password})
    assert signed_in.status_code == 201, signed_in.text
    return signed_in.json()["token"]


def token(client: TestClient, account: str, scope: str, **asked: Any) -> dict[str, Any]:
    made = client.post("/api/v1/tokens", json={"name": "for a test", "account": account, "scope": scope, **asked})
    assert made.status_code == 201, made.text
    return made.json()


def people_of(client: TestClient) -> People:
    """`client` shows the installation's token."""
    for role in Role:
        account(client, role.value, role.value)
    account(client, "gone", "admin", None)
    revoked, disabled = token(client, "admin", "admin"), token(client, "gone", "admin")
    client.delete(f"/api/v1/tokens/{revoked['id']}")
    client.patch("/api/v1/accounts/gone", json={"disabled": True})
    account(client, "demoted", "member", None)
    demoted = token(client, "demoted", "submit")  # made as a member, which it is no more
    client.patch("/api/v1/accounts/demoted", json={"role": "viewer"})
    ended = session(client, "viewer")
    client.post("/api/v1/sign-out", headers={"Authorization": f"Bearer {ended}"})
    shown = {role.value: session(client, role.value) for role in Role}
    shown |= {
        "nobody": "",
        "wrong": "sft_" + "A" * 43,
        "ended": ended,
        "revoked": revoked["token"],
        "disabled": disabled["token"],
        "token: read": token(client, "admin", "read")["token"],
        "token: submit": token(client, "admin", "submit")["token"],
        "token: viewer's": demoted["token"],
        "installation": client.headers["authorization"].split()[1],
    }
    return People(client=client, shown=shown)
