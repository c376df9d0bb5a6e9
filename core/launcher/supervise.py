"""`spikefront up`: start everything in order, keep it running, stop everything in order.

Order of start: broker, API and dashboard, then the worker (it wants the database that the API
migrates). Order of stop: worker (its trainers write a checkpoint and their runs are queued again),
dashboard, API, broker.

Once all have started, no service takes the others down: one that keeps ending is started again with a growing pause,
and terminal, pages and `spikefront doctor` say so. Without a worker, results can still be looked at.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from core.addresses import broker_url, origin
from core.errors import BadValue, ServiceFailed, SpikefrontError
from core.gallery.catalog import gallery
from core.home.lock import HomeLock, make_folder
from core.home.notes import write_notes
from core.host.ports import check_port
from core.host.processes import Child, Service, bound_running_log, exit_words, kill_group
from core.launcher import broker, health
from core.launcher.first_start import FirstStart, first_start
from core.launcher.screen import Screen
from core.settings import Settings, prepare_home, read_token

START_TIMEOUT_S = 90.0
WATCH_INTERVAL_S = 0.25
QUICK_CRASH_S = 20.0  # a service that ran longer starts again with a clean record
MANY_QUICK_CRASHES = 5  # from here on it is worth a note, and the queue is suspected
LONGEST_PAUSE_S = 30.0  # between two starts
STOP_ORDER = ("worker", "dashboard", "API", "broker")
WORKER_GRACE_S = 12.0  # its trainers have 10 s for their checkpoint


class _Stopped(Exception):
    """A signal came while something was waited for."""


@dataclass
class _Record:
    """One service with its present process and what became of the former ones."""

    service: Service
    waits: Callable[[Child], str | None]
    child: Child | None = None
    quick_crashes: int = 0
    restart_at: float | None = field(default=None)


class Launcher:
    """Supervises the services of one data folder; `run` returns the exit code of the command."""

    def __init__(self, settings: Settings, *, screen: Screen, demo: bool = True, gallery: bool = True) -> None:
        self.settings = settings.model_copy(update={"home": settings.home.absolute()})
        self._screen = screen
        self._demo = demo
        self._gallery = gallery
        self._records: dict[str, _Record] = {}
        self._notes: dict[str, str] = {}
        self._stop = threading.Event()

    def run(self) -> int:
        """Until a signal; raises a domain error when the start is impossible."""
        prepare_home(self.settings)
        token = read_token(self.settings)
        address = f"{origin(self.settings.host, self.settings.dashboard_port)}/?key={token}"
        lock = HomeLock(self.settings)
        lock.acquire(address=address)
        handlers = {number: signal.signal(number, self._on_signal) for number in _signals()}
        try:
            write_notes(self.settings, {})
            check_ports(self.settings)
            self._prepare(token)
            self._start_all()
            self._announce(address)
            self._fill(token)
            self._watch()
        except _Stopped:
            pass
        finally:
            self._stop_all()
            write_notes(self.settings, {})
            lock.release()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return 0

    # Start

    def _prepare(self, token: str) -> None:
        """The table of services; nothing starts here."""
        logs = make_folder(self.settings, "logs")
        env = {
            "SPIKEFRONT_HOME": str(self.settings.home),
            "SPIKEFRONT_HOST": self.settings.host,
            "PYTHONUNBUFFERED": "1",
            "PYTHONSAFEPATH": "1",  # a folder named `core` where the user stands is not ours
        }
        if self.settings.broker_url_override is None:
            path = broker.socket_path(self.settings)
            env["SPIKEFRONT_BROKER_URL"] = broker_url(path)
            self._add(broker.service(self.settings, log=logs / "broker.log"), lambda _: health.broker_waits(path))
        python = [sys.executable, "-m"]
        self._add(
            Service(name="API", argv=[*python, "backend"], log=logs / "backend.log", env=env),
            lambda _: health.api_waits(self.settings),
        )
        self._add(
            Service(name="dashboard", argv=[*python, "frontend"], log=logs / "frontend.log", env=env),
            lambda _: health.dashboard_waits(self.settings),
        )
        self._add(
            Service(
                name="worker",
                argv=[*python, "worker", "-Q", "auto"],
                log=logs / "worker.log",
                env=env,
                grace_s=WORKER_GRACE_S,
                orphan_signal=signal.SIGTERM,  # it ends its trainers, then itself within its own deadline
            ),
            lambda child: health.worker_waits(
                self.settings, token=token, name=health.worker_name(self.settings, child.pid)
            ),
        )

    def _add(self, service: Service, waits: Callable[[Child], str | None]) -> None:
        self._records[service.name] = _Record(service, waits)

    def _start_all(self) -> None:
        self._screen.say(f"Starting Spikefront on {self.settings.home}")
        if "broker" in self._records:
            self._start_broker()
        self._start("dashboard")  # it imports for seconds and needs nobody while it does
        self._start("API")
        self._await("API")
        self._start("worker")
        try:
            self._await("worker")
        except ServiceFailed as error:
            self._screen.say(f"  {error.message}")
            self._screen.say("  It is started again and again. Until then no run trains; all else works.")
        self._await("dashboard")

    def _start_broker(self) -> None:
        """Once more without its file when it cannot read that: the database knows all that was in it."""
        self._start("broker")
        try:
            self._await("broker")
        except ServiceFailed:
            if not broker.set_aside(self.settings):
                raise
            self._records["broker"].child.kill()
            self._screen.say("  The broker could not read its file; it was set aside, and no run is lost.")
            self._start("broker")
            self._await("broker")

    def _start(self, name: str) -> None:
        record = self._records[name]
        record.restart_at = None
        try:
            record.child = Child(record.service)
        except OSError as error:
            raise ServiceFailed(service=name, why=f"{record.service.argv[0]}: {error.strerror}.") from None

    def _await(self, name: str) -> None:
        """Until the service is healthy; raises ServiceFailed with the end of its log, or _Stopped."""
        record = self._records[name]
        waits: str | None = "it was not asked yet."
        with self._screen.waiting(f"  {name} is starting"):
            deadline = time.monotonic() + START_TIMEOUT_S
            while (waits := record.waits(record.child)) is not None:
                if self._stop.wait(0.1):
                    raise _Stopped
                if (status := record.child.exit_status) is not None:
                    raise ServiceFailed(service=name, why=self._post_mortem(record, status))
                if time.monotonic() > deadline:
                    raise ServiceFailed(
                        service=name, why=f"{waits}\nThe end of {record.service.log}:\n{record.child.last_lines()}"
                    )
        self._screen.ready(name, record.child.uptime_s)

    @staticmethod
    def _post_mortem(record: _Record, status: int) -> str:
        lines = record.child.last_lines()
        end = f"\nThe end of {record.service.log}:\n{lines}" if lines else f" See {record.service.log}."
        return f"it ended with {exit_words(status)}.{end}"

    def _announce(self, address: str) -> None:
        say = self._screen.say
        say()
        say(f"The dashboard is at  {address}")
        if self.settings.host in ("0.0.0.0", "::"):  # noqa: S104  as the user set it
            say("From other machines use this machine's name in place of the host; the key is part of the address.")
        say("Ctrl-C stops everything; runs that are under way go on at the next start.")
        say()

    def _fill(self, token: str) -> None:
        """What a first start brings. Not beside runs of a lost database.

        A demo or a gallery that cannot be had is worth a sentence, never the installation.
        """
        if any((self.settings.home / "runs").glob("*/manifest.json")):
            return
        with self._told("The demo runs could not be queued"), first_start(self.settings, token=token) as first:
            if first is None:
                return
            if self._demo and first.queue_demo():
                self._screen.say("First start: SNN-SqueezeNet Ref-1 and its CNN twin are training on digits as a demo.")
            if self._gallery:
                with self._told("The runs of the gallery could not be brought in"):
                    self._bring_gallery(first)

    def _bring_gallery(self, first: FirstStart) -> None:
        runs, started = gallery().whole, time.monotonic()
        with self._screen.waiting("Bringing in the gallery's finished runs"):
            for run in runs:
                first.bring(run)
        if runs:
            took = time.monotonic() - started
            self._screen.say(f"First start: {len(runs)} finished runs of the gallery are here ({took:.1f} s).")

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, KeyError, ValueError, SpikefrontError) as error:
            self._screen.say(f"{what} ({type(error).__name__}); all else works.")

    # Run

    def _watch(self) -> None:
        """Start what ends again, with a growing pause."""
        last_bound = time.monotonic()
        while not self._stop.wait(WATCH_INTERVAL_S):
            now = time.monotonic()
            for name, record in self._records.items():
                if record.restart_at is not None:
                    if now >= record.restart_at:
                        self._start_again(name, record)
                elif (status := record.child.exit_status) is not None:
                    kill_group(record.child.pid)  # what its leader left behind
                    quick = record.child.uptime_s < QUICK_CRASH_S
                    self._plan_restart(name, record, exit_words(status), quick=quick)
                elif record.quick_crashes and record.child.uptime_s >= QUICK_CRASH_S:
                    record.quick_crashes = 0
                    self._note(name, None)
            if now - last_bound > 60.0:
                last_bound = now
                for record in self._records.values():
                    bound_running_log(record.service.log)

    def _start_again(self, name: str, record: _Record) -> None:
        try:
            self._start(name)
        except ServiceFailed as error:  # such as a machine out of processes
            self._plan_restart(name, record, error.fields["why"].rstrip("."), quick=True)

    def _plan_restart(self, name: str, record: _Record, end: str, *, quick: bool) -> None:
        record.quick_crashes = record.quick_crashes + 1 if quick else 1
        pause_s = min(0.5 * 2 ** (min(record.quick_crashes, 10) - 1), LONGEST_PAUSE_S)
        record.restart_at = time.monotonic() + pause_s
        self._screen.say(f"The {name} ended with {end}; it starts again in {pause_s:.1f} s.")
        if record.quick_crashes == MANY_QUICK_CRASHES:
            self._suspect_queue(name)
        if record.quick_crashes >= MANY_QUICK_CRASHES:
            self._note(
                name,
                f"The {name} keeps ending soon after its start, {record.quick_crashes} times by now, at last with {end}. "
                f"It is started again and again; its log is {record.service.log.parent.name}/{record.service.log.name} "
                "in the data folder.",
            )

    def _suspect_queue(self, name: str) -> None:
        """Empty the queue of our own broker, once: something in it may be to blame, and the database knows what waits."""
        if "broker" not in self._records:
            return
        if name == "worker" and broker.empty(broker.socket_path(self.settings)):
            self._screen.say("The queue was emptied, in case something in it is the reason; no run is lost.")
        if name == "broker" and broker.set_aside(self.settings):
            self._screen.say("The broker's file was set aside, in case it is the reason; no run is lost.")

    def _note(self, name: str, sentence: str | None) -> None:
        before = dict(self._notes)
        if sentence is None:
            self._notes.pop(name, None)
        else:
            self._notes[name] = sentence
        if self._notes != before:
            write_notes(self.settings, self._notes)

    # Stop

    def _on_signal(self, number: int, _frame: object) -> None:
        if self._stop.is_set():  # asked twice: no more grace
            for record in self._records.values():
                if record.child is not None:
                    kill_group(record.child.pid)
        self._stop.set()

    def _stop_all(self) -> None:
        children = [(name, self._records[name].child) for name in STOP_ORDER if name in self._records]
        children = [(name, child) for name, child in children if child is not None]
        if not children:
            return
        self._screen.say("Stopping; training runs write a checkpoint first.")
        for _name, child in children:
            child.stop()
        broker.leave(self.settings)
        self._screen.say("Stopped.")


def _signals() -> list[int]:
    """What asks to stop: Ctrl-C, a service manager, a closed terminal."""
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if os.name == "posix" else [])]


def check_ports(settings: Settings) -> None:
    """Raise PortTaken or BadValue, naming the setting, unless both ports are free on `settings.host`."""
    if settings.api_port == settings.dashboard_port:
        raise BadValue(
            field="SPIKEFRONT_DASHBOARD_PORT", value=settings.dashboard_port, expected="another port than the API's"
        )
    check_port(settings.host, settings.api_port, setting="SPIKEFRONT_API_PORT")
    check_port(settings.host, settings.dashboard_port, setting="SPIKEFRONT_DASHBOARD_PORT")
