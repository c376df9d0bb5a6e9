"""A whole installation for one test: a real broker on a unix socket, a real SQLite file, real worker processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import s3
from forking import Fork, Parent, loaded

from backend.context import Context, build_context
from backend.runs.service import RunService
from backend.store.db import migrate
from core.host.processes import Child
from core.launcher import broker
from core.schemas.request import RunRequest
from core.schemas.run import RunState
from core.schemas.runs import Run
from core.settings import Settings

#: One epoch over 64 digits, 15 more to validate: well under a second on one core.
TINY = {"training.max_epochs": 1, "training.train_limit": 64, "training.validation_share": 0.01}
#: Long enough to be caught in the middle, with many epochs and so many checkpoints.
LONG = {**TINY, "training.max_epochs": 2000}
LEASE_S = 3.0


def until(what: str | Callable[[], str], true: Callable[[], object], *, timeout_s: float = 120.0) -> object:
    """Poll `true` until it holds; the test fails naming `what` when it never does."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := true():
            return value
        time.sleep(0.1)  # a look is a query, and costs as much as a step of these runs
    raise AssertionError(f"not within {timeout_s} s: {what if isinstance(what, str) else what()}")


def descendants(pid: int) -> set[int]:
    """The processes below `pid` (Linux: proc(5))."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in map(int, task.read_text().split()):
                found |= {child} | descendants(child)
        except OSError:
            continue
    return found


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


#: `python -m worker` as a fork of a process that has it loaded, and the engine for its trainers, which are forks of its
#: helper: sessions of their own below the worker, as those that the program starts.
WORKER = """
import subprocess, sys
from types import SimpleNamespace
from forking import helper
from worker import options, trainer_process
from worker.__main__ import main

options.cores = lambda: 1  # a thread a run: two wait for one another at each of these tiny layers, with a whole core each

def trainer(argv, *, env, start_new_session, **pipes):
    assert tuple(argv) == trainer_process.TRAINER_ARGV and start_new_session
    return parent.start("trainer", env=env, text=False, own_session=True, **pipes)

with helper() as parent:
    trainer_process.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": trainer})
    code = main()
sys.exit(code)
"""


@pytest.fixture(scope="session")
def loaded_worker() -> Iterator[Parent]:
    """A process that has loaded all that workers and trainers need."""
    with loaded("worker.__main__", "core.cli.commands.trainer", "core.engine.experiment", "core.engine.warm") as one:
        yield one


class Site:
    """What a test does with an installation. Its workers are forks of `loaded`, or the program itself without one."""

    def __init__(self, home: Path, loaded: Parent | None = None) -> None:
        self.settings, self.loaded = Settings(home=home), loaded
        self.broker: Child | None = None
        self.start_broker()
        migrate(self.settings)
        self.context: Context = build_context(self.settings)
        self.environment: dict[str, str] = {}  # of workers, beside that
        self.workers: list[subprocess.Popen[bytes] | Fork] = []

    def start_broker(self) -> None:
        self.broker = Child(broker.service(self.settings, log=self.settings.home / "broker.log"))
        until("the broker answers", lambda: broker.answers(self.settings.broker_socket))

    def start_worker(self, *args: str) -> subprocess.Popen[bytes] | Fork:
        """`python -m worker` with a short lease, and with one slot and no trainer on standby unless told; returns once
        it takes messages. A standby loads the engine for a second run, which most tests have not."""
        log = self.settings.home / f"worker{len(self.workers)}.log"
        words = ["--lease", str(LEASE_S), *(args or ("--slots", "1", "--no-standby"))]
        shared = {"SPIKEFRONT_HOME": str(self.settings.home), "SPIKEFRONT_MEASURE": "off", "SPIKEFRONT_RECOUNT": "off"}
        env = {**os.environ, **shared, "OMP_NUM_THREADS": "1", **self.environment}
        with open(log, "wb") as file:
            if self.loaded is not None:
                process = self.loaded.start(*words, code=WORKER, env=env, stdout=file, stderr=file)
            else:
                program = [sys.executable, "-m", "worker", *words]
                process = subprocess.Popen(program, env=env, stdout=file, stderr=subprocess.STDOUT)
        self.workers.append(process)
        until(f"the worker is ready; its log: {log}", lambda: b"worker.ready" in log.read_bytes())
        return process

    def log(self, n: int = 0) -> str:
        return (self.settings.home / f"worker{n}.log").read_text()

    def submit(
        self, *, kind: str = "cnn", seed: int = 0, dataset: str = "digits", priority: int = 0, **overrides: object
    ) -> str:
        """Queue a run as the API does."""
        request = RunRequest(
            kind=kind,
            mask="F9",
            dataset=dataset,
            recipe="smoke",
            seed=seed,
            priority=priority,
            overrides={name.replace("__", "."): value for name, value in overrides.items()},
        )
        return RunService(self.context).create(request, key=None)[0].id

    def run(self, run_id: str) -> Run:
        return RunService(self.context).show(run_id)

    def wait(self, run_id: str, *states: RunState, timeout_s: float = 120.0) -> Run:
        until(
            lambda: f"run {run_id} is {states}; now {self.run(run_id)!r}; log:\n{self.log(len(self.workers) - 1)}",
            lambda: self.run(run_id).state in states,
            timeout_s=timeout_s,
        )
        return self.run(run_id)

    def wait_epoch(self, run_id: str, epoch: int) -> None:
        until(f"run {run_id} is in epoch {epoch}", lambda: self.run(run_id).progress.epoch >= epoch)

    def trainer_pid(self, run_id: str, n: int = 0) -> int:
        """The process that the worker's log names for this run, the newest one."""
        lines = [line for line in self.log(n).splitlines() if " run.trainer " in line and run_id in line]
        return int(lines[-1].split(" pid=")[1].split()[0])

    def close(self) -> None:
        for process in self.workers:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        self.context.database.close()
        self.broker.stop()


@contextmanager
def installation(loaded: Parent | None = None, **settings: str) -> Iterator[Site]:
    """`settings`: environment variables of its API and its workers."""
    home = Path(tempfile.mkdtemp(prefix="sf-"))  # short: a socket's path has little room
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SPIKEFRONT_")]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        site = Site(home, loaded)
        try:
            yield site
        finally:
            site.close()
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def site(loaded_worker: Parent) -> Iterator[Site]:
    """An installation for one test, without a worker."""
    with installation(loaded_worker) as site:
        yield site


@pytest.fixture
def remote_site(
    monkeypatch: pytest.MonkeyPatch, loaded_worker: Parent
) -> Iterator[tuple[Site, s3.Server, Callable[[], subprocess.Popen[bytes]]]]:
    """An installation with its bundles in a store, that store, and what starts a worker on a machine of its own: one that
    shares database, broker and store with the others, and no folder."""
    with (
        s3.serving() as server,
        installation(loaded_worker, SPIKEFRONT_ARTIFACTS_URL=s3.named(monkeypatch, server)) as site,
    ):
        shared = {
            "SPIKEFRONT_DATABASE_URL": site.settings.database_url,
            "SPIKEFRONT_BROKER_URL": site.settings.broker_url,
        }

        def start() -> subprocess.Popen[bytes]:
            site.environment = {**shared, "SPIKEFRONT_HOME": str(site.settings.home / f"machine{len(site.workers)}")}
            return site.start_worker()

        yield site, server, start


@pytest.fixture(scope="module")
def busy_site() -> Iterator[Site]:
    """An installation with a worker of two slots, the program itself with its own trainers, for tests that leave both as
    they were."""
    with installation() as site:
        site.start_worker("--slots", "2")
        yield site


@pytest.fixture
def tools() -> SimpleNamespace:
    """The helpers above, for tests: a conftest cannot be imported."""

    def keywords(overrides: dict[str, object]) -> dict[str, object]:
        return {name.replace(".", "__"): value for name, value in overrides.items()}

    return SimpleNamespace(
        tiny=keywords(TINY), long=keywords(LONG), lease_s=LEASE_S, until=until, descendants=descendants, alive=alive
    )
