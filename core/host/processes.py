"""Child processes that never outlive their parent, each with a log file of bounded size.

A child leads a session and a process group of its own, so that Ctrl-C in the terminal reaches only
the launcher, and stopping a child stops all that it started. On Linux the kernel also signals it
when the launcher dies without a word (`prctl(PR_SET_PDEATHSIG)`, prctl(2)).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOG_LIMIT_BYTES = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Service:
    """What to start and how it ends. `grace_s` is the time between SIGTERM and SIGKILL.

    `orphan_signal` is what the child gets when the launcher is killed: SIGTERM only for one that needs to end
    others first and is sure to end itself.
    """

    name: str
    argv: Sequence[str]
    log: Path
    grace_s: float = 3.0
    orphan_signal: signal.Signals = signal.SIGKILL
    env: Mapping[str, str] = field(default_factory=dict)


class Child:
    """One running service."""

    def __init__(self, service: Service) -> None:
        """Start it; raises OSError when it cannot be executed. Call from the main thread.

        The kernel ties PR_SET_PDEATHSIG to the thread that forked, so a helper thread that ends would
        take its children along.
        """
        self.service = service
        self.started = time.monotonic()
        bound_log(service.log)
        with open(service.log, "ab") as log:  # appending, so that it can be cut while the child writes
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                service.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **service.env},
                start_new_session=True,
                preexec_fn=_tether(service.orphan_signal),  # noqa: PLW1509  the launcher has no other thread
            )

    @property
    def pid(self) -> int:
        """Also the id of its process group and session."""
        return self._process.pid

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def exit_status(self) -> int | None:
        """None while it runs; below zero is a signal, as in `subprocess`."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """SIGTERM to the leader alone: it ends its own children in the order it needs."""
        if self.exit_status is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, *, grace_s: float | None = None) -> None:
        """SIGTERM, a grace, SIGKILL to the whole group; returns when nothing of it is left."""
        self.ask_to_stop()
        try:
            self._process.wait(self.service.grace_s if grace_s is None else grace_s)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group. A group that its leader has left may still have members."""
        kill_group(self.pid)
        self._process.wait()
        wait_group_gone(self.pid, timeout_s=2.0)

    def last_lines(self, n: int = 12) -> str:
        """The end of what this child, and no earlier one, wrote."""
        return tail(self.service.log, n=n, start=self._log_start)


def kill_group(group: int) -> None:
    """SIGKILL to every member of a process group; nothing when there is none."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        pass


def wait_group_gone(group: int, *, timeout_s: float) -> bool:
    """Whether the group has no members within the time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return True
        time.sleep(0.01)
    return False


def _tether(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child runs between fork and exec. Only async-signal-safe work: the library is loaded before."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    launcher = os.getpid()

    def bind() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
        if os.getppid() != launcher:  # it died between fork and prctl
            os._exit(1)

    return bind


def bound_log(path: Path) -> None:
    """Move a large log aside as `<name>.1`; at most two files of it exist."""
    try:
        if path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_name(path.name + ".1"))
    except FileNotFoundError:
        pass


def bound_running_log(path: Path) -> None:
    """Cut a log that its writer keeps open: the end is kept as `<name>.1`, the file starts again at zero."""
    try:
        if path.stat().st_size <= LOG_LIMIT_BYTES:
            return
        with suppress(OSError):  # on a full disk the end is lost, and its room is won
            path.with_name(path.name + ".1").write_bytes(_end(path, LOG_LIMIT_BYTES))
        os.truncate(path, 0)  # the writer appends, so it goes on at the new end
    except OSError:  # not there, or not now: it is tried again in a minute
        pass


def tail(path: Path, *, n: int, start: int = 0) -> str:
    """The last `n` lines written after byte `start`."""
    try:
        size = path.stat().st_size
        text = _end(path, min(size - start, 16_384) if size >= start else 16_384)
    except OSError:
        return ""
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-n:])


def _end(path: Path, n_bytes: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - n_bytes))
        return file.read(n_bytes)


def signal_name(number: int) -> str:
    """`SIGKILL`; a number that has no name here stays one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def exit_words(status: int) -> str:
    """`exit code 1`, or `signal SIGKILL` for a status below zero."""
    if status >= 0:
        return f"exit code {status}"
    return f"signal {signal_name(-status)}"
