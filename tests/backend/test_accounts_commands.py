"""`spikefront user` and `spikefront token`: what they make opens the API, no argument holds a secret."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from apis import client_over
from commands import called
from people import PASSWORD

from core.settings import Settings


@pytest.fixture
def spikefront(settings: Settings):
    """Runs a command on this installation, in this process; `typed` is its standard input."""

    def running(*args: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        url = {"SPIKEFRONT_DATABASE_URL": settings.database_url_override} if settings.database_url_override else {}
        return called(*args, typed=typed, SPIKEFRONT_HOME=str(settings.home), **url)

    return running


def test_accounts_and_tokens_by_command_open_the_api(spikefront, settings: Settings) -> None:
    assert "no accounts" in spikefront("user", "list").stdout
    made = spikefront("user", "add", "Ann", "--role", "admin", typed=f"{PASSWORD}\n")
    assert (made.returncode, made.stdout) == (0, "ann (admin): made\n"), made.stderr
    token = spikefront("token", "add", "ann", "--name", "nightly", "--scope", "submit", "--days", "30")
    assert token.returncode == 0 and token.stdout.startswith("sft_") and token.stdout.count("\n") == 1
    assert "not shown again" in token.stderr and "sft_" not in token.stderr
    listed = json.loads(spikefront("token", "list", "--json").stdout)["items"]
    assert [(item["account"], item["name"], item["scope"]) for item in listed] == [("ann", "nightly", "submit")]
    with client_over(settings) as client:
        shown = {"Authorization": f"Bearer {token.stdout.strip()}"}
        assert client.get("/api/v1/me", headers=shown).json()["scope"] == "submit"
        assert client.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD}).status_code == 201
        assert spikefront("token", "revoke", listed[0]["id"]).returncode == 0
        assert client.get("/api/v1/me", headers=shown).status_code == 401
        assert spikefront("user", "role", "ann", "viewer").stdout == "ann (viewer): changed\n"
        assert spikefront("user", "password", "ann", typed="another password").returncode == 0
        assert client.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD}).status_code == 401
        assert "disabled" in spikefront("user", "disable", "ann").stdout
        assert client.post("/api/v1/sign-in", json={"name": "ann", "password": "another password"}).status_code == 401
        noted = client.get("/api/v1/audit-log").json()["items"]
        assert {item["via"] for item in noted if item["action"] in ("account.made", "role.changed")} == {"command"}


@pytest.mark.parametrize(
    ("args", "typed", "says"),
    [
        (("user", "add", "a b"), "", "name is 'a b'; it must be"),
        (("user", "add", "ann"), "short\n", "password is '(not shown)'; it must be"),
        (("user", "add", "ann"), "", "password"),
        (("user", "role", "nobody", "admin"), "", "There is no account with id 'nobody'"),
        (("token", "add", "nobody", "--name", "x"), "", "There is no account with id 'nobody'"),
        (("token", "revoke", "x"), "", "There is no token with id 'x'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_without_the_password(spikefront, args, typed, says) -> None:
    done = spikefront(*args, typed=typed)
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr
    assert "short" not in done.stderr.replace("shorter", "")


def test_a_password_is_asked_for_on_a_terminal_and_not_echoed(settings: Settings) -> None:
    env = {**os.environ, "SPIKEFRONT_HOME": str(settings.home)}
    child, terminal = pty.fork()
    if not child:  # pragma: no cover, another process
        os.execve(sys.executable, [sys.executable, "-m", "core.cli", "user", "add", "ben"], env)
    seen = b""
    for typed in (PASSWORD, PASSWORD):
        while not seen.rstrip().endswith((b"Password:", b"again:")):
            seen += os.read(terminal, 1024)
        os.write(terminal, typed.encode() + b"\n")
        seen += b"|"
    try:
        while chunk := os.read(terminal, 1024):
            seen += chunk
    except OSError:  # the child has closed its end
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, seen
    assert b"ben (member): made" in seen and PASSWORD.encode() not in seen


def test_no_option_takes_a_password(spikefront) -> None:
    for act in ("add", "password"):
        told = spikefront("user", act, "--help").stdout
        assert "--password " not in told and "standard input" in told + spikefront("user", "add", "--help").stdout
