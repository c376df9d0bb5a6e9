"""Objects of a store that speaks S3, below one prefix: whole ones are read and written, and nothing else is asked of it.

obstore is the client: one package without others below it. Where the store is and who we are it takes from the standard
variables of AWS; they stand in no log, no error and no child's environment.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from core.bundle import unwritable
from core.errors import ArtifactsDown, BadValue, PackageMissing

if TYPE_CHECKING:
    from obstore.store import S3Store

SETTING = "SPIKEFRONT_ARTIFACTS_URL"
PIECE = 1 << 20
CONNECT_S, READ_S, RETRY_S, RETRIES = 3, 20, 10, 2
#: obstore finds credentials by itself where one of these is set; it is not left to ask a machine's own network unasked.
PROVIDERS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
)
CREDENTIALS_WANTED = "used with credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file of these in AWS_SHARED_CREDENTIALS_FILE"
_ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One object, as a list tells of it."""

    key: str
    bytes: int
    changed: datetime


class Objects:
    """Safe to call from many threads. Everything raises ArtifactsDown where the store does not answer, or refuses."""

    def __init__(self, url: str) -> None:
        """Asks nothing of the store yet. Raises BadValue, or PackageMissing without the client."""
        if not _ADDRESS.fullmatch(url):
            raise BadValue(field=SETTING, value=url, expected="s3://bucket, or s3://bucket/folder")
        self.place = url.rstrip("/")
        credentials = _credentials(url)
        try:
            from obstore.store import S3Store
        except ImportError:
            raise PackageMissing(package="obstore", extra="server", why="A store that speaks S3") from None
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint is not None:
            credentials["endpoint"] = endpoint
        parts = urlsplit(self.place)
        self._store: S3Store = S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config=credentials,  # type: ignore[arg-type]
            client_options={
                "allow_http": urlsplit(endpoint or "").scheme == "http",
                "connect_timeout": timedelta(seconds=CONNECT_S),
                "read_timeout": timedelta(seconds=READ_S),
                "timeout": timedelta(minutes=10),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
        )

    def get(self, key: str) -> bytes | None:
        """The object's content; None where there is none."""
        import obstore

        with self._told():
            try:
                return bytes(obstore.get(self._store, key).bytes())
            except FileNotFoundError:
                return None

    def fetch(self, key: str, into: Path) -> bool:
        """Put the object's content at `into`, whole or not at all; False where there is none.

        Raises StorageFull or HomeUnusable for the disk."""
        import obstore

        beside = into.with_name(f".{into.name}.{os.urandom(4).hex()}.tmp")
        try:
            with self._told():
                try:
                    found = obstore.get(self._store, key)
                except FileNotFoundError:
                    return False
                pieces = iter(found.stream(min_chunk_size=PIECE))
                with _disk(into.parent):
                    into.parent.mkdir(parents=True, exist_ok=True)
                    file = beside.open("wb")
                with file:
                    for piece in pieces:
                        with _disk(into.parent):
                            file.write(piece)
            with _disk(into.parent):
                beside.replace(into)
            return True
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)

    def put(self, key: str, content: bytes | Path) -> None:
        """Store it whole, in the place of what was there. A reader sees the old content or the new. Raises FileNotFoundError
        for a file that is gone."""
        import obstore

        if isinstance(content, Path):
            with (
                content.open("rb") as file,
                self._told(),
            ):  # opened once: it may be replaced meanwhile, and is never changed
                obstore.put(self._store, key, file)
            return
        with self._told():
            obstore.put(self._store, key, content)

    def below(self, prefix: str) -> list[Stored]:
        """Every object below a folder, by name."""
        found = []
        with self._told():
            for page in self._store.list(prefix.rstrip("/")):
                found += [Stored(key=one["path"], bytes=one["size"], changed=one["last_modified"]) for one in page]
        return sorted(found, key=lambda one: one.key)

    def folders(self, prefix: str = "") -> list[str]:
        """Names of the folders right below one."""
        with self._told():
            found = self._store.list_with_delimiter(prefix or None)
        return sorted(Path(path).name for path in found["common_prefixes"])

    def names(self, prefix: str) -> list[str]:
        """Keys of the objects right in one folder."""
        with self._told():
            found = self._store.list_with_delimiter(prefix)
        return sorted(one["path"] for one in found["objects"])

    def delete(self, keys: Sequence[str]) -> None:
        import obstore

        for key in keys:
            with self._told(), suppress(FileNotFoundError):
                obstore.delete(self._store, key)

    def copy(self, source: str, target: str) -> None:
        """Within the store: nothing comes here."""
        import obstore

        with self._told():
            obstore.copy(self._store, source, target)

    def check(self) -> None:
        """Ask for something small."""
        with self._told():
            self._store.list_with_delimiter(".asked")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The client's errors in our words: its own name the request, and may hold what was sent."""
        from obstore import exceptions as client

        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" not in str(error):
                raise
            raise ArtifactsDown(place=self.place, why="there is no such bucket.") from None
        except (PermissionError, client.PermissionDeniedError, client.UnauthenticatedError):
            raise ArtifactsDown(place=self.place, why="it refuses these credentials.") from None
        except (client.BaseError, OSError) as error:
            raise ArtifactsDown(place=self.place, why=_why(str(error))) from None


def _why(text: str) -> str:
    status = re.search(r"status code:? (\d{3})|HTTP status[^0-9]{1,40}(\d{3})|status: (\d{3})", text)
    if "NoSuchBucket" in text:
        return "there is no such bucket."
    if re.search(r"AccessDenied|SignatureDoesNotMatch|InvalidAccessKeyId", text):
        return "it refuses these credentials."
    if status is not None:
        return f"it answers with status {next(group for group in status.groups() if group)}."
    return "it does not answer."


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error) from None


def _credentials(url: str) -> dict[str, Any]:
    """From the variables, or from the file that they name; what obstore shall find by itself is left to it."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    found: dict[str, Any] = {"region": region} if region else {}
    if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
        return found
    if any(os.environ.get(name) for name in PROVIDERS):
        return found
    file = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    profile = os.environ.get("AWS_PROFILE") or "default"
    read = configparser.RawConfigParser()
    try:
        with open(file, encoding="utf-8") as opened:
            read.read_file(opened)
        ours = read[profile]
        found["access_key_id"], found["secret_access_key"] = ours["aws_access_key_id"], ours["aws_secret_access_key"]
    except (OSError, KeyError, ValueError, configparser.Error):
        raise BadValue(field=SETTING, value=url, expected=CREDENTIALS_WANTED) from None
    if token := ours.get("aws_session_token"):
        found["session_token"] = token
    return found
