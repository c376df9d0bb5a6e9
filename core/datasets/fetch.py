"""Downloads a data set from its authors' own site, file by file, resuming where it stopped, and adds it."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import shutil
import ssl
from pathlib import Path

import httpx
from filelock import FileLock

from core.datasets.add import add, disk_errors
from core.datasets.catalog import find
from core.datasets.load import reader_of
from core.datasets.spec import DatasetSpec, DatasetStatus, Progress, Remote, no_progress
from core.errors import BadValue, ChecksumMismatch, FetchFailed

log = logging.getLogger(__name__)

TIMEOUT_S = 30.0
SLACK = 2  # no download grows beyond this many times the size on record
MOST = 4 << 30  # of a file without a size on record, bytes
LEAST = 1 << 18  # unless that is hardly anything: the bound then, bytes


def fetch(
    name: str,
    data_dir: Path,
    *,
    remotes: tuple[Remote, ...] = (),
    replace: bool = False,
    progress: Progress = no_progress,
) -> DatasetStatus:
    """Fetch and add the data set; one that is there and complete is left as it is unless `replace`.

    `remotes` override the authors' addresses, for a mirror. Raises UnknownName, BadValue for a set without an
    address, FetchFailed (what came is kept for the next try), ChecksumMismatch, and what `add` raises.
    """
    data_dir = Path(data_dir)
    spec = find(name, data_dir)
    reader = reader_of(spec, data_dir)
    status = reader.status(spec, data_dir / name)
    remotes = remotes or spec.remotes
    if reader.built_in or (remotes and status.complete and not replace):
        return status
    if not remotes:
        require_address(spec)
    with disk_errors(data_dir):
        downloads = data_dir / "downloads"
        folder = downloads / name  # two sets may have files of the same name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(downloads / f".{name}.lock"):
            files = [folder / remote.url.rpartition("/")[2] for remote in remotes]
            for remote, file in zip(remotes, files, strict=True):
                download(remote, file, progress)
            status = add(name, files[0] if len(files) == 1 else folder, data_dir, replace=replace, progress=progress)
            shutil.rmtree(folder)
    return status


def require_address(spec: DatasetSpec) -> None:
    """Raises BadValue for a set that its authors offer at no address, or that has none."""
    if not spec.remotes:
        expected = f"a data set with an address; {f'see {spec.home} to get this one' if spec.home else 'add this one'}"
        raise BadValue(field="name", value=spec.name, expected=expected)


def mirrored(remotes: tuple[Remote, ...], url: str) -> tuple[Remote, ...]:
    """The same files from elsewhere: `url` is the one file's address, or of the folder that holds all of several."""
    if len(remotes) == 1:
        return (dataclasses.replace(remotes[0], url=url),)
    return tuple(
        dataclasses.replace(remote, url=f"{url.rstrip('/')}/{remote.url.rpartition('/')[2]}") for remote in remotes
    )


def download(remote: Remote, target: Path, progress: Progress = no_progress) -> None:
    """Bring `remote` to `target`, going on from `target.part`; `target` appears only when its md5 is right.

    Raises FetchFailed, keeping the part, or ChecksumMismatch, dropping it: a wrong beginning cannot be mended.
    """
    part = target.with_name(f"{target.name}.part")
    if not target.exists():
        _receive(remote, part, progress)
    checked = target if target.exists() else part
    progress("checking", 0, 0)
    with open(checked, "rb") as file:
        actual = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if actual != remote.md5:
        checked.unlink()
        raise ChecksumMismatch(file=target.name, expected=remote.md5, actual=actual)
    checked.replace(target)
    log.info("datasets.fetched", extra={"url": remote.url})


def _receive(remote: Remote, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    if not remote.url.startswith(("https://", "http://")):
        raise BadValue(field="url", value=remote.url, expected="an http or https address")
    # identity: a file is wanted as it lies there, and lengths and ranges count its own bytes
    headers = {"User-Agent": "spikefront", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with _client(remote) as client, client.stream("GET", remote.url, headers=headers) as answer:
            if answer.status_code == 416 and have:  # nothing lies beyond the part: it is whole, or not this file
                return
            if not answer.is_success:
                why = f"the server answered {answer.status_code} {answer.reason_phrase}."
                raise FetchFailed(url=remote.url, why=why)
            if have and not (answer.status_code == 206 and _starts_at(answer, have)):
                have = 0  # the server sends the whole file again
            length = answer.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else 0
            _store(answer, part, have, total or remote.bytes or 0, remote, progress)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchFailed(url=remote.url, why=f"{error}. What came is kept; run the same command again.") from None


def _client(remote: Remote) -> httpx.Client:
    """A client that trusts whom this machine trusts. Raises FetchFailed for a proxy that cannot be used."""
    try:
        return httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, verify=ssl.create_default_context())
    # a SOCKS proxy without its package; an unknown scheme; an address that is none
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        why = f"the proxy named in the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used: {error}"
        raise FetchFailed(url=remote.url, why=why) from None


def _starts_at(answer: httpx.Response, have: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _most(remote: Remote) -> int:
    """How many bytes are taken at most."""
    return MOST if remote.bytes is None else max(SLACK * remote.bytes, LEAST)


def _store(answer: httpx.Response, part: Path, have: int, total: int, remote: Remote, progress: Progress) -> None:
    """Append to (or begin) the part. What came before a fault stays on disk."""
    done = have
    with open(part, "ab" if have else "wb") as file:
        progress("downloading", done, total)
        for piece in answer.iter_raw():  # in the pieces that arrive: a fault loses none that came before it
            file.write(piece)
            done += len(piece)
            if done > _most(remote):
                known = f"the {remote.bytes:,} bytes on record" if remote.bytes is not None else f"{MOST:,} bytes"
                raise FetchFailed(url=remote.url, why=f"it is far longer than {known}.")
            progress("downloading", done, total)
