"""A user without a home directory: what needs none works, and what would write says what to set."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import HomeUnusable
from core.homes import NOWHERE, expanded, user_home
from core.settings import Settings, prepare_home, read_token

ROOT = Path(__file__).parents[2]


@pytest.fixture
def homeless(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs a command as a user whom neither the environment nor the list of users gives a home."""
    (tmp_path / "sitecustomize.py").write_text(
        "import pwd\n\n\ndef nobody(_):\n    raise KeyError('no such user')\n\n\npwd.getpwuid = nobody\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPIKEFRONT_") and name != "HOME"}

    def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
            env={**kept, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", **env},
        )  # fmt: skip

    return run


LOOKS = [("audit",), ("count", "--json"), ("data", "list"), ("data", "verify")]


@pytest.mark.parametrize(
    ("words", "env"),
    [  # without the variable and with an empty one in turn; each command with both at length
        pytest.param(words, env, marks=[] if place % 2 == n else pytest.mark.exhaustive)
        for place, words in enumerate(LOOKS)
        for n, env in enumerate(({}, {"HOME": ""}))
    ],
)
def test_what_only_looks_works_without_a_home(homeless, words, env):
    done = homeless("core.cli", *words, **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_doctor_looks_at_all_the_rest_too(homeless):
    done = homeless("core.cli", "doctor")
    assert "Traceback" not in done.stderr and done.returncode == 1
    assert "this user has no home directory" in done.stdout and "data digits" in done.stdout


@pytest.mark.parametrize(
    "words", [("core.cli", "up"), ("core.cli", "worker"), ("core.cli", "data", "fetch", "cifar10"), ("backend",)]
)
def test_what_writes_says_what_to_set(homeless, words):
    done = homeless(*words)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "no home directory" in done.stderr and "SPIKEFRONT_HOME=" in done.stderr


def test_the_dashboard_needs_no_home_but_that_of_the_settings(homeless, tmp_path):
    code = "from core.settings import Settings; from frontend.serving.server import create; create(Settings())"
    (tmp_path / "make_dashboard.py").write_text(code)
    done = homeless("make_dashboard", SPIKEFRONT_HOME=str(tmp_path / "home"))
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_nothing_is_made_where_nothing_can_be():
    for writing in (prepare_home, read_token):
        with pytest.raises(HomeUnusable, match="SPIKEFRONT_HOME"):
            writing(Settings(home=NOWHERE))
    assert not NOWHERE.parent.exists()


def test_a_tilde_is_the_users_home_also_where_only_the_list_of_users_tells_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded(Path("~/a")) == tmp_path / "a" and expanded(Path("~")) == tmp_path
    assert expanded(Path("/x/~/a")) == Path("/x/~/a")
    for empty in ("", " "):
        monkeypatch.setenv("HOME", empty)
        assert user_home() == Path(os.path.expanduser(f"~{_user_name()}"))
    with pytest.raises(ValueError, match="no user 'no-such-user'"):
        expanded(Path("~no-such-user/a"))


def _user_name() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
