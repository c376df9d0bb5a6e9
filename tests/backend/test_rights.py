"""Every route and every kind of credential: who gets which answer.

ROUTES says for each route of the API the least that opens it. A route that is not there fails the test, and so does an
entry without a route: whoever adds a route says here who may use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from apis import client_over, document
from fastapi.testclient import TestClient
from people import CREDENTIALS, People, cheap_passwords, people_of

from backend.rights import needed
from core.schemas.accounts import Scope

OPEN, READ, SUBMIT, ADMIN = "open", "read", "submit", "admin"
SIGNED = "signed"  # open, by an address that is signed; else by whatever reads

ROUTES = {
    "GET /health/live": OPEN,
    "GET /health/ready": OPEN,
    "GET /sign-in": OPEN,
    "POST /sign-in": OPEN,
    "GET /shared/{token}": OPEN,
    "GET /shared/{token}/files/{name}": OPEN,
    "GET /runs/{run_id}/artifacts/{name}": SIGNED,
    # looking
    "GET /catalog": READ,
    "GET /published": READ,
    "GET /datasets/{name}/pictures": READ,
    "GET /datasets/{name}/work": READ,
    "GET /audit": READ,
    "GET /audit/measured": READ,
    "GET /runs": READ,
    "GET /runs/columns": READ,
    "GET /runs/counts": READ,
    "GET /runs/{run_id}": READ,
    "GET /runs/{run_id}/events": READ,
    "GET /runs/{run_id}/metrics": READ,
    "GET /runs/{run_id}/search": READ,
    "GET /runs/{run_id}/history": READ,
    "GET /runs/{run_id}/log": READ,
    "GET /runs/{run_id}/layers": READ,
    "GET /runs/{run_id}/confusion": READ,
    "GET /runs/{run_id}/examples": READ,
    "GET /runs/{run_id}/images/{index}": READ,
    "GET /runs/{run_id}/calibration": READ,
    "GET /runs/{run_id}/steps": READ,
    "GET /runs/{run_id}/exits": READ,
    "GET /runs/{run_id}/twin": READ,
    "GET /runs/{run_id}/diagnostics": READ,
    "GET /runs/{run_id}/gradients": READ,
    "GET /runs/{run_id}/environment": READ,
    "GET /runs/{run_id}/robustness": READ,
    "GET /pareto": READ,
    "GET /views": READ,
    "GET /sweeps": READ,
    "GET /sweeps/{sweep_id}": READ,
    "GET /suggestions": READ,
    "GET /compare": READ,
    "GET /compare/ensemble": READ,
    "GET /workers": READ,
    "GET /queue": READ,
    "GET /activity": READ,
    "GET /metrics": READ,
    "GET /installation": READ,
    "GET /shares": READ,
    # asking with a body, which changes nothing
    "POST /preview": READ,
    "POST /sweeps/preview": READ,
    "POST /audit": READ,
    "POST /runs/{run_id}/try": READ,
    # one's own account
    "GET /me": READ,
    "POST /me/password": READ,
    "POST /sign-out": READ,
    "GET /tokens": READ,
    "POST /tokens": READ,
    "DELETE /tokens/{token_id}": READ,
    # making, and changing what is one's own
    "POST /runs": SUBMIT,
    "POST /runs/bulk": SUBMIT,
    "PATCH /runs/{run_id}": SUBMIT,
    "DELETE /runs/{run_id}": SUBMIT,
    "POST /runs/{run_id}/restore": SUBMIT,
    "POST /runs/{run_id}/cancel": SUBMIT,
    "POST /runs/{run_id}/retry": SUBMIT,
    "POST /runs/{run_id}/fork": SUBMIT,
    "POST /runs/{run_id}/robustness": SUBMIT,
    "POST /sweeps": SUBMIT,
    "POST /sweeps/{sweep_id}/cancel": SUBMIT,
    "DELETE /sweeps/{sweep_id}": SUBMIT,
    "POST /imports": SUBMIT,
    "POST /datasets": SUBMIT,
    "POST /datasets/{name}/fetch": SUBMIT,
    "DELETE /datasets/{name}/fetch": SUBMIT,
    "POST /views": SUBMIT,
    "DELETE /views/{view_id}": SUBMIT,
    "POST /shares": SUBMIT,
    "DELETE /shares/{share_id}": SUBMIT,
    # the dashboard's
    "POST /sign-in/provider": ADMIN,
    "POST /sign-in/provider/answer": ADMIN,
    # the installation's
    "POST /imports/unlisted": ADMIN,
    "GET /accounts": ADMIN,
    "POST /accounts": ADMIN,
    "PATCH /accounts/{name}": ADMIN,
    "GET /audit-log": ADMIN,
}


def there() -> list[str]:
    return [
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in document()["paths"].items()
        for method in methods
    ]


def test_every_route_is_in_the_table_and_every_entry_is_a_route() -> None:
    assert sorted(ROUTES) == sorted(there())


@pytest.fixture(scope="module")
def people(standing) -> Iterator[People]:
    """One account of each role, and one of each kind of credential."""
    with pytest.MonkeyPatch.context() as patch:
        cheap_passwords(patch)
        yield people_of(standing.client)


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_opens_for_exactly_those_who_may(route: str, people: People) -> None:
    method, path = route.split(" ")
    for kind, may in CREDENTIALS.items():
        answer = ask(people, method, path, kind)
        code = answer.json().get("code") if answer.headers.get("content-type") == "application/problem+json" else None
        where = f"{route} by {kind}: {answer.status_code} {code}"
        wanted = ROUTES[route]
        if wanted == OPEN:
            assert code not in ("unauthorised", "forbidden"), where
        elif may is None:
            assert (answer.status_code, code) == (401, "unauthorised"), where
        elif wanted == SIGNED or may.covers(Scope(wanted)):
            assert code not in ("unauthorised", "forbidden") or own_token(route, kind), where
        else:
            assert (answer.status_code, code) == (403, "forbidden"), where
            assert answer.json()["fields"] == {"needed": wanted, "given": may.value}, where
    if route == "POST /sign-out":
        people.sign_in_again()


def own_token(route: str, kind: str) -> bool:
    """A token makes no token, whatever its account may."""
    return route == "POST /tokens" and kind.startswith("token: ")


#: Followed for ever, or begun in the background: what is asked for does not exist, so nothing of it happens.
BODIES = {"POST /tokens": {"name": "t", "account": "nobody"}, "POST /sign-in": {"name": "x", "password": "y"}}


def ask(people: People, method: str, path: str, kind: str):
    body = BODIES.get(f"{method} {path}", {"no such field": 1})
    headers = people.headers(kind)
    return people.ask(method, "/api/v1" + re.sub(r"\{\w+\}", "0", path), headers=headers, json=body)


def test_what_is_in_no_table_of_the_gate_is_for_an_administrator() -> None:
    assert needed("POST", "/api/v1/made-tomorrow") is Scope.ADMIN
    assert needed("PUT", "/api/v1/runs") is Scope.ADMIN
    assert needed("DELETE", "/api/v1/runs/a/b") is Scope.ADMIN
    assert needed("POST", "/api/v1/runs/") is Scope.ADMIN


def test_an_address_says_the_same_as_its_pattern() -> None:
    for route, wanted in ROUTES.items():
        if wanted in (READ, SUBMIT, ADMIN):
            method, path = route.split(" ")
            assert needed(method, path).value == wanted == needed(method, re.sub(r"\{\w+\}", "a-b_c", path)).value, (
                route
            )


def test_a_member_is_refused_before_anything_of_the_body_is_read(people: People) -> None:
    headers = {**people.headers("viewer"), "Content-Type": "application/json"}
    answer = people.ask("POST", "/api/v1/runs", headers=headers, content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_shares_open_for_guests_as_before(people: People, standing) -> None:
    view = {"view": {"dataset": "digits", "x": "energy", "y": "accuracy"}}
    made = people.ask("POST", "/api/v1/shares", headers=people.headers("member"), json=view)
    assert made.status_code == 201 and made.json()["made_by"] == "member"
    for path in (f"/api/v1/shared/{made.json()['token']}", f"/s/{made.json()['token']}"):
        opened = people.ask("GET", path, headers=people.headers("nobody"))
        assert opened.status_code == 200 and "member" not in opened.text, path


def test_with_no_account_everything_is_as_it_was(settings) -> None:
    with client_over(settings) as client:
        assert client.get("/api/v1/me").json() == {
            "name": None, "role": "admin", "scope": "admin", "via": "installation", "accounts": False,
            "has_password": False,
        }  # fmt: skip
        assert client.get("/api/v1/sign-in").json() == {"accounts": False, "provider": None}
        made = client.post("/api/v1/runs", json={"mask": "F9"})
        assert made.status_code == 201 and made.json()["submitter"] is None
        assert _stranger(client).get("/api/v1/runs").status_code == 401


def _stranger(client: TestClient) -> TestClient:
    return TestClient(client.app, base_url="http://127.0.0.1:8000")
