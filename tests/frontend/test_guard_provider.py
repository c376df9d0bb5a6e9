"""To the sign-in provider and back: what the guard sends a browser away with, and whom it lets in when it comes back."""

from __future__ import annotations

import asyncio
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from guarding import asking, make, visit

from core.schemas.accounts import ProviderAnswer, SignInBegun, SignInWays
from frontend.serving import provider
from frontend.serving.guard import WAITING_LIMIT
from frontend.serving.ways_in import NoAccounts, Refused

TICKET = "t" * 43 + ".1900000000"
AT = "https://login.example/authorize?state=s&client_id=spikefront"
BACK = "/_provider/back?code=the-code&state=the-state"


class Lab(NoAccounts):
    """A provider that knows one person, and passwords beside it."""

    def __init__(self) -> None:
        self.answers: list[ProviderAnswer] = []
        self.down: Refused | None = None

    async def ways(self) -> SignInWays:
        return SignInWays(accounts=True, provider="Sign in <here>")

    async def begin(self, *, address: str) -> SignInBegun:
        if self.down is not None:
            raise self.down
        return SignInBegun(url=AT, ticket=TICKET)

    async def answered(self, answer: ProviderAnswer) -> str:
        self.answers.append(answer)
        if answer.returned_code != "the-code":
            raise Refused(403, "Your account is disabled.")
        return "sfs_of-ann"


@pytest.fixture
def lab() -> Lab:
    return Lab()


def cookies(answer) -> dict[str, str]:
    """Each cookie that is set, with what is said of it."""
    found = (line.partition("=") for line in answer.headers.get_list("set-cookie"))
    return {name: rest for name, _, rest in found}


def kept(guard, where: str = "/run?run=1") -> str:
    """The cookie of a browser that is at the provider."""
    sent = visit(guard, "GET", "/_provider", params={"next": where})
    assert sent.status_code == 303
    return "spikefront_8501_provider=" + cookies(sent)["spikefront_8501_provider"].split(";")[0]


def test_the_door_leads_to_the_provider_and_to_the_page_that_was_asked_for(lab):
    page = visit(make(accounts=lab), "GET", "/run?run=1&x=a b").text
    (link,) = [unescape(part.split('"')[0]) for part in page.split('href="')[1:]]
    assert parse_qs(urlsplit(link).query) == {"next": ["/run?run=1&x=a+b"]} and link.startswith("/_provider?")
    assert "Sign in &lt;here&gt;" in page and 'name="password"' in page and 'name="key"' in page
    assert "_provider" not in visit(make(), "GET", "/").text


def test_the_way_there_keeps_the_ticket_in_a_cookie_that_scripts_and_other_pages_do_not_see(lab):
    sent = visit(make(accounts=lab, secure_name="127.0.0.1", base="/lab"), "GET", "/lab/_provider?next=/lab/runs")
    assert (sent.status_code, sent.headers["location"]) == (303, AT)
    said = cookies(sent)["spikefront_8501_provider"]
    assert said.endswith("; Path=/lab/_provider; Max-Age=600; HttpOnly; SameSite=Lax; Secure")
    assert TICKET.partition(".")[0] not in sent.headers["location"]


def test_who_comes_back_is_in_and_the_ticket_is_spent(lab):
    guard = make(accounts=lab)
    back = visit(guard, "GET", BACK + "&iss=https%3A%2F%2Flogin.example", headers={"Cookie": kept(guard)})
    assert back.status_code == 200 and 'content="0;url=/run?run=1"' in unescape(back.text)
    (answer,) = lab.answers
    assert answer == ProviderAnswer(
        ticket=TICKET, returned_state="the-state", returned_code="the-code", issuer="https://login.example",
        address="127.0.0.1",
    )  # fmt: skip
    said = cookies(back)
    assert "Max-Age=0" in said["spikefront_8501_provider"] and "Path=/_provider;" in said["spikefront_8501_provider"]
    assert "HttpOnly; SameSite=Strict" in said["spikefront_8501"] and "sfs_of-ann" not in str(back.headers)
    assert back.headers["referrer-policy"] == "no-referrer"  # its address holds the code
    assert "the-code" not in back.text and "the-state" not in back.text and TICKET not in back.text
    mine = {"Cookie": "spikefront_8501=" + said["spikefront_8501"].split(";")[0]}
    assert visit(guard, "GET", "/runs", headers=mine).status_code == 200


@pytest.mark.parametrize(
    "cookie", ["", "spikefront_8501_provider=", "spikefront_8501_provider=x", f"spikefront_9000_provider={TICKET}.Lw=="]
)
def test_another_browser_than_the_one_that_went_is_not_let_in(lab, cookie):
    """Login CSRF: a link that ends somebody else's sign-in here."""
    back = visit(make(accounts=lab), "GET", BACK, headers={"Cookie": cookie} if cookie else {})
    assert back.status_code == 400 and provider.NOT_HERE in back.text and not lab.answers
    assert "spikefront_8501" not in cookies(back) and 'name="password"' in back.text


@pytest.mark.parametrize(
    ("where", "to"),
    [
        ("https://evil.example/x", "/x"),
        ("//evil.example/x", "/x"),
        ("/\\evil.example", "/evil.example"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/alert(1)"),
        ("//[", "/"),
        ("/runs?" + "x" * 2000, "/"),
    ],
)
def test_one_comes_back_to_our_own_pages_alone(lab, where, to):
    guard = make(accounts=lab)
    back = visit(guard, "GET", BACK, headers={"Cookie": kept(guard, where)})
    assert f'content="0;url={to}"' in unescape(back.text)


def test_a_path_that_somebody_wrote_into_the_cookie_leads_to_our_own_pages_too(lab):
    guard = make(accounts=lab)
    for path in ("//evil.example", "https://evil.example/", "\\\\evil.example"):
        forged = f"spikefront_8501_provider={provider.kept(TICKET, path)}"
        page = unescape(visit(guard, "GET", BACK, headers={"Cookie": forged}).text)
        assert "url=/" in page and "url=//" not in page and "url=/\\" not in page


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("error=access_denied&state=x", "The provider did not let you in."),
        ("error=server_error&error_description=Call+555", "The provider did not let you in: server_error."),
        ("error=%3Cb%3E", "The provider did not let you in: it says no more."),
        ("state=x", provider.UNREADABLE),
        ("code=x", provider.UNREADABLE),
        ("", provider.UNREADABLE),
        ("code=" + "x" * 5000 + "&state=x", provider.UNREADABLE),
        ("code=other&state=x", "Your account is disabled."),
    ],
)
def test_what_goes_wrong_there_is_said_at_the_door_where_one_can_go_in_otherwise(lab, query, said):
    guard = make(accounts=lab)
    back = visit(guard, "GET", f"/_provider/back?{query}", headers={"Cookie": kept(guard)})
    assert back.status_code in (400, 403) and "spikefront_8501" not in cookies(back)
    assert f'<p role="alert">{said}</p>' in back.text and back.text.count('role="alert"') == 1
    assert 'name="password"' in back.text and 'name="key"' in back.text and "Call 555" not in back.text
    assert [unescape(part.split('"')[0]) for part in back.text.split('name="next" value="')[1:]] == ["/run?run=1"] * 2
    assert "Max-Age=0" in cookies(back)["spikefront_8501_provider"]
    assert back.headers["referrer-policy"] == "same-origin"  # else the forms of this page would be refused


def test_a_provider_that_is_down_is_said_and_the_other_ways_are_there(lab):
    lab.down = Refused(503, "The sign-in provider cannot be used now: it does not answer.")
    door = visit(make(accounts=lab), "GET", "/_provider?next=/runs")
    assert door.status_code == 503 and "it does not answer" in door.text
    assert 'name="password"' in door.text and "set-cookie" not in door.headers and "Sign in &lt;here&gt;" in door.text


def test_without_a_provider_nobody_is_led_anywhere():
    for path in ("/_provider", BACK):
        answer = visit(make(), "GET", path)
        assert answer.status_code in (400, 404) and "location" not in answer.headers


def test_a_provider_that_is_slow_keeps_no_password_waiting(lab):
    class Slow(Lab):
        async def begin(self, *, address: str) -> SignInBegun:
            await asyncio.sleep(0.5)
            raise Refused(503, "down")

        async def sign_in(self, name: str, password: str, *, address: str) -> str:
            return "sfs_of-ben"

    guard = make(accounts=Slow())

    async def go() -> tuple[list[int], int]:
        slow = [asyncio.create_task(asking(guard, "GET", "/_provider")) for _ in range(WAITING_LIMIT + 3)]
        await asyncio.sleep(0.1)
        entered = await asking(guard, "POST", "/_sign-in", data={"name": "ben", "password": "right"})
        return sorted(answer.status_code for answer in await asyncio.gather(*slow)), entered.status_code

    assert asyncio.run(go()) == ([429] * 3 + [503] * WAITING_LIMIT, 303)
