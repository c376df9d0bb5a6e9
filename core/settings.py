"""Settings from the environment, prefix `SPIKEFRONT_`. Built when a program starts, never at import."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.addresses import broker_place, broker_url, file_url, is_web_address, origin, sqlite_url
from core.errors import BadValue, HomeUnusable
from core.homes import NOWHERE, expanded, user_home
from core.schemas.wording import fault_of

MAX_TOKEN_BYTES = 1_000  # ours has 43; an address that carries it is no longer than browsers take
OTHERS = 0o077  # what a mode lets group and world do


def _default_home() -> Path:
    home = user_home()
    return NOWHERE if home is None else home / ".spikefront"


class Settings(BaseSettings):
    """Where things are and what they listen on; every value has a working default. Raises BadValue.

    A variable that is empty counts as not set. Folders may begin with `~`; they are absolute here.
    Environment variables: `SPIKEFRONT_HOME`, `SPIKEFRONT_API_PORT`, `SPIKEFRONT_DASHBOARD_PORT`,
    `SPIKEFRONT_HOST`, `SPIKEFRONT_PUBLIC_URL`, `SPIKEFRONT_API_URL`, `SPIKEFRONT_DATABASE_URL`,
    `SPIKEFRONT_BROKER_URL`, `SPIKEFRONT_ARTIFACTS_URL`, `SPIKEFRONT_DATA`, `SPIKEFRONT_RECOUNT`.
    """

    model_config = SettingsConfigDict(env_prefix="SPIKEFRONT_", frozen=True, extra="ignore", populate_by_name=True)

    home: Path = Field(default_factory=_default_home, validate_default=True)
    host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    dashboard_port: int = Field(default=8501, ge=1, le=65535)
    public_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_PUBLIC_URL")
    api_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_API_URL")
    database_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_DATABASE_URL")
    broker_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_BROKER_URL")
    artifacts_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_ARTIFACTS_URL")
    data_override: Path | None = Field(default=None, validation_alias="SPIKEFRONT_DATA")
    recount: Literal["on", "off"] = Field(default="on", description="every finished run counted again by SpikingJelly")

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

    @field_validator("home", "data_override")
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

    @property
    def api_url(self) -> str:
        """Where the dashboard reaches the API, without a trailing slash."""
        return self.api_url_override or origin(self.host, self.api_port)

    @property
    def public_url(self) -> str:
        """Where browsers reach the API, without a trailing slash; every link begins with it."""
        return self.public_url_override or self.api_url

    @property
    def dashboard_url(self) -> str:
        return origin(self.host, self.dashboard_port)

    @property
    def database_url(self) -> str:
        return self.database_url_override or sqlite_url(self.home / "spikefront.db")

    @property
    def broker_socket(self) -> Path:
        """Unix socket of the embedded broker, where the data folder can hold it."""
        return self.home / "broker" / "valkey.sock"

    @property
    def broker_url(self) -> str:
        return self.broker_url_override or broker_url(broker_place(self.home))

    @property
    def artifacts_url(self) -> str:
        return self.artifacts_url_override or file_url(self.home / "runs")

    @property
    def data(self) -> Path:
        """Folder that holds one folder a data set."""
        return self.data_override or self.home / "data"

    @property
    def token_file(self) -> Path:
        return self.home / "token"


def _bad_setting(error: ValidationError) -> BadValue:
    """The first fault, under the name that a user sets."""
    field, value, wanted = fault_of(error.errors()[0])
    name = field.upper()
    name = name if name.startswith("SPIKEFRONT_") else f"SPIKEFRONT_{name}"
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
    """The bearer token of this installation; made at first use, readable by its owner alone."""
    path = settings.token_file
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


def token_in(path: Path) -> str:
    """The token in a file; raises ValueError where it can be none: it is sent in a header and in an address, as it is."""
    with open(path, "rb") as file:
        token = file.read(MAX_TOKEN_BYTES + 1).strip().decode("ascii", "replace")
    for wrong, why in (
        (not token, "is empty"),
        (len(token) > MAX_TOKEN_BYTES, f"is longer than {MAX_TOKEN_BYTES:,} characters"),
        (len(token.split()) > 1, "holds more than one word"),
        (not (token.isascii() and token.isprintable()), "holds other signs than those of ASCII"),
    ):
        if wrong:
            raise ValueError(f"{why}; delete it and start again")
    return token


def home_file(home: Path) -> Path:
    """A new empty file of a name of its own, readable by its owner alone."""
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=home)
    os.close(descriptor)
    return Path(name)
