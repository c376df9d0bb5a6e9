"""The command line in this process: what a command prints and how it ends, where the process is not what is tested.

A process of its own takes half a second to load a light command and several to load the engine.
"""

from __future__ import annotations

import io
import logging
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from core.cli.main import main


def called(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """`spikefront` with these words, as a process that was run with pipes: its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, _own_logging(), redirect_stdout(out), redirect_stderr(err):
        if cwd is not None:
            patch.chdir(cwd)
        for name, value in {"COLUMNS": "80", **environment}.items():
            patch.setenv(name, value)
        try:
            main(words)
            code = 0
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
