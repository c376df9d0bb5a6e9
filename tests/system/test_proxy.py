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
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from browsing import still
from playwright.sync_api import Browser, expect
from tls_proxy import Certificate, certificate, proxy
from websockets.sync.client import connect

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

    def client(self) -> httpx.Client:
        return httpx.Client(verify=self.certificate.client(), timeout=60, trust_env=False)

    def get(self, client: httpx.Client, url: str, *, host: str = "", **more) -> httpx.Response:
        """As if a name server had the name: asked on this machine, under that name."""
        inside = url.replace(self.address.removesuffix(self.base), f"https://127.0.0.1:{self.port}", 1)
        extensions = {"sni_hostname": NAME}
        return client.get(inside, headers={"Host": host or f"{NAME}:{self.port}"}, extensions=extensions, **more)

    def owner(self) -> httpx.Client:
        """The API without the proxy, as the dashboard asks it."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}/api/v1", headers=headers, timeout=120)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module", params=["", "/lab/spikefront"], ids=["host", "path"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
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
        yield Site(address=address, base=request.param, port=port, api_port=api_port, certificate=shown, logs=logs)


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
        page = site.get(client, f"{site.address}/")
        script = page.text.split('src="./')[1].split('"')[0]
        assert site.get(client, f"{site.address}/{script}").status_code == 200
        if site.base:  # from `/lab/spikefront` the page's scripts would be looked for in `/lab`
            assert site.get(client, site.address).headers["location"] == f"{site.base}/"
        headers = {"Cookie": cookie.split(";")[0]}
    plain = socket.create_connection(("127.0.0.1", site.port))
    stream = f"{site.address.replace('https', 'wss')}/_stcore/stream"
    origin = site.address.removesuffix(site.base)
    with connect(stream, sock=plain, ssl=site.certificate.client(), origin=origin, additional_headers=headers,
                 subprotocols=["streamlit"]) as websocket:  # fmt: skip
        assert websocket.protocol.state.name == "OPEN"


@pytest.mark.parametrize("path", ["/", "/api/v1/health/live"])
def test_another_host_name_is_misdirected(site, path):
    with site.client() as client:
        assert site.get(client, f"{site.address}{path}", host="evil.example").status_code == 421


def test_a_share_and_a_signed_file_open_at_the_addresses_that_are_given_out(site):
    run = gallery().runs[0]
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


def test_a_line_of_every_log_is_json_names_the_visitor_and_holds_no_secret(site):
    with site.client() as client:
        site.get(client, f"{site.address}/?key=wrong")
    for log in site.logs:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert lines and all(line["time"].endswith("Z") and line["event"] for line in lines)
        assert TOKEN not in log.read_text()
    assert [line["client"] for line in lines if line["event"] == "guard.wrong_key"][-1] == "203.0.113.9"
