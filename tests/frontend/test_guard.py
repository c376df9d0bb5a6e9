"""Who gets into the dashboard. The app behind the guard here says 'inside'; `test_server.py` has the real one."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlencode

import httpx
import pytest
from guarding import KEY, connect, cookie_of, inside, make, visit

from frontend.serving.guard import WAITING_LIMIT, Guard
from frontend.serving.sessions import MOST, Sessions


@pytest.mark.parametrize("path", ["/", "/run?run=1", "/static/index.js", "/media/x.png", "/_stcore/host-config",
                                  "/_stcore/upload_file/a/b", "/_stcore/metrics", "//_stcore/health",
                                  "/_stcore/health/", "/_STCORE/health"])  # fmt: skip
def test_without_a_cookie_nothing_but_the_door_is_there(path):
    answer = visit(make(), "GET", path)
    assert answer.status_code == 401
    assert b"inside" not in answer.content
    assert b"<form" in answer.content


def test_the_health_check_needs_no_key():
    assert visit(make(), "GET", "/_stcore/health").content.startswith(b"inside")


def test_the_health_path_opens_for_reading_only():
    assert visit(make(), "POST", "/_stcore/health").status_code == 401


def test_the_right_key_gives_a_cookie_and_leads_to_the_address_without_the_key():
    answer = visit(make(), "GET", f"/run?run=a%26b&key={KEY}&x=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/run?run=a%26b&x=1"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("spikefront_8501=")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    assert KEY not in cookie


def test_the_cookie_opens_every_path_and_the_websocket():
    guard = make()
    cookie = cookie_of(guard)
    assert visit(guard, "GET", "/static/index.js", headers={"Cookie": f"a=b; {cookie}"}).content.startswith(b"inside")
    headers = {"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8501", "cookie": cookie}
    assert connect(guard, headers) == "websocket.accept"


def test_a_websocket_without_a_cookie_is_refused():
    assert connect(make(), {"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8501"}) == "websocket.close"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9999", "null", "http://127.0.0.1:8501.evil.example"]
)
def test_a_websocket_from_another_site_is_refused_even_with_the_cookie(origin):
    guard = make()
    headers = {"host": "127.0.0.1:8501", "origin": origin, "cookie": cookie_of(guard)}
    assert connect(guard, headers) == "websocket.close"


def test_a_form_from_another_site_is_refused_even_with_the_cookie():
    guard = make()
    headers = {"Cookie": cookie_of(guard), "Origin": "http://evil.example"}
    assert visit(guard, "POST", "/_stcore/upload_file/a/b", headers=headers).status_code == 403


@pytest.mark.parametrize("value", ["", "x", "0" * 64, KEY])
def test_another_cookie_value_does_not_open(value):
    assert visit(make(), "GET", "/", headers={"Cookie": f"spikefront_8501={value}"}).status_code == 401


@pytest.mark.parametrize(
    "foreign",
    [
        'prefs={"a":1}', "foo", "a=b;; c=d", "user[x]=y", "caf\u00e9=1", "=", "", ";", "a=b=c", 'open="quote', "x=\x01", "@=,",
        "spikefront_8501=", "spikefront_8501=of-another-server", "spikefront_8501", 'spikefront_8501="', "SPIKEFRONT_8501=x",
    ],
)  # fmt: skip
def test_no_foreign_cookie_before_or_after_ours_locks_the_owner_out(foreign):
    guard = make()
    ours = cookie_of(guard)
    for header in (f"{foreign}; {ours}", f"{ours}; {foreign}", f"{foreign};{ours};{foreign}", f"  {ours}  ;{foreign}"):
        assert visit(guard, "GET", "/", headers={"Cookie": header.encode("latin-1")}).status_code == 200, header
        websocket = {"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8501", "cookie": header}
        assert connect(guard, websocket) == "websocket.accept"
    assert visit(guard, "GET", "/", headers={"Cookie": foreign.encode("latin-1")}).status_code == 401


def test_cookies_in_two_lines_are_read_as_in_one():
    guard = make()
    lines = [("Cookie", "spikefront_8501=x"), ("Cookie", cookie_of(guard)), ("Cookie", 'y={"a":1}')]
    assert visit(guard, "GET", "/", headers=lines).status_code == 200


def test_a_cookie_is_another_one_each_time_and_follows_from_nothing():
    guard = make()
    values = {cookie_of(made).split("=")[1] for made in (guard, guard, make(), make())}
    assert len(values) == 4
    assert all(len(value) >= 43 for value in values)  # 256 bits as base64


def test_a_cookie_ends_with_its_time_however_often_it_is_sent_and_an_open_page_with_it():
    now = [1_000_000.0]
    guard = make(sessions=Sessions(lifetime_s=3600, clock=lambda: now[0]))
    answer = visit(guard, "GET", f"/?key={KEY}")
    assert "Max-Age=3600;" in answer.headers["set-cookie"]
    cookie = answer.headers["set-cookie"].split(";")[0]
    now[0] += 3599
    assert visit(guard, "GET", "/", headers={"Cookie": cookie}).status_code == 200
    now[0] += 1
    assert visit(guard, "GET", "/", headers={"Cookie": cookie}).status_code == 401
    assert connect(guard, {"host": "127.0.0.1:8501", "cookie": cookie}) == "websocket.close"


def test_an_open_page_ends_with_its_session():
    async def endless(scope, receive, send):
        if scope["type"] == "websocket":
            await asyncio.sleep(600)
        else:
            await inside(scope, receive, send)

    guard = Guard(endless, token=KEY, port=8501, host="127.0.0.1", sessions=Sessions(lifetime_s=0.3))
    started = time.perf_counter()

    async def nothing(*_):
        raise AssertionError("the app says nothing")

    headers = [(b"host", b"127.0.0.1:8501"), (b"cookie", cookie_of(guard).encode())]
    asyncio.run(guard({"type": "websocket", "path": "/_stcore/stream", "headers": headers}, nothing, nothing))
    assert 0.1 < time.perf_counter() - started < 60


def test_a_cookie_ends_with_the_process_that_gave_it():
    assert visit(make(), "GET", "/", headers={"Cookie": cookie_of(make())}).status_code == 401  # the same key and port


def test_sessions_are_bounded_and_the_oldest_makes_room():
    sessions = Sessions()
    first, second = sessions.begin("a"), sessions.begin("b")
    for _ in range(MOST - 1):
        sessions.begin("c")
    assert sessions.of([first]) is None and sessions.of([first, second]).credential == "b"


def test_a_cookie_of_another_port_does_not_open():
    guard = make()
    stranger = cookie_of(make(port=8502)).split("=")[1]
    assert visit(guard, "GET", "/", headers={"Cookie": f"spikefront_8501={stranger}"}).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8501", "127.0.0.1.evil.example", "", "localhost@evil.example"]
)
def test_a_foreign_host_name_is_refused_even_with_the_cookie(host):
    guard = make()
    headers = {"Host": host, "Cookie": cookie_of(guard)}
    assert visit(guard, "GET", "/", headers=headers).status_code == 421
    assert connect(guard, {"host": host, "cookie": headers["Cookie"]}) == "websocket.close"


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501", "192.168.1.20:8501"])
def test_our_own_names_and_literal_addresses_are_known(host):
    assert visit(make(), "GET", "/", headers={"Host": host}).status_code == 401


def test_a_name_that_browsers_call_us_by_is_known():
    assert visit(make(names=["Lab.example"]), "GET", "/", headers={"Host": "lab.example"}).status_code == 401
    assert visit(make(names=["lab.example"]), "GET", "/", headers={"Host": "x.lab.example"}).status_code == 421


def test_the_form_takes_the_key_and_leads_where_the_visitor_wanted_to_go():
    body = urlencode({"key": f" {KEY} ", "next": "/run?run=7"})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://127.0.0.1:8501"}
    answer = visit(make(), "POST", "/_key", content=body, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/run?run=7")


def test_a_wrong_key_gets_a_sentence_and_no_cookie():
    answer = visit(make(), "POST", "/_key", content=urlencode({"key": "wrong", "next": "/run"}))
    assert answer.status_code == 401
    assert "That key does not fit." in answer.text
    assert "set-cookie" not in answer.headers
    assert visit(make(), "GET", "/?key=wrong").status_code == 401


@pytest.mark.parametrize(
    "target", ["//evil.example/x", "https://evil.example/x", "/\\evil.example", "\\\\evil.example"]
)
def test_the_way_on_never_leaves_this_site(target):
    answer = visit(make(), "POST", "/_key", content=urlencode({"key": KEY, "next": target}))
    location = answer.headers["location"]
    assert location.startswith("/") and not location.startswith(("//", "/\\"))
    assert "evil.example" not in location.split("/")[1] or location.startswith("/evil.example")  # a path, not a host


def test_markup_in_the_address_stays_text_on_the_door():
    answer = visit(make(), "GET", '/"><script>alert(1)</script>')
    assert b"<script>" not in answer.content


def test_wrong_keys_wait_longer_each_time_and_the_right_one_ends_it():
    guard = make(wait_s=0.05)

    def seconds(key: str) -> float:
        start = time.perf_counter()
        visit(guard, "GET", f"/?key={key}")
        return time.perf_counter() - start

    first, second, third = (seconds("wrong") for _ in range(3))  # waits 0.05, 0.1, 0.2 s
    assert first >= 0.05 and second >= 0.1 and third >= 0.2
    assert seconds(KEY) < 0.05
    assert seconds("wrong") < third


def test_too_many_wrong_keys_at_once_are_turned_away_at_once():
    guard = make(wait_s=0.2)

    async def go() -> list[int]:
        transport = httpx.ASGITransport(app=guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8501") as client:
            tries = [asyncio.create_task(client.get("/?key=wrong")) for _ in range(WAITING_LIMIT + 5)]
            done, waiting = await asyncio.wait(tries, timeout=0.15)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            return [task.result().status_code for task in done]

    assert asyncio.run(go()) == [429] * 5  # the limit waits, the five above it do not


def test_a_link_followed_on_another_site_comes_back_from_our_own():
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = visit(make(), "GET", "/run?run=1", headers=headers)
    assert answer.status_code == 200
    assert 'content="0;url=/run?run=1"' in answer.text
    assert "inside" not in answer.text


def test_a_body_that_is_no_key_form_is_cut_off():
    assert visit(make(), "POST", "/_key", content=b"x" * 100_000).status_code == 413


@pytest.mark.parametrize("broken", ["http://[x", "//[::1", "http://\uff41\uff0f\uff42/"])
def test_a_next_page_that_is_no_address_is_refused_with_and_without_the_key(broken):
    for key in (KEY, "wrong"):
        answer = visit(make(), "POST", "/_key", content=urlencode({"key": key, "next": broken}))
        assert 400 <= answer.status_code < 500 and "set-cookie" not in answer.headers


@pytest.mark.parametrize("broken", ["http://[x", "[", "http://[::1", "//", "http://\u00aa\u2100", ""])
def test_an_origin_that_is_no_address_is_another_site(broken):
    guard = make()
    origin = broken.encode()
    for path in ("/_key", "/_stcore/upload_file/a/b", "/"):
        assert visit(guard, "POST", path, headers={"Origin": origin, "Cookie": cookie_of(guard)}).status_code == 403
    headers = {"host": "127.0.0.1:8501", "origin": origin.decode("latin-1"), "cookie": cookie_of(guard)}
    assert connect(guard, headers) == "websocket.close"


def test_a_form_that_never_comes_whole_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("frontend.serving.guard.FORM_S", 0.1)
    sent = []

    async def never():
        await asyncio.sleep(600)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/_key", "query_string": b"", "scheme": "http", "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1:8501")],
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(make()(scope, never, send), 60))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:1 ; script-src *", "127.0.0.1; x", "localhost:8501\tx", "localhost:", "localhost:x", "[::1];", "[::1]:1;",
     "a@localhost", "localhost/x", "localhost?", "127.0.0.1:123456", "[::1]:8501]", "localhost,evil.example"],
)  # fmt: skip
def test_a_host_with_more_than_name_and_port_is_none_of_ours(host):
    guard = make()
    answer = visit(guard, "GET", "/", headers={"Host": host, "Cookie": cookie_of(guard)})
    assert answer.status_code == 421
    assert host not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "sources"),
    [
        ("localhost:8501", " ws://localhost:8501 wss://localhost:8501"),
        ("[::1]:8501", ""),
        ("127.0.0.1", " ws://127.0.0.1 wss://127.0.0.1"),
    ],
)
def test_a_page_may_speak_to_its_own_server_and_no_other(host, sources):
    guard = make()
    answer = visit(guard, "GET", "/", headers={"Host": host, "Cookie": cookie_of(guard)})
    assert answer.status_code == 200
    assert f"connect-src 'self'{sources};" in answer.headers["content-security-policy"]


def test_pages_are_not_framed_and_not_sniffed():
    guard = make()
    headers = visit(guard, "GET", "/", headers={"Cookie": cookie_of(guard)}).headers
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/explore", "/explore/"])
def test_the_first_page_has_its_name_for_an_address_too(path):
    guard = make()
    answer = visit(guard, "GET", f"{path}?dataset=cifar10&mode=exact%2Bneuron", headers={"cookie": cookie_of(guard)})
    assert (answer.status_code, answer.headers["location"]) == (307, "/?dataset=cifar10&mode=exact%2Bneuron")
    assert visit(guard, "GET", path).status_code == 401  # not before the key


@pytest.mark.parametrize("prefix", ["", "/lab/sf"], ids=["taken off", "left on"])
def test_below_a_path_all_ways_lead_below_it_whatever_the_proxy_does(prefix):
    guard = make(base="/lab/sf")
    answer = visit(guard, "GET", f"{prefix}/run?run=1&key={KEY}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/lab/sf/run?run=1")
    assert "; Path=/lab/sf;" in answer.headers["set-cookie"]
    cookie = {"cookie": answer.headers["set-cookie"].split(";")[0]}
    assert visit(guard, "GET", f"{prefix}/run", headers=cookie).content.startswith(b"inside")
    assert visit(guard, "GET", f"{prefix}/explore", headers=cookie).headers["location"] == "/lab/sf/"
    door = visit(guard, "GET", f"{prefix}/run").text
    assert 'action="/lab/sf/_key"' in door and 'value="/lab/sf/run"' in door
    sent = visit(guard, "POST", f"{prefix}/_key", data={"key": KEY, "next": "/lab/sf/run?run=1"})
    assert sent.headers["location"] == "/lab/sf/run?run=1"
    assert visit(guard, "GET", f"{prefix}/_stcore/health").content.startswith(b"inside")


def test_a_path_that_only_begins_like_ours_is_another():
    answer = visit(make(base="/sf"), "GET", f"/sfx?key={KEY}")
    assert answer.headers["location"] == "/sf/sfx"


@pytest.mark.parametrize(
    ("host", "secure"), [("lab.example", True), ("LAB.example.:443", True), ("127.0.0.1:8501", False)]
)
def test_the_cookie_is_secure_under_the_name_that_browsers_reach_by_https(host, secure):
    guard = make(names=["lab.example"], secure_name="lab.example")
    cookie = visit(guard, "GET", f"/?key={KEY}", headers={"Host": host}).headers["set-cookie"]
    assert cookie.endswith("; Secure") == secure
