"""Downloads a data set from its authors' own site, file by file, resuming where it stopped, and adds it."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import logging
import shutil
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

from core.datasets.add import add, disk_errors
from core.datasets.catalog import find
from core.datasets.load import reader_of
from core.datasets.spec import DatasetStatus, Progress, Remote, no_progress
from core.errors import BadValue, ChecksumMismatch, FetchFailed

log = logging.getLogger(__name__)

CHUNK = 1 << 18
TIMEOUT_S = 30.0
SLACK = 2  # no download grows beyond this many times the size on record


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
        expected = f"a data set with an address; {f'see {spec.home} to get this one' if spec.home else 'add this one'}"
        raise BadValue(field="name", value=name, expected=expected)
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
    request = urllib.request.Request(remote.url, headers={"User-Agent": "spikefront", "Accept-Encoding": "identity"})
    if not remote.url.startswith(("https://", "http://")):
        raise BadValue(field="url", value=remote.url, expected="an http or https address")
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            if have and not (answer.status == 206 and _starts_at(answer, have)):
                have = 0  # the server sends the whole file again
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length and length.isdigit() else 0
            done = _store(answer, part, have, total or remote.bytes, remote, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing lies beyond the part: it is whole, or it is not this file
            return
        raise FetchFailed(url=remote.url, why=f"the server answered {error.code} {error.reason}.") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error
        raise FetchFailed(url=remote.url, why=f"{reason}. What came is kept; run the same command again.") from None
    if total and done < total:
        why = f"the connection ended after {done:,} of {total:,} bytes. Run the same command again to go on from there."
        raise FetchFailed(url=remote.url, why=why)


def _starts_at(answer: http.client.HTTPResponse, have: int) -> bool:
    return (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-")


def _store(
    answer: http.client.HTTPResponse, part: Path, have: int, total: int, remote: Remote, progress: Progress
) -> int:
    """Append to (or begin) the part; returns its length. What came before a fault stays on disk."""
    done = have
    with open(part, "ab" if have else "wb") as file:
        progress("downloading", done, total)
        while True:
            try:
                chunk = answer.read(CHUNK)
            except http.client.IncompleteRead as error:
                file.write(error.partial)
                raise
            if not chunk:
                return done
            file.write(chunk)
            done += len(chunk)
            if done > max(SLACK * remote.bytes, CHUNK):
                raise FetchFailed(url=remote.url, why=f"it is far longer than the {remote.bytes:,} bytes on record.")
            progress("downloading", done, total)
