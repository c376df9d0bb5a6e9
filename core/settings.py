"""Settings from the environment, prefix `SPIKEFRONT_`. Built when a program starts, never at import."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import HomeUnusable


class Settings(BaseSettings):
    """Where things are and what they listen on; every value has a working default.

    Environment variables: `SPIKEFRONT_HOME`, `SPIKEFRONT_API_PORT`, `SPIKEFRONT_DASHBOARD_PORT`,
    `SPIKEFRONT_HOST`, `SPIKEFRONT_API_URL`, `SPIKEFRONT_DATABASE_URL`, `SPIKEFRONT_BROKER_URL`,
    `SPIKEFRONT_ARTIFACTS_URL`, `SPIKEFRONT_DATA`.
    """

    model_config = SettingsConfigDict(env_prefix="SPIKEFRONT_", frozen=True, extra="ignore", populate_by_name=True)

    home: Path = Field(default_factory=lambda: Path.home() / ".spikefront")
    host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    dashboard_port: int = Field(default=8501, ge=1, le=65535)
    api_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_API_URL")
    database_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_DATABASE_URL")
    broker_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_BROKER_URL")
    artifacts_url_override: str | None = Field(default=None, validation_alias="SPIKEFRONT_ARTIFACTS_URL")
    data_override: Path | None = Field(default=None, validation_alias="SPIKEFRONT_DATA")

    @property
    def api_url(self) -> str:
        """Base address of the API as a browser reaches it, without a trailing slash."""
        return (self.api_url_override or f"http://{self.host}:{self.api_port}").rstrip("/")

    @property
    def dashboard_url(self) -> str:
        return f"http://{self.host}:{self.dashboard_port}"

    @property
    def database_url(self) -> str:
        return self.database_url_override or f"sqlite:///{self.home / 'spikefront.db'}"

    @property
    def broker_socket(self) -> Path:
        """Unix socket of the embedded broker."""
        return self.home / "broker" / "valkey.sock"

    @property
    def broker_url(self) -> str:
        return self.broker_url_override or f"redis+socket://{self.broker_socket}?virtual_host=0"

    @property
    def artifacts_url(self) -> str:
        return self.artifacts_url_override or f"file://{self.home / 'runs'}"

    @property
    def data(self) -> Path:
        """Folder that holds one folder a data set."""
        return self.data_override or self.home / "data"

    @property
    def token_file(self) -> Path:
        return self.home / "token"


def prepare_home(settings: Settings) -> None:
    """Make the data folder, private to its owner; raises HomeUnusable when it cannot be written."""
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        home_file(home).unlink()
    except OSError as error:
        raise HomeUnusable(folder=str(home), why=error.strerror or str(error)) from None


def read_token(settings: Settings) -> str:
    """The bearer token of this installation; made at first use, readable by its owner alone."""
    path = settings.token_file
    try:
        token = path.read_text().strip()
        if not token:
            raise HomeUnusable(folder=str(settings.home), why="the file 'token' is empty; delete it and start again.")
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
        return token
    except FileNotFoundError:
        pass
    except OSError as error:
        raise HomeUnusable(folder=str(settings.home), why=f"the file 'token': {error.strerror}") from None
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


def home_file(home: Path) -> Path:
    """A new empty file of a name of its own, readable by its owner alone."""
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=home)
    os.close(descriptor)
    return Path(name)
