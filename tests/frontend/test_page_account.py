"""Settings, Account; runs with whose they are; and with whose rights a page asks the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import anyio
import pytest
from people import PASSWORD, cheap_passwords
from streamlit.testing.v1 import AppTest

from core.schemas.accounts import NewAccount, Role, Scope, SignIn, TokenRequest
from core.schemas.request import RunRequest
from core.schemas.share import ShareRequest, ShareView
from frontend.client import connection
from frontend.client.api import ApiProblem, Client
from frontend.keys import Key
from frontend.serving.entering import ApiAccounts
from frontend.serving.ways_in import Refused


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        cheap_passwords(patch)
        yield


@pytest.fixture(scope="module")
def people(stack) -> dict[str, str]:
    """An admin and a member, and a session of each."""
    found = {}
    for name, role in (("ada", Role.ADMIN), ("ann", Role.MEMBER), ("vic", Role.VIEWER)):
        stack.client.add_account(NewAccount(name=name, role=role, password=PASSWORD))
        found[name] = stack.client.sign_in(SignIn(name=name, password=PASSWORD)).token
    return found


@pytest.fixture
def look(people, visit, monkeypatch) -> Callable[..., AppTest]:
    """A page as somebody sees it."""

    def looking(who: str, name: str, **query: str) -> AppTest:
        monkeypatch.setattr(connection, "_credential", lambda: people[who])
        return visit(name, **query)

    return looking


def test_without_an_account_settings_have_no_such_tab(visit, stack):
    """Before any test of this file makes one."""
    if not stack.client.sign_in_ways().accounts:
        assert [tab.label for tab in visit("settings").tabs] == ["Energy", "Data sets", "This installation", "API"]


def test_a_member_sees_who_they_are_and_their_own_tokens_and_nothing_of_others(look, words, stack):
    stack.client.add_token(TokenRequest(name="ada's nightly", account="ada"))
    said = words(look("ann", "settings"))
    assert "Signed in as **ann**, member" in said and '/_sign-out">Sign out' in said
    assert "nightly" not in said and "Who did what" not in said and "of your account" in said


def test_a_token_is_made_shown_once_and_revoked(look, words, stack, people):
    page = look("ann", "settings")
    assert page.selectbox(key=Key.ACCOUNT_ISSUE.of("scope")).options == ["read", "submit: also launches runs"]
    page.text_input(key=Key.ACCOUNT_ISSUE.of("name")).set_value("laptop")
    page.button(key="FormSubmitter:account_issue_form-Make it").click().run()
    (value,) = [code.value for code in page.code if code.value.startswith("sft_")]
    assert stack.client.acting(value).me().name == "ann"
    assert "shown again" in page.success[0].value
    page = look("ann", "settings")
    assert value not in words(page) and "laptop" in words(page)
    (made,) = stack.client.acting(people["ann"]).tokens().items
    page.button(key=Key.ACCOUNT_REVOKE.of(made.id)).click().run()
    assert "laptop" not in words(page)
    with pytest.raises(ApiProblem, match="bearer token"):
        stack.client.acting(value).me()


def test_a_password_is_changed_by_whoever_knows_it(look, words, stack):
    page = look("vic", "settings")
    change = "FormSubmitter:account_change_form-Change it"
    for current, new, again, said in (
        (PASSWORD, "another horse", "another house", "not the same both times"),
        (PASSWORD, "short", "short", "10 to 200 characters"),
        ("wrong", "another horse", "another horse", "no account with this name and this password"),
        (PASSWORD, "another horse", "another horse", "is changed"),
    ):
        for name, value in (("current", current), ("new", new), ("again", again)):
            page.text_input(key=Key.ACCOUNT_CHANGE.of(name)).set_value(value)
        page.button(key=change).click().run()
        assert said in words(page) + "".join(item.value for item in page.success)
    assert stack.client.sign_in(SignIn(name="vic", password="another horse")).role is Role.VIEWER


def test_an_administrator_makes_accounts_changes_roles_and_reads_who_did_what(look, words, stack):
    page = look("ada", "settings")
    page.text_input(key=Key.ACCOUNT_NEW.of("name")).set_value("new one")
    page.text_input(key=Key.ACCOUNT_NEW.of("password")).set_value(PASSWORD)
    make = "FormSubmitter:account_new_form-Make it"
    page.button(key=make).click().run()
    assert "A name is 1 to 64 letters" in words(page)
    page.text_input(key=Key.ACCOUNT_NEW.of("name")).set_value("Zoe")
    page.text_input(key=Key.ACCOUNT_NEW.of("password")).set_value(PASSWORD)
    page.button(key=make).click().run()
    page = look("ada", "settings")
    page.selectbox(key=Key.ACCOUNT_ROLE.of("zoe")).set_value(Role.VIEWER).run()
    page.button(key=Key.ACCOUNT_DISABLE.of("zoe")).click().run()
    (zoe,) = [account for account in stack.client.accounts().items if account.name == "zoe"]
    assert (zoe.role, zoe.disabled) == (Role.VIEWER, True)
    assert page.button(key=Key.ACCOUNT_DISABLE.of("ada")).disabled  # not oneself
    said = words(page)
    for entry in ("account.made", "role.changed", "before member, now viewer", "account.disabled", "sign-in"):
        assert entry in said


def test_the_accounts_are_asked_for_once_and_again_when_there_is_one_more(look, words, stack, monkeypatch):
    page = look("ada", "settings")
    asked = []
    real = Client.accounts
    monkeypatch.setattr(Client, "accounts", lambda client: asked.append(1) or real(client))
    page.run()
    assert len(asked) == 1
    page.text_input(key=Key.ACCOUNT_NEW.of("name")).set_value("yan")
    page.text_input(key=Key.ACCOUNT_NEW.of("password")).set_value(PASSWORD)
    page.button(key="FormSubmitter:account_new_form-Make it").click().run()
    assert len(asked) == 3 and "**yan**" in words(page)


def test_a_viewer_who_launches_is_told_what_is_missing(look, stack, people):
    with pytest.raises(ApiProblem) as refused:
        stack.client.acting(people["vic"]).launch(RunRequest(mask="F9"), idempotency_key="v")
    assert (refused.value.status, refused.value.code) == (403, "forbidden")
    assert "needs the scope 'submit'" in refused.value.detail


def test_runs_say_whose_they_are_and_their_project(look, words, stack, people):
    asked = RunRequest(mask="F9", seed=5, project="thesis")
    made = stack.client.acting(people["ann"]).launch(asked, idempotency_key="whose")
    run = stack.client.run(made)
    assert (run.submitter, run.project) == ("ann", "thesis")
    assert "by ann" in words(look("vic", "run", run=run.id)) and "project thesis" in words(
        look("vic", "run", run=run.id)
    )
    cards = words(look("vic", "runs", **{"as": "cards", "submitter": "ann"}))
    assert "ann" in cards and "project thesis" in cards
    assert "thesis" not in words(look("vic", "runs", **{"as": "cards", "project": "other"}))
    table = look("vic", "runs", **{"as": "table", "submitter": "ann"})
    columns = table.dataframe[0].value
    assert list(columns["submitter"]) == ["ann"] and list(columns["project"]) == ["thesis"]


def test_a_link_says_who_made_it(look, words, stack, people):
    view = ShareView(dataset="digits", x="energy", y="accuracy")
    stack.client.acting(people["ann"]).share(ShareRequest(view=view))
    assert "by ann" in words(look("ada", "shares"))


def test_a_page_whose_session_has_ended_says_so_and_leads_to_the_door(look, words, stack, people):
    people["gone"] = stack.client.sign_in(SignIn(name="ann", password=PASSWORD)).token
    stack.client.acting(people["gone"]).sign_out()
    said = words(look("gone", "settings"))
    assert "Your session has ended" in said and '/_sign-out">Sign in' in said


def test_a_page_that_nobody_looks_at_any_more_asks_with_nobodys_rights(monkeypatch):
    monkeypatch.setattr(connection, "_credential", lambda: None)
    monkeypatch.setattr(connection, "_guarded", True)
    with pytest.raises(ApiProblem) as refused:
        connection.api()
    assert refused.value.status == 401


def test_the_door_knows_of_accounts_and_says_what_the_api_says(stack, people):
    clock = [0.0]
    door = ApiAccounts(stack.client, clock=lambda: clock[0])
    assert anyio.run(door.ways).accounts

    async def enter(password: str) -> str:
        return await door.sign_in("Ann", password, address="192.0.2.1")

    assert stack.client.acting(anyio.run(enter, PASSWORD)).me().scope is Scope.SUBMIT
    with pytest.raises(Refused, match="There is no account with this name and this password") as refused:
        anyio.run(enter, "wrong")
    assert refused.value.status == 401
    failed = [entry for entry in stack.client.audit_log().items if entry.action == "sign-in.failed"]
    assert [entry.address for entry in failed if entry.address == "192.0.2.1"] == ["192.0.2.1"]  # once


def test_a_door_before_an_api_that_is_away_asks_for_the_key(tmp_path):
    away = ApiAccounts(Client("http://127.0.0.1:9", lambda: "t"))
    assert not anyio.run(away.ways).accounts
    with pytest.raises(Refused, match="does not answer"):
        anyio.run(lambda: away.sign_in("a", "b", address="x"))
