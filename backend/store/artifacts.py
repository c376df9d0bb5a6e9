"""Where the bundles of runs lie, and short-lived addresses of their files."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from core.addresses import folder_of
from core.bundle import CHECKPOINT, FILES, LATER_FILES, MANIFEST, TEACHER, Bundle, write_atomic
from core.errors import NotFound, Unauthorised
from core.run_folder import is_held
from core.schemas.workers import OfferedDataset
from core.settings import Settings

URL_LIFETIME_S = 15 * 60
UNFINISHED = (CHECKPOINT, TEACHER)
BUNDLE_ZIP = "bundle.zip"  # the address of a whole bundle, beside those of its files
NAMES = frozenset({*FILES, *LATER_FILES, MANIFEST})
RUN_ID = re.compile(r"[0-9a-f]{16}")
MEDIA_TYPES = {".json": "application/json", ".npz": "application/zip"}


class Sends(Protocol):
    """What a worker asks of it."""

    def look(self, *, everything: bool) -> None:
        """Send what changed since the last look. `everything`: notes as well, however new the last ones are.

        Raises ArtifactsDown, LeaseLost.
        """


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A folder as a list tells of it: its path, when it was written to last, and what lies right in it."""

    key: str
    changed_at: datetime
    names: frozenset[str]

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]


class Artifacts:
    """One folder a run. This one keeps them in a folder that every process of the installation sees; the other kind
    (`backend.store.remote`) in a store that all reach, and then a folder here is only where one machine works.
    """

    #: Whether what a worker writes has to be sent anywhere.
    remote = False

    def __init__(self, settings: Settings) -> None:
        """Raises BadValue for an address that is none."""
        self.root = folder_of(settings.artifacts_url, setting="SPIKEFRONT_ARTIFACTS_URL")

    # Where a run is trained

    def folder(self, run_id: str) -> Path:
        """The folder on this machine that a run is trained in; it need not exist yet."""
        return self.root / run_id

    def bring(self, run_id: str, attempt: int) -> Sends | None:
        """Have in that folder what the run's newest attempt has left, wherever it ran, and note that `attempt` goes on.

        The answer sends what is written there from now on; None where nothing has to be sent.
        """
        return None

    def leave(self, run_id: str) -> None:
        """That folder is not needed any more."""

    def whole(self, run_id: str) -> Path:
        """A folder on this machine with every file of a finished bundle, for a process that reads files."""
        return self.folder(run_id)

    # A store that may be away

    def why_not(self) -> str | None:
        """Why nothing can be stored now, in a sentence; None while it can. Asked often."""
        return None

    def require(self) -> None:
        """Raises ArtifactsDown where the store does not answer."""

    # Bundles

    @property
    def place(self) -> str:
        """For people."""
        return str(self.root)

    def bundle(self, run_id: str) -> Bundle:
        return Bundle(self.folder(run_id))

    def file(self, run_id: str, name: str) -> Path:
        """The path of a bundle's file; raises NotFound unless `name` is one of a bundle's files."""
        path = self.folder(run_id) / name
        if name not in NAMES or not path.is_file():
            raise NotFound(kind="artifact", id=name)
        return path

    def exists(self, run_id: str) -> bool:
        """Whether anything is kept of the run."""
        return self.folder(run_id).exists()

    def manifest_sha256(self, run_id: str) -> str | None:
        """By it one bundle is told from another; None where there is none."""
        manifest = self.folder(run_id) / MANIFEST
        return hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else None

    def changed(self, run_id: str, name: str) -> datetime:
        """When a file of a run was written last."""
        return datetime.fromtimestamp((self.folder(run_id) / name).stat().st_mtime, UTC)

    def run_ids(self) -> list[str]:
        """Of every run of which something is kept."""
        try:
            return sorted(
                path.name for path in self.root.iterdir() if RUN_ID.fullmatch(path.name) and not path.is_symlink()
            )
        except OSError:
            return []

    def adopt(self, folder: Path, run_id: str) -> None:
        """Keep a finished bundle that lies in a folder on this machine, which is gone then."""
        folder.rename(self.folder(run_id))

    def keep_beside(self, run_id: str, name: str) -> None:
        """What was measured in the folder that `whole` gave stays with the run."""

    # Unfinished runs

    def has_unfinished(self, run_id: str) -> bool:
        """Whether an unfinished run has left something to go on from."""
        folder = self.folder(run_id)
        return not (folder / MANIFEST).exists() and any((folder / name).exists() for name in UNFINISHED)

    def in_training(self, run_id: str) -> bool:
        """Whether a process of this machine writes to the run."""
        return is_held(self.folder(run_id))

    def hand_on(self, run_id: str, successor: str) -> bool:
        """Let a new run of the same config go on from what another has left; whether it can.

        By hard links, which take no room (files of a checkpoint are replaced, never changed), or else by copies.
        """
        if not self.has_unfinished(run_id):
            return False
        source, target = self.folder(run_id), self.folder(successor)
        try:
            for name in UNFINISHED:
                if (source / name).is_dir():
                    shutil.copytree(source / name, target / name, copy_function=_link_or_copy)
        except OSError:  # shutil.Error among them; half a folder is worth nothing
            shutil.rmtree(target, ignore_errors=True)
            return False
        return True

    def drop_unfinished(self, run_id: str) -> None:
        """Remove what only going on with the run could use."""
        for name in UNFINISHED:
            shutil.rmtree(self.folder(run_id) / name, ignore_errors=True)

    def delete(self, run_id: str) -> None:
        """Remove all that is kept of a run; nothing happens when there is nothing."""
        shutil.rmtree(self.folder(run_id), ignore_errors=True)

    # Other files beside the runs

    def write(self, key: str, content: bytes) -> None:
        """Store a file whole under a path that begins with no run's id. Raises HomeUnusable, StorageFull, ArtifactsDown."""
        write_atomic(self.root / key, content)

    def read(self, key: str) -> bytes | None:
        """Its content; None where there is none."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def remove(self, folder: str) -> None:
        """Every file below a folder of such."""
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def sizes(self, *, apart: str) -> tuple[int, int]:
        """Bytes of all that is kept, without the folder `apart`, and of that one."""
        inner = self.root / apart
        return folder_bytes(self.root, but=inner), folder_bytes(inner)

    # Everything that is kept, by its path

    def kept(self, below: str = "") -> list[Kept]:
        """The folders right below one, by name."""
        root, found = self.root / below, []
        for one in sorted(root.iterdir()) if root.is_dir() else ():
            if not one.is_dir() or one.is_symlink():
                continue
            with suppress(FileNotFoundError):  # a run that is removed meanwhile
                names = frozenset(inside.name for inside in one.iterdir())
                changed_at = datetime.fromtimestamp(one.stat().st_mtime, UTC)
                found.append(Kept(key=one.relative_to(self.root).as_posix(), changed_at=changed_at, names=names))
        return found

    def files(self, folder: str) -> list[str]:
        """The paths of all files below a folder."""
        found = sorted((self.root / folder).rglob("*"))
        return [one.relative_to(self.root).as_posix() for one in found if one.is_file() and not one.is_symlink()]

    def finished(self) -> set[str]:
        """Ids of the runs whose bundle is complete."""
        return {run_id for run_id in self.run_ids() if self.bundle(run_id).complete}

    def is_empty(self) -> bool:
        return not self.root.is_dir() or not any(self.root.iterdir())

    def freed_bytes(self, folder: str) -> int:
        """What removing it would give back: a file of several names stays with the others."""
        total = 0
        for name in self.files(folder):
            with suppress(FileNotFoundError):
                found = (self.root / name).lstat()
                total += found.st_size if found.st_nlink == 1 else 0
        return total

    def here(self, key: str, aside: Path) -> Path:
        """A path on this machine with that file's content: its own, or a new one in the folder `aside`.

        Raises FileNotFoundError.
        """
        return self.root / key

    def bring_back(self, key: str, source: Path) -> None:
        """Keep a copy of a file under that path."""
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        put(source, target, link=False)

    def drop(self, key: str) -> None:
        """Remove one file."""
        (self.root / key).unlink(missing_ok=True)

    # Data sets that machines hand to one another

    def datasets(self) -> list[OfferedDataset]:
        """What a machine could fetch that lacks it. Raises ArtifactsDown."""
        return []

    def fetch_dataset(self, name: str, data: Path) -> None:
        """Have it in the folder of the data sets. Raises DatasetMissing, ArtifactsDown, HomeUnusable, StorageFull."""

    def publish_dataset(self, name: str | None, data: Path) -> None:
        """Let other machines fetch it; None: every one that is here. Raises ArtifactsDown for one that is named."""

    # Room on this machine

    def clear_work(self) -> None:
        """Remove what nobody came back to."""

    def free_here(self) -> bool:
        """Give back room of this machine that costs nobody anything; whether that is all that can be given back here."""
        return False


def artifacts_of(settings: Settings) -> Artifacts:
    """The kind that the settings name. Raises BadValue, or PackageMissing where its client is not installed."""
    if not settings.artifacts_url.startswith("s3:"):
        return Artifacts(settings)
    from backend.store.remote import RemoteArtifacts  # loads what only such an installation has

    return RemoteArtifacts(settings)


def folder_bytes(folder: Path, *, but: Path | None = None) -> int:
    """Length of all files below, links not followed, without those below `but`. What vanishes meanwhile counts as
    nothing."""
    total = 0
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if Path(where, name) != but]
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except FileNotFoundError:
                continue
    return total


def put(source: Path, target: Path, *, link: bool) -> None:
    """A hard link where that is wanted and the disk is the same, else a copy; whole or not at all."""
    beside = target.with_name(f".{target.name}.tmp")
    beside.unlink(missing_ok=True)
    try:
        if not link:
            raise OSError
        os.link(source, beside)
    except OSError:
        shutil.copyfile(source, beside)
        shutil.copystat(source, beside)
        beside.chmod(stat.S_IRUSR | stat.S_IWUSR)
    os.replace(beside, target)
    beside.unlink(missing_ok=True)  # of two links to one file a rename leaves both (rename(2))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class SignedUrls:
    """Addresses that open one file for a while without the bearer token.

    signature = HMAC-SHA256(key, "run/name/expiry"), where the key is derived from the bearer token:
    a new token ends all addresses given out under the old one.
    """

    def __init__(self, *, token: str, public_url: str) -> None:
        self._key = hmac.digest(token.encode(), b"spikefront artifact address", "sha256")
        self._public_url = public_url

    def url(self, run_id: str, name: str) -> str:
        expires = int(time.time()) + URL_LIFETIME_S
        return (
            f"{self._public_url}/api/v1/runs/{run_id}/artifacts/{quote(name)}"
            f"?expires={expires}&signature={self._sign(run_id, name, expires)}"
        )

    def check(self, run_id: str, name: str, *, expires: int, signature: str) -> None:
        """Raises Unauthorised when the signature is not ours or its time is over."""
        good = hmac.compare_digest(self._sign(run_id, name, expires).encode(), signature.encode("utf-8", "replace"))
        if not good or expires < time.time():
            raise Unauthorised()

    def _sign(self, run_id: str, name: str, expires: int) -> str:
        return hmac.new(self._key, f"{run_id}/{name}/{expires}".encode(), hashlib.sha256).hexdigest()
