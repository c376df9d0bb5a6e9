"""What the command line prints: never a traceback because of a character or a reader, and nothing that steers a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from forking import Parent, loaded

from core.cli.console import print_error, print_json
from core.errors import BadValue, DatasetCorrupt, SpikefrontError
from core.showing import LIMIT, clipped, plain, printable, printable_json, shown

STEERING = [
    "\x1b[31m",
    "\x07",
    "\r",
    "\x00",
    "\x7f",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u2028",
    "\udce9",
    "\x08",
    "\ufeff",
]


def run(*words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "core.cli", *words]
    return subprocess.run(command, capture_output=True, timeout=120, check=False, env={**os.environ, **env})


#: Several commands of one process, each as if it were the only one and with each encoding that PYTHONIOENCODING can ask
#: for, with a mark behind what it said.
IN_TURN = """
import sys
from core.cli.main import main
first, kept = sys.stdout, []
for asked in {encodings!r}:
    encoding, _, errors = asked.partition(":")
    for words in {every!r}:
        sys.stdout = type(first)(open(1, "wb", closefd=False), encoding=encoding, errors=errors or "strict")
        kept.append(sys.stdout)  # as sys.__stdout__ is
        try:
            main(words)
        except SystemExit as end:
            assert not end.code, (asked, words, end.code)
        sys.stdout.buffer.write(b"END")
        sys.stdout.flush()
"""


def test_a_character_that_the_terminal_has_not_is_written_as_its_code():
    every = [("count", "--mask", "Ref-1"), ("audit",), ("data", "list"), ("count", "--help")]
    encodings = ["ascii", "latin-1", "cp1252", "utf-8:strict", "latin-1:strict"]
    done = subprocess.run(
        [sys.executable, "-c", IN_TURN.format(encodings=encodings, every=every)],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.split(b"END")
    assert len(said) == len(encodings) * len(every) + 1 and all(said[:-1])


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8:strict"])
def test_json_is_the_same_value_in_every_encoding(tmp_path, encoding):
    name = "caf\u00e9-\u4e2d-\udce9-\x9b"
    done = run("count", "--mask", os.fsencode(name), "--json", PYTHONIOENCODING=encoding)
    assert done.returncode == 1
    assert json.loads(done.stdout.decode(encoding.partition(":")[0]))["fields"]["name"] == name


def test_json_keeps_its_value_and_steers_no_terminal(capsys):
    value = {"name": "".join(STEERING) + "\u00e9", "list": [1, None]}
    print_json(value)
    said = capsys.readouterr().out
    assert json.loads(said) == value
    assert not any(sign in said for sign in STEERING) and "\u00e9" in said


@pytest.mark.parametrize("sign", STEERING)
def test_an_error_that_names_a_file_steers_no_terminal(capsys, sign):
    error = DatasetCorrupt(name="mine", file=f"train/a{sign}b.png", why=f"of a{sign}b.")
    print_error(error, as_json=True)
    said = capsys.readouterr()
    assert sign not in said.err and sign not in said.out
    assert json.loads(said.out)["fields"]["file"] == f"train/a{sign}b.png"
    assert said.err.count("\n") == 1


def test_an_error_keeps_its_lines_and_its_letters(capsys):
    print_error(SpikefrontError("One:\n\ttwo, caf\u00e9 \u4e2d \u05d0 \U0001f9e0"), as_json=False)
    assert capsys.readouterr().err == "spikefront: One:\n\ttwo, caf\u00e9 \u4e2d \u05d0 \U0001f9e0\n"


@pytest.fixture(scope="module")
def light() -> Iterator[Parent]:
    """A process that has the light commands loaded."""
    with loaded(*(f"core.cli.commands.{name}" for name in ("count", "data", "audit"))) as one:
        yield one


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words", [("count",), ("count", "--json"), ("data", "--help"), ("--version",), ("count", "--mask", "X", "--json")]
)
def test_a_full_disk_behind_standard_output_is_a_sentence(light, words, unbuffered):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        done = light.run(*words, stdout=full, text=False, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(b"spikefront: Standard output cannot be written:")
    assert b"Traceback" not in done.stderr and b"ignored" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("count",), ("count", "--json"), ("--help",), ("count", "--mask", "X", "--json")])
def test_a_reader_who_has_gone_is_nothing_to_talk_about(light, words, unbuffered):
    read, write = os.pipe()
    os.close(read)
    try:
        done = light.run(*words, stdout=write, text=False, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    finally:
        os.close(write)
    assert done.returncode in (0, 1)
    assert all(line.startswith(b"spikefront: There is no") for line in done.stderr.splitlines())


def test_a_value_is_shown_as_it_is_unless_it_is_long():
    assert (shown("a\x1b"), shown(1.5), shown(None), shown([1])) == (r"'a\x1b'", "1.5", "None", "[1]")
    assert shown("x" * LIMIT) == repr("x" * LIMIT)
    assert shown("x" * 3_000_000) == f"{'x' * LIMIT!r}... (3,000,000 characters)"
    assert len(shown(list(range(10**5)))) < LIMIT + 40
    assert shown(10**5000) == plain(10**5000) == "a very large number" and plain(2**63 - 1) == 2**63 - 1
    assert plain([10**5000]) == "a list with a very large number"
    assert clipped("abc", 2) == "ab... (3 characters)"


def test_signs_that_steer_are_written_out():
    assert printable("a\x1b[31m\u202e\udce9\tb\nc") == "a\\x1b[31m\\u202e\\udce9\tb\nc"
    assert json.loads(printable_json('"\x7f\u202e"')) == "\x7f\u202e"


def test_no_value_is_repeated_whole_in_an_error():
    long = "x" * 3_000_000
    for error in (BadValue(field=long, value=long, expected=long), SpikefrontError(long)):
        assert len(error.message) < 10_000 and all(len(str(value)) < 10_000 for value in error.fields.values())
