"""`spikefront doctor` as a process, and its single checks on folders made for them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from core.addresses import broker_url
from core.forecast import STORAGE_MARGIN
from core.home.lock import HomeLock, running
from core.host.machine import Gpu
from core.launcher import broker, checks
from core.settings import Settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SPIKEFRONT_")]:
        monkeypatch.delenv(name)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_sound_machine_passes_every_check_and_json_says_the_same(tmp_path):
    env = {
        **os.environ,
        "SPIKEFRONT_HOME": str(tmp_path / "new"),
        "SPIKEFRONT_API_PORT": str(free_port()),
        "SPIKEFRONT_DASHBOARD_PORT": str(free_port()),
    }
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", "doctor", "--json"],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert answer["ok"] is True, [check for check in answer["checks"] if check["status"] == "fail"]
    assert done.returncode == 0
    names = {check["name"] for check in answer["checks"]}
    assert {"python", "packages", "engine", "cpu", "gpu", "home", "disk", "token", "broker", "data digits"} <= names
    assert all(check["advice"] for check in answer["checks"] if check["status"] != "ok"), "each says what to do"
    assert not (tmp_path / "new").exists(), "a check changes nothing"


def only(found) -> checks.Check:
    (check,) = found
    return check


def test_a_full_disk_fails_and_says_that_no_run_starts(tmp_path, monkeypatch):
    usage = shutil.disk_usage("/")
    for free, status in ((STORAGE_MARGIN - 1, "fail"), (STORAGE_MARGIN + 1, "warn"), (1 << 40, "ok")):
        monkeypatch.setattr(checks.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        check = only(checks._disk(Settings(home=tmp_path)))
        assert (check.status, "no run starts" in check.found) == (status, status == "fail")
        assert ("Deleted" in check.advice) == (status == "fail")


def test_a_running_spikefront_is_asked_whether_it_trains(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path)
    assert list(checks._running(settings)) == [], "there is none to ask"
    lock = HomeLock(settings)
    lock.acquire(address="http://127.0.0.1:1/?key=secret")
    assert "does not tell" in only(checks._running(settings)).found
    for said, status in (("ok", "ok"), ("The disk that holds the runs is full.", "fail")):
        answer = httpx.Response(200, json={"training": said})
        monkeypatch.setattr(checks.health.httpx, "get", lambda *_, answer=answer, **__: answer)
        check = only(checks._running(settings))
        assert check.status == status
        assert said == "ok" or (check.found == said and check.advice)
    lock.release()


def test_a_token_that_others_can_read_fails(tmp_path):
    settings = Settings(home=tmp_path)
    settings.token_file.write_text("secret-token\n")
    settings.token_file.chmod(0o644)
    check = only(checks._token(settings))
    assert check.status == "fail"
    assert "chmod 600" in check.advice
    assert "secret-token" not in check.found


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"\xff\xfe"])
def test_a_token_file_that_holds_no_token_fails(tmp_path, content):
    settings = Settings(home=tmp_path)
    settings.token_file.touch(mode=0o600)
    settings.token_file.write_bytes(content)
    check = only(checks._token(settings))
    assert check.status == "fail" and "Delete it" in check.advice


def test_a_taken_port_fails_unless_this_spikefront_has_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = Settings(home=tmp_path, api_port=server.getsockname()[1], dashboard_port=free_port())
        api, dashboard = checks._ports(settings)
        assert (api.status, dashboard.status) == ("fail", "ok")
        assert "SPIKEFRONT_API_PORT" in api.advice
        lock = HomeLock(settings)
        lock.acquire(address="http://127.0.0.1:1/?key=secret")
        api, _ = checks._ports(settings)
        assert api.status == "ok"
        assert "secret" not in api.found
        lock.release()


def test_a_port_of_another_spikefront_is_not_ours_because_one_runs_on_this_folder(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as here, socket.create_server(("127.0.0.1", 0)) as there:
        mine, other = here.getsockname()[1], there.getsockname()[1]
        lock = HomeLock(Settings(home=tmp_path, api_port=mine, dashboard_port=free_port()))
        lock.acquire(address=f"http://127.0.0.1:{mine}/?key=secret")
        for api_port, status in ((mine, "ok"), (other, "fail")):
            api, _ = checks._ports(Settings(home=tmp_path, api_port=api_port, dashboard_port=free_port()))
            assert api.status == status, api.found
        assert "SPIKEFRONT_API_PORT" in api.advice
        lock.release()


@pytest.mark.parametrize(
    ("host", "port", "ours"),
    [
        ("127.0.0.1", 8000, True),
        ("127.0.0.1", 8501, True),
        ("127.0.0.1", 9000, False),
        ("192.168.1.2", 8000, False),  # the same port of another address
        ("0.0.0.0", 8000, True),  # all addresses: also the one that it has
        ("::", 8000, True),
    ],
)
def test_a_port_is_ours_where_number_and_address_are(tmp_path, host, port, ours):
    settings = Settings(home=tmp_path)
    lock = HomeLock(settings)
    lock.acquire(address="http://127.0.0.1:8501/?key=secret")
    assert running(settings).has(host, port) is ours
    lock.release()
    assert running(settings) is None


def test_a_home_below_a_file_fails(tmp_path):
    (tmp_path / "file").write_text("")
    check = only(checks._home(Settings(home=tmp_path / "file" / "home")))
    assert check.status == "fail"
    assert "SPIKEFRONT_HOME" in check.advice


def test_a_broker_elsewhere_that_does_not_answer_fails_without_its_password(monkeypatch):
    monkeypatch.setenv("SPIKEFRONT_BROKER_URL", f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    check = only(checks._broker(Settings()))
    assert check.status == "fail"
    assert "hunter2" not in check.found


def test_a_missing_or_wrong_package_is_named(monkeypatch):
    monkeypatch.setattr(
        checks, "requires", lambda _: ["torch==0.1", "no-such-package-here>=1", 'left-out; extra == "test"']
    )
    check = only(checks._packages(Settings()))
    assert check.status == "fail"
    assert "torch is" in check.found
    assert "no-such-package-here is missing" in check.found
    assert "left-out" not in check.found


def test_a_gpu_that_torch_cannot_use_is_a_warning(monkeypatch):
    monkeypatch.setattr(checks, "gpus", lambda: [Gpu(index="0", name="Some GPU", memory_mib=8192, driver="1.0")])
    monkeypatch.setattr(
        checks.subprocess,
        "run",
        lambda *_, **__: subprocess.CompletedProcess([], 0, stdout="2.13.0+cpu False\n", stderr=""),
    )
    assert only(checks._engine(Settings())).status == "warn"
    assert "8 GiB" in only(checks._gpu(Settings())).found


@pytest.mark.parametrize("folder", ["x" * 120, "with space", "what?"])
def test_a_folder_whose_name_fits_no_socket_gets_a_private_one_elsewhere(tmp_path, monkeypatch, folder):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    settings = Settings(home=tmp_path / folder)
    path = broker.socket_path(settings)
    assert path.parent.parent == tmp_path
    assert path == broker.socket_path(settings), "the same at every start"
    broker.service(settings, log=tmp_path / "log")
    assert path.parent.stat().st_mode & 0o077 == 0
    path.parent.chmod(0o755)
    with pytest.raises(Exception, match="open to others"):
        broker.service(settings, log=tmp_path / "log")


def test_a_short_plain_folder_holds_its_own_socket():
    settings = Settings(home=Path("/srv/spikefront"))
    assert broker.socket_path(settings) == settings.broker_socket
    assert broker_url(settings.broker_socket) == settings.broker_url
