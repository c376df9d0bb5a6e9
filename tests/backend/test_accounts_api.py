"""Accounts: signing in, tokens, sessions, whose things are, and what is noted of it all."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from people import PASSWORD, account, bearer, cheap_passwords, session, token
from sqlalchemy import select, update

from backend.accounts import passwords, sign_in, tries
from backend.store import credentials
from backend.store.db import Database, utc_now
from backend.store.models import AccessTokenRow, AccountRow, RunRow, SessionRow, SignInCountRow

BAD = {"name": "ann", "password": "not the password"}


def log(client: TestClient, **asked: object) -> list[tuple[str | None, str, str]]:
    """(actor, action, subject), the newest last."""
    items = client.get("/api/v1/audit-log", params=asked).json()["items"]
    return [(item["actor"], item["action"], item["subject"]) for item in reversed(items)]


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("real_hashes") is None:
        cheap_passwords(monkeypatch)


@pytest.fixture
def ann(client: TestClient) -> str:
    """A session of a member."""
    account(client, "ann", "member")
    return session(client, "ann")


def test_the_first_account_turns_the_sign_in_on_and_the_key_stays_an_administrators(client: TestClient) -> None:
    assert client.get("/api/v1/sign-in").json() == {"accounts": False, "provider": None}
    account(client, "Ann@Lab.example", "viewer")
    assert client.get("/api/v1/sign-in").json() == {"accounts": True, "provider": None}
    assert client.get("/api/v1/me").json()["scope"] == "admin"
    value = session(client, "ANN@lab.EXAMPLE")
    me = client.get("/api/v1/me", headers=bearer(value)).json()
    assert me == {
        "name": "ann@lab.example", "role": "viewer", "scope": "read", "via": "session", "accounts": True,
        "has_password": True,
    }  # fmt: skip


@pytest.mark.real_hashes
def test_a_password_is_kept_as_argon2id_and_tokens_by_their_hash_alone(client: TestClient, database: Database) -> None:
    account(client, "ann", "member")
    value, made = session(client, "ann"), token(client, "ann", "read")
    with database.read() as reading:
        kept = reading.get_one(AccountRow, "ann").password_hash
        assert kept is not None and kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$") and PASSWORD not in kept
        assert reading.scalars(select(SessionRow.token_hash)).all() == [credentials.hashed(value)]
        assert reading.get_one(AccessTokenRow, made["id"]).token_hash == credentials.hashed(made["token"])
    assert len(made["token"]) == 4 + 43  # 256 bits in base 64
    listed = (
        client.get("/api/v1/tokens").text + client.get("/api/v1/accounts").text + client.get("/api/v1/audit-log").text
    )
    assert made["token"] not in listed and value not in listed and "argon2" not in listed and PASSWORD not in listed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"name": "../x"}, "name"),
        ({"name": "ann", "role": "owner"}, "role"),
        ({"name": "ann", "password": "short"}, "password"),
        ({"name": "ann", "password": "x" * 201}, "password"),
        ({"name": "ann-of-the-lab", "password": "Ann-of-the-lab"}, "password"),
    ],
)
def test_what_cannot_be_an_account_is_refused_and_no_answer_repeats_a_password(
    client: TestClient, body: dict[str, str], field: str
) -> None:
    answer = client.post("/api/v1/accounts", json=body)
    assert answer.status_code == 422 and field in answer.json()["detail"]
    if "password" in body:
        assert body["password"] not in answer.text
    assert client.get("/api/v1/accounts").json() == {"items": []}


def test_a_name_is_taken_once(client: TestClient) -> None:
    account(client, "ann", "member")
    again = client.post("/api/v1/accounts", json={"name": "ANN", "role": "admin"})
    assert (again.status_code, again.json()["fields"]["field"]) == (422, "name")
    assert client.get("/api/v1/accounts").json()["items"][0]["role"] == "member"


def without_place(answer) -> tuple[int, dict]:
    return answer.status_code, {k: v for k, v in answer.json().items() if k != "request_id"}


@pytest.mark.real_hashes
def test_a_wrong_name_a_wrong_password_and_a_disabled_account_are_answered_alike(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each takes one verification, by the same parameters: no answer comes sooner than another."""
    account(client, "ann", "member")
    account(client, "out", "member")
    account(client, "tokens", "member", None)
    client.patch("/api/v1/accounts/out", json={"disabled": True})
    hashes = []
    verify = passwords._hasher().__class__.verify
    monkeypatch.setattr(
        passwords._hasher().__class__,
        "verify",
        lambda self, kept, given: hashes.append(kept) or verify(self, kept, given),
    )
    asked = [
        {"name": "nobody", "password": PASSWORD},
        BAD,
        {"name": "out", "password": PASSWORD},
        {"name": "tokens", "password": ""},
    ]
    answers = [without_place(client.post("/api/v1/sign-in", json=body)) for body in asked]
    assert answers[0][0] == 401 and answers[0][1]["code"] == "sign-in-failed"
    assert all(answer == answers[0] for answer in answers)
    assert len(hashes) == len(asked) and {kept[:31] for kept in hashes} == {"$argon2id$v=19$m=65536,t=3,p=4$"}


@pytest.mark.parametrize(
    "body",
    [
        {"name": "nobody", "password": "nobody's password, since nobody can type this: \x00"},
        {"name": "a\x00", "password": "x"},
        {"name": "\ud800", "password": "x"},
        {"name": "ann", "password": "\ud800"},
        {"name": "ann", "password": "x", "address": "\ud800"},
        {"name": "ann", "password": "x" * 4001},
        {"name": "ann"},
        {},
        [],
    ],
)
def test_what_cannot_be_typed_is_refused_before_anything_is_counted(
    client: TestClient, database: Database, body: object
) -> None:
    answer = client.post("/api/v1/sign-in", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    with database.read() as reading:
        assert reading.scalars(select(SignInCountRow)).all() == []


@pytest.mark.parametrize("wrong", ["\ud800" * 12, "a\x00bcdefghijkl"])
def test_no_text_of_a_form_ends_in_a_fault_of_ours(client: TestClient, ann: str, wrong: str) -> None:
    for path, body in (
        ("accounts", {"name": wrong}),
        ("accounts", {"name": "ben", "password": wrong}),
        ("tokens", {"name": wrong, "account": "ann"}),
        ("tokens", {"name": "t", "account": wrong}),
        ("me/password", {"current": wrong, "new": "long enough 1"}),
        ("me/password", {"current": PASSWORD, "new": wrong}),
        ("runs", {"project": wrong}),
    ):
        headers = {"Content-Type": "application/json", **(bearer(ann) if path.startswith("me") else {})}
        answer = client.post(f"/api/v1/{path}", content=json.dumps(body), headers=headers)
        assert answer.status_code == 422, (path, body, answer.text)


def test_after_ten_failures_a_name_waits_whether_it_is_somebodys_or_not(client: TestClient) -> None:
    account(client, "ann", "member")
    for name in ("ann", "nobody"):
        body = {"name": name, "password": "wrong"}
        answers = [client.post("/api/v1/sign-in", json=body) for _ in range(tries.MOST_OF_NAME + 1)]
        assert [answer.status_code for answer in answers] == [401] * tries.MOST_OF_NAME + [429], name
        assert 0 < int(answers[-1].headers["retry-after"]) <= 900
        assert answers[-1].json()["code"] == "too-many-tries"
    blocked = client.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD})
    assert blocked.status_code == 429  # the right one too: else the wait would tell
    assert client.get("/api/v1/me").status_code == 200  # the key still opens
    assert log(client, action="sign-in.blocked") == [
        (None, "sign-in.blocked", "ann"), (None, "sign-in.blocked", sign_in.NOBODY),
    ]  # fmt: skip


def test_an_address_may_fail_thirty_times_under_whatever_names(client: TestClient, database: Database) -> None:
    def guess(place: int, address: str) -> int:
        body = {"name": f"name{place}", "password": "wrong", "address": address}
        return client.post("/api/v1/sign-in", json=body).status_code

    with database.write() as writing:  # as after so many failures
        key = next(key for key in tries.keys("x", "2001:db8::1") if key.startswith("address:"))
        writing.add(SignInCountRow(key=key, began_at=utc_now(), failed=tries.MOST_OF_ADDRESS - 1))
    assert guess(1, "2001:db8::1") == 401
    assert guess(2, "2001:db8::2") == 429  # of one network, which one person may have for themselves
    assert guess(3, "2001:db8:0:1::1") == 401
    with database.write() as writing:
        writing.execute(update(SignInCountRow).values(began_at=utc_now() - tries.WINDOW - timedelta(seconds=1)))
    assert guess(4, "2001:db8::1") == 401


def test_an_address_is_believed_of_the_dashboard_alone(client: TestClient, database: Database) -> None:
    account(client, "ann", "member")
    body = {**BAD, "address": "192.0.2.7"}
    client.post("/api/v1/sign-in", json=body, headers={"Authorization": ""})
    client.post("/api/v1/sign-in", json=body)
    with database.read() as reading:
        counted = set(reading.scalars(select(SignInCountRow.key)))
    assert {key for key in counted if key.startswith("address:")} == {"address:testclient", "address:192.0.2.7"}


def test_many_guesses_at_once_are_no_more_than_one_after_another(client: TestClient) -> None:
    account(client, "ann", "member")
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: client.post("/api/v1/sign-in", json=BAD).status_code, range(16)))
    assert sorted(codes) == [401] * tries.MOST_OF_NAME + [429] * (16 - tries.MOST_OF_NAME)


def test_a_right_password_takes_the_failures_of_its_name_back(client: TestClient, database: Database) -> None:
    account(client, "ann", "member")
    for _ in range(tries.MOST_OF_NAME - 1):
        assert client.post("/api/v1/sign-in", json=BAD).status_code == 401
    session(client, "ann")
    assert client.post("/api/v1/sign-in", json=BAD).status_code == 401
    with database.read() as reading:
        counts = {row.key.split(":")[0]: row.failed for row in reading.scalars(select(SignInCountRow))}
    assert counts == {"name": 1, "address": tries.MOST_OF_NAME}  # of the address the right one alone is not counted


def test_a_session_ends_by_its_time_by_signing_out_and_when_the_account_is_disabled(
    client: TestClient, database: Database, ann: str
) -> None:
    other = session(client, "ann")
    assert client.post("/api/v1/sign-out", headers=bearer(ann)).status_code == 204
    assert client.get("/api/v1/me", headers=bearer(ann)).status_code == 401
    assert client.get("/api/v1/me", headers=bearer(other)).status_code == 200
    assert credentials.identify(database, other, now=utc_now() + sign_in.LIFETIME - timedelta(minutes=1)) is not None
    assert credentials.identify(database, other, now=utc_now() + sign_in.LIFETIME + timedelta(seconds=1)) is None
    client.patch("/api/v1/accounts/ann", json={"disabled": True})
    assert client.get("/api/v1/me", headers=bearer(other)).status_code == 401
    client.patch("/api/v1/accounts/ann", json={"disabled": False})
    assert client.get("/api/v1/me", headers=bearer(other)).status_code == 401  # it is not there any more
    session(client, "ann")


def test_a_new_password_ends_every_other_page_and_wants_the_one_of_before(client: TestClient, ann: str) -> None:
    other = session(client, "ann")
    asked = {"current": "wrong", "new": "another horse battery"}
    refused = client.post("/api/v1/me/password", json=asked, headers=bearer(ann))
    assert (refused.status_code, refused.json()["code"]) == (401, "sign-in-failed")
    changed = client.post("/api/v1/me/password", json={**asked, "current": PASSWORD}, headers=bearer(ann))
    assert changed.status_code == 204
    assert client.get("/api/v1/me", headers=bearer(ann)).status_code == 200
    assert client.get("/api/v1/me", headers=bearer(other)).status_code == 401
    assert client.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD}).status_code == 401
    session(client, "ann", "another horse battery")
    nobody = client.post("/api/v1/me/password", json={**asked, "current": PASSWORD})  # the installation's token
    assert nobody.status_code == 404


def test_a_token_gives_no_more_than_its_scope_nor_than_its_accounts_role_of_today(client: TestClient) -> None:
    account(client, "ann", "admin")
    whole, reading = token(client, "ann", "admin")["token"], token(client, "ann", "read")["token"]
    assert client.get("/api/v1/accounts", headers=bearer(whole)).status_code == 200
    assert client.get("/api/v1/accounts", headers=bearer(reading)).status_code == 403
    client.patch("/api/v1/accounts/ann", json={"role": "viewer"})
    assert client.get("/api/v1/accounts", headers=bearer(whole)).status_code == 403
    assert client.get("/api/v1/me", headers=bearer(whole)).json()["scope"] == "read"
    too_much = client.post("/api/v1/tokens", json={"name": "x", "scope": "submit", "account": "ann"})
    assert (too_much.status_code, too_much.json()["fields"]["field"]) == (422, "scope")


def test_a_token_has_an_end_and_tells_when_it_was_used(client: TestClient, database: Database) -> None:
    account(client, "ann", "member")
    made = token(client, "ann", "read", expires_in_days=1)
    assert client.get("/api/v1/tokens").json()["items"][0]["last_used_at"] is None
    assert client.get("/api/v1/runs", headers=bearer(made["token"])).status_code == 200
    used = client.get("/api/v1/tokens").json()["items"][0]["last_used_at"]
    assert used is not None
    client.get("/api/v1/runs", headers=bearer(made["token"]))
    assert client.get("/api/v1/tokens").json()["items"][0]["last_used_at"] == used  # written once a minute
    with database.write() as writing:
        writing.execute(update(AccessTokenRow).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert client.get("/api/v1/runs", headers=bearer(made["token"])).status_code == 401


def test_tokens_are_seen_made_and_revoked_by_their_account_and_by_administrators(client: TestClient, ann: str) -> None:
    account(client, "ben", "member")
    bens = token(client, "ben", "submit")
    own = client.post("/api/v1/tokens", json={"name": "laptop", "scope": "submit"}, headers=bearer(ann)).json()
    assert own["account"] == "ann"
    assert [item["id"] for item in client.get("/api/v1/tokens", headers=bearer(ann)).json()["items"]] == [own["id"]]
    assert {item["id"] for item in client.get("/api/v1/tokens").json()["items"]} == {own["id"], bens["id"]}
    others = client.post("/api/v1/tokens", json={"name": "x", "account": "ben"}, headers=bearer(ann))
    assert (others.status_code, others.json()["code"]) == (403, "not-yours")
    assert client.delete(f"/api/v1/tokens/{bens['id']}", headers=bearer(ann)).status_code == 404
    assert client.get("/api/v1/me", headers=bearer(bens["token"])).status_code == 200
    child = client.post("/api/v1/tokens", json={"name": "child"}, headers=bearer(own["token"]))
    assert (child.status_code, child.json()["code"]) == (403, "forbidden")  # what leaks has no children
    for _ in range(2):
        assert client.delete(f"/api/v1/tokens/{own['id']}", headers=bearer(ann)).status_code == 204
    assert client.get("/api/v1/me", headers=bearer(own["token"])).status_code == 401
    nobodys = client.post("/api/v1/tokens", json={"name": "x"})
    assert (nobodys.status_code, nobodys.json()["fields"]["field"]) == (422, "account")


def test_runs_are_whose_they_are_and_changed_by_them_or_by_an_administrator(client: TestClient, ann: str) -> None:
    account(client, "ben", "member")
    ben = session(client, "ben")
    anns = client.post("/api/v1/runs", json={"mask": "F9", "project": "thesis"}, headers=bearer(ann)).json()
    nobodys = client.post("/api/v1/runs", json={"mask": "F9", "seed": 1}).json()
    assert (anns["submitter"], anns["project"], nobodys["submitter"]) == ("ann", "thesis", None)
    for run in (anns, nobodys):
        for act in (
            lambda run=run: client.post(f"/api/v1/runs/{run['id']}/cancel", headers=bearer(ben)),
            lambda run=run: client.patch(f"/api/v1/runs/{run['id']}", json={"note": "x"}, headers=bearer(ben)),
            lambda run=run: client.delete(f"/api/v1/runs/{run['id']}", headers=bearer(ben)),
            lambda run=run: client.post(f"/api/v1/runs/{run['id']}/restore", headers=bearer(ben)),
        ):
            refused = act()
            assert (refused.status_code, refused.json()["code"]) == (403, "not-yours")
            assert refused.json()["fields"]["owner"] == run["submitter"]
    for action in ("cancel", "delete", "purge", "restore", "archive", "tag"):
        body = {"action": action, "ids": [anns["id"]], **({"tag": "t"} if action == "tag" else {})}
        (answer,) = client.post("/api/v1/runs/bulk", json=body, headers=bearer(ben)).json()["items"]
        assert not answer["ok"] and answer["problem"]["code"] == "not-yours", action
    assert client.get(f"/api/v1/runs/{anns['id']}").json()["state"] == "queued"
    forked = client.post(f"/api/v1/runs/{anns['id']}/fork", json={"seed": 3}, headers=bearer(ben)).json()
    assert (forked["submitter"], forked["project"]) == ("ben", "thesis")
    assert client.post(f"/api/v1/runs/{anns['id']}/cancel", headers=bearer(ann)).json()["state"] == "cancelled"
    again = client.post(f"/api/v1/runs/{anns['id']}/retry", headers=bearer(ben)).json()
    assert (again["submitter"], again["project"]) == ("ben", "thesis")
    assert client.delete(f"/api/v1/runs/{anns['id']}", headers=bearer(ann)).status_code == 204
    assert client.post(f"/api/v1/runs/{again['id']}/cancel").status_code == 200  # an administrator


def test_one_key_of_two_people_makes_two_runs(client: TestClient, ann: str) -> None:
    account(client, "ben", "member")
    ben, made = session(client, "ben"), {}
    for who in (ann, ben, ann, ben):
        answer = client.post("/api/v1/runs", json={"mask": "F9"}, headers={**bearer(who), "Idempotency-Key": "nightly"})
        made.setdefault(who, []).append((answer.status_code, answer.json()["id"], answer.json()["submitter"]))
    for who, name in ((ann, "ann"), (ben, "ben")):
        (first, id, owner), again = made[who]
        assert (first, owner) == (201, name) and again == (200, id, name)
    assert made[ann] != made[ben]
    other = client.post("/api/v1/runs", json={"mask": "F8"}, headers={**bearer(ben), "Idempotency-Key": "nightly"})
    assert (other.status_code, other.json()["fields"]["key"]) == (409, "nightly")
    long = {**bearer(ann), "Idempotency-Key": "k" * 255}
    assert [client.post("/api/v1/runs", json={"mask": "F8"}, headers=long).status_code for _ in range(2)] == [201, 200]


def test_runs_are_found_by_whose_they_are_and_by_their_project(client: TestClient, ann: str) -> None:
    first = client.post("/api/v1/runs", json={"mask": "F9", "project": " thesis "}, headers=bearer(ann)).json()["id"]
    second = client.post("/api/v1/runs", json={"mask": "F9", "seed": 1}).json()["id"]

    def found(**asked: str) -> list[str]:
        ids = [run["id"] for run in client.get("/api/v1/runs", params=asked).json()["items"]]
        assert client.get("/api/v1/runs/columns", params=asked).json()["columns"]["id"] == ids
        assert sum(client.get("/api/v1/runs/counts", params=asked).json()["states"].values()) == len(ids)
        return ids

    assert found(submitter="ann") == found(project="thesis") == [first]
    assert found(submitter="ben") == found(project="other") == []
    assert client.get("/api/v1/runs/columns").json()["columns"]["submitter"] == [None, "ann"]
    assert client.patch(f"/api/v1/runs/{second}", json={"project": "thesis"}).json()["project"] == "thesis"
    assert found(project="thesis") == [second, first]
    assert client.patch(f"/api/v1/runs/{second}", json={"project": None}).json()["project"] is None
    assert client.patch(f"/api/v1/runs/{second}", json={"project": ""}).status_code == 422
    assert {item["submitter"] for item in client.get("/api/v1/queue").json()["items"]} == {"ann", None}


def test_a_sweeps_runs_are_whose_it_is_and_only_theirs_are_cancelled_with_it(
    client: TestClient, database: Database, ann: str
) -> None:
    account(client, "ben", "member")
    ben = session(client, "ben")
    taken = client.post("/api/v1/runs", json={"mask": "F9", "seed": 0}, headers=bearer(ben)).json()["id"]
    asked = {"name": "s", "base": {"mask": "F9", "project": "p"}, "axes": {"seed": [0, 1]}}
    sweep = client.post("/api/v1/sweeps", json=asked, headers=bearer(ann)).json()
    assert sweep["submitter"] == "ann"
    for act in (
        client.delete(f"/api/v1/sweeps/{sweep['id']}", headers=bearer(ben)),
        client.delete("/api/v1/sweeps/none", headers=bearer(ben)),
    ):
        assert act.json()["code"] in ("not-yours", "not-found")
    client.post(f"/api/v1/sweeps/{sweep['id']}/cancel", headers=bearer(ann))
    with database.read() as reading:
        states = {row.submitter: (row.state, row.project) for row in reading.scalars(select(RunRow))}
    assert states == {"ben": ("queued", None), "ann": ("cancelled", "p")}
    refused = client.post(f"/api/v1/sweeps/{sweep['id']}/cancel", headers=bearer(ann))
    assert (refused.status_code, refused.json()["code"]) == (403, "not-yours")  # what is left is ben's
    assert client.post(f"/api/v1/runs/{taken}/cancel", headers=bearer(ben)).status_code == 200
    assert client.delete(f"/api/v1/sweeps/{sweep['id']}", headers=bearer(ann)).status_code == 204


def test_a_link_is_withdrawn_by_whoever_made_it_or_an_administrator(client: TestClient, ann: str) -> None:
    account(client, "ben", "member")
    view = {"view": {"dataset": "digits", "x": "energy", "y": "accuracy"}}
    made = client.post("/api/v1/shares", json=view, headers=bearer(ann)).json()
    refused = client.delete(f"/api/v1/shares/{made['id']}", headers=bearer(session(client, "ben")))
    assert (refused.status_code, refused.json()["code"]) == (403, "not-yours")
    assert client.get(f"/api/v1/shared/{made['token']}").status_code == 200
    assert client.delete(f"/api/v1/shares/{made['id']}", headers=bearer(ann)).status_code == 204
    assert log(client, action="share.removed") == [("ann", "share.removed", made["id"])]


def test_a_link_to_a_run_or_a_sweep_tells_nobody_whose_it_is(client: TestClient, finisher, ann: str) -> None:
    account(client, "zebedee", "member")
    client.headers["authorization"], owner = (
        bearer(session(client, "zebedee"))["Authorization"],
        client.headers["authorization"],
    )
    run = finisher.succeeded("snn")
    asked = {"base": {"mask": "F9", "project": "zebraproject"}, "axes": {"seed": [0, 1]}}
    sweep = client.post("/api/v1/sweeps", json={"name": "s", **asked}).json()["id"]
    for body in (
        {"run_id": run},
        {"run_id": run, "blind": True},
        {"sweep_id": sweep},
        {"sweep_id": sweep, "blind": True},
    ):
        made = client.post("/api/v1/shares", json=body)
        assert made.status_code == 201, made.text
        for path in (f"/api/v1/shared/{made.json()['token']}", f"/s/{made.json()['token']}"):
            text = client.get(path, headers={"Authorization": ""}).text
            assert "zebedee" not in text and "zebraproject" not in text, (body, path)
    client.headers["authorization"] = owner


def test_who_did_what_to_which_is_noted_and_read_by_administrators_in_pages(
    client: TestClient, finisher, ann: str
) -> None:
    run = client.post("/api/v1/runs", json={"mask": "F9"}, headers=bearer(ann)).json()["id"]
    client.post(f"/api/v1/runs/{run}/cancel", headers=bearer(ann))
    client.delete(f"/api/v1/runs/{run}", headers=bearer(ann))
    client.post("/api/v1/runs/bulk", json={"action": "purge", "ids": [run]}, headers=bearer(ann))
    made = token(client, "ann", "read")
    client.delete(f"/api/v1/tokens/{made['id']}", headers=bearer(ann))
    client.patch("/api/v1/accounts/ann", json={"role": "viewer"})
    client.patch("/api/v1/accounts/ann", json={"role": "viewer"})  # as it is: nothing to note
    client.post("/api/v1/sign-in", json=BAD)
    client.post("/api/v1/sign-in", json={"name": PASSWORD, "password": "typed into the wrong field"})
    client.post("/api/v1/sign-out", headers=bearer(ann))
    assert log(client) == [
        (None, "account.made", "ann"),
        ("ann", "sign-in", "ann"),
        ("ann", "run.deleted", run),
        ("ann", "run.purged", run),
        (None, "token.made", made["id"]),
        ("ann", "token.revoked", made["id"]),
        (None, "role.changed", "ann"),
        (None, "sign-in.failed", "ann"),
        (None, "sign-in.failed", sign_in.NOBODY),
        ("ann", "sign-out", "ann"),
    ]
    first = client.get("/api/v1/audit-log?limit=4").json()
    second = client.get(f"/api/v1/audit-log?limit=4&cursor={first['next_cursor']}").json()
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert len(ids) == 8 and ids == sorted(ids, reverse=True)
    assert [item["detail"] for item in first["items"] if item["action"] == "role.changed"] == [
        {"before": "member", "now": "viewer"}
    ]
    assert {entry[0] for entry in log(client, actor="ann")} == {"ann"}
    whole = client.get("/api/v1/audit-log").text
    assert PASSWORD not in whole and "typed into" not in whole


def test_what_is_refused_leaves_no_entry(client: TestClient, ann: str) -> None:
    before = log(client)
    run = client.post("/api/v1/runs", json={"mask": "F9"}).json()["id"]
    client.delete(f"/api/v1/runs/{run}", headers=bearer(ann))  # not theirs
    client.delete(f"/api/v1/runs/{run}")  # it has not ended
    client.delete("/api/v1/shares/none")
    assert log(client) == before


@pytest.mark.real_hashes
def test_without_argon2_a_password_says_what_is_missing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "argon2", None)
    passwords._hasher.cache_clear()
    try:
        answer = client.post("/api/v1/accounts", json={"name": "ann", "password": PASSWORD})
        assert (answer.status_code, answer.json()["code"]) == (501, "package-missing")
        assert "-e '.[server]'" in answer.json()["detail"]
        assert client.get("/api/v1/accounts").json()["items"] == []
    finally:
        passwords._hasher.cache_clear()


@pytest.mark.parametrize(
    "value", ["", "sft_", "sft_" + "A" * 42, "sft_" + "A" * 44, "xyz_" + "A" * 43, "sft_" + "é" * 43]
)
def test_what_has_not_the_form_of_a_token_is_refused_without_asking_the_database(
    value: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "read", lambda self: pytest.fail("asked"))
    assert credentials.identify(database, value) is None


def test_a_database_that_is_away_is_no_reason_to_let_anybody_in(client: TestClient, ann: str, monkeypatch) -> None:
    from backend.store.db import DatabaseDown

    def away(*_: object, **__: object) -> None:
        raise DatabaseDown(why="it does not answer.")

    monkeypatch.setattr(client.app.state.context.database, "read", away)
    assert client.get("/api/v1/catalog", headers=bearer(ann)).status_code == 503
    assert client.get("/api/v1/catalog", headers=bearer("sft_" + "A" * 43)).status_code == 503
