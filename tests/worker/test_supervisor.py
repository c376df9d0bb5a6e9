"""Ends that a real trainer cannot be made to have: a script stands in for it; the database is real."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest
from parsing import watched

from backend.context import build_context
from backend.runs.service import RunService
from backend.store.db import migrate
from backend.store.models import RunRow
from core.host.child_env import child_env
from core.schemas.request import RunRequest
from core.schemas.results import RunError
from core.schemas.run import RunConfig, RunState
from core.settings import Settings
from worker import start
from worker.ending import Ending, failed
from worker.options import Options
from worker.room import FIRST_PAUSE_S, Room
from worker.standby import Standby
from worker.supervisor import Supervisor
from worker.trainer_process import Trainer

READY = "import sys, json, os, time, signal; print(json.dumps({'type': 'ready'}), flush=True); sys.stdin.readline()\n"
STARTED = (
    "print(json.dumps({'type': 'started', 'device': 'cpu', 'n_train': 1, 'n_validation': 1, 'n_test': 1, "
    "'steps_per_epoch': 1, 'max_epochs': 1}), flush=True)\n"
)


class Bench:
    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in os.environ if name.startswith("SPIKEFRONT_")]:
            monkeypatch.delenv(name)
        settings = Settings(home=home)
        migrate(settings)
        self.settings = settings
        self.context = build_context(settings)
        self.context.queue.ring = lambda *_, **__: None  # there is no broker here, and none is needed
        self.stopping = threading.Event()
        self.scripts: list[str] = []
        self.room: Room | None = None
        self.started = 0

    def run(self, *scripts: str, lease_s: float = 30.0, grace_s: float = 1.0) -> threading.Thread:
        """Queue a run and supervise it in a thread, each attempt with the next script."""
        self.queue()
        return self.supervise(*scripts, lease_s=lease_s, grace_s=grace_s)

    def queue(self) -> None:
        self.run_id = RunService(self.context).create(RunRequest(), key=None)[0].id

    def keep_room(self, room: Room) -> None:
        """What the worker has learned of its disk outlives this run."""
        self.room = room

    def row(self) -> RunRow:
        with self.context.database.read() as session:
            return session.get_one(RunRow, self.run_id)

    def forgive(self) -> None:
        """As if the pause of a run that was given back had passed."""
        with self.context.database.write() as session:
            session.get_one(RunRow, self.run_id).not_before = None

    def supervise(self, *scripts: str, lease_s: float = 30.0, grace_s: float = 1.0) -> threading.Thread:
        self.scripts = list(scripts)
        self.supervisor = Supervisor(
            self.context.lifecycle,
            name="bench",
            options=Options(queue="cpu", threads=1, devices=(None,), lease_s=lease_s),
            standby=Standby(lambda device: self._start(device), devices=()),
            data=self.settings.data,
            stopping=self.stopping,
            grace_s=grace_s,
        )
        if self.room is not None:
            self.supervisor.room = self.room
        thread = threading.Thread(target=self.supervisor.run_next, daemon=True)
        thread.start()
        return thread

    def _start(self, device: str | None) -> Trainer:
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        argv = [sys.executable, "-S", "-c", script]
        self.started += 1
        return Trainer(env=child_env(threads=1, device=device), argv=argv)

    def shown(self):
        return RunService(self.context).show(self.run_id)

    def wait_progress(self) -> None:
        deadline = time.monotonic() + 20
        while self.shown().progress.phase != "training":
            assert time.monotonic() < deadline, "the trainer did not start"
            time.sleep(0.02)


def wait_for(true) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bench = Bench(tmp_path, monkeypatch)
    yield bench
    bench.context.database.close()


def test_a_crash_shows_its_last_words_without_folders_and_secrets(bench):
    words = "boom in /home/ada/secret-project/net.py\\nredis://ada:hunter2@host/0 Authorization: Bearer abcdef123456"
    bench.run(READY + STARTED + f"print('{words}', file=sys.stderr, flush=True); os.abort()").join(20)
    error = bench.shown().error
    assert error.code == "trainer-died"
    assert error.fields["signal"] == "SIGABRT"
    assert any("net.py" in line for line in error.fields["last_lines"])
    for secret in ("/home/ada", "secret-project", "hunter2", "abcdef123456"):
        assert secret not in error.model_dump_json()


def test_a_trainer_that_hangs_before_it_has_started_is_lost(bench, monkeypatch):
    monkeypatch.setattr(start, "STILL_S", 1.0)
    bench.run("import time; time.sleep(600)").join(60)
    row = bench.row()
    assert (row.state, row.losses, row.error["code"]) == ("lost", 1, "trainer-silent")


def test_a_trainer_that_cannot_start_says_why(bench):
    bench.run("import nothing_of_this_name").join(20)
    error = bench.shown().error
    assert error.code == "trainer-died"
    assert "before it could start" in error.message
    assert "nothing_of_this_name" in error.message


def test_lines_that_are_no_events_do_not_end_a_run(bench):
    noise = "print('hello'); print('{\"type\": \"progress\"}'); print('[1, 2]', flush=True)\n"
    failed = "print(json.dumps({'type': 'failed', 'code': 'out-of-memory', 'message': 'No.'}), flush=True); sys.exit(1)"
    bench.run(READY + noise + STARTED + noise + failed).join(20)
    assert bench.shown().error.code == "out-of-memory"


def test_cancel_ends_a_trainer_that_ignores_sigterm_and_what_it_started(bench, tmp_path):
    pids = tmp_path / "pids"
    stubborn = (
        READY
        + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild = os.fork()\n"
        + f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}} ')\n"
        + "if child:\n    "
        + STARTED
        + "time.sleep(60)"
    )
    thread = bench.run(stubborn)
    bench.wait_progress()
    bench.context.lifecycle.cancel(bench.run_id)
    time.sleep(0.9)
    assert bench.shown().state is RunState.CANCELLING, "its process lives, so it is not cancelled yet"
    thread.join(20)
    assert bench.shown().state is RunState.CANCELLED
    for pid in map(int, pids.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_late_owner_kills_its_trainer_and_leaves_the_run_alone(bench):
    thread = bench.run(READY + STARTED + "time.sleep(60)", lease_s=-1.0)  # a lease that is over when it is given
    bench.wait_progress()
    lifecycle = bench.context.lifecycle
    deadline = time.monotonic() + 10
    while not lifecycle.reap().requeued:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    other = lifecycle.claim(bench.run_id, worker="other", lease_s=60)
    thread.join(10)
    assert not thread.is_alive()
    run = bench.shown()
    assert (run.state, run.attempt, run.worker) == (RunState.RUNNING, other.attempt, "other")


def test_a_stopping_worker_releases_and_a_foreign_sigterm_does_too(bench):
    polite = READY + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n" + STARTED + "time.sleep(60)"
    thread = bench.run(polite)
    bench.wait_progress()
    bench.stopping.set()
    thread.join(10)
    assert bench.shown().state is RunState.QUEUED
    bench.stopping.clear()
    bench.run(READY + STARTED + "sys.exit(75)").join(20)
    assert bench.shown().state is RunState.QUEUED


def said_failed(code: str) -> str:
    """A trainer that fails with this code."""
    event = f"{{'type': 'failed', 'code': {code!r}, 'message': 'No.'}}"
    return READY + f"print(json.dumps({event}), flush=True); sys.exit(1)"


def test_a_folder_that_a_dying_trainer_still_holds_is_waited_for(bench, monkeypatch):
    monkeypatch.setattr("worker.supervisor.BUSY_PAUSE_S", 0.3)
    busy = said_failed("bundle-busy")
    bench.run(busy, busy, said_failed("non-finite-loss")).join(30)
    assert bench.shown().error.code == "non-finite-loss"
    assert bench.shown().attempt == 1


@pytest.mark.parametrize("said_by", ["lock", "trainer"])
def test_a_folder_that_stays_busy_fails_no_run_and_is_left_for_a_while(bench, monkeypatch, said_by):
    monkeypatch.setattr("worker.supervisor.BUSY_PAUSE_S", 0.3)
    monkeypatch.setattr("worker.supervisor.BUSY_LIMIT_S", 1.0)
    bench.queue()
    folder = bench.context.artifacts.folder(bench.run_id)
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / ".lock") if said_by == "lock" else contextlib.nullcontext():
        bench.supervise(said_failed("bundle-busy")).join(20)
    run = bench.shown()
    assert (run.state, run.error, bench.row().losses) == (RunState.QUEUED, None, 0)
    assert bench.context.lifecycle.next_run() is None, "it is not tried again at once"
    bench.forgive()
    if said_by == "lock":
        assert bench.started == 0, "no trainer was started to find that out"
        bench.supervise(said_failed("non-finite-loss")).join(20)
        assert bench.shown().error.code == "non-finite-loss"


def test_a_run_in_a_busy_folder_can_be_cancelled(bench, monkeypatch):
    monkeypatch.setattr("worker.supervisor.BUSY_PAUSE_S", 0.3)
    bench.queue()
    folder = bench.context.artifacts.folder(bench.run_id)
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / ".lock"):
        thread = bench.supervise(said_failed("bundle-busy"))
        wait_for(lambda: bench.shown().state is RunState.RUNNING)
        bench.context.lifecycle.cancel(bench.run_id)
        thread.join(10)
    assert bench.shown().state is RunState.CANCELLED


def test_a_disk_that_filled_up_gives_the_run_back_and_pauses_longer_each_time(bench):
    for pause_s in (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S):
        bench.run(said_failed("storage-full")).join(20)
        run = bench.shown()
        assert (run.state, run.error, bench.row().losses) == (RunState.QUEUED, None, 0)
        room = bench.supervisor.room
        assert room.paused == "No." and room._pause_s == pause_s
        room._until = 0.0  # as if it had passed
        bench.keep_room(room)
    bench.run(said_failed("non-finite-loss")).join(20)
    assert bench.supervisor.room._pause_s == 0.0


@pytest.mark.parametrize("code", ["home-unusable", "run-folder-gone"])
def test_a_fault_of_one_runs_folder_fails_that_run_and_a_fault_of_the_place_fails_none(bench, monkeypatch, code):
    bench.run(said_failed(code)).join(20)
    assert bench.shown().error.code == code
    monkeypatch.setattr("worker.room.Room.lack", lambda *_: None)
    thread = bench.run(READY + "time.sleep(0.5)\n" + said_failed(code).removeprefix(READY))
    wait_for(lambda: bench.shown().state is RunState.RUNNING)
    monkeypatch.setattr("worker.room.Room.lack", lambda *_: "The folder of the runs cannot be written: No.")
    thread.join(20)
    assert bench.shown().state is RunState.QUEUED
    assert bench.supervisor.room.paused == "The folder of the runs cannot be written: No."


def test_a_machine_that_starts_no_process_fails_no_run(bench, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(bench, "_start", refuse)
    bench.run("").join(20)
    assert bench.shown().state is RunState.QUEUED
    assert bench.supervisor.room.paused == "A trainer could not be started: Resource temporarily unavailable."


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGQUIT])
def test_a_trainer_that_is_ended_from_outside_costs_an_attempt_and_not_the_run(bench, number):
    bench.run(READY + STARTED + f"os.kill(os.getpid(), {int(number)}); time.sleep(60)").join(20)
    assert (bench.shown().state, bench.row().losses) == (RunState.LOST, 1)
    assert bench.context.lifecycle.reap().requeued == [bench.run_id]
    assert (bench.shown().state, bench.shown().error) == (RunState.QUEUED, None)


def test_a_trainer_is_told_which_attempt_it_is_and_the_folder_too(bench, tmp_path):
    told = tmp_path / "told"
    script = READY.replace("sys.stdin.readline()", f"open({str(told)!r}, 'w').write(sys.stdin.readline())")
    bench.run(script + said_failed("non-finite-loss").removeprefix(READY)).join(20)
    assert json.loads(told.read_text())["attempt"] == 1
    assert (bench.context.artifacts.folder(bench.run_id) / ".attempt").read_text() == "1"


def test_the_worker_parses_a_config_once_and_hands_its_stored_text_on(bench, tmp_path, monkeypatch):
    bench.queue()
    told, made = tmp_path / "told", watched(monkeypatch)
    script = READY.replace("sys.stdin.readline()", f"open({str(told)!r}, 'w').write(sys.stdin.readline())")
    bench.supervise(script + said_failed("non-finite-loss").removeprefix(READY)).join(20)
    assert len(made) == 1
    assert RunConfig.model_validate(json.loads(told.read_text())["config"]) == made[0]


def test_a_trainer_gets_no_address_of_database_or_broker(monkeypatch):
    monkeypatch.setenv("SPIKEFRONT_DATABASE_URL", "postgresql://u:p@h/d")
    monkeypatch.setenv("SPIKEFRONT_BROKER_URL", "redis://:p@h")
    env = child_env(threads=3, device="1")
    assert not {"SPIKEFRONT_DATABASE_URL", "SPIKEFRONT_BROKER_URL"} & set(env)
    assert (env["OMP_NUM_THREADS"], env["CUDA_VISIBLE_DEVICES"]) == ("3", "1")
    assert env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID", "its numbers are nvidia-smi's"
    assert child_env(threads=1, device=None)["CUDA_VISIBLE_DEVICES"] == ""


# Slots


class Claims:
    """A lifecycle of runs that take no time, and a trainer's part that only waits for `go`."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, *, slots: int, n: int, memory: int = 0) -> None:
        self.go, self.began, self.lock = threading.Event(), [], threading.Lock()
        self.supervisor = Supervisor(
            bench.context.lifecycle,
            name="bench",
            options=Options(queue="cpu", threads=1, devices=(None,) * slots, memory_bytes=memory or None),
            standby=Standby(lambda _: None, devices=()),
            data=bench.settings.data,
            stopping=bench.stopping,
        )
        monkeypatch.setattr(self.supervisor, "_supervise", self._hold)
        self.runs = [RunService(bench.context).create(RunRequest(seed=seed), key=None)[0].id for seed in range(n)]
        self.supervisor.start()

    def _hold(self, claim: object, device: str | None) -> Ending:
        with self.lock:
            self.began.append(claim.run_id)
        self.go.wait(20)
        return failed(RunError(code="x", message="x"))


def test_one_bell_wakes_as_many_slots_as_there_are_runs_and_each_slot_goes_on_by_itself(bench, monkeypatch):
    claims = Claims(bench, monkeypatch, slots=2, n=5)
    claims.supervisor.ring()
    wait_for(lambda: claims.supervisor.busy == 2)
    assert claims.began == claims.runs[:2], "in their order, and no third beside them"
    claims.go.set()
    wait_for(lambda: len(claims.began) == 5 and not claims.supervisor.busy)
    assert claims.supervisor.bells == 1
    bench.stopping.set()
    claims.supervisor.join()


def test_runs_that_do_not_fit_into_memory_side_by_side_run_one_after_the_other(bench, monkeypatch):
    bench.queue()
    need = bench.row().memory_cpu
    bench.context.lifecycle.cancel(bench.run_id)
    claims = Claims(bench, monkeypatch, slots=2, n=2, memory=need * 3 // 2)
    claims.supervisor.ring()
    wait_for(lambda: claims.began == claims.runs[:1])
    assert not claims.supervisor.run_next(), "the second waits, though a slot is free"
    claims.go.set()
    wait_for(lambda: claims.began == claims.runs)
    bench.stopping.set()
    claims.supervisor.join()


def test_a_run_that_no_worker_can_do_waits_beside_one_that_passes_it_by(bench):
    bench.queue()
    first = bench.run_id
    with bench.context.database.write() as session:
        session.get_one(RunRow, first).dataset = "pets"
    bench.run(said_failed("non-finite-loss")).join(20)
    assert bench.shown().error.code == "non-finite-loss"
    with bench.context.database.read() as session:
        row = session.get_one(RunRow, first)
        assert (row.state, row.attempt) == (RunState.QUEUED, 0)


def test_a_run_that_ends_while_another_slot_counts_the_memory_in_use_stops_no_slot(bench):
    bench.queue()
    bench.supervise(READY)
    supervisor = bench.supervisor

    class Ending:
        """A claim whose run ends, in its own slot, just when its memory is asked for."""

        def __init__(self, run_id: str) -> None:
            self.run_id = run_id

        @property
        def memory_bytes(self) -> int:
            supervisor._held.pop(self.run_id)
            return 300

    supervisor._options = dataclasses.replace(supervisor._options, memory_bytes=1000)
    supervisor._held = {run_id: Ending(run_id) for run_id in ("one", "other")}
    assert supervisor._free_bytes() == 400
