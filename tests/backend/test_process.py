"""`python -m backend` as a process: quick to start, quiet about secrets, sound without its broker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis
from fastapi.testclient import TestClient
from forking import Fork, Parent, loaded
from keptalive import DELAYED_S, quickest_answer_s

from backend.store.queue import TASK, Queue
from core.errors import QueueDown
from core.settings import Settings

HEAVY = ("torch", "spikingjelly", "numba", "sklearn", "pandas", "streamlit", "plotly", "celery")


def test_importing_the_api_brings_in_nothing_heavy_and_serving_a_preview_and_the_catalog_no_torch(
    tmp_path: Path,
) -> None:
    code = f"""
import sys, warnings
warnings.simplefilter("ignore")
import backend.app
print([name for name in {HEAVY!r} if name in sys.modules])
from fastapi.testclient import TestClient
app = backend.app.create_app()
headers = {{"Authorization": "Bearer " + app.state.context.token}}
client = TestClient(app, base_url="http://127.0.0.1", headers=headers)
for method, path in (("POST", "preview"), ("GET", "catalog"), ("POST", "runs"), ("GET", "pareto?dataset=digits")):
    answer = client.request(method, "/api/v1/" + path, json={{}} if method == "POST" else None)
    assert answer.status_code in (200, 201), answer.text
assert client.get("/s/x").status_code == 404
print("torch" in sys.modules)
"""
    environment = {**os.environ, "SPIKEFRONT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, env=environment
    )
    assert done.stdout.split("\n") == ["[]", "False", ""]


#: `python -m backend`, in a fork that has it loaded. A whole installation's tests start the program itself.
PROGRAM = "import runpy; runpy.run_module('backend', run_name='__main__', alter_sys=True)"


@pytest.fixture(scope="module")
def api() -> Iterator[Parent]:
    """A process that has the API loaded."""
    with loaded("backend.app", "uvicorn") as one:
        yield one


@contextmanager
def backend(api: Parent, settings: Settings, port: int) -> Iterator[tuple[Fork, Path]]:
    """A real process, and the file that its stderr goes to."""
    log = settings.home / "stderr.log"
    environment = {**os.environ, "SPIKEFRONT_HOME": str(settings.home), "SPIKEFRONT_API_PORT": str(port)}
    environment["SPIKEFRONT_DATABASE_URL"] = settings.database_url
    with log.open("w") as stderr:
        process = api.start(code=PROGRAM, env=environment, stderr=stderr)
    try:
        yield process, log
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        process.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_live(base: str, process: Fork, log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{base}/api/v1/health/live").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def test_the_process_serves_logs_no_secret_and_stops_cleanly(api: Parent, settings: Settings) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with backend(api, settings, port) as (process, log):
        wait_live(base, process, log)
        token = settings.token_file.read_text().strip()
        owner = {"Authorization": f"Bearer {token}"}
        run = httpx.post(f"{base}/api/v1/runs", json={}, headers=owner).json()
        share_token = "S" * 43
        for path in (f"/s/{share_token}", f"/s/{share_token}/", f"/api/v1/shared/{share_token}", f"/{share_token}"):
            httpx.get(base + path)
        signature = "f" * 64
        httpx.get(f"{base}/api/v1/runs/{run['id']}/artifacts/counts.json?expires=1&signature={signature}")
        httpx.get(f"{base}/api/v1/runs?token={token}", headers=owner)
        follower = httpx.stream("GET", f"{base}/api/v1/runs/{run['id']}/events", headers=owner)
        with follower as answer:
            next(answer.iter_lines())
            process.send_signal(signal.SIGTERM)  # an open stream does not hold the stop up for long
            assert process.wait(timeout=20) == 0
        text = log.read_text()
    for secret in (token, share_token, signature):
        assert secret not in text
    lines = text.splitlines()
    assert all(line.split(" ")[1] in ("INFO", "WARNING", "ERROR") for line in lines), text
    assert any(f"run.created run_id={run['id']}" in line for line in lines)
    assert any("request method=GET route=/s/{token} status=404" in line for line in lines), text
    assert not any("Traceback" in line for line in lines)
    assert process.stdout is not None and settings.token_file.stat().st_mode & 0o777 == 0o600


def test_a_kept_connection_is_answered_at_once_and_a_half_open_one_is_ended(api: Parent, settings: Settings) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with backend(api, settings, port) as (process, log):
        wait_live(base, process, log)
        assert quickest_answer_s(f"{base}/api/v1/health/live") < DELAYED_S
        with socket.create_connection(("127.0.0.1", port), timeout=60) as half:  # and one that never asks is ended
            half.sendall(b"GET / HTTP/1.1\r\n")
            assert half.recv(1) == b""


def test_a_port_that_is_taken_is_one_line(api: Parent, settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        backend(api, settings, other.getsockname()[1]) as (process, log),
    ):
        assert process.wait(timeout=60) == 1
        (line,) = log.read_text().splitlines()
    assert "api.not_started code=port-taken" in line and "SPIKEFRONT_API_PORT" in line


@pytest.mark.sqlite
def test_a_broken_data_folder_is_one_line(api: Parent, settings: Settings) -> None:
    (settings.home / "spikefront.db").write_bytes(b"no database" * 1000)
    with backend(api, settings, free_port()) as (process, log):
        assert process.wait(timeout=60) == 1
        (line,) = log.read_text().splitlines()
    assert "code=home-unusable" in line and "Traceback" not in line


def test_a_bell_holds_the_task_name_alone_and_a_prefix_keeps_two_installations_apart(
    settings: Settings, broker: Callable[[], subprocess.Popen[bytes]]
) -> None:
    broker()
    Queue(settings).ring()
    server = redis.Redis(unix_socket_path=str(settings.broker_socket))
    (message,) = server.lrange("cpu", 0, -1)
    headers = json.loads(message)["headers"]
    assert headers["task"] == TASK and (headers["argsrepr"], headers["kwargsrepr"]) == ("()", "{}")
    Queue(settings.model_copy(update={"broker_prefix": "lab2:"})).ring("gpu", times=3)
    assert (server.llen("lab2:gpu"), server.llen("gpu"), server.llen("cpu")) == (3, 0, 1)


def test_the_queue_comes_and_goes_with_its_broker(
    settings: Settings, broker: Callable[[], subprocess.Popen[bytes]]
) -> None:
    queue = Queue(settings)
    for call in (queue.check, lambda: queue.ring()):
        started = time.monotonic()
        with pytest.raises(QueueDown):
            call()
        assert time.monotonic() - started < 5
    server = broker()
    queue.check()
    queue.ring()
    server.kill()
    server.wait()
    settings.broker_socket.unlink()
    with pytest.raises(QueueDown):
        queue.ring()
    broker()
    queue.ring()
    queue.check()


def test_readiness_follows_the_broker_and_a_new_run_rings(
    client: TestClient, settings: Settings, broker: Callable[[], subprocess.Popen[bytes]]
) -> None:
    down = client.get("/api/v1/health/ready")
    assert (down.status_code, down.json()["ok"], down.json()["database"]) == (503, False, "ok")
    assert "does not answer" in down.json()["broker"]
    broker()
    up = client.get("/api/v1/health/ready")
    assert (up.status_code, up.json()["ok"], up.json()["broker"]) == (200, True, "ok")
    client.post("/api/v1/runs", json={})
    assert redis.Redis(unix_socket_path=str(settings.broker_socket)).llen("cpu") == 1
