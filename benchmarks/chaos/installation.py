"""A whole installation to be hurt: as `spikefront up` makes it, or its parts one by one, as Compose starts them.

Whatever ends is started again, as a service manager does. Everything is done from one thread.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, NullPool, create_engine, make_url, select, text

from backend.store.models import RunEventRow, RunRow
from benchmarks.chaos.machine import Clock, Disk, clock, disk, processes_of
from core.addresses import origin
from core.host.processes import Child, Service
from core.launcher import broker
from core.settings import Settings, prepare_home, read_token

RESTART_S = 0.5
UP, API, BROKER, WORKERS = "up", "api", "broker", ("worker-1", "worker-2")
#: The worker whose clock is set.
MOVED = WORKERS[1]


@dataclass(kw_only=True)
class Part:
    """One process that is kept running."""

    service: Service
    child: Child | None = None
    due: float = 0.0
    starts: int = 0


@dataclass(kw_only=True)
class Seen:
    """A run's row, as it was read last."""

    id: str
    state: str
    attempt: int
    losses: int
    worker: str | None
    progress: dict[str, Any] = field(repr=False)

    @property
    def place(self) -> tuple[Any, ...]:
        return self.attempt, self.progress["phase"], self.progress["epoch"], self.progress["step"]

    @property
    def trains(self) -> bool:
        return self.state == "running" and self.progress["phase"] not in ("waiting", "starting")


class Installation:
    """Its processes, its API and its tables."""

    def __init__(self, folder: Path, *, store: str, mounted: Disk | None, moved: Clock | None) -> None:
        self.home, self.disk, self.clock = folder / "home", mounted, moved
        self.settings = Settings()
        prepare_home(self.settings)
        self.as_up = store == "sqlite"
        self.own_broker = self.settings.broker_url_override is None
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.engine = self._engine()
        self.parts: dict[str, Part] = {}
        self._add_parts()
        url = f"{origin(self.settings.host, self.settings.api_port)}/api/v1"
        headers = {"Authorization": f"Bearer {read_token(self.settings)}"}
        self.api = httpx.Client(base_url=url, headers=headers, timeout=4.0, trust_env=False)
        self.answers: dict[int, int] = {}  # status -> how often

    def _engine(self) -> Engine:
        """Of the suite's own, and no pool: what it cuts must not be kept."""
        url = make_url(self.settings.database_url)
        more = {"timeout": 5} if url.get_backend_name() == "sqlite" else {"connect_timeout": 5}
        return create_engine(url, poolclass=NullPool, connect_args=more)

    def _add_parts(self) -> None:
        python = [sys.executable, "-m"]
        if self.as_up:
            self._add(UP, [*python, "core.cli", "up", "--no-demo", "--no-gallery"], grace_s=25.0)
        else:
            if self.own_broker:
                service = broker.service(self.settings, log=self.logs / "broker.log")
                self.parts[BROKER] = Part(service=service)
            self._add(API, [*python, "backend"])
            self._add(WORKERS[0], [*python, "worker", "-Q", "cpu"], grace_s=15.0)
        env = {} if self.clock is None else self.clock.environment
        self._add(MOVED, [*python, "worker", "-Q", "cpu", "--no-standby"], grace_s=15.0, env=env)

    def _add(self, name: str, argv: list[str], *, grace_s: float = 5.0, env: dict[str, str] | None = None) -> None:
        stop = signal.SIGTERM if name in WORKERS else signal.SIGKILL
        service = Service(
            name=name, argv=argv, log=self.logs / f"{name}.log", grace_s=grace_s, env=env or {}, orphan_signal=stop
        )
        self.parts[name] = Part(service=service)

    # Processes

    def keep(self) -> None:
        """Start what is not there and due."""
        now = time.monotonic()
        for name, part in self.parts.items():
            if part.child is not None and part.child.exit_status is None:
                continue
            if part.child is not None:
                part.child, part.due = None, now + RESTART_S
            if now >= part.due and (name != MOVED or not self.as_up or self._migrated()):
                part.child = Child(part.service)
                part.starts += 1

    def _migrated(self) -> bool:
        """The worker beside `up` waits for its broker and its tables the first time."""
        return self.parts[MOVED].starts > 0 or self.ready()

    def pid(self, name: str) -> int | None:
        """Of one part, or of a service of `up`; None while it is away."""
        part = self.parts.get(name)
        if part is not None:
            return None if part.child is None or part.child.exit_status is not None else part.child.pid
        module = {API: "-m backend", WORKERS[0]: "-m worker", BROKER: "unixsocket"}[name]
        found = [pid for pid, command in processes_of(self.home).items() if module in command]
        beside = self.pid(MOVED)
        return next((pid for pid in found if pid != beside), None)

    def all_there(self) -> bool:
        names = (UP, *WORKERS) if self.as_up else tuple(self.parts)
        return all(self.pid(name) is not None for name in names)

    def held_by(self, pid: int, runs: dict[str, Seen]) -> list[Seen]:
        """Runs that the worker with this process id owns."""
        name = f"{socket.gethostname()}:{pid}-"
        owned = [run for run in runs.values() if run.state in ("running", "cancelling")]
        return [run for run in owned if (run.worker or "").startswith(name)]

    def stop(self) -> None:
        """In the order in which an operator would; what does not end in its grace is killed."""
        for name in (MOVED, WORKERS[0], UP, API, BROKER):
            if (part := self.parts.get(name)) is not None and part.child is not None:
                part.child.stop()
                part.child = None
        broker.leave(self.settings)

    # The API

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """The answer; None where there is none now, or one that says: later."""
        try:
            answer = self.api.request(method, path, **more)
        except httpx.HTTPError:
            return None
        self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
        return None if answer.status_code in (503, 507) else answer

    def ready(self) -> bool:
        """Its database and its broker answer, and some worker was heard of lately."""
        answer = self.ask("GET", "/health/ready")
        return answer is not None and answer.status_code == 200 and bool(answer.json()["workers"])

    # The tables

    def runs(self) -> dict[str, Seen] | None:
        """All rows; None while the database does not let itself be read."""
        columns = (RunRow.id, RunRow.state, RunRow.attempt, RunRow.losses, RunRow.worker, RunRow.progress)
        with suppress(Exception), self.engine.connect() as connection:  # whichever driver's error it is
            return {row.id: Seen(**row._asdict()) for row in connection.execute(select(*columns))}
        return None

    def rows(self) -> list[Any]:
        """Whole rows, for the end."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(RunRow.__table__)))

    def events(self, kind: str) -> dict[str, list[dict[str, Any]]]:
        """Payloads of one type, in order, by run."""
        found: dict[str, list[dict[str, Any]]] = {}
        wanted = select(RunEventRow.run_id, RunEventRow.payload).where(RunEventRow.type == kind)
        with self.engine.connect() as connection:
            for run_id, payload in connection.execute(wanted.order_by(RunEventRow.id)):
                found.setdefault(run_id, []).append(payload)
        return found

    def all_logs(self) -> str:
        """What every service wrote."""
        files = [*self.logs.glob("*.log*"), *(self.home / "logs").glob("*.log*")]
        return "\n".join(file.read_text(errors="replace") for file in sorted(files))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def _database(server: str) -> Iterator[str]:
    """A new one on a PostgreSQL server, dropped at the end."""
    name = f"spikefront_chaos_{secrets.token_hex(4)}"
    url = make_url(server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Of this process and its children: these variables of ours and no others."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("SPIKEFRONT_")]:
        del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def installation(*, store: str, broker_at: str, lease_s: float, slots: int) -> Iterator[Installation]:
    """`store`: "sqlite" (then it is `spikefront up` and a worker beside it), or the address of a PostgreSQL server.

    `broker_at`: "own", or the address of a Redis or Valkey server, which then is not killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="sf-chaos-"))  # short: a socket's path has little room
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        home, files = folder / "home", folder / "tmp"
        home.mkdir(mode=0o700)
        files.mkdir()
        mounted = stack.enter_context(disk(home))
        values = {
            "SPIKEFRONT_HOME": str(home),
            "SPIKEFRONT_API_PORT": str(_free_port()),
            "SPIKEFRONT_DASHBOARD_PORT": str(_free_port()),
            "SPIKEFRONT_LEASE_S": str(lease_s),
            "SPIKEFRONT_SLOTS": str(slots),
            "SPIKEFRONT_MEASURE": "off",
            "SPIKEFRONT_RECOUNT": "off",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(files),
        }
        if broker_at != "own":
            values |= {"SPIKEFRONT_BROKER_URL": broker_at, "SPIKEFRONT_BROKER_PREFIX": f"chaos-{secrets.token_hex(4)}:"}
        if store != "sqlite":
            values["SPIKEFRONT_DATABASE_URL"] = stack.enter_context(_database(store))
        stack.enter_context(_environment(values))
        made = Installation(folder, store=store, mounted=mounted, moved=clock(folder))
        stack.callback(_end, made)
        yield made


def _end(made: Installation) -> None:
    made.stop()
    made.api.close()
    made.engine.dispose()
    for pid in processes_of(made.home):  # of a storm that was itself ended
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
