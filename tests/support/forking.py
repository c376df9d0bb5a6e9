"""Processes that begin loaded: forks of one that has imported what they need.

A process of its own takes a second to load a light command and four to load the engine, more than most tests of it take. A
fork of one that is loaded is a process of its own all the same: with its own pid, pipes, environment, signals and end.
"""

from __future__ import annotations

import array
import gc
import importlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock, Thread
from typing import IO, Any, Self

SERVE = "import sys; from forking import serve; serve(int(sys.argv[1]), sys.argv[2:])"
COMMAND = "from core.cli.__main__ import start; start()"
PIPE = subprocess.PIPE


class Fork:
    """What a test does with `subprocess.Popen`, on a fork."""

    def __init__(self, parent: Parent, pid: int, stdin: IO | None, stdout: IO | None, stderr: IO | None) -> None:
        self._parent, self.pid, self.returncode = parent, pid, None
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._parent.ask(act="poll", pid=self.pid)
        return self.returncode

    def wait(self, timeout: float = 120.0) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 120.0) -> tuple[Any, Any]:
        if self.stdin is not None:
            self.stdin.close()
        said: dict[IO, Any] = {}
        readers = [
            Thread(target=lambda file=file: said.update({file: file.read()}))
            for file in (self.stdout, self.stderr)
            if file
        ]
        for reader in readers:
            reader.start()
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            for reader in readers:
                reader.join()
        return said.get(self.stdout), said.get(self.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing of it is left afterwards."""
        self.kill()
        self.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()


class Parent:
    """The loaded process, asked over a socket."""

    def __init__(self, line: socket.socket) -> None:
        self._line, self._turn = line, Lock()

    def ask(self, fds: Sequence[int] = (), **order: Any) -> Any:
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        with self._turn:
            self._line.sendmsg([json.dumps(order).encode() + b"\n"], passed)
            answer = b""
            while not answer.endswith(b"\n"):
                part = self._line.recv(1 << 16)
                assert part, "the loaded process has ended"
                answer += part
        return json.loads(answer)

    def start(
        self,
        *words: str,
        code: str = COMMAND,
        env: Mapping[str, str],
        stdin: Any = None,
        stdout: Any = PIPE,
        stderr: Any = PIPE,
        text: bool = True,
        own_session: bool = False,
    ) -> Fork:
        """A fork with these words as its command line that runs `code`, `spikefront` unless told. Each of its three
        streams is a PIPE, a file, or nothing where None."""
        pairs = [_stream(number, wanted, text) for number, wanted in enumerate((stdin, stdout, stderr))]
        theirs = [fd for _, fd in pairs]
        pid = self.ask(theirs, act="start", words=words, code=code, env=dict(env), own_session=own_session)
        for fd in theirs:
            os.close(fd)
        return Fork(self, pid, *(ours for ours, _ in pairs))

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess:
        """One that is waited for."""
        with self.start(*words, **options) as process:
            out, err = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, err)


def _stream(number: int, wanted: Any, text: bool) -> tuple[IO | None, int]:
    """Our end of standard stream `number`, if there is one, and the end that the fork gets."""
    if wanted is None:
        return None, os.open(os.devnull, os.O_RDWR)
    if wanted != PIPE:
        return None, os.dup(wanted if isinstance(wanted, int) else wanted.fileno())
    ours, theirs = os.pipe() if number else os.pipe()[::-1]
    mode = "r" if number else "w"
    return os.fdopen(ours, mode, encoding="utf-8") if text else os.fdopen(ours, mode + "b"), theirs


@contextmanager
def loaded(*modules: str) -> Iterator[Parent]:
    """A process that has imported these modules and done nothing else."""
    ours, theirs = socket.socketpair()
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(theirs.fileno()), *modules], pass_fds=[theirs.fileno()], env=env
    )
    theirs.close()
    try:
        with ours:
            yield Parent(ours)
    finally:
        assert process.wait(timeout=60) == 0


@contextmanager
def helper() -> Iterator[Parent]:
    """A fork of this process, which has one thread yet, that forks for it later, when it has many; it ends with it."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        if _served(theirs):
            os._exit(0)
        sys.exit()  # of a fork's fork, behind its end
    theirs.close()
    try:
        with ours:
            yield Parent(ours)
    finally:
        os.waitpid(pid, 0)


def serve(number: int, modules: Sequence[str]) -> None:
    """Of the loaded process: fork when asked to."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # what is shared stays shared
    _served(socket.socket(fileno=number))


def _served(line: socket.socket) -> bool:
    """Fork when asked to, until nobody asks any more; False in a fork, which has done what it was to do."""
    kept = b""
    fds: list[int] = []
    while True:
        part, passed, _, _ = socket.recv_fds(line, 1 << 20, 3)
        if not part:
            return True
        kept, fds = kept + part, fds + passed
        if not kept.endswith(b"\n"):
            continue
        order = json.loads(kept)
        if order["act"] == "poll":
            pid, status = os.waitpid(order["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                line.close()
                _begin(order, fds)
                return False
            for fd in fds:
                os.close(fd)
        line.sendall(json.dumps(answer).encode() + b"\n")
        kept, fds = b"", []


def _begin(order: dict[str, Any], fds: Sequence[int]) -> None:
    """As a fresh interpreter finds itself; its end is the interpreter's own."""
    if order["own_session"]:
        os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["spikefront", *order["words"]]
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = _written(fd, order["env"])
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    exec(compile(order["code"], "<forked>", "exec"), {"__name__": "__main__"})


def _written(fd: int, env: Mapping[str, str]) -> io.TextIOWrapper:
    """Standard output or error by PYTHONIOENCODING and PYTHONUNBUFFERED, as the interpreter opens them."""
    encoding, _, errors = env.get("PYTHONIOENCODING", "").partition(":")
    raw = io.FileIO(fd, "w", closefd=False)
    unbuffered = bool(env.get("PYTHONUNBUFFERED"))
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=encoding or "utf-8",
        errors="backslashreplace" if fd == 2 else errors or "strict",
        write_through=unbuffered,
        line_buffering=fd == 2,
    )
