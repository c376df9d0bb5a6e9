"""Signing in through a provider: a small one, with a real key and over real connections, that does it right or wrong."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from people import account, bearer, cheap_passwords, session
from providers import CLIENT, SECRET, Lab
from sqlalchemy import select

from backend.accounts import tries
from backend.accounts.__main__ import main as by_hand
from backend.provider import oidc, refusals
from backend.store.db import Database
from backend.store.models import AccountRow, SessionRow, SpentTicketRow
from core.settings import Settings

SETTINGS = {"public_url_override": "https://lab.example/spikefront", "oidc_client_id": CLIENT}
BEGIN, ANSWER = "/api/v1/sign-in/provider", "/api/v1/sign-in/provider/answer"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap_passwords(monkeypatch)


@pytest.fixture
def more() -> dict[str, Any]:
    """Settings of one test."""
    return {"oidc_accounts": "viewer"}


@pytest.fixture
def settings(settings: Settings, lab: Lab, more: dict[str, Any], tmp_path: Path) -> Settings:
    secret = tmp_path / "client-secret"
    secret.write_text(f"{SECRET}\n")
    told = {**SETTINGS, "oidc_issuer": lab.issuer, "oidc_client_secret_file": secret, **more}
    return Settings(home=settings.home, database_url_override=settings.database_url_override, **told)


def told(**values: Any):
    """Marks a test with settings of its own."""
    return pytest.mark.parametrize("more", [values])


def begin(client: TestClient) -> dict[str, str]:
    begun = client.post(BEGIN)
    assert begun.status_code == 201, begun.text
    return begun.json()


def at(lab: Lab, begun: dict[str, str], **changes: Any) -> dict[str, Any]:
    """What the dashboard asks the API with, once the browser has been at the provider."""
    back = lab.visit(begun["url"])
    told = {"ticket": begun["ticket"], "returned_state": back["state"], "returned_code": back["code"]}
    return {**told, "issuer": back.get("iss"), "address": "203.0.113.9", **changes}


def through(client: TestClient, lab: Lab, **changes: Any):
    return client.post(ANSWER, json=at(lab, begin(client), **changes))


def refusal(answer) -> str:
    assert (answer.status_code, answer.json()["code"]) == (403, "sign-in-refused"), answer.text
    return answer.json()["detail"]


def entries(client: TestClient) -> list[dict[str, Any]]:
    return list(reversed(client.get("/api/v1/audit-log").json()["items"]))


def test_a_person_whom_the_provider_lets_in_has_a_session_like_any_other(client: TestClient, lab: Lab) -> None:
    assert client.get("/api/v1/sign-in").json() == {"accounts": False, "provider": "Sign in with your organisation"}
    signed_in = through(client, lab)
    assert signed_in.status_code == 201, signed_in.text
    assert {**signed_in.json(), "token": "", "expires_at": ""} == {
        "token": "", "expires_at": "", "name": "ann", "role": "viewer",
    }  # fmt: skip
    shown = bearer(signed_in.json()["token"])
    me = client.get("/api/v1/me", headers=shown).json()
    assert (me["name"], me["via"], me["scope"], me["has_password"]) == ("ann", "session", "read", False)
    assert client.post("/api/v1/sign-out", headers=shown).status_code == 204
    assert client.get("/api/v1/me", headers=shown).status_code == 401
    assert through(client, lab).json()["name"] == "ann"  # the same account again
    (row,) = client.get("/api/v1/accounts").json()["items"]
    assert (row["name"], row["subject"], row["has_password"]) == ("ann", "00u-ann", False)
    assert client.post("/api/v1/sign-in", json={"name": "ann", "password": ""}).status_code == 401
    noted = [(one["actor"], one["action"], one["subject"], one["detail"], one["address"]) for one in entries(client)]
    assert noted[:2] == [
        ("ann", "account.made", "ann", {"role": "viewer", "way": "provider"}, None),
        ("ann", "sign-in", "ann", {"way": "provider"}, "203.0.113.9"),
    ]


def test_an_answer_is_taken_once_even_where_the_provider_would_take_its_code_again(
    client: TestClient, lab: Lab, database: Database
) -> None:
    lab.lenient = True
    asked = at(lab, begin(client))
    assert client.post(ANSWER, json=asked).status_code == 201
    tokens = lab.asked.count("/token")
    assert refusal(client.post(ANSWER, json=asked)) == refusals.TOO_LATE
    assert lab.asked.count("/token") == tokens  # the provider is not even asked
    with database.read() as reading:
        assert len(reading.scalars(select(SessionRow)).all()) == 1
        (spent,) = reading.scalars(select(SpentTicketRow)).all()
        assert spent.ticket_hash not in asked["ticket"] and asked["ticket"] not in spent.ticket_hash
    assert entries(client)[-1]["action"] == "sign-in.failed"


def test_of_many_that_bring_one_answer_at_once_one_is_let_in(client: TestClient, lab: Lab, database: Database) -> None:
    lab.lenient = True
    asked = at(lab, begin(client))
    with ThreadPoolExecutor(6) as threads:
        statuses = sorted(threads.map(lambda _: client.post(ANSWER, json=asked).status_code, range(6)))
    assert statuses == [201] + [403] * 5
    with database.read() as reading:
        assert len(reading.scalars(select(SessionRow)).all()) == 1


def test_a_code_is_exchanged_once(client: TestClient, lab: Lab) -> None:
    first = at(lab, begin(client))
    assert client.post(ANSWER, json=first).status_code == 201
    again = at(lab, begin(client), returned_code=first["returned_code"])  # a ticket of its own, and a spent code
    assert refusal(client.post(ANSWER, json=again)) == refusals.UNFIT


def test_nobody_finishes_a_sign_in_that_another_browser_began(client: TestClient, lab: Lab) -> None:
    """Login CSRF: a state and a code of the attacker's, brought to the browser of somebody else."""
    attackers, victims = at(lab, begin(client)), begin(client)
    asked = {**attackers, "ticket": victims["ticket"]}
    assert refusal(client.post(ANSWER, json=asked)) == refusals.TOO_LATE
    assert "/token" not in lab.asked


def test_a_code_of_another_sign_in_does_not_fit_the_verifier(client: TestClient, lab: Lab) -> None:
    """A stolen code in a sign-in of the thief's own: PKCE."""
    stolen, own = at(lab, begin(client)), at(lab, begin(client))
    assert refusal(client.post(ANSWER, json={**own, "returned_code": stolen["returned_code"]})) == refusals.UNFIT


@told(oidc_accounts="off")
def test_unknown_people_stay_out_and_an_administrator_links_them(client: TestClient, lab: Lab) -> None:
    account(client, "ann", "member")
    assert "no account here" in refusal(through(client, lab))
    failed = entries(client)[-1]
    assert (failed["action"], failed["subject"], failed["actor"]) == ("sign-in.failed", "(no such account)", None)
    assert failed["detail"] == {"way": "provider", "why": "no account", "provider_subject": "00u-ann"}
    linked = client.patch("/api/v1/accounts/ann", json={"subject": failed["detail"]["provider_subject"]})
    assert linked.json()["subject"] == "00u-ann"
    signed_in = through(client, lab)
    assert signed_in.json()["role"] == "member"  # no group is asked: the account's own
    assert client.get("/api/v1/me", headers=bearer(signed_in.json()["token"])).json()["has_password"]
    assert session(client, "ann")  # the password is good as before
    assert client.patch("/api/v1/accounts/ann", json={"subject": ""}).json()["subject"] is None
    assert client.get("/api/v1/me", headers=bearer(signed_in.json()["token"])).status_code == 401
    assert "no account here" in refusal(through(client, lab))
    assert [one["action"] for one in entries(client) if "linked" in one["action"]] == [
        "account.linked",
        "account.unlinked",
    ]


def test_a_name_that_exists_is_nobodys_at_the_provider_until_it_is_linked(client: TestClient, lab: Lab) -> None:
    account(client, "ann", "admin")
    assert "not linked" in refusal(through(client, lab))
    assert [(one["name"], one["subject"]) for one in client.get("/api/v1/accounts").json()["items"]] == [("ann", None)]
    lab.person |= {"sub": "00u-other"}
    client.patch("/api/v1/accounts/ann", json={"subject": "00u-ann"})
    assert "not linked" in refusal(through(client, lab))  # the name of somebody who is linked, by another person


def test_a_subject_is_of_one_account_and_of_the_provider_that_gave_it(
    client: TestClient, lab: Lab, database: Database
) -> None:
    account(client, "ann", "member")
    account(client, "ben", "admin")
    client.patch("/api/v1/accounts/ben", json={"subject": "00u-ann"})
    taken = client.patch("/api/v1/accounts/ann", json={"subject": "00u-ann"})
    assert (taken.status_code, taken.json()["fields"]["field"]) == (422, "subject")
    assert through(client, lab).json()["name"] == "ben"
    with database.write() as writing:  # as if the setting had named another provider at that time
        writing.get_one(AccountRow, "ben").issuer = "https://former.example"
    assert "not linked" in refusal(through(client, lab))


def test_a_disabled_account_stays_out(client: TestClient, lab: Lab) -> None:
    first = through(client, lab).json()
    client.patch("/api/v1/accounts/ann", json={"disabled": True})
    assert client.get("/api/v1/me", headers=bearer(first["token"])).status_code == 401
    assert refusal(through(client, lab)) == "Your account is disabled."
    failed = entries(client)[-1]
    assert (failed["subject"], failed["detail"]["why"]) == ("ann", "disabled")
    client.patch("/api/v1/accounts/ann", json={"disabled": False})
    assert through(client, lab).status_code == 201


@told(oidc_accounts="roles", oidc_roles="lab=member, lab-heads=admin")
def test_groups_give_roles_at_each_sign_in_and_who_has_none_stays_out(client: TestClient, lab: Lab) -> None:
    assert through(client, lab).json()["role"] == "member"
    lab.person["groups"] = ["lab", "lab-heads", 7, None]
    assert through(client, lab).json()["role"] == "admin"
    changed = next(one for one in reversed(entries(client)) if one["action"] == "role.changed")
    assert changed["detail"] == {"before": "member", "now": "admin", "way": "provider"}
    for groups in ([], ["other"], None, {"lab": 1}, "lab-heads-of-others"):
        lab.person["groups"] = groups
        assert "none of your groups" in refusal(through(client, lab))
    lab.person |= {"sub": "00u-new", "preferred_username": "new", "groups": "lab"}  # one, not in a list
    assert through(client, lab).json()["role"] == "member"
    lab.person |= {"sub": "00u-newer", "preferred_username": "newer", "groups": ["other"]}
    assert "none of your groups" in refusal(through(client, lab))


@told(oidc_accounts="viewer", oidc_roles="lab-heads=admin", oidc_group_claim="realm_access.roles")
def test_where_everybody_gets_an_account_who_has_no_group_looks(client: TestClient, lab: Lab) -> None:
    lab.person["realm_access"] = {"roles": ["lab-heads"]}
    assert through(client, lab).json()["role"] == "admin"
    lab.person["realm_access"] = {"roles": []}
    assert through(client, lab).json()["role"] == "viewer"


@told(oidc_accounts="viewer", oidc_name_claim="email")
def test_an_address_that_nobody_verified_is_no_name(client: TestClient, lab: Lab) -> None:
    lab.person["email"] = "Ann@lab.example"
    assert "no name" in refusal(through(client, lab))
    lab.person["email_verified"] = True
    assert through(client, lab).json()["name"] == "ann@lab.example"


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, 7, None, "<b>"])
def test_a_name_that_no_account_can_have_makes_none(client: TestClient, lab: Lab, name: object) -> None:
    lab.person["preferred_username"] = name
    assert "no name" in refusal(through(client, lab))
    assert client.get("/api/v1/accounts").json() == {"items": []}


def test_failures_of_an_address_are_counted_and_what_was_right_is_not(
    client: TestClient, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "MOST_OF_ADDRESS", 3)
    for _ in range(5):
        assert through(client, lab).status_code == 201
    lab.broken = True
    for _ in range(5):  # its fault
        asked = {"ticket": "x", "returned_state": "x", "returned_code": "x", "address": "203.0.113.9"}
        assert client.post(BEGIN).status_code == 201  # from what is known of it
    lab.broken = False
    for _ in range(3):
        assert client.post(ANSWER, json=asked).status_code == 403
    blocked = client.post(ANSWER, json=asked)
    assert (blocked.status_code, blocked.json()["code"]) == (429, "too-many-tries")
    assert through(client, lab).status_code == 429
    assert through(client, lab, address="203.0.113.10").status_code == 201
    assert [one["action"] for one in entries(client)].count("sign-in.blocked") == 1


def test_a_provider_that_is_down_is_said_and_passwords_are_good_as_before(
    client: TestClient, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    account(client, "ben", "member")
    lab.broken = True
    down = client.post(BEGIN)
    assert (down.status_code, down.json()["code"]) == (503, "provider-down") and down.headers["retry-after"]
    asked = len(lab.asked)
    assert client.post(BEGIN).status_code == 503 and len(lab.asked) == asked  # a moment later it is not asked again
    assert session(client, "ben") and client.get("/api/v1/sign-in").json()["provider"]
    monkeypatch.setattr(oidc, "DOWN_S", 0.0)
    lab.broken = False
    begun = at(lab, begin(client))
    lab.broken = True
    answered = client.post(ANSWER, json=begun)
    assert (answered.status_code, answered.json()["code"]) == (503, "provider-down")
    assert [one["action"] for one in entries(client)] == ["account.made", "sign-in"]


def test_a_client_that_the_provider_does_not_know_is_the_installations_fault(client: TestClient, lab: Lab) -> None:
    client.app.state.context.provider._secret = "of yesterday"
    answer = through(client, lab)
    assert (answer.status_code, answer.json()["code"]) == (503, "provider-down")
    assert "invalid_client" in answer.json()["detail"] and "yesterday" not in answer.text


def test_no_secret_stands_in_a_log_or_an_answer(client: TestClient, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asked = at(lab, begin(client))
    signed_in = client.post(ANSWER, json=asked)
    again = client.post(ANSWER, json=asked)
    wrong = client.post(ANSWER, json={**asked, "returned_code": ["x", asked["returned_code"]], "ticket": 7})
    assert (signed_in.status_code, again.status_code, wrong.status_code) == (201, 403, 422)
    ours = client.app.state.context.provider
    secrets = [
        SECRET, asked["ticket"], asked["returned_state"], asked["returned_code"], "an-access-token",
        signed_in.json()["token"], *(ours._tickets.derived(asked["ticket"], what) for what in ("nonce", "verifier")),
    ]  # fmt: skip
    said = " ".join(
        str(vars(record)) for record in caplog.records if not record.name.startswith(("asyncio", "uvicorn"))
    )
    shown = again.text + wrong.text + json.dumps(entries(client)) + client.get("/api/v1/accounts").text
    for secret in secrets:
        assert secret not in said and secret not in shown, secret


def test_only_the_dashboard_begins_and_ends_a_sign_in(client: TestClient, lab: Lab) -> None:
    account(client, "ann", "member")
    for shown in ({"Authorization": ""}, bearer(session(client, "ann"))):
        assert client.post(BEGIN, headers=shown).status_code in (401, 403)
        assert client.post(ANSWER, headers=shown, json={}).status_code in (401, 403)


def test_an_account_is_linked_by_command(
    client: TestClient, lab: Lab, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    account(client, "ann", "member")
    monkeypatch.setenv("SPIKEFRONT_HOME", str(settings.home))
    if settings.database_url_override is not None:
        monkeypatch.setenv("SPIKEFRONT_DATABASE_URL", settings.database_url_override)
    command = ["user", "subject", "--name", "ANN", "--subject=00u-ann"]
    assert by_hand(command) == 1 and "SPIKEFRONT_OIDC_ISSUER" in capsys.readouterr().err
    monkeypatch.setenv("SPIKEFRONT_OIDC_ISSUER", lab.issuer)
    monkeypatch.setenv("SPIKEFRONT_OIDC_CLIENT_ID", CLIENT)
    assert by_hand(command) == 0
    assert capsys.readouterr().out == "ann (member, at the provider 00u-ann): signs in through the provider\n"
    assert through(client, lab).json()["role"] == "member"
    assert by_hand(["user", "subject", "--name", "ann"]) == 0 and "does not" in capsys.readouterr().out
    assert "not linked" in refusal(through(client, lab))


@told(oidc_issuer=None, oidc_client_id=None, oidc_client_secret_file=None)
def test_without_a_provider_there_is_none(client: TestClient) -> None:
    account(client, "ann", "member")
    body = {"ticket": "x", "returned_state": "x", "returned_code": "x"}
    assert [client.post(path, json=body).status_code for path in (BEGIN, ANSWER)] == [404, 404]
    refused = client.patch("/api/v1/accounts/ann", json={"subject": "x"})
    assert (refused.status_code, refused.json()["fields"]["field"]) == (422, "subject")
