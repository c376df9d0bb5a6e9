"""The real dashboard process: `python -m frontend`, guarded as a whole."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from keptalive import DELAYED_S, quickest_answer_s
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from frontend.serving.server import SCRIPT

#: What a browser sends that opens an address.
A_BROWSERS = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Encoding": "gzip, deflate, br"}
FAR = "Fri, 01 Jan 2100 00:00:00 GMT"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def environment(home: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPIKEFRONT_", "STREAMLIT_"))}
    return {**kept, "SPIKEFRONT_HOME": str(home), "SPIKEFRONT_DASHBOARD_PORT": str(port), "SPIKEFRONT_API_PORT": "9"}


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    """(base address, home, log file) of a dashboard whose API is away; the current folder holds a hostile config."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("elsewhere")
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "config.toml").write_text("[server]\nenableCORS = false\nenableAgentApi = true\n")
    port = free_port()
    output = folder / "log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "frontend"], cwd=folder, env=environment(home, port), stdout=log, stderr=log
        )
        try:
            end = time.monotonic() + 60
            while True:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/_stcore/health").text == "ok":
                        break
                except httpx.HTTPError:
                    pass
                assert process.poll() is None and time.monotonic() < end, output.read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", home, output
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) in (0, -signal.SIGTERM)


@contextmanager
def opened(dashboard) -> Iterator[httpx.Client]:
    base, home, _ = dashboard
    with httpx.Client(base_url=base) as client:
        key = (home / "token").read_text().strip()
        answer = client.get("/", params={"key": key})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        yield client


def test_every_path_is_shut_without_the_key(dashboard):
    base, _, _ = dashboard
    for path in (
        "/",
        "/run",
        "/_stcore/host-config",
        "/_stcore/metrics",
        "/static/x.js",
        "/media/x",
        "/_stcore/agent/openapi.json",
    ):
        assert httpx.get(base + path).status_code == 401, path


def test_the_key_opens_the_page_and_its_scripts(dashboard):
    with opened(dashboard) as client:
        page = client.get("/", headers=A_BROWSERS)
        assert page.status_code == 200 and "<title>Spikefront</title>" in page.text
        script = page.text.split('src="./')[1].split('"')[0]
        assert client.get(f"/{script}").status_code == 200
        policy = page.headers["content-security-policy"]
        assert "connect-src 'self'" in policy and "https:" not in policy


@pytest.mark.parametrize("path", ["/", "/runs", "/no-such-page"])
def test_style_and_scripts_come_with_the_page_itself(dashboard, path):
    """Not as elements of it: those can be late, or missing, and the first address is written before them."""
    with opened(dashboard) as client:
        page = client.get(path, headers={**A_BROWSERS, "If-None-Match": "*", "If-Modified-Since": FAR})
    assert page.status_code == 200 and "etag" not in page.headers and "last-modified" not in page.headers
    head, body = page.text.split("</head>")
    assert "spikefrontBack" in head and "spikefrontFigures" in head
    assert body.index('<div id="root">') < body.index(".stMainBlockContainer{") < body.index("</body>")
    assert int(page.headers["content-length"]) == len(page.content)


def test_files_of_the_page_are_sent_as_they_are(dashboard):
    with opened(dashboard) as client:
        page = client.get("/", headers=A_BROWSERS).text
        script = client.get("/" + page.split('src="./')[1].split('"')[0], headers={"Accept": "*/*"})
    assert "immutable" in script.headers["cache-control"] and b"spikefrontBack" not in script.content


def test_the_websocket_opens_with_the_cookie_from_our_own_page_and_else_not(dashboard):
    base, _, _ = dashboard
    url = base.replace("http", "ws") + "/_stcore/stream"
    with opened(dashboard) as client:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    with connect(url, origin=base, additional_headers={"Cookie": cookie}, subprotocols=["streamlit"]) as websocket:
        assert websocket.protocol.state.name == "OPEN"
    for origin, headers in ((base, {}), ("http://evil.example", {"Cookie": cookie}), (base, {"Cookie": cookie + "x"})):
        with pytest.raises(InvalidStatus) as caught:
            connect(url, origin=origin, additional_headers=headers)
        assert caught.value.response.status_code == 403


def test_an_answer_on_a_kept_connection_is_not_held_back(dashboard):
    assert quickest_answer_s(f"{dashboard[0]}/_stcore/health") < DELAYED_S


def test_options_of_the_current_folder_do_not_count(dashboard):
    with opened(dashboard) as client:
        answer = client.get("/_stcore/agent/openapi.json")
        assert answer.status_code != 200 or '"enabled":true' not in answer.text.replace(" ", "")
        assert (
            "access-control-allow-origin"
            not in client.get("/_stcore/host-config", headers={"Origin": "http://x.example"}).headers
        )


def test_a_line_of_the_log_says_who_and_what_was_refused(dashboard):
    base, _, output = dashboard
    httpx.get(base, headers={"Host": "evil.example"})
    httpx.get(base, params={"key": "wrong"})
    with pytest.raises(InvalidStatus):
        connect(base.replace("http", "ws") + "/_stcore/stream", origin="http://evil.example")
    lines = output.read_text().splitlines()
    for said in (
        "guard.wrong_host host=evil.example",
        "guard.wrong_key client=127.0.0.1",
        "guard.websocket_refused origin=http://evil.example",
    ):
        line = [line for line in lines if said in line][-1]
        assert line.split(" ")[0].endswith("Z") and line.split(" ")[1] == "WARNING"
    assert any(f"dashboard.serving url={base}" in line for line in lines)


def test_it_listens_on_loopback_alone_and_its_log_holds_no_key(dashboard):
    base, home, output = dashboard
    port = int(base.rsplit(":", 1)[1])
    listening = [
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
    ]
    assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
    assert (home / "token").read_text().strip() not in output.read_text()
    assert "Traceback" not in output.read_text()


def test_a_connection_that_never_asks_is_ended(dashboard):
    port = int(dashboard[0].rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert connection.recv(1) == b""


def test_a_taken_port_is_a_sentence(dashboard, tmp_path):
    port = int(dashboard[0].rsplit(":", 1)[1])
    ended = subprocess.run(
        [sys.executable, "-m", "frontend"],
        env=environment(tmp_path, port),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("Choose another: SPIKEFRONT_DASHBOARD_PORT=<port>.")
    assert "Traceback" not in ended.stderr


def test_no_folder_of_pages_lies_beside_the_script():
    """Streamlit would take it for its own, and answer a first visit to any page's address with "Page not found"."""
    assert SCRIPT.is_file() and not (SCRIPT.parent / "pages").exists()
