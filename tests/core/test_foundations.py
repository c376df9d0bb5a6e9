"""Registry, errors, units and settings."""

import stat
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.cli.commands.data import _folder_to_fill as data_folder_to_fill
from core.errors import BadValue, HomeUnusable, ImpossibleMask, SpikefrontError, UnknownName
from core.registry import Registry
from core.settings import Settings, prepare_home, read_token
from core.units import (
    common_energy_scale,
    energy_in,
    format_count,
    format_duration,
    format_energies,
    format_energy,
    mj_to_pj,
    pj_to_mj,
)


def test_a_registry_keeps_its_order_and_refuses_a_duplicate():
    table = Registry("colour")
    table.add("red", 1)
    table.add("blue", 2)
    assert list(table) == ["red", "blue"] and len(table) == 2 and table["blue"] == 2
    assert "red" in table and "green" not in table
    with pytest.raises(ValueError, match="colour 'red' is registered twice"):
        table.add("red", 3)


def test_an_unknown_name_suggests_near_ones_and_else_names_all():
    table = Registry("colour")
    for name in ("crimson", "blue"):
        table.add(name, name)
    with pytest.raises(UnknownName, match="There is no colour named 'crimsn'. Did you mean crimson?") as caught:
        table["crimsn"]
    assert caught.value.fields == {"kind": "colour", "name": "crimsn", "near": ["crimson"]}
    with pytest.raises(UnknownName, match="Known: blue, crimson"):
        table["xyz"]


def test_every_error_has_a_code_of_its_own_and_a_docstring():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SpikefrontError)]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes) > 20
    assert all(kind.__doc__ for kind in kinds)


def test_an_error_says_a_sentence_and_carries_its_fields():
    error = BadValue(field="training.lr", value=-1, expected="above 0")
    assert str(error) == error.message == "training.lr is -1; it must be above 0."
    assert error.fields == {"field": "training.lr", "value": -1, "expected": "above 0"}
    assert ImpossibleMask(mask=(), why="x").message == "The mask (empty) is impossible: x"
    assert BadValue(field="f", value=[1], expected="x").fields["value"] == "[1]"  # JSON-ready


@given(st.floats(-1e12, 1e12))
def test_energy_survives_a_trip_through_millijoules(energy_pj):
    assert mj_to_pj(pj_to_mj(energy_pj)) == pytest.approx(energy_pj)


@pytest.mark.parametrize(
    ("energy_pj", "text"),
    [
        (0, "0 pJ"),
        (12.34, "12.3 pJ"),
        (999.9, "1 nJ"),
        (1e3, "1 nJ"),
        (29.5e6, "29.5 µJ"),
        (0.252e9, "252 µJ"),
        (1.7797e9, "1.78 mJ"),
    ],
)
def test_energy_is_shown_in_a_fitting_unit(energy_pj, text):
    assert format_energy(energy_pj) == text


def test_energies_that_are_read_side_by_side_share_the_unit_of_the_middle_one():
    assert format_energies([28.9e6, 1.2e9, 35e6]) == ["28.9 µJ", "1,200 µJ", "35 µJ"]
    assert format_energies([0, 0]) == ["0 pJ", "0 pJ"]
    assert energy_in(8.11e6, common_energy_scale([2e9])) == "0.00811 mJ"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (4_466_848, "4.47 M"), (999_999, "1 M"), (2e9, "2 G")]
)
def test_a_count_is_shown_with_a_prefix(count, text):
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("wall_s", "text"), [(0.4, "0 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7200, "2 h"), (7500, "2 h 5 min")]
)
def test_a_duration_is_shown_for_people(wall_s, text):
    assert format_duration(wall_s) == text


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No SPIKEFRONT_ variable of the machine reaches the settings."""
    import os

    for name in [name for name in os.environ if name.startswith("SPIKEFRONT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def test_settings_have_working_defaults(bare, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has a limit
        monkeypatch.setenv("HOME", folder)
        settings = Settings()
    assert settings.home == Path(folder) / ".spikefront"
    assert (settings.host, settings.api_port, settings.dashboard_port) == ("127.0.0.1", 8000, 8501)
    assert settings.api_url == "http://127.0.0.1:8000"
    assert settings.database_url == f"sqlite:///{settings.home}/spikefront.db"
    assert settings.broker_url == f"redis+socket://{settings.home}/broker/valkey.sock?virtual_host=0"
    assert settings.artifacts_url == f"file://{settings.home}/runs"
    assert settings.data == settings.home / "data"


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("SPIKEFRONT_HOME", "/srv/spikefront", "home"),
        ("SPIKEFRONT_API_PORT", "9000", "api_port"),
        ("SPIKEFRONT_DASHBOARD_PORT", "9001", "dashboard_port"),
        ("SPIKEFRONT_DATABASE_URL", "postgresql://db/x", "database_url"),
        ("SPIKEFRONT_BROKER_URL", "redis://broker:6379/1", "broker_url"),
        ("SPIKEFRONT_ARTIFACTS_URL", "s3://bucket/runs", "artifacts_url"),
        ("SPIKEFRONT_DATA", "/srv/data", "data"),
    ],
)
def test_each_variable_sets_its_field(bare, variable, value, field):
    bare.setenv(variable, value)
    assert str(getattr(Settings(), field)) == value


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_variable_counts_as_not_set(bare, empty):
    default = Settings()
    for name in Settings.model_fields.values():
        bare.setenv(str(name.validation_alias or "SPIKEFRONT_X"), empty)
    for name in ("HOME", "HOST", "API_PORT", "DASHBOARD_PORT"):
        bare.setenv(f"SPIKEFRONT_{name}", empty)
    assert Settings() == default
    assert default.host == "127.0.0.1"


def test_folders_of_variables_may_begin_with_a_tilde(bare, tmp_path):
    bare.setenv("SPIKEFRONT_HOME", "~/lab")
    bare.setenv("SPIKEFRONT_DATA", "~/sets")
    assert (Settings().home, Settings().data) == (tmp_path / "lab", tmp_path / "sets")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SPIKEFRONT_API_PORT", "eighty"),
        ("SPIKEFRONT_API_PORT", "0"),
        ("SPIKEFRONT_DASHBOARD_PORT", "65536"),
        ("SPIKEFRONT_DASHBOARD_PORT", "8501.5"),
        ("SPIKEFRONT_HOME", "~no-such-user/lab"),
        ("SPIKEFRONT_HOME", "/srv/caf\udce9"),
        ("SPIKEFRONT_DATA", "~no-such-user/sets"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_with_its_value_and_what_would_be_right(bare, variable, value):
    bare.setenv(variable, value)
    with pytest.raises(BadValue) as caught:
        Settings()
    assert (caught.value.fields["field"], caught.value.fields["value"]) == (variable, value)
    assert caught.value.fields["expected"].startswith(("a ", "at "))


def test_the_data_folder_follows_the_home(bare, tmp_path):
    bare.setenv("SPIKEFRONT_HOME", str(tmp_path / "h"))
    assert Settings().data == tmp_path / "h" / "data"


def test_a_token_is_made_once_and_readable_by_its_owner_alone(bare, tmp_path):
    settings = Settings(home=tmp_path / "home")
    token = read_token(settings)
    assert len(token) >= 32 and read_token(settings) == token
    assert stat.S_IMODE(settings.token_file.stat().st_mode) == 0o600


def test_a_token_that_others_can_read_is_closed_again(bare, tmp_path):
    settings = Settings(home=tmp_path)
    read_token(settings)
    settings.token_file.chmod(0o644)
    read_token(settings)
    assert stat.S_IMODE(settings.token_file.stat().st_mode) == 0o600


def test_an_empty_token_is_an_error_and_not_a_key(bare, tmp_path):
    settings = Settings(home=tmp_path)
    settings.token_file.write_text("\n")
    with pytest.raises(HomeUnusable, match="token"):
        read_token(settings)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"caf\xc3\xa9", b"two\nlines", b"two words", b"two\r\nlines\r\n", b"a\x00b", b"a\x1b[31m", b"\xef\xbb\xbfabc",
     b"x" * 100_000, b" \n\t", b"\x85"],
)  # fmt: skip
def test_a_token_file_that_holds_no_token_is_a_sentence(bare, tmp_path, content):
    settings = Settings(home=tmp_path)
    settings.token_file.write_bytes(content)
    with pytest.raises(HomeUnusable, match=r"the file 'token' (is|holds) .*; delete it and start again\.") as caught:
        read_token(settings)
    assert caught.value.message.isprintable() and len(caught.value.message) < 1_000
    assert settings.token_file.read_bytes() == content


def test_a_token_of_ones_own_may_have_any_sign_of_ascii(bare, tmp_path):
    settings = Settings(home=tmp_path)
    settings.token_file.write_bytes(b"\t a-b_c.d~e+f/g=h;i'j\"k&l \r\n")
    assert read_token(settings) == "a-b_c.d~e+f/g=h;i'j\"k&l"


def test_threads_that_ask_at_once_get_one_token(bare, tmp_path):
    settings, tokens = Settings(home=tmp_path / "home"), []
    threads = [threading.Thread(target=lambda: tokens.append(read_token(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 8 and len(set(tokens)) == 1


def test_a_home_below_a_file_is_unusable(bare, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnusable, match="file"):
        prepare_home(Settings(home=tmp_path / "file" / "home"))


def others_may(folder):
    """Everything in a folder, and itself, that group or world may do something with."""
    return [path for path in (folder, *folder.rglob("*")) if path.lstat().st_mode & 0o077 and not path.is_symlink()]


@pytest.fixture
def usual_umask():
    """Files are readable by all unless something is done about it; afterwards as it was."""
    import os

    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o750, 0o701])
def test_a_home_that_was_there_before_becomes_private_with_all_that_is_made_in_it(bare, tmp_path, usual_umask, mode):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(mode)
    prepare_home(Settings(home=home))
    (home / "runs" / "one").mkdir(parents=True)
    (home / "runs" / "one" / "weights").write_text("")
    subprocess.run(["sh", "-c", "echo > made-by-a-child"], cwd=home, check=True)
    assert others_may(home) == []


def test_a_new_home_is_private(bare, tmp_path, usual_umask):
    prepare_home(Settings(home=tmp_path / "new" / "home"))
    assert others_may(tmp_path / "new" / "home") == []


def test_a_folder_that_many_share_keeps_its_mode_and_what_is_made_in_it_is_private(bare, tmp_path, usual_umask):
    tmp_path.chmod(0o1777)
    prepare_home(Settings(home=tmp_path))
    (tmp_path / "spikefront.db").write_text("")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
    assert others_may(tmp_path) == [tmp_path]


def test_adding_data_makes_the_home_private(bare, tmp_path, usual_umask):
    bare.setenv("SPIKEFRONT_HOME", str(tmp_path / "home"))
    folder = data_folder_to_fill(None)
    assert folder == tmp_path / "home" / "data"
    assert others_may(tmp_path / "home") == []
    assert data_folder_to_fill(tmp_path / "elsewhere") == tmp_path / "elsewhere"
