"""The commands of docker-compose.yml with its environment, without containers: train a run, share it, open the share.

Addresses and folders are replaced, and nothing else. PostgreSQL is the machine's; the broker is started by the file's own command.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from composing import MAIN, ROOT, composed
from sqlalchemy import make_url
from stores import postgres_database

from core.errors import ServiceFailed
from core.launcher.broker import binary

WAIT_S = 300


@dataclass(frozen=True, kw_only=True)
class Lab:
    """What runs; `replaced` puts the addresses and folders of this machine into a text of the file."""

    services: dict[str, Any]
    replaced: Callable[[str], str]
    folder: Path
    api_ports: tuple[int, int]
    token: str

    def environment(self, name: str, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SPIKEFRONT_", "STREAMLIT_"))}
        told = {key: self.replaced(value) for key, value in self.services[name]["environment"].items()}
        return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **told, **more}

    def argv(self, command: list[str]) -> list[str]:
        program = {"python": [sys.executable], "spikefront": [sys.executable, "-m", "core.cli"]}
        return [*program[command[0]], *command[1:]]

    def start(self, name: str, *, log: str, **more: str) -> subprocess.Popen[bytes]:
        output = (self.folder / f"{log}.log").open("wb")
        argv = self.argv(self.services[name]["command"])
        return subprocess.Popen(argv, env=self.environment(name, **more), stdout=output, stderr=output)

    def wait_healthy(self, name: str, **more: str) -> None:
        """By the file's own check."""
        argv = self.argv(self.services[name]["healthcheck"]["test"][1:])
        end = time.monotonic() + WAIT_S
        while True:
            done = subprocess.run(argv, env=self.environment(name, **more), capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            logs = {log.name: log.read_text()[-2000:] for log in self.folder.glob("*.log")}
            assert time.monotonic() < end, (name, done.stderr, logs)
            time.sleep(0.3)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    try:
        server = binary()
    except ServiceFailed as error:
        pytest.skip(error.message)
    broker_port, first, second, dashboard = free_ports(4)
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "setup", tmp_path / "deploy")
    subprocess.run([tmp_path / "deploy" / "setup", "lab.example"], check=True, capture_output=True)
    variables = dict(line.split("=") for line in (tmp_path / ".env").read_text().split())
    with ExitStack() as stack:
        url = make_url(stack.enter_context(postgres_database()))
        if url.password:
            secret = tmp_path / "deploy" / "secrets" / "database_password"
            secret.chmod(0o600)
            secret.write_text(str(url.password))
        place = f"{url.username}@{url.host}:{url.port or 5432}/{url.database}"
        known = {
            "spikefront@db:5432/spikefront": place,
            "broker:6379": f"127.0.0.1:{broker_port}",
            "http://api:8000": f"http://127.0.0.1:{first}",
            "0.0.0.0": "127.0.0.1",
            "/run/secrets": str(tmp_path / "deploy" / "secrets"),
            "/var/lib/spikefront": str(tmp_path / "home"),
            "/artifacts": str(tmp_path / "artifacts"),
            "/data": str(tmp_path / "data"),
            "/tmp": str(tmp_path / "tmp"),
            "valkey-server": str(server),
        }
        pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(one)}(?![\w-])" for one in known))
        lab = Lab(
            services=composed(MAIN, variables)["services"],
            replaced=lambda text: pattern.sub(lambda found: known[found[0]], text),
            folder=tmp_path,
            api_ports=(first, second),
            token=(tmp_path / "deploy" / "secrets" / "token").read_text(),
        )
        for name in ("home", "artifacts", "data", "tmp", "broker"):
            (tmp_path / name).mkdir()
        shell, option, line = lab.services["broker"]["command"]
        line = f"{lab.replaced(line)} --port {broker_port} --bind 127.0.0.1 --dir {tmp_path / 'broker'}"
        _run(stack, subprocess.Popen([shell, option, line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        subprocess.run(
            lab.argv(lab.services["migrate"]["command"]), env=lab.environment("migrate"), check=True, timeout=WAIT_S
        )
        # the worker last, so that it ends first: it lets go of its runs
        for log, port in zip(("api-1", "api-2"), lab.api_ports, strict=True):
            _run(stack, lab.start("api", log=log, SPIKEFRONT_API_PORT=str(port)))
        _run(stack, lab.start("dashboard", log="dashboard", SPIKEFRONT_DASHBOARD_PORT=str(dashboard)))
        _run(stack, lab.start("worker", log="worker", SPIKEFRONT_RECOUNT="off"))
        for port in lab.api_ports:
            lab.wait_healthy("api", SPIKEFRONT_API_PORT=str(port))
        lab.wait_healthy("dashboard", SPIKEFRONT_DASHBOARD_PORT=str(dashboard))
        lab.wait_healthy("worker")
        yield lab


def _run(stack: ExitStack, process: subprocess.Popen) -> None:
    def end() -> None:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)

    stack.callback(end)


@pytest.mark.timeout(900)  # seven programs start, on whatever machine
def test_a_run_is_trained_and_its_share_opens_by_either_api(lab):
    first, second = (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Host": "lab.example"}, timeout=60, trust_env=False)
        for port in lab.api_ports
    )
    owner = {"Authorization": f"Bearer {lab.token}"}
    tiny = {"kind": "snn", "mask": ["F9"], "dataset": "digits", "recipe": "smoke",
            "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}  # fmt: skip
    run = first.post("/api/v1/runs", json=tiny, headers=owner).raise_for_status().json()["id"]
    end = time.monotonic() + WAIT_S
    while (state := second.get(f"/api/v1/runs/{run}", headers=owner).json()["state"]) != "succeeded":
        assert state in ("queued", "running") and time.monotonic() < end, (
            state,
            (lab.folder / "worker.log").read_text(),
        )
        time.sleep(0.3)
    url = second.post("/api/v1/shares", json={"run_id": run}, headers=owner).raise_for_status().json()["url"]
    assert url.startswith("https://lab.example/s/")
    assert first.get(url.removeprefix("https://lab.example")).status_code == 200
    assert first.get("/api/v1/runs", headers={"Host": "evil.example"}).status_code == 421

    written = [file.read_text() for file in (lab.folder / "deploy" / "secrets").iterdir()]
    secrets = [secret for secret in written if secret]  # without a sign-in provider the one of its client is empty
    assert len(secrets) >= len(written) - 1 >= 4
    for log in lab.folder.glob("*.log"):
        text = log.read_text()
        assert not any(secret in text for secret in secrets), log.name
        assert all(json.loads(line)["time"].endswith("Z") for line in text.splitlines()), log.name
