"""What the launcher does with services that will not stay up: small programs stand in for the real ones."""

from __future__ import annotations

import io
import sys
import threading
import time
from pathlib import Path

import pytest
import redis
from rich.console import Console

from core.errors import ServiceFailed
from core.home.lock import HomeLock
from core.home.notes import read_notes, write_notes
from core.host import processes
from core.host.processes import Child, Service
from core.launcher import broker, supervise
from core.launcher.checks import _running
from core.launcher.screen import Screen
from core.launcher.supervise import MANY_QUICK_CRASHES, Launcher
from core.settings import Settings, prepare_home

LIVES = "import time; time.sleep(600)"
ENDS = "raise SystemExit(3)"


class Site:
    """A launcher over programs of ours, run in a thread; its words in `said`."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> None:
        self.settings = Settings(home=home)
        prepare_home(self.settings)
        self.out = io.StringIO()
        self.launcher = Launcher(self.settings, screen=Screen(Console(file=self.out, width=300)), demo=False)
        for name, program in programs.items():
            service = Service(name=name, argv=[sys.executable, "-S", "-c", program], log=home / f"{name}.log")
            self.launcher._add(service, lambda _: None)
        monkeypatch.setattr(supervise, "LONGEST_PAUSE_S", 0.02)
        monkeypatch.setattr(supervise, "WATCH_INTERVAL_S", 0.01)
        self.lock = HomeLock(self.settings)
        self.lock.acquire(address="http://127.0.0.1:1/")
        for name in programs:
            self.launcher._start(name)
        self.thread = threading.Thread(target=self.launcher._watch, daemon=True)

    @property
    def said(self) -> str:
        return self.out.getvalue()

    def wait(self, true) -> None:
        until = time.monotonic() + 30
        while not true():
            assert self.thread.is_alive(), self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.01)

    def close(self) -> None:
        self.launcher._stop.set()
        self.thread.join(10)
        self.launcher._stop_all()
        self.lock.release()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[Site] = []

    def make(**programs: str) -> Site:
        made.append(Site(tmp_path, monkeypatch, **programs))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("name", ["worker", "dashboard", "broker"])
def test_a_service_that_keeps_ending_leaves_the_others_up_and_is_told_of(site, name) -> None:
    here = site(API=LIVES, **{name: ENDS})
    api = here.launcher._records["API"].child.pid
    here.thread.start()
    here.wait(lambda: here.launcher._records[name].quick_crashes > 2 * MANY_QUICK_CRASHES)
    assert here.launcher._records["API"].child.exit_status is None
    assert here.launcher._records["API"].child.pid == api
    (sentence,) = read_notes(here.settings).values()
    assert f"The {name} keeps ending" in sentence and "exit code 3" in sentence and f"{name}.log" in sentence
    assert str(here.settings.home) not in sentence
    assert [check.found for check in _running(here.settings) if check.name == name] == [sentence]


def test_a_service_that_stays_up_again_is_told_of_no_more(site, tmp_path, monkeypatch) -> None:
    marker = tmp_path / "mended"
    program = f"import os, time\nif not os.path.exists({str(marker)!r}): raise SystemExit(3)\ntime.sleep(600)"
    here = site(worker=program)
    here.thread.start()
    here.wait(lambda: read_notes(here.settings))
    monkeypatch.setattr(supervise, "QUICK_CRASH_S", 0.2)
    marker.touch()
    here.wait(lambda: not read_notes(here.settings))
    assert here.launcher._records["worker"].quick_crashes == 0


def test_a_machine_that_starts_no_process_is_waited_for(site, monkeypatch) -> None:
    here = site(worker=ENDS)

    def refuse(_: Service) -> Child:
        raise OSError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(supervise, "Child", refuse)
        here.thread.start()
        here.wait(lambda: here.launcher._records["worker"].quick_crashes > MANY_QUICK_CRASHES)
        assert "Resource temporarily unavailable" in read_notes(here.settings)["worker"]
    before = here.said.count("exit code 3")
    here.wait(lambda: here.said.count("exit code 3") > before)


def test_notes_of_a_launcher_that_was_killed_are_not_believed(tmp_path) -> None:
    settings = Settings(home=tmp_path)
    write_notes(settings, {"worker": "It keeps ending."})
    assert read_notes(settings) == {}
    lock = HomeLock(settings)
    lock.acquire(address="http://127.0.0.1:1/")
    assert read_notes(settings) == {"worker": "It keeps ending."}
    for content in ("", "[]", "no json"):
        (tmp_path / "services.json").write_text(content)
        assert read_notes(settings) == {}
    write_notes(settings, {})
    assert not (tmp_path / "services.json").exists()
    lock.release()


def test_the_queue_of_the_own_broker_is_emptied_once_the_worker_keeps_ending(tmp_path, site) -> None:
    here = site(worker=ENDS)
    server = Child(broker.service(here.settings, log=tmp_path / "broker.log"))
    try:
        until = time.monotonic() + 10
        while not broker.answers(here.settings.broker_socket):
            assert time.monotonic() < until
        client = redis.Redis(unix_socket_path=str(here.settings.broker_socket))
        client.lpush("cpu", "poison")
        client.hset("unacked", "a", "b")
        here.launcher._records["broker"] = supervise._Record(server.service, lambda _: None, child=server)
        here.thread.start()
        here.wait(lambda: "The queue was emptied" in here.said)
        assert client.dbsize() == 0
        client.lpush("cpu", "again")
        crashes = here.launcher._records["worker"].quick_crashes
        here.wait(lambda: here.launcher._records["worker"].quick_crashes > crashes + 3)
        assert client.dbsize() == 1, "once is enough"
    finally:
        server.stop()


def test_a_worker_that_does_not_start_leaves_the_rest_usable(site, monkeypatch) -> None:
    here = site(API=LIVES, dashboard=LIVES, worker=ENDS)
    monkeypatch.setattr(supervise, "START_TIMEOUT_S", 5.0)
    here.launcher._records["worker"].waits = lambda _: "it has not reported itself."
    here.launcher._start_all()
    assert "The worker did not start" in here.said and "all else works" in here.said
    here.launcher._records["dashboard"].waits = here.launcher._records["worker"].waits
    here.launcher._records["dashboard"].service = here.launcher._records["worker"].service
    with pytest.raises(ServiceFailed):
        here.launcher._start_all()
    here.thread.start()


def test_a_log_is_cut_on_a_full_disk_too(tmp_path, monkeypatch) -> None:
    log = tmp_path / "worker.log"
    log.write_bytes(b"x" * 2000)
    monkeypatch.setattr(processes, "LOG_LIMIT_BYTES", 1000)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    processes.bound_running_log(log)
    assert log.stat().st_size == 0
    processes.bound_running_log(tmp_path / "none.log")
