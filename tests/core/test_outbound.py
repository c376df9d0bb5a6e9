"""What a webhook may reach, and what it may not: real sockets, and names that resolve as a test says."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from core.host import outbound
from core.host.outbound import Refused, is_public, place_of, post


@pytest.fixture
def server():
    """Notes what it is sent; answers with the status that its path names, to /302 with a redirect to itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.seen.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(int(self.path.strip("/").partition("?")[0] or 200))
            self.send_header("Location", "/200")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    listening.seen = []
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield listening
    listening.shutdown()
    listening.server_close()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2001:4860:4860::8888", True), ("127.0.0.1", False), ("0.0.0.0", False), ("10.1.2.3", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False), ("fe80::1%eth0", False),
        ("fc00::1", False), ("fec0::1", False), ("ff02::1", False), ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True), ("2002:7f00:1::", False),
    ],
)  # fmt: skip
def test_only_addresses_of_the_whole_internet_are_public(address, public):
    assert is_public(address) is public


def test_json_arrives_with_its_query_and_the_status_comes_back(server):
    url = f"http://127.0.0.1:{server.server_port}/201?token=s"
    assert post(url, b'{"a": 1}', private=True) == 201
    path, headers, body = server.seen[0]
    assert (path, body, headers["Content-Type"]) == ("/201?token=s", {"a": 1}, "application/json")
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"


def test_a_redirect_is_not_followed(server):
    assert post(f"http://127.0.0.1:{server.server_port}/302", b"{}", private=True) == 302
    assert len(server.seen) == 1


def test_this_machine_is_refused_and_nothing_is_sent(server):
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(Refused, match="private network or of this machine"):
            post(f"http://{host}:{server.server_port}/200", b"{}")
    assert not server.seen


def test_one_private_address_among_public_ones_refuses_a_name(monkeypatch):
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(Refused, match=r"hooks.example is 10\.0\.0\.1"):
        post("http://hooks.example/x?secret=1", b"{}")


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_judged(server, monkeypatch):
    """The second answer of such a name would be this machine's metadata service."""
    asked = []

    def resolving(host, port, **_):
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if len(asked) == 1 else "169.254.169.254", port))
        ]

    connected = []
    monkeypatch.setattr(outbound.socket, "getaddrinfo", resolving)
    monkeypatch.setattr(
        outbound.socket, "create_connection",
        lambda place, *rest: connected.append(place) or _direct(place, *rest),
    )  # fmt: skip
    assert post(f"http://hooks.example:{server.server_port}/200", b"{}", private=True) == 200
    assert asked == ["hooks.example"] and connected == [("127.0.0.1", server.server_port)]
    assert server.seen[0][1]["Host"] == f"hooks.example:{server.server_port}"


def _direct(place, timeout):
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(timeout)
    made.connect(place)
    return made


def test_a_server_that_answers_letter_by_letter_is_left_after_a_while():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip():
            client, _ = listening.accept()
            with client:
                try:
                    for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500:
                        client.sendall(bytes([letter]))
                        time.sleep(0.02)
                except OSError:
                    pass

        threading.Thread(target=drip, daemon=True).start()
        begun = time.monotonic()
        with suppress(OSError, HTTPException):
            post(f"http://127.0.0.1:{listening.getsockname()[1]}/", b"{}", private=True, timeout_s=0.1)
        assert time.monotonic() - begun < 3


def test_a_log_is_told_neither_path_nor_query():
    assert place_of("https://chat.example:8443/hooks/T0/secret?token=1") == "https://chat.example:8443"
