"""Settings from the environment, prefix `SPIKEFRONT_`. Built when a program starts, never at import."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.addresses import (
    as_base_path,
    as_host_name,
    as_network,
    broker_place,
    broker_url,
    file_url,
    has_password,
    is_web_address,
    nobody_reads_along,
    origin,
    sqlite_url,
    with_password,
)
from core.errors import BadValue, HomeUnusable
from core.homes import NOWHERE, expanded, user_home
from core.schemas.accounts import Role
from core.schemas.on_gpu import OnGpu
from core.schemas.wording import fault_of

MAX_TOKEN_BYTES = 1_000  # ours has 43; an address that carries it is no longer than browsers take
EXIT_OTHER_SCHEMA = 3  # of the process that looks at the database: its tables are not this version's
PROVIDER_BACK = "/_provider/back"  # of the dashboard: where the sign-in provider sends a browser back to
PREFIX = "SPIKEFRONT_"  # of the variables
OTHERS = 0o077  # what a mode lets group and world do
#: Their values stand in no error.
SECRET = ("SPIKEFRONT_WEBHOOK_URL", "SPIKEFRONT_TOKEN", "SPIKEFRONT_DATABASE_URL", "SPIKEFRONT_BROKER_URL")


def _default_home() -> Path:
    home = user_home()
    return NOWHERE if home is None else home / ".spikefront"


class Settings(BaseSettings):
    """Where things are and what they listen on; every value has a working default. Raises BadValue.

    A variable that is empty counts as not set. Folders may begin with `~`; they are absolute here.
    Environment variables: `SPIKEFRONT_HOME`, `SPIKEFRONT_API_PORT`, `SPIKEFRONT_DASHBOARD_PORT`,
    `SPIKEFRONT_HOST`, `SPIKEFRONT_PUBLIC_URL`, `SPIKEFRONT_BASE_PATH`, `SPIKEFRONT_API_URL`,
    `SPIKEFRONT_ALLOWED_HOSTS`, `SPIKEFRONT_TRUSTED_PROXIES`, `SPIKEFRONT_TOKEN`, `SPIKEFRONT_TOKEN_FILE`,
    `SPIKEFRONT_DATABASE_URL`, `SPIKEFRONT_DATABASE_PASSWORD_FILE`, `SPIKEFRONT_DATABASE_POOL`,
    `SPIKEFRONT_DATABASE_TIMEOUT_S`, `SPIKEFRONT_MIGRATE`, `SPIKEFRONT_BROKER_URL`,
    `SPIKEFRONT_BROKER_PASSWORD_FILE`, `SPIKEFRONT_BROKER_PREFIX`, `SPIKEFRONT_WORKER_NAME`, `SPIKEFRONT_SLOTS`,
    `SPIKEFRONT_MEASURE`, `SPIKEFRONT_EVENTS`, `SPIKEFRONT_ARTIFACTS_URL`, `SPIKEFRONT_ARTIFACTS_CACHE_GB`,
    `SPIKEFRONT_DATA`, `SPIKEFRONT_RECOUNT`, `SPIKEFRONT_WEBHOOK_URL`, `SPIKEFRONT_WEBHOOK_PRIVATE`,
    `SPIKEFRONT_LOG_FORMAT`, `SPIKEFRONT_GC_DAYS`, `SPIKEFRONT_AUDIT_DAYS`, `SPIKEFRONT_METRICS_TOKEN_FILE`,
    `SPIKEFRONT_OIDC_ISSUER`, `SPIKEFRONT_OIDC_CLIENT_ID`, `SPIKEFRONT_OIDC_CLIENT_SECRET_FILE`,
    `SPIKEFRONT_OIDC_SCOPES`, `SPIKEFRONT_OIDC_NAME_CLAIM`, `SPIKEFRONT_OIDC_GROUP_CLAIM`, `SPIKEFRONT_OIDC_ROLES`,
    `SPIKEFRONT_OIDC_ACCOUNTS`, `SPIKEFRONT_OIDC_LABEL`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True)

    home: Path = Field(default_factory=_default_home, validate_default=True)
    host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    dashboard_port: int = Field(default=8501, ge=1, le=65535)
    public_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_PUBLIC_URL")
    base_path: str = Field(default="", description="below which path of its host name browsers find it")
    api_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_API_URL")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(default=(), description="more names that are ours")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="addresses and networks whose X-Forwarded-For and X-Forwarded-Proto count"
    )
    token: SecretStr | None = None
    token_file_override: Path | None = Field(default=None, validation_alias="SPIKEFRONT_TOKEN_FILE")
    database_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_DATABASE_URL", repr=False)
    database_password_file: Path | None = None
    database_pool: int = Field(
        default=20, ge=1, le=500, description="connections to PostgreSQL that a process may hold"
    )
    database_timeout_s: float = Field(default=30.0, ge=1, le=3600, description="the longest that a statement may take")
    migrate: Literal["on", "off"] = Field(default="on", description="bring the database up to date at start")
    broker_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_BROKER_URL", repr=False)
    broker_password_file: Path | None = None
    artifacts_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_ARTIFACTS_URL")
    artifacts_cache_gb: float = Field(
        default=10.0, ge=0.1, le=100_000, description="of files of an object store that are kept on this machine"
    )
    data_override: Path | None = Field(default=None, validation_alias="SPIKEFRONT_DATA")
    recount: Literal["on", "off"] = Field(default="on", description="every finished run counted again by SpikingJelly")
    cuda_graphs: Literal["on", "off"] = Field(
        default="off", description="on a GPU a training step is recorded once and played again"
    )
    triton: Literal["on", "off"] = Field(
        default="off", description="on a GPU normalisation and neurons run in Triton's kernels"
    )
    webhook_url: SecretStr | None = Field(default=None, description="is sent a POST when a run ends")
    webhook_private: bool = Field(default=False, description="that address may be of this machine or a private network")
    log_format: Literal["text", "json"] = Field(default="text", description="of API, dashboard and worker alike")

    broker_prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._:-]{0,64}$",
        description="before every key on the broker, which others use too",
    )
    events: Literal["on", "off"] = Field(
        default="off", description="workers tell Celery's events, as Flower wants them"
    )
    worker_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$",
        description="of a worker; else its host and a random part",
    )
    gc_days: float = Field(default=30.0, ge=0, le=36500, description="what is older than that `spikefront gc` removes")
    audit_days: float = Field(
        default=730.0, ge=0, le=36500, description="what of the audit log is older `spikefront gc` removes"
    )
    metrics_token_file: Path | None = Field(default=None, description="a key that opens GET /metrics alone")
    slots: int | None = Field(
        default=None, ge=1, le=1024, description="runs side by side of a worker; else by its cores"
    )
    queue_limit: int = Field(default=10_000, ge=1, le=1_000_000, description="runs of one person that may wait")
    lease_s: float = Field(
        default=30.0, ge=2, le=3600, description="silence of a worker after which another may take its runs over"
    )
    measure: Literal["on", "off"] = Field(default="on", description="an idle worker times a small network once")
    oidc_issuer: str | None = Field(
        default=None, max_length=500, description="of the provider that people sign in through"
    )
    oidc_client_id: str | None = Field(default=None, pattern=r"^[!-~]{1,255}$", description="our name there")
    oidc_client_secret_file: Path | None = Field(
        default=None, description="what we show it beside that; an empty file: nothing"
    )
    oidc_scopes: str = Field(default="openid profile email", pattern=r"^([!-~]+ )*openid( [!-~]+)*$")
    oidc_name_claim: str = Field(default="preferred_username", description="of an ID token: the name of a new account")
    oidc_group_claim: str = Field(default="groups", description="of an ID token: what OIDC_ROLES goes by")
    oidc_roles: Annotated[tuple[tuple[str, Role], ...], NoDecode] = Field(
        default=(), description="such as lab=member,lab-heads=admin: from then on the provider says who may what"
    )
    oidc_accounts: Literal["off", "roles", "viewer"] = Field(
        default="off", description="who gets an account by signing in: nobody, whose groups give a role, everybody"
    )
    oidc_label: str = Field(default="Sign in with your organisation", max_length=60, description="of the button")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _bad_setting(error) from None

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if not (isinstance(value, str) and not value.strip())}

    @field_validator("host")
    @classmethod
    def _bare(cls, host: str) -> str:
        """An IPv6 address without the brackets that it has in addresses of pages."""
        host = host.strip()
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("public_url_override", "api_url_override")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is not None and not is_web_address(url.strip()):
            raise ValueError("an address such as https://lab.example or http://[::1]:8000")
        return url and url.strip().rstrip("/")

    @field_validator("database_url_override")
    @classmethod
    def _known_kind(cls, url: str | None) -> str | None:
        if url is not None and url.strip().startswith("postgres:"):
            raise ValueError("an address that begins with postgresql://, not with postgres://")
        return url

    @field_validator("base_path")
    @classmethod
    def _below_a_host(cls, path: str) -> str:
        return as_base_path(path)

    @field_validator("allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("oidc_issuer")
    @classmethod
    def _unread(cls, url: str | None) -> str | None:
        """To the letter as the provider names itself, a slash at its end included."""
        if url is not None and not (is_web_address(url.strip()) and nobody_reads_along(url.strip())):
            raise ValueError("an address such as https://login.example/realms/lab; http on this machine alone")
        return url and url.strip()

    @field_validator("oidc_roles", mode="before")
    @classmethod
    def _paired(cls, value: Any) -> Any:
        """`group=role`, with commas between them; a group's name may hold `=`."""
        if not isinstance(value, str):
            return value
        pairs = [part.strip().rpartition("=") for part in value.split(",") if part.strip()]
        if not all(group.strip() and role.strip() in list(Role) for group, _, role in pairs):
            raise ValueError(f"groups and roles such as lab=member,lab-heads=admin; roles: {', '.join(Role)}")
        return tuple((group.strip(), Role(role.strip())) for group, _, role in pairs)

    @field_validator("allowed_hosts")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(as_host_name(name) for name in names)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(as_network(network) for network in networks)

    @field_validator("token")
    @classmethod
    def _sent_as_it_is(cls, token: SecretStr | None) -> SecretStr | None:
        return None if token is None else SecretStr(_as_token(token.get_secret_value()))

    @field_validator("webhook_url")
    @classmethod
    def _sendable(cls, url: SecretStr | None) -> SecretStr | None:
        """Its path and query are often its secret, so what is wrong is said without the value."""
        if url is None:
            return None
        text = url.get_secret_value().strip()
        if not is_web_address(text.partition("?")[0]) or "#" in text or "@" in text.split("/")[2]:
            raise ValueError("an address such as https://chat.example/hooks/abc, without a user name and a fragment")
        return SecretStr(text)

    @field_validator(
        "home",
        "data_override",
        "token_file_override",
        "metrics_token_file",
        "oidc_client_secret_file",
        "database_password_file",
        "broker_password_file",
    )
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        """As every process and every address of it means the same, wherever it was started."""
        if folder is None:
            return None
        try:
            str(folder).encode()
        except UnicodeEncodeError:
            raise ValueError("a folder whose name is text in UTF-8") from None
        return expanded(folder)

    @model_validator(mode="after")
    def _agreeing(self) -> Settings:
        """Raises BadValue for settings that contradict one another."""
        if self.token is not None and self.token_file_override is not None:
            expected = "left out where SPIKEFRONT_TOKEN is set"
            raise BadValue(field="SPIKEFRONT_TOKEN_FILE", value=str(self.token_file_override), expected=expected)
        for url, password, name in (
            (self.database_url_override, self.database_password_file, "DATABASE"),
            (self.broker_url_override, self.broker_password_file, "BROKER"),
        ):
            if password is not None and (url is None or has_password(url)):
                expected = f"given beside an address in SPIKEFRONT_{name}_URL that holds no password itself"
                raise BadValue(field=f"SPIKEFRONT_{name}_PASSWORD_FILE", value=str(password), expected=expected)
        if (self.oidc_issuer is None) is not (self.oidc_client_id is None):
            name = "SPIKEFRONT_OIDC_CLIENT_ID" if self.oidc_client_id is None else "SPIKEFRONT_OIDC_ISSUER"
            raise BadValue(field=name, value=None, expected="given: issuer and client id go together")
        path = urlsplit(self.public_url_override or "").path
        if self.base_path and path not in ("", self.base_path):
            expected = f"without a path, or with {self.base_path}, which SPIKEFRONT_BASE_PATH says"
            raise BadValue(field="SPIKEFRONT_PUBLIC_URL", value=self.public_url_override, expected=expected)
        return self

    @property
    def api_url(self) -> str:
        """Where the dashboard reaches the API, without a trailing slash."""
        return self.api_url_override or origin(self.host, self.api_port)

    @property
    def public_url(self) -> str:
        """Where browsers reach the API, without a trailing slash; every link begins with it."""
        url = self.public_url_override or self.api_url
        return url if urlsplit(url).path else f"{url}{self.base_path}"

    @property
    def public_host(self) -> str | None:
        """The host name of the public address; None where none was told."""
        return urlsplit(self.public_url_override or "").hostname

    @property
    def forwarded_allow_ips(self) -> list[str] | None:
        """As uvicorn takes it; None leaves it at its own, which is this machine alone."""
        return list(self.trusted_proxies) or None

    @property
    def dashboard_url(self) -> str:
        """Where browsers reach the dashboard.

        A public address whose port is the API's leads to the API itself, and the dashboard is at the port beside it;
        any other is that of a proxy before both.
        """
        if self.public_url_override is None:
            return origin(self.host, self.dashboard_port) + self.base_path
        told = urlsplit(self.public_url_override)
        if told.port != self.api_port:
            return self.public_url
        name = f"[{told.hostname}]" if ":" in (told.hostname or "") else told.hostname
        return f"{told.scheme}://{name}:{self.dashboard_port}{self.base_path}"

    @property
    def database_url(self) -> str:
        """With its password; not for a log or a page."""
        if self.database_url_override is None:
            return sqlite_url(self.home / "spikefront.db")
        return self._with_password(self.database_url_override, self.database_password_file, "DATABASE")

    @property
    def broker_socket(self) -> Path:
        """Unix socket of the embedded broker, where the data folder can hold it."""
        return self.home / "broker" / "valkey.sock"

    @property
    def broker_url(self) -> str:
        """With its password; not for a log or a page."""
        if self.broker_url_override is None:
            return broker_url(broker_place(self.home))
        return self._with_password(self.broker_url_override, self.broker_password_file, "BROKER")

    @property
    def artifacts_url(self) -> str:
        return self.artifacts_url_override or file_url(self.home / "runs")

    @property
    def on_gpu(self) -> OnGpu:
        """How a run uses a GPU."""
        return OnGpu(graphs=self.cuda_graphs == "on", triton=self.triton == "on")

    @property
    def data(self) -> Path:
        """Folder that holds one folder a data set."""
        return self.data_override or self.home / "data"

    @property
    def token_file(self) -> Path:
        return self.token_file_override or self.home / "token"

    @staticmethod
    def _with_password(url: str, file: Path | None, name: str) -> str:
        """Read when it is needed, since a part that opens no database need not have its password."""
        return url if file is None else with_password(url, _secret_in(file, setting=f"SPIKEFRONT_{name}_PASSWORD_FILE"))


def settings_now() -> Settings:
    """Those of the environment as it is. It is read again only when it has changed: that takes milliseconds, and
    whoever looks for a data set or a profile asks. Raises BadValue."""
    told = (*sorted(pair for pair in os.environ.items() if pair[0].upper().startswith(PREFIX)), os.environ.get("HOME"))
    try:
        folder = os.getcwd()
    except OSError:  # it is gone
        folder = None
    return _settings_of(told, folder)


@lru_cache(maxsize=4)
def _settings_of(told: tuple[object, ...], folder: str | None) -> Settings:
    """`told` and `folder`: all that the settings depend on."""
    return Settings()


def _bad_setting(error: ValidationError) -> BadValue:
    """The first fault, under the name that a user sets."""
    field, value, wanted = fault_of(error.errors()[0])
    name = field.upper()
    name = name if name.startswith("SPIKEFRONT_") else f"SPIKEFRONT_{name}"
    value = "(not shown)" if name in SECRET else value
    return BadValue(field=name, value=None if value is None else str(value), expected=wanted)


def prepare_home(settings: Settings) -> None:
    """Make the data folder, private to its owner; raises HomeUnusable when it cannot be written.

    A folder that was there before is closed to others too, unless it is somebody else's or one that many share (sticky,
    as /tmp is). In those, too, what this process and its children make from now on is theirs alone: it sets the umask.
    """
    home = settings.home
    if home == NOWHERE:
        raise HomeUnusable(
            folder="~/.spikefront", why="this user has no home directory. Choose a folder: SPIKEFRONT_HOME=<folder>."
        )
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = home.stat()
        if found.st_mode & OTHERS and found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX:
            home.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
        os.umask(OTHERS)
        home_file(home).unlink()
    except OSError as error:
        raise HomeUnusable(folder=str(home), why=error.strerror or str(error)) from None


def read_token(settings: Settings) -> str:
    """The bearer token of this installation: the one that a setting gives, else the one in the data folder.

    That one is made at first use, readable by its owner alone. Raises BadValue for a file of a setting that holds none.
    """
    if settings.token is not None:
        return settings.token.get_secret_value()
    path = settings.token_file
    told = _token_of(settings.token_file_override, "SPIKEFRONT_TOKEN_FILE")
    if told is not None:
        return told
    try:
        token = token_in(path)
        if path.stat().st_mode & OTHERS:
            path.chmod(0o600)
        return token
    except FileNotFoundError:
        pass
    except OSError as error:
        raise HomeUnusable(folder=str(settings.home), why=f"the file 'token': {error.strerror}") from None
    except ValueError as error:
        raise HomeUnusable(folder=str(settings.home), why=f"the file 'token' {error}.") from None
    prepare_home(settings)
    made = home_file(settings.home)
    try:
        made.write_text(secrets.token_urlsafe(32) + "\n")  # mkstemp's mode is 600
        os.link(made, path)  # appears whole or not at all, and never replaces another process's
    except FileExistsError:
        pass
    except OSError as error:
        raise HomeUnusable(folder=str(settings.home), why=f"the file 'token': {error.strerror}") from None
    finally:
        made.unlink(missing_ok=True)
    return read_token(settings)


def read_metrics_token(settings: Settings) -> str | None:
    """The key of SPIKEFRONT_METRICS_TOKEN_FILE; None without one. Raises BadValue for a file that holds none."""
    return _token_of(settings.metrics_token_file, "SPIKEFRONT_METRICS_TOKEN_FILE")


def read_client_secret(settings: Settings) -> str | None:
    """What the sign-in provider is shown; None for a public client, which has none: no file, or an empty one, as where a
    secret of Docker Compose must have its file. Raises BadValue for a file that holds what can be no secret."""
    file = settings.oidc_client_secret_file
    try:
        if file is not None and file.read_bytes()[:MAX_TOKEN_BYTES].strip() == b"":
            return None
    except OSError:
        pass  # said below, as of every file with a secret
    return _token_of(settings.oidc_client_secret_file, "SPIKEFRONT_OIDC_CLIENT_SECRET_FILE")


def _token_of(path: Path | None, setting: str) -> str | None:
    if path is None:
        return None
    try:
        return _as_token(_secret_in(path, setting=setting))
    except ValueError as error:
        raise BadValue(field=setting, value=str(path), expected=f"a file with {error}") from None


def token_in(path: Path) -> str:
    """The token in a file; raises ValueError where it can be none: it is sent in a header and in an address, as it is."""
    with open(path, "rb") as file:
        token = file.read(MAX_TOKEN_BYTES + 1).strip().decode("ascii", "replace")
    if why := _unfit(token):
        raise ValueError(f"{why}; delete it and start again")
    return token


def _unfit(token: str) -> str | None:
    """Why a text cannot be a token, after the words "the file"."""
    for wrong, why in (
        (not token, "is empty"),
        (len(token) > MAX_TOKEN_BYTES, f"is longer than {MAX_TOKEN_BYTES:,} characters"),
        (len(token.split()) > 1, "holds more than one word"),
        (not (token.isascii() and token.isprintable()), "holds other signs than those of ASCII"),
    ):
        if wrong:
            return why
    return None


def _as_token(text: str) -> str:
    """Raises ValueError with what would be right."""
    if _unfit(text):
        raise ValueError(f"one word of ASCII signs, at most {MAX_TOKEN_BYTES:,}")
    return text


def _secret_in(file: Path, *, setting: str) -> str:
    """The first line of a file that holds a secret, without its end; raises BadValue with the file, never with the secret."""
    try:
        with open(file, encoding="utf-8") as opened:
            secret = opened.readline(MAX_TOKEN_BYTES + 2).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise BadValue(field=setting, value=str(file), expected=f"a file that can be read ({why})") from None
    if not secret or len(secret) > MAX_TOKEN_BYTES:
        expected = f"a file whose first line is the secret, at most {MAX_TOKEN_BYTES:,} signs"
        raise BadValue(field=setting, value=str(file), expected=expected)
    return secret


def home_file(home: Path) -> Path:
    """A new empty file of a name of its own, readable by its owner alone."""
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=home)
    os.close(descriptor)
    return Path(name)
