"""A line of a log says the event and its values; on the command line it is a sentence's worth, told once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from core.loglines import LineFormatter, Once, PersonFormatter


def record(name: str, **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": name, "levelname": "WARNING", "levelno": logging.WARNING, **extra})


def test_an_event_carries_its_values():
    line = LineFormatter().format(record("run.created", run_id="ab12", why="two words"))
    assert line.endswith('Z WARNING run.created run_id=ab12 why="two words"')


@pytest.mark.parametrize("value", ["a\nb", "a\x1b[31m", "", 'say "x"', "a=b", "\u202e", "\udce9"])
def test_no_value_makes_a_second_line_or_steers_a_terminal(value):
    for formatter in (LineFormatter(), PersonFormatter()):
        line = formatter.format(record("event", file=value))
        assert line.isprintable()


def test_a_traceback_stays_in_its_line():
    try:
        raise ValueError("two\nlines")
    except ValueError:
        line = LineFormatter().format(record("request.failed", exc_info=sys.exc_info()))
    assert "\n" not in line and "ValueError: two" in line


def test_an_event_is_told_once_and_another_file_is_another_event():
    once = Once()
    told = [once.filter(record("profile.skipped", file=name)) for name in ("a", "a", "b", "a")]
    assert told == [True, False, True, False]


def test_a_price_file_that_is_left_out_is_named_once_on_the_command_line(tmp_path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "my chip.toml").write_text("no = [toml")
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", "table"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "SPIKEFRONT_HOME": str(tmp_path)},
    )
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith('spikefront: warning: profile.skipped file="my chip.toml" reason=')


WARNS = """
import warnings, core.cli.commands.count
from core.cli.main import main
core.cli.commands.count.count = lambda: warnings.warn("a package has something to say", stacklevel=1)
main(["count"])
"""


@pytest.mark.parametrize(("asked", "said"), [("", False), ("default", True)])
def test_warnings_of_packages_are_for_whoever_asks_for_them(asked, said):
    done = subprocess.run(
        [sys.executable, "-c", WARNS],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": asked},
    )
    assert done.returncode == 0, done.stderr
    assert ("something to say" in done.stderr) is said
