"""Addresses made of paths: what reads them finds the same path, whatever its characters."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from kombu import Connection
from sqlalchemy import create_engine, make_url, text

from core.addresses import SOCKET_PATH_LIMIT, broker_place, broker_url, file_url, folder_of, origin, sqlite_url
from core.cli.commands.up import inner_addresses
from core.errors import BadValue
from core.launcher import broker
from core.settings import Settings

NAMES = [
    "plain",
    "C# lab",
    "what?",
    "100%",
    "%23",
    "a+b",
    "a&b=c",
    "caf\u00e9",
    "a;b",
    "a@b",
    "a:b",
    "[x]",
    "a'b\"c",
    "a\\b",
    "~x",
]


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No SPIKEFRONT_ variable of the machine reaches the settings."""
    for name in [name for name in os.environ if name.startswith("SPIKEFRONT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return monkeypatch


@pytest.mark.parametrize("name", NAMES)
def test_a_database_is_made_in_the_folder_of_that_name(tmp_path, name):
    file = tmp_path / name / "spikefront.db"
    file.parent.mkdir()
    assert make_url(sqlite_url(file)).database == str(file)
    engine = create_engine(sqlite_url(file))
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
    engine.dispose()
    assert file.exists() and [path.name for path in tmp_path.iterdir()] == [name]


@pytest.fixture(scope="module")
def broker_socket():
    """The socket of a real broker, in a folder whose name is short enough for one."""
    folder = Path(tempfile.mkdtemp(prefix="sf-"))
    process = subprocess.Popen(
        [str(broker.binary()), "--port", "0", "--unixsocket", str(folder / "s"), "--save", ""],
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        end = time.monotonic() + 20
        while not broker.answers(folder / "s"):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.02)
        yield folder / "s"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_broker_is_asked_on_the_socket_of_that_name(broker_socket, name):
    link = broker_socket.with_name(name)
    link.symlink_to(broker_socket)
    options = {"max_retries": 0, "socket_timeout": 5}
    with Connection(broker_url(link), transport_options=options) as connection:
        connection.ensure_connection(max_retries=0)
        assert connection.default_channel.client.ping()


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_read_back_from_its_address(tmp_path, name):
    assert folder_of(file_url(tmp_path / name), setting="S") == tmp_path / name
    assert folder_of(str(tmp_path / name), setting="S") == tmp_path / name  # a plain path is a path


def test_a_plain_relative_path_is_below_the_current_folder_and_a_tilde_is_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_of("lab/runs", setting="S") == tmp_path / "lab" / "runs"
    assert folder_of("~/runs", setting="S") == tmp_path / "user" / "runs"
    assert folder_of("file://localhost/srv/runs", setting="S") == Path("/srv/runs")


@pytest.mark.parametrize(
    "address",
    ["file://lab/runs", "file:runs", "file://~/runs", "file:///x/C# lab", "file:///x/what?", "s3://bucket/runs", "file://[x"],
)  # fmt: skip
def test_an_address_that_names_no_folder_is_refused_under_its_setting(address):
    with pytest.raises(BadValue, match="SPIKEFRONT_ARTIFACTS_URL"):
        folder_of(address, setting="SPIKEFRONT_ARTIFACTS_URL")


@pytest.mark.parametrize("name", [*NAMES, "x" * SOCKET_PATH_LIMIT])
def test_a_worker_of_its_own_asks_the_broker_that_up_starts(tmp_path, name):
    settings = Settings(home=tmp_path / name)
    assert broker_place(settings.home) == broker.socket_path(settings)
    assert settings.broker_url == broker_url(broker.socket_path(settings))


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_made_of_a_home_lies_in_it(tmp_path, name):
    settings = Settings(home=tmp_path / name)
    assert make_url(settings.database_url).database == str(tmp_path / name / "spikefront.db")
    assert folder_of(settings.artifacts_url, setting="S") == tmp_path / name / "runs"


def test_a_relative_home_means_the_same_to_every_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPIKEFRONT_HOME", "lab")
    monkeypatch.setenv("SPIKEFRONT_DATA", "sets")
    settings = Settings()
    monkeypatch.chdir("/")
    assert (settings.home, settings.data) == (tmp_path / "lab", tmp_path / "sets")
    assert settings.artifacts_url == (tmp_path / "lab" / "runs").as_uri()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("labbox", "http://labbox:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # all addresses are no address to go to
        ("::", "http://[::1]:80"),
        ("0:0:0:0:0:0:0:0", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("2001:db8::7", "http://[2001:db8::7]:80"),
    ],
)
def test_a_host_is_reached_at_its_address(host, address):
    assert origin(host, 80) == address
    settings = Settings(host=host, api_port=80, dashboard_port=80)
    assert settings.api_url == settings.public_url == settings.dashboard_url == address


def test_a_host_may_have_the_brackets_that_addresses_want(monkeypatch):
    monkeypatch.setenv("SPIKEFRONT_HOST", " [::1] ")
    assert (Settings().host, Settings().api_url) == ("::1", "http://[::1]:8000")


def test_what_browsers_call_the_api_and_where_the_dashboard_reaches_it_are_two_settings(monkeypatch):
    monkeypatch.setenv("SPIKEFRONT_PUBLIC_URL", "https://lab.example/spikes/")
    assert (Settings().public_url, Settings().api_url) == ("https://lab.example/spikes", "http://127.0.0.1:8000")
    monkeypatch.setenv("SPIKEFRONT_API_URL", "http://api:8000/")
    assert (Settings().public_url, Settings().api_url) == ("https://lab.example/spikes", "http://api:8000")
    assert inner_addresses(Settings()) == {}


def test_the_address_of_the_api_alone_is_both_but_for_services_of_one_machine(monkeypatch):
    monkeypatch.setenv("SPIKEFRONT_API_URL", "http://labbox:8000")
    assert (Settings().public_url, Settings().api_url) == ("http://labbox:8000", "http://labbox:8000")
    for name, value in inner_addresses(Settings(host="0.0.0.0")).items():
        monkeypatch.setenv(name, value)
    assert (Settings().public_url, Settings().api_url) == ("http://labbox:8000", "http://127.0.0.1:8000")


@pytest.mark.parametrize("setting", ["SPIKEFRONT_PUBLIC_URL", "SPIKEFRONT_API_URL"])
@pytest.mark.parametrize(
    "address",
    ["labbox:8000", "ftp://labbox", "http://", "http://::1:8000", "http://[::1", "http://lab:eighty", "http://lab/?a=b",
     "http://lab/#a", "//lab"],
)  # fmt: skip
def test_an_address_that_no_link_can_begin_with_is_refused_under_its_setting(monkeypatch, setting, address):
    monkeypatch.setenv(setting, address)
    with pytest.raises(BadValue, match=setting):
        Settings()
