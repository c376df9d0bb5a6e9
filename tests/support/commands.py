"""The command line in this process: what a command prints and how it ends, where the process is not what is tested.

A process of its own takes half a second to load a light command and several to load the engine.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from core.cli import handing_over
from core.cli.main import main


def called(
    *words: str, cwd: Path | None = None, typed: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """`spikefront` with these words, as a process that was run with pipes: its exit code and what it printed. `typed` is
    its standard input. A command that becomes another program becomes it here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(typed))
        patch.setattr(handing_over.os, "execv", lambda _, argv: sys.exit(_begun(argv)))
        if cwd is not None:
            patch.chdir(cwd)
        for name, value in {"COLUMNS": "80", **environment}.items():
            patch.setenv(name, value)
        return _ended(words, lambda: main(words))


def module_called(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, **_: object
) -> subprocess.CompletedProcess[str]:
    """In place of `subprocess.run` for `[sys.executable, "-m", package, ...]`: its `main`, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(env or os.environ):
            patch.delenv(name)
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        return _ended(argv, lambda: _begun(argv))


def _begun(argv: Sequence[str]) -> int | None:
    """The exit code of `python -m package ...`."""
    python, option, package, *words = argv
    assert (python, option) == (sys.executable, "-m")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [package, *words])
        return importlib.import_module(f"{package}.__main__").main()


def _ended(words: Sequence[str], begin: Callable[[], int | None]) -> subprocess.CompletedProcess[str]:
    out, err = io.StringIO(), io.StringIO()
    with _own_logging(), redirect_stdout(out), redirect_stderr(err):
        try:
            code = begin() or 0
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@contextmanager
def _own_logging() -> Iterator[None]:
    """A root logger and warnings as in a fresh process, put back at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
