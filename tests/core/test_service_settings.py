"""Settings of an installation behind a proxy: names, a path, whom to trust, and secrets that stand in files."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.addresses import below, with_password
from core.errors import BadValue
from core.host.child_env import WITHHELD
from core.settings import Settings, read_client_secret, read_token, settings_now

DATABASE, BROKER = "postgresql://spikefront@db:5432/spikefront", "redis://broker:6379/0"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SPIKEFRONT_")]:
        monkeypatch.delenv(name)


def told(monkeypatch: pytest.MonkeyPatch, **values: object) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"SPIKEFRONT_{name}", str(value))
    return Settings()


def refused(monkeypatch: pytest.MonkeyPatch, **values: object) -> str:
    with pytest.raises(BadValue) as caught:
        told(monkeypatch, **values)
    return caught.value.message


@pytest.mark.parametrize(
    ("public", "base", "links", "dashboard"),
    [
        ("https://lab.example", "", "https://lab.example", "https://lab.example"),
        ("https://lab.example/", "/sf/", "https://lab.example/sf", "https://lab.example/sf"),
        ("https://lab.example/sf", "/sf", "https://lab.example/sf", "https://lab.example/sf"),
        ("https://sf", "/sf", "https://sf/sf", "https://sf/sf"),
        ("http://labbox:8000", "", "http://labbox:8000", "http://labbox:8501"),  # the API itself
        ("http://[2001:db8::1]:8000", "", "http://[2001:db8::1]:8000", "http://[2001:db8::1]:8501"),
        ("", "/sf", "http://127.0.0.1:8000/sf", "http://127.0.0.1:8501/sf"),
    ],
)
def test_links_begin_with_the_public_address_and_the_path(monkeypatch, public, base, links, dashboard):
    settings = told(monkeypatch, PUBLIC_URL=public, BASE_PATH=base)
    assert (settings.public_url, settings.dashboard_url, settings.api_url) == (
        links,
        dashboard,
        "http://127.0.0.1:8000",
    )


def test_lists_take_commas_and_spaces(monkeypatch):
    settings = told(monkeypatch, ALLOWED_HOSTS="Labbox, lab.example.", TRUSTED_PROXIES="10.0.0.5 172.16.0.0/12,::1")
    assert settings.allowed_hosts == ("labbox", "lab.example")
    assert settings.forwarded_allow_ips == ["10.0.0.5", "172.16.0.0/12", "::1"]
    assert Settings(trusted_proxies=()).forwarded_allow_ips is None  # uvicorn's own: this machine


@pytest.mark.parametrize(
    ("name", "value"),
    [("BASE_PATH", "sf"), ("BASE_PATH", "/api"), ("BASE_PATH", "/s/x"), ("BASE_PATH", "/a/../b"), ("BASE_PATH", "/a b"),
     ("BASE_PATH", "//evil.example"), ("ALLOWED_HOSTS", "lab:80"), ("ALLOWED_HOSTS", "*"), ("TRUSTED_PROXIES", "*"),
     ("TRUSTED_PROXIES", "proxy"), ("TRUSTED_PROXIES", "10.0.0.1/8"), ("LOG_FORMAT", "xml"),
     ("OIDC_ISSUER", "http://login.example"), ("OIDC_ISSUER", "https://login.example?x=1"), ("OIDC_ISSUER", "login"),
     ("OIDC_SCOPES", "profile email"), ("OIDC_ROLES", "lab"), ("OIDC_ROLES", "lab=owner"), ("OIDC_ROLES", "=admin"),
     ("OIDC_ACCOUNTS", "admin"), ("OIDC_CLIENT_ID", "two words"), ("OIDC_LABEL", "x" * 61), ("AUDIT_DAYS", "-1")],
)  # fmt: skip
def test_a_value_that_cannot_be_meant_is_refused_by_its_name(monkeypatch, name, value):
    assert refused(monkeypatch, **{name: value}).startswith(f"SPIKEFRONT_{name} is ")


def test_a_path_that_two_settings_say_differently_is_refused(monkeypatch):
    assert "SPIKEFRONT_BASE_PATH" in refused(monkeypatch, PUBLIC_URL="https://lab.example/a", BASE_PATH="/b")


def test_passwords_of_files_stand_in_the_addresses_that_connect_and_nowhere_else(monkeypatch, tmp_path):
    file = tmp_path / "password"
    file.write_text("p@s/s:w%rd #1\n")
    settings = told(
        monkeypatch, DATABASE_URL=DATABASE, BROKER_URL=BROKER, DATABASE_PASSWORD_FILE=file, BROKER_PASSWORD_FILE=file
    )
    for url, user in ((settings.database_url, "spikefront"), (settings.broker_url, "")):
        parts = urlsplit(url)
        assert (parts.username, unquote(parts.password), parts.hostname) == (
            user,
            "p@s/s:w%rd #1",
            urlsplit(url).hostname,
        )
    assert "p@s" not in repr(settings) and "p%40s" not in repr(settings)


@given(st.text(min_size=1, max_size=40, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_password_comes_back_out_of_the_address(password):
    parts = urlsplit(with_password("redis://user@broker:6379/0?x=1", password))
    assert (unquote(parts.password), parts.username, parts.port, parts.query) == (password, "user", 6379, "x=1")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\n", b"x" * 2000])
def test_a_file_without_a_password_is_named_with_its_setting(monkeypatch, tmp_path, content):
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    settings = told(monkeypatch, DATABASE_URL=DATABASE, DATABASE_PASSWORD_FILE=file)
    with pytest.raises(BadValue, match="^SPIKEFRONT_DATABASE_PASSWORD_FILE is "):
        assert settings.database_url


@pytest.mark.parametrize("url", ["", "postgresql://spikefront:other@db/spikefront"])
def test_a_password_file_wants_an_address_without_one(monkeypatch, url):
    said = refused(monkeypatch, DATABASE_URL=url, DATABASE_PASSWORD_FILE="/run/secrets/x")
    assert said.startswith("SPIKEFRONT_DATABASE_PASSWORD_FILE is ") and "other" not in said


def test_an_old_name_of_postgresql_is_told_in_one_sentence_without_the_address(monkeypatch):
    said = refused(monkeypatch, DATABASE_URL="postgres://u:secret@db/x")
    assert "postgresql://" in said and "secret" not in said and "\n" not in said


def test_the_token_of_a_setting_or_its_file_is_taken_and_none_is_made(monkeypatch, tmp_path):
    home, file = tmp_path / "home", tmp_path / "token"
    file.write_text("of-a-file\n")
    assert read_token(told(monkeypatch, HOME=home, TOKEN="of-a-setting")) == "of-a-setting"
    assert refused(monkeypatch, TOKEN_FILE=file).startswith("SPIKEFRONT_TOKEN_FILE is ")
    monkeypatch.delenv("SPIKEFRONT_TOKEN")
    assert read_token(Settings()) == "of-a-file"
    assert not home.exists()


@pytest.mark.parametrize("content", [None, "two words", "", "ü"])
def test_a_token_file_without_a_token_is_refused_and_left_alone(monkeypatch, tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadValue, match="^SPIKEFRONT_TOKEN_FILE is "):
        read_token(told(monkeypatch, TOKEN_FILE=file))
    assert file.exists() == (content is not None)


def test_a_token_is_in_no_error_and_no_print(monkeypatch):
    assert "se cret" not in refused(monkeypatch, TOKEN="se cret")
    assert "hidden" not in repr(told(monkeypatch, TOKEN="hidden"))


def test_a_trainer_gets_no_secret_and_no_way_to_one():
    secrets = [
        name
        for name in map(str, _variables())
        if any(word in name for word in ("TOKEN", "PASSWORD", "SECRET")) or name.endswith("_URL")
    ]
    ours = {name for name in WITHHELD if name.startswith("SPIKEFRONT_")}
    assert set(secrets) - {"SPIKEFRONT_PUBLIC_URL", "SPIKEFRONT_API_URL"} == ours
    assert {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE"} <= set(WITHHELD)


def _variables() -> list[str]:
    return [field.validation_alias or f"SPIKEFRONT_{name.upper()}" for name, field in Settings.model_fields.items()]


@given(st.sampled_from(["/", "/run", "/api/v1/runs", "/sfx", "/sf/sf", ""]), st.sampled_from(["", "/sf", "/lab/sf"]))
def test_what_stands_below_a_path_is_found_whether_a_proxy_took_it_off_or_not(path, base):
    assert below(base + path, base) == (path or "/") if base else below(path, base) == path
    if not path.startswith("/sf/") or base != "/sf":
        assert below(path, base) == path


def test_a_provider_is_named_to_the_letter_with_our_name_there(monkeypatch):
    settings = told(monkeypatch, OIDC_ISSUER="https://login.example/", OIDC_CLIENT_ID="spikefront")
    assert (settings.oidc_issuer, settings.oidc_accounts, settings.oidc_roles) == ("https://login.example/", "off", ())
    assert told(monkeypatch, OIDC_ISSUER="http://127.0.0.1:9000").oidc_issuer == "http://127.0.0.1:9000"
    roles = told(monkeypatch, OIDC_ROLES="cn=heads=admin, lab = member,").oidc_roles
    assert roles == (("cn=heads", "admin"), ("lab", "member"))


@pytest.mark.parametrize(("given", "missing"), [("OIDC_ISSUER", "OIDC_CLIENT_ID"), ("OIDC_CLIENT_ID", "OIDC_ISSUER")])
def test_an_issuer_and_our_name_there_go_together(monkeypatch, given, missing):
    said = refused(monkeypatch, **{given: "https://login.example"})
    assert said.startswith(f"SPIKEFRONT_{missing} ")


def test_the_secret_for_the_provider_stands_in_a_file_and_in_no_repr(monkeypatch, tmp_path):
    file = tmp_path / "secret"
    file.write_text("of-the-client\n")
    settings = told(monkeypatch, OIDC_CLIENT_SECRET_FILE=file)
    assert read_client_secret(settings) == "of-the-client" and "of-the-client" not in repr(settings)
    assert read_client_secret(Settings(oidc_client_secret_file=None)) is None
    file.write_text("\n")
    assert read_client_secret(settings) is None, "a public client, whose file Docker Compose wants all the same"
    file.write_text("two words\n")
    with pytest.raises(BadValue, match="^SPIKEFRONT_OIDC_CLIENT_SECRET_FILE is ") as caught:
        read_client_secret(settings)
    assert "two words" not in caught.value.message
    assert "SPIKEFRONT_OIDC_CLIENT_SECRET_FILE" in WITHHELD


def test_the_environment_is_read_again_when_it_or_the_folder_has_changed(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKEFRONT_HOME", str(tmp_path / "one"))
    first = settings_now()
    assert first == Settings() and settings_now() is first
    monkeypatch.setenv("SPIKEFRONT_DATA", "sets")
    monkeypatch.chdir(tmp_path)
    assert settings_now().data == tmp_path / "sets"
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert settings_now().data == tmp_path / "below" / "sets"
    monkeypatch.delenv("SPIKEFRONT_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "mine"))
    assert settings_now().home == tmp_path / "mine" / ".spikefront"
    monkeypatch.setenv("SPIKEFRONT_API_PORT", "none")
    with pytest.raises(BadValue, match="SPIKEFRONT_API_PORT"):
        settings_now()
