"""Getting into the dashboard by name and password: what the guard asks, gives and passes on."""

from __future__ import annotations

import asyncio
import re
from html import unescape

import pytest
from guarding import KEY, asking, connect, inside, make, visit, websocket

from core.schemas.accounts import SignInWays
from frontend.serving.guard import CREDENTIAL, WAITING_LIMIT
from frontend.serving.ways_in import Refused

NAME_AND_PASSWORD = {"name": "ann", "password": "right", "next": "/run?run=1"}


class Lab:
    """Accounts as the API has them: one person."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.out: list[str] = []

    async def ways(self) -> SignInWays:
        return SignInWays(accounts=True)

    async def sign_in(self, name: str, password: str, *, address: str) -> str:
        self.asked.append((name, password, address))
        if password == "blocked":
            raise Refused(429, "Too many sign-ins have failed. Try again in 90 seconds.")
        if (name, password) != ("ann", "right"):
            raise Refused(401, "There is no account with this name and this password.")
        return "sfs_of-ann"

    async def sign_out(self, credential: str) -> None:
        self.out.append(credential)


@pytest.fixture
def lab() -> Lab:
    return Lab()


PAGE = {"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8501"}


def seen_by(guard, headers: dict[str, str]) -> list[str] | None:
    """What a page's websocket tells it to ask with; None where it is refused."""
    inner, found = guard._app, []

    async def noting(scope, receive, send):
        found.append([v.decode() for n, v in scope["headers"] if n.lower() == CREDENTIAL.lower().encode()])
        await inside(scope, receive, send)

    guard._app = noting
    try:
        accepted = connect(guard, {**PAGE, **headers}) == "websocket.accept"
    finally:
        guard._app = inner
    return found[0] if accepted else None


def cookie_in(answer) -> str:
    return answer.headers["set-cookie"].split(";")[0]


def test_without_accounts_the_door_asks_for_the_key_alone():
    page = visit(make(), "GET", "/").text
    assert 'name="key"' in page and 'name="password"' not in page and "_sign-in" not in page


def test_with_accounts_the_door_asks_for_a_name_and_offers_the_key(lab):
    page = visit(make(accounts=lab), "GET", "/runs?x=1").text
    assert 'name="name"' in page and 'name="password"' in page and 'name="key"' in page
    assert [unescape(value) for value in re.findall(r'name="next" value="(.*?)"', page)] == ["/runs?x=1"] * 2
    assert "src=" not in page and "//" not in page.replace("<!doctype", "")


def test_the_right_password_gives_a_cookie_that_is_neither_it_nor_what_the_api_is_asked_with(lab):
    answer = visit(make(accounts=lab), "POST", "/_sign-in", data=NAME_AND_PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/run?run=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "sfs_of-ann" not in cookie and "right" not in cookie
    assert lab.asked == [("ann", "right", "127.0.0.1")]


@pytest.mark.parametrize(("password", "status"), [("wrong", 401), ("blocked", 429)])
def test_a_refusal_stands_in_the_form_of_the_name(lab, password, status):
    answer = visit(make(accounts=lab), "POST", "/_sign-in", data={**NAME_AND_PASSWORD, "password": password})
    assert answer.status_code == status and "set-cookie" not in answer.headers
    form = answer.text.split("</form>")[0]
    assert 'role="alert"' in form and "name" in form
    assert answer.text.count('role="alert"') == 1 and password not in answer.text


def test_a_sign_in_from_another_site_is_refused(lab):
    headers = {"Origin": "http://evil.example"}
    assert visit(make(accounts=lab), "POST", "/_sign-in", data=NAME_AND_PASSWORD, headers=headers).status_code == 403
    assert lab.asked == []


@pytest.mark.parametrize("where", ["//evil.example/x", "https://evil.example/x", "/\\evil.example"])
def test_a_sign_in_leads_to_our_own_pages_alone(lab, where):
    answer = visit(make(accounts=lab), "POST", "/_sign-in", data={**NAME_AND_PASSWORD, "next": where})
    assert answer.headers["location"].startswith("/") and not answer.headers["location"].startswith(("//", "/\\"))


def test_a_page_is_told_what_to_ask_with_and_nobody_outside_can_tell_it(lab):
    guard = make(accounts=lab)
    ann = cookie_in(visit(guard, "POST", "/_sign-in", data=NAME_AND_PASSWORD))
    key = cookie_in(visit(guard, "GET", f"/?key={KEY}"))
    for cookie, told in ((ann, "sfs_of-ann"), (key, KEY)):
        for forged in ({}, {CREDENTIAL: "forged"}, {CREDENTIAL.lower(): "forged"}, {CREDENTIAL.upper(): KEY}):
            assert seen_by(guard, {"cookie": cookie, **forged}) == [told]
    assert seen_by(guard, {"cookie": "spikefront_8501=x", CREDENTIAL: KEY}) is None


def test_signing_out_ends_the_session_its_pages_and_what_the_api_was_asked_with(lab):
    guard = make(accounts=lab)
    cookie = cookie_in(visit(guard, "POST", "/_sign-in", data=NAME_AND_PASSWORD))
    assert visit(guard, "GET", "/runs", headers={"Cookie": cookie}).status_code == 200
    out = visit(guard, "GET", "/_sign-out", headers={"Cookie": cookie})
    assert (out.status_code, out.headers["location"]) == (303, "/") and "Max-Age=0" in out.headers["set-cookie"]
    assert lab.out == ["sfs_of-ann"]
    assert visit(guard, "GET", "/runs", headers={"Cookie": cookie}).status_code == 401
    assert seen_by(guard, {"cookie": cookie}) is None
    assert visit(guard, "GET", "/_sign-out").status_code == 303  # nobody is out already


def test_the_key_is_not_signed_out_at_the_api(lab):
    guard = make(accounts=lab)
    cookie = cookie_in(visit(guard, "GET", f"/?key={KEY}"))
    assert visit(guard, "GET", "/_sign-out", headers={"Cookie": cookie}).status_code == 303
    assert visit(guard, "GET", "/runs", headers={"Cookie": cookie}).status_code == 401 and lab.out == []


def test_an_open_page_ends_when_its_session_is_signed_out(lab):
    began, ended = [], []

    async def endless(scope, receive, send):
        if scope["type"] == "websocket":
            began.append(scope["path"])
            try:
                await asyncio.sleep(60)
            finally:
                ended.append(scope["path"])

    guard = make(accounts=lab, app=endless)

    async def go() -> None:
        signed_in = await asking(guard, "POST", "/_sign-in", data=NAME_AND_PASSWORD)
        cookie = cookie_in(signed_in)
        page = asyncio.create_task(_open(guard, cookie))
        while not began:
            await asyncio.sleep(0)
        await asking(guard, "GET", "/_sign-out", headers={"Cookie": cookie})
        await asyncio.wait_for(page, 5)

    asyncio.run(go())
    assert ended == began == ["/_stcore/stream"]


async def _open(guard, cookie: str) -> None:
    async def nothing(*_):
        await asyncio.sleep(60)

    await guard(websocket({**PAGE, "cookie": cookie}), nothing, nothing)


def test_no_more_than_so_many_sign_ins_are_under_way(lab):
    class Slow(Lab):
        async def sign_in(self, name: str, password: str, *, address: str) -> str:
            await asyncio.sleep(0.3)
            raise Refused(401, "no")

    guard = make(accounts=Slow())

    async def go() -> list[int]:
        asked = [asking(guard, "POST", "/_sign-in", data=NAME_AND_PASSWORD) for _ in range(WAITING_LIMIT + 5)]
        return sorted(answer.status_code for answer in await asyncio.gather(*asked))

    assert asyncio.run(go()) == [401] * WAITING_LIMIT + [429] * 5
