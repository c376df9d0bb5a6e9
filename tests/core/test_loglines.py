"""A line of a log says the event and its values; on the command line it is a sentence's worth, told once."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest
from commands import called

from core.loglines import JsonFormatter, LineFormatter, Once, PersonFormatter, refuse


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
    done = called("table", SPIKEFRONT_HOME=str(tmp_path))
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


@pytest.mark.parametrize("value", ["a\nb", "\x1b[31m", "\udce9", 3, None])
def test_as_json_a_line_is_one_object_with_its_values_and_the_time_in_utc(value):
    line = JsonFormatter().format(record("run.created", run_id="ab12", value=value))
    assert line.isprintable()
    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    assert said == {"level": "WARNING", "event": "run.created", "run_id": "ab12", "value": value}


def test_a_part_that_does_not_start_says_so_as_its_log_is_written(monkeypatch, capsys):
    refuse("worker", code="bad-value", sentence="It must be\nright.")
    assert capsys.readouterr().err == "It must be\\nright.\n"
    monkeypatch.setenv("SPIKEFRONT_LOG_FORMAT", "json")
    with_handlers = logging.getLogger().handlers[:]
    try:
        refuse("worker", code="bad-value", sentence="It must be right.")
    finally:
        logging.getLogger().handlers[:] = with_handlers
    said = json.loads(capsys.readouterr().err)
    assert (said["event"], said["reason"]) == ("worker.not_started", "It must be right.")
