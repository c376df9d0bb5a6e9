"""Behind a proxy with TLS, on a host name of its own and below a path: door, page, websocket, share, signed file, a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from browsing import still
from people import PASSWORD
from playwright.sync_api import Browser, expect
from providers import SECRET, Lab, named, provider
from tls_proxy import Certificate, certificate, proxy
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from core.gallery.catalog import RUNS, gallery

NAME = "spikefront.localhost"  # which a browser looks for on this machine without asking anybody
TOKEN = "a-token-of-this-test"


@dataclass(frozen=True, kw_only=True)
class Site:
    """`address` is what people type, `port` the proxy's; API and dashboard stand behind it."""

    address: str
    base: str
    port: int
    api_port: int
    certificate: Certificate
    logs: list[Path]
    login: Lab

    def client(self) -> httpx.Client:
        return httpx.Client(verify=self.certificate.client(), timeout=60, trust_env=False)

    def get(self, client: httpx.Client, url: str, **more) -> httpx.Response:
        return self.ask(client, "GET", url, **more)

    def ask(
        self, client: httpx.Client, method: str, url: str, *, host: str = "", cookie: str = "", **more
    ) -> httpx.Response:
        """As if a name server had the name: asked on this machine, under that name."""
        inside = url.replace(self.address.removesuffix(self.base), f"https://127.0.0.1:{self.port}", 1)
        headers = {"Host": host or f"{NAME}:{self.port}", **({"Cookie": cookie} if cookie else {})}
        if method != "GET":
            headers["Origin"] = self.address.removesuffix(self.base)
        client.cookies.clear()  # what is sent is what a test says
        return client.request(method, inside, headers=headers, extensions={"sni_hostname": NAME}, **more)

    @contextmanager
    def websocket(self, cookie: str) -> Iterator[ClientConnection]:
        """Of a page of the dashboard, as its browser opens it."""
        # the client waits without end for its reader where a refused connection went away under it
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        stream = f"{self.address.replace('https', 'wss')}/_stcore/stream"
        with connect(stream, sock=plain, ssl=self.certificate.client(), origin=self.address.removesuffix(self.base),
                     additional_headers={"Cookie": cookie}, subprotocols=["streamlit"]) as opened:  # fmt: skip
            yield opened

    def owner(self) -> httpx.Client:
        """The API without the proxy, as the dashboard asks it."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}/api/v1", headers=headers, timeout=120)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def login() -> Iterator[Lab]:
    """Where people sign in through."""
    with provider() as running:
        yield running


@pytest.fixture(scope="module", params=["", "/lab/spikefront"], ids=["host", "path"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, login: Lab) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    shown = certificate(folder, NAME)
    listener = socket.create_server(("127.0.0.1", 0))
    port, api_port, dashboard_port = listener.getsockname()[1], free_port(), free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPIKEFRONT_", "STREAMLIT_"))}
    env = {
        **kept,
        "SPIKEFRONT_HOME": str(folder / "home"),
        "SPIKEFRONT_API_PORT": str(api_port),
        "SPIKEFRONT_DASHBOARD_PORT": str(dashboard_port),
        "SPIKEFRONT_API_URL": f"http://127.0.0.1:{api_port}",
        "SPIKEFRONT_PUBLIC_URL": f"https://{NAME}:{port}",
        "SPIKEFRONT_BASE_PATH": request.param,
        "SPIKEFRONT_TRUSTED_PROXIES": "127.0.0.0/8",
        "SPIKEFRONT_TOKEN": TOKEN,
        "SPIKEFRONT_LOG_FORMAT": "json",
        **named(login, folder),
    }
    logs = [folder / "backend.log", folder / "frontend.log"]
    with ExitStack() as stack:
        for log in logs:
            argv = [sys.executable, "-m", log.stem]
            process = subprocess.Popen(argv, env=env, stdout=log.open("wb"), stderr=subprocess.STDOUT)
            stack.callback(_end, process)
        for part in (f"{api_port}/api/v1/health/live", f"{dashboard_port}/_stcore/health"):
            _wait_for(f"http://127.0.0.1:{part}", logs)
        stack.enter_context(
            proxy(listener, shown, base=request.param, api_port=api_port, dashboard_port=dashboard_port)
        )
        address = f"https://{NAME}:{port}{request.param}"
        yield Site(
            address=address, base=request.param, port=port, api_port=api_port, certificate=shown, logs=logs, login=login
        )


def _end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)


def _wait_for(url: str, logs: list[Path]) -> None:
    end = time.monotonic() + 180
    while True:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < end, [log.read_text() for log in logs]
        time.sleep(0.2)


def test_door_page_and_websocket_open_under_the_public_name_and_the_cookie_is_secure(site):
    with site.client() as client:
        door = site.get(client, f"{site.address}/run?run=1")
        assert door.status_code == 401 and f'action="{site.base}/_key"' in door.text
        answer = site.get(client, f"{site.address}/run?key={TOKEN}&run=1")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{site.base}/run?run=1")
        cookie = answer.headers["set-cookie"]
        assert cookie.endswith("; Secure") and f"Path={site.base or '/'};" in cookie and "HttpOnly" in cookie
        page = site.get(client, f"{site.address}/", cookie=cookie.split(";")[0])
        script = page.text.split('src="./')[1].split('"')[0]
        mine = {"cookie": cookie.split(";")[0]}
        assert site.get(client, f"{site.address}/{script}", **mine).status_code == 200
        if site.base:  # from `/lab/spikefront` the page's scripts would be looked for in `/lab`
            assert site.get(client, site.address, **mine).headers["location"] == f"{site.base}/"
    with site.websocket(cookie.split(";")[0]) as websocket:
        assert websocket.protocol.state.name == "OPEN"


@pytest.mark.parametrize("path", ["/", "/api/v1/health/live"])
def test_another_host_name_is_misdirected(site, path):
    with site.client() as client:
        assert site.get(client, f"{site.address}{path}", host="evil.example").status_code == 421


def test_a_share_and_a_signed_file_open_at_the_addresses_that_are_given_out(site):
    run = gallery().whole[0]
    with site.owner() as owner, site.client() as client:
        made = owner.post("/imports", content=(RUNS / run.file).read_bytes()).raise_for_status()
        run_id = made.json()["id"]
        assert made.headers["location"] == f"{site.base}/api/v1/runs/{run_id}"
        url = owner.post("/shares", json={"run_id": run_id}).raise_for_status().json()["url"]
        assert url.startswith(f"{site.address}/s/")
        shared = site.get(client, url)
        assert shared.status_code == 200
        for asset in re.findall(r'(?:src|href)="(assets/[^"]+)"', shared.text):  # relative to the share's own address
            assert site.get(client, f"{site.address}/s/{asset}").status_code == 200, asset
        bundle = owner.get(f"/runs/{run_id}").json()["bundle_url"]
        assert bundle.startswith(site.address)
        assert site.get(client, bundle).content[:2] == b"PK"
        assert site.get(client, f"{site.address}/api/v1/runs").status_code == 401
        described = site.get(client, f"{site.address}/api/v1/openapi.json").json()
        assert described.get("servers", [{"url": ""}]) == [{"url": site.base}]


def test_pages_work_in_a_browser_and_lead_to_one_another(site, browser: Browser):
    context = still(browser.new_context(ignore_https_errors=True, viewport={"width": 1440, "height": 900}))
    try:
        context.set_default_timeout(90_000)
        page = context.new_page()
        page.goto(f"{site.address}/?key={TOKEN}")
        page.get_by_role("link", name="Shares").click()
        expect(page).to_have_url(f"{site.address}/shares")
        expect(page.get_by_role("heading", name="Shares", exact=True)).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Shares", exact=True)).to_be_visible()
    finally:
        context.close()


def parts_of(cookie: str) -> list[str]:
    """What is said of a cookie beside its value."""
    return cookie.split("; ")[1:]


def test_a_password_opens_pages_and_their_websocket_and_a_sign_out_ends_both(site):
    with site.owner() as owner, site.client() as client:
        owner.post("/accounts", json={"name": "pat", "role": "member", "password": PASSWORD}).raise_for_status()
        wanted = {"name": "pat", "password": PASSWORD, "next": f"{site.base}/run?run=1"}
        end = time.monotonic() + 60  # what the dashboard knows of accounts may be some seconds old
        while f'action="{site.base}/_sign-in"' not in site.get(client, f"{site.address}/run?run=1").text:
            assert time.monotonic() < end, "the door does not ask for a name"
            time.sleep(0.5)
        wrong = site.ask(client, "POST", f"{site.address}/_sign-in", data={**wanted, "password": "wrong"})
        assert wrong.status_code == 401 and "set-cookie" not in wrong.headers
        signed_in = site.ask(client, "POST", f"{site.address}/_sign-in", data=wanted)
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, f"{site.base}/run?run=1")
        cookie = signed_in.headers["set-cookie"]
        path = f"Path={site.base or '/'}"
        assert parts_of(cookie) == [path, "Max-Age=604800", "HttpOnly", "SameSite=Strict", "Secure"]
        mine = cookie.split(";")[0]
        assert site.get(client, f"{site.address}/runs", cookie=mine).status_code == 200
        with site.websocket(mine) as websocket:
            assert websocket.protocol.state.name == "OPEN"
            out = site.get(client, f"{site.address}/_sign-out", cookie=mine)
            assert (out.status_code, out.headers["location"]) == (303, f"{site.base}/")
            assert parts_of(out.headers["set-cookie"])[:2] == [path, "Max-Age=0"]
            with pytest.raises(ConnectionClosed):  # the open page ends with its session
                while True:
                    websocket.recv(timeout=30)
        assert site.get(client, f"{site.address}/runs", cookie=mine).status_code == 401
        with pytest.raises(InvalidStatus), site.websocket(mine):
            pass
        noted = owner.get("/audit-log", params={"action": ["sign-in", "sign-in.failed"]}).json()["items"]
        assert [(one["action"], one["address"]) for one in noted] == [
            ("sign-in", "203.0.113.9"), ("sign-in.failed", "203.0.113.9"),
        ]  # fmt: skip


def test_the_provider_sends_one_back_to_the_public_address_whatever_name_was_asked(site):
    with site.client() as client:
        sent = site.get(client, f"{site.address}/_provider?next={site.base}/runs", host=f"127.0.0.1:{site.port}")
        assert sent.status_code == 303
        back = f"{site.address}/_provider/back"
        assert parse_qs(urlsplit(sent.headers["location"]).query)["redirect_uri"] == [back]
        sent = site.get(client, f"{site.address}/_provider?next={site.base}/runs")
        kept = sent.headers["set-cookie"]
        assert parts_of(kept) == [f"Path={site.base}/_provider", "Max-Age=600", "HttpOnly", "SameSite=Lax", "Secure"]
        told = site.login.visit(sent.headers["location"])
        answer = site.get(client, f"{back}?{urlencode(told)}", cookie=kept.split(";")[0])
        assert answer.status_code == 200 and f'content="0;url={site.base}/runs"' in unescape(answer.text)
        spent, session = answer.headers.get_list("set-cookie")
        assert "Max-Age=0" in spent and parts_of(session)[-3:] == ["HttpOnly", "SameSite=Strict", "Secure"]
        assert site.get(client, f"{site.address}/runs", cookie=session.split(";")[0]).status_code == 200
        again = site.get(client, f"{back}?{urlencode(told)}", cookie=kept.split(";")[0])
        assert again.status_code == 403 and "answered before" in again.text
        for log in site.logs:
            said = log.read_text()
            assert told["code"] not in said and told["state"] not in said and SECRET not in said


def test_a_line_of_every_log_is_json_names_the_visitor_and_holds_no_secret(site):
    with site.client() as client:
        site.get(client, f"{site.address}/?key=wrong")
    for log in site.logs:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert lines and all(line["time"].endswith("Z") and line["event"] for line in lines)
        assert TOKEN not in log.read_text() and PASSWORD not in log.read_text()
    assert [line["client"] for line in lines if line["event"] == "guard.wrong_key"][-1] == "203.0.113.9"
