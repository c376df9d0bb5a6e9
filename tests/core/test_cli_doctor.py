"""`spikefront doctor` as a process, and its single checks on folders made for them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from commands import module_called

from backend.store.db import upgrade
from core.addresses import broker_url, sqlite_url
from core.forecast import STORAGE_MARGIN
from core.home.lock import HomeLock, running
from core.host.machine import Gpu
from core.launcher import broker, checks, database_checks
from core.launcher.database_checks import of_facts
from core.schemas.workers import Offer, OfferedDataset, QueuedRun, WaitingRuns, WorkerInfo, Workers
from core.settings import Settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SPIKEFRONT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def asked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What doctor asks of a process of its own is done in this one; the sound machine's test starts them all."""
    monkeypatch.setattr(checks.subprocess, "run", module_called)
    assert database_checks.subprocess is checks.subprocess


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


@pytest.mark.usefixtures("asked_here")
@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql+psycopg://user:hidden@127.0.0.1:1/lab", "The database cannot be used: it does not answer."),
        (
            "postgresql+asyncpg://user:hidden@127.0.0.1:1/lab",
            "SPIKEFRONT_DATABASE_URL is 'postgresql+asyncpg'; it must be",
        ),
        ("no address hidden", "SPIKEFRONT_DATABASE_URL is '(no address)'; it must be"),
    ],
)
def test_a_database_that_cannot_be_used_is_a_line_without_its_password(tmp_path, url, found):
    check = only(checks._database(Settings(home=tmp_path, database_url_override=url)))
    assert check.status == "fail" and check.found.startswith(found)
    assert "hidden" not in check.found + check.advice and check.advice


@pytest.mark.usefixtures("asked_here")
def test_a_database_that_answers_is_a_line_too(tmp_path):
    file = tmp_path / "spikefront.db"
    assert "first start makes" in only(checks._database(Settings(home=tmp_path))).found
    file.write_bytes(b"x" * 200_000)
    damaged = only(checks._database(Settings(home=tmp_path)))
    assert (damaged.status, damaged.found) == ("fail", "The database cannot be used: its file is not a database.")
    assert damaged.advice.startswith("Stop Spikefront and restore a backup")
    file.unlink()
    settings = Settings(home=tmp_path)
    upgrade(settings)
    size_mb = file.stat().st_size / 1e6
    well = only(checks._database(settings))
    assert (well.status, well.found) == ("ok", f"spikefront.db, {size_mb:.1f} MB")
    asked = only(checks._database(Settings(home=tmp_path / "x", database_url_override=sqlite_url(file))))
    assert asked.status == "ok" and asked.found.endswith(", 0 runs")
    empty = only(checks._database(Settings(home=tmp_path, database_url_override=sqlite_url(tmp_path / "other.db"))))
    assert empty.status == "warn" and "spikefront db upgrade" in empty.found


FACTS = {
    "clock_s": None, "connections": None, "ahead_s": 0.0, "store": None, "store_down": None,
    "n_waiting": 0, "n_workers": 0, "n_without_bundle": 0, "without_bundle": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "name", "status", "found"),
    [
        ({"clock_s": 0.01}, "clock", "ok", "within 0.010 s of the database's"),
        ({"clock_s": -40.0}, "clock", "warn", "the database's is 40.0 s behind this machine's"),
        ({"clock_s": 3.5}, "clock", "warn", "the database's is 3.5 s ahead of this machine's"),
        (
            {"connections": {"allowed": 97, "needed": 212}},
            "connections",
            "warn",
            "the server allows 97 connections; one API and the workers that live may want 212",
        ),
        ({"ahead_s": 90.0}, "clock", "warn", "a worker gave its last sign of life 90 s from now"),
        ({"n_without_bundle": 1, "without_bundle": ["ab"]}, "bundles", "fail", "1 finished run has no bundle here: ab"),
        ({"store": "s3://lab/runs"}, "store", "ok", "s3://lab/runs"),
        ({"store": "s3://lab/runs", "store_down": "It is away."}, "store", "fail", "It is away."),
        ({"n_waiting": 2}, "queue", "warn", "2 runs wait, and no worker gave a sign of life in the last 30 s"),
    ],
)
def test_what_only_the_database_knows_is_a_line_with_what_to_do(facts, name, status, found):
    check = only(of_facts({**FACTS, **facts}))
    assert (check.name, check.status) == (name, status)
    assert check.found.startswith(found)
    assert bool(check.advice) == (status != "ok")


def test_a_database_that_is_well_adds_no_line():
    assert list(of_facts(FACTS)) == []
    assert list(of_facts({**FACTS, "n_waiting": 1, "n_workers": 1})) == []
    assert list(of_facts({**FACTS, "connections": {"allowed": 97, "needed": 97}})) == []


def test_the_folder_of_the_bundles_is_a_line_where_it_is_elsewhere(tmp_path):
    assert list(checks._store(Settings(home=tmp_path))) == []
    there = Settings(home=tmp_path, artifacts_url_override=str(tmp_path))
    assert only(checks._store(there)).status == "ok"
    away = only(checks._store(Settings(home=tmp_path, artifacts_url_override=str(tmp_path / "nfs"))))
    assert (away.status, away.advice[:14]) == ("warn", "Is it mounted?")
    (tmp_path / "file").write_text("")
    taken = Settings(home=tmp_path, artifacts_url_override=str(tmp_path / "file" / "runs"))
    assert only(checks._store(taken)).status == "fail"


def test_an_embedded_broker_that_does_not_answer_is_said_while_spikefront_runs(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path)
    assert only(checks._broker(settings)).status == "ok"
    monkeypatch.setattr(checks, "running", lambda _: object())
    down = only(checks._broker(settings))
    assert down.status == "fail" and down.found.endswith("it does not answer on its socket.") and down.advice


def test_that_no_worker_lives_is_a_line(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("x")
    queue = WaitingRuns(queue="cpu", slots=0, total=0, ends_in_s=None, items=[])
    monkeypatch.setattr(checks.workers, "ask", lambda _: (Workers(items=[]), queue))
    assert only(checks._workers(Settings(home=tmp_path))).status == "warn"


def test_a_token_of_a_setting_is_a_line(tmp_path):
    assert only(checks._token(Settings(home=tmp_path, token="given"))).found == "given by a setting"


def test_workers_are_told_with_what_they_can_do_and_runs_that_none_can_do_with_the_reason(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("x")
    offer = Offer(device="cpu", threads=2, memory_bytes=8 << 30, datasets=[OfferedDataset(name="digits")])
    seen = datetime(2030, 1, 1, tzinfo=UTC)
    worker = WorkerInfo(name="lab", queue="cpu", slots=2, busy=0, seen_at=seen, runs=[], offer=offer)
    why = "No worker has the data set 'pets'."
    waits = [
        QueuedRun(
            position=n, id=str(n), label="x", created_at=seen, waiting_s=1, run_s=1, starts_in_s=None, waits=reason
        )
        for n, reason in enumerate((why, why, None), start=1)
    ]
    queue = WaitingRuns(queue="cpu", slots=2, total=3, ends_in_s=None, items=waits)
    monkeypatch.setattr(checks.workers, "ask", lambda _: (Workers(items=[worker]), queue))
    found = list(checks._workers(Settings(home=tmp_path)))
    assert [(check.name, check.status, check.found) for check in found] == [
        ("worker", "ok", "lab: 0 of 2 slots busy · CPU, 2 threads a run, 8.0 GiB of memory · data sets digits"),
        ("queue", "warn", f"2 runs wait: {why}"),
    ]
    monkeypatch.setattr(checks.workers, "ask", lambda _: None)
    assert list(checks._workers(Settings(home=tmp_path))) == [], "without an API there is nothing to tell"


@pytest.mark.usefixtures("asked_here")
def test_the_sign_in_provider_is_a_line_where_there_is_one(tmp_path):
    assert list(checks._provider(Settings(home=tmp_path))) == []
    told = {"oidc_issuer": "http://127.0.0.1:9", "oidc_client_id": "spikefront"}
    check = only(checks._provider(Settings(home=tmp_path, **told)))
    assert (check.name, check.status) == ("sign-in", "fail") and check.advice
    assert "does not answer" in check.found
