"""Bundles in a store that speaks S3: objects named as the files of a local folder are, so that either can be copied to the
other by any tool.

A worker trains in a folder of its own machine and sends what it writes. A reader fetches the files that are asked for,
each held against the manifest, into a cache of its own machine.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections import OrderedDict
from datetime import datetime
from pathlib import Path, PurePosixPath

from backend.store import published
from backend.store.artifacts import NAMES, RUN_ID, UNFINISHED, Artifacts, Kept
from backend.store.cache import Cache
from backend.store.objects import Objects
from backend.store.sending import Sending
from core.bundle import MANIFEST, Bundle, ManifestEntry, write_atomic
from core.datasets.own.reader import sha256 as sha256_of
from core.errors import ArtifactsDown, BundleCorrupt, NotFound
from core.run_folder import ATTEMPT, LOCK
from core.schemas.workers import OfferedDataset
from core.settings import Settings

log = logging.getLogger("spikefront.artifacts")

WORK, CACHE = "work", "cache"  # folders of the data folder
BROUGHT = ".brought"  # in a run's folder here: the attempt that last worked there
ASK_EVERY_S = 2.0
KEPT_WORK_S = 7 * 24 * 3600.0  # a folder here that nobody came back to; the store has what was sent of it
MANIFESTS = 20_000


class CachedBundle(Bundle):
    """A finished bundle whose files come from the store when they are asked for, checked against its manifest."""

    def __init__(self, run_id: str, folder: Path, artifacts: RemoteArtifacts) -> None:
        super().__init__(folder)
        self._run_id, self._artifacts = run_id, artifacts

    @property
    def name(self) -> str:
        return self._run_id

    def file(self, name: str) -> Path:
        path = super().file(name)
        if name != MANIFEST and not path.is_file():
            entry = next((entry for entry in self.files() if entry.name == name), None)
            if entry is not None:
                self._artifacts.fetch_file(self._run_id, entry, path)
        return path

    def beside(self, name: str) -> Path:
        return self._artifacts.fetch_beside(self._run_id, name)


class RemoteArtifacts(Artifacts):
    """See `Artifacts` for what each method promises."""

    remote = True

    def __init__(self, settings: Settings) -> None:
        self.root = settings.home / WORK
        self.objects = Objects(settings.artifacts_url)
        self.cache = Cache(settings.home / CACHE, limit_bytes=int(settings.artifacts_cache_gb * 1e9))
        self._lock = threading.Lock()
        self._manifests: OrderedDict[str, str] = OrderedDict()  # run -> the SHA-256 of its manifest: it does not change
        self._asked_at = float("-inf")
        self._said: str | None = None

    # Where a run is trained

    def bring(self, run_id: str, attempt: int) -> Sending:
        folder = self.folder(run_id)
        there, here = int(self.objects.get(f"{run_id}/{ATTEMPT}") or 0), _number(folder / BROUGHT)
        fetch = here is None or here < there
        if fetch:
            _empty(folder)
            for one in self.objects.below(run_id):
                name = PurePosixPath(one.key).relative_to(run_id)
                if not any(part.startswith(".") for part in name.parts):  # no dots: none leads out of the folder either
                    self.objects.fetch(one.key, folder / name)
        self.objects.put(f"{run_id}/{ATTEMPT}", str(attempt).encode())
        write_atomic(folder / BROUGHT, str(attempt).encode())
        return Sending(self.objects, folder, attempt=attempt, same=fetch)

    def leave(self, run_id: str) -> None:
        shutil.rmtree(self.folder(run_id), ignore_errors=True)

    def whole(self, run_id: str) -> Path:
        bundle = self.bundle(run_id)
        for entry in bundle.files():
            bundle.file(entry.name)
        return bundle.path

    # A store that may be away

    def why_not(self) -> str | None:
        with self._lock:
            if time.monotonic() >= self._asked_at + ASK_EVERY_S:
                try:
                    self.objects.check()
                    self._said = None
                except ArtifactsDown as error:
                    self._said = error.message
                self._asked_at = time.monotonic()
            return self._said

    def require(self) -> None:
        self.objects.check()

    # Bundles

    @property
    def place(self) -> str:
        return self.objects.place

    def bundle(self, run_id: str) -> Bundle:
        sha256 = self.manifest_sha256(run_id)
        folder = self.cache.root / "unfinished" if sha256 is None else self.cache.folder(sha256)
        return CachedBundle(run_id, folder, self)

    def file(self, run_id: str, name: str) -> Path:
        bundle = self.bundle(run_id)
        if name not in NAMES or not (path := bundle.file(name)).is_file():
            raise NotFound(kind="artifact", id=name)
        return path

    def fetch_file(self, run_id: str, entry: ManifestEntry, into: Path) -> None:
        """Have a file of a finished bundle in the cache. Raises BundleCorrupt where it is not what the manifest says."""
        came = into.with_name(f".{into.name}.{threading.get_ident()}.part")
        if not self.objects.fetch(f"{run_id}/{entry.name}", came):
            raise BundleCorrupt(file=entry.name, why="it is missing.")
        try:
            if sha256_of(came) != entry.sha256:
                raise BundleCorrupt(file=entry.name, why="its SHA-256 differs from the manifest's.")
            came.replace(into)
        finally:
            came.unlink(missing_ok=True)
        self.cache.came(entry.bytes)

    def fetch_beside(self, run_id: str, name: str) -> Path:
        """A file that can change, as it is now."""
        path = self.cache.folder(f"beside-{run_id}") / name
        if not self.objects.fetch(f"{run_id}/{name}", path):
            path.unlink(missing_ok=True)
        return path

    def exists(self, run_id: str) -> bool:
        return bool(self.objects.below(run_id))

    def manifest_sha256(self, run_id: str) -> str | None:
        with self._lock:
            if (known := self._manifests.get(run_id)) is not None:
                self._manifests.move_to_end(run_id)
        if known is not None and (self.cache.root / known / MANIFEST).is_file():
            return known
        content = self.objects.get(f"{run_id}/{MANIFEST}")
        if content is None:
            return None
        sha256 = hashlib.sha256(content).hexdigest()
        write_atomic(self.cache.folder(sha256) / MANIFEST, content)
        self.cache.came(len(content))
        with self._lock:
            self._manifests[run_id] = sha256
            while len(self._manifests) > MANIFESTS:
                self._manifests.popitem(last=False)
        return sha256

    def changed(self, run_id: str, name: str) -> datetime:
        found = next((one for one in self.objects.below(run_id) if one.key == f"{run_id}/{name}"), None)
        if found is None:
            raise BundleCorrupt(file=name, why="it is missing.")
        return found.changed

    def run_ids(self) -> list[str]:
        return [name for name in self.objects.folders() if RUN_ID.fullmatch(name)]

    def adopt(self, folder: Path, run_id: str) -> None:
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        for name in sorted(names, key=lambda name: name == MANIFEST):
            self.objects.put(f"{run_id}/{name}", folder / name)
        shutil.rmtree(folder, ignore_errors=True)

    def keep_beside(self, run_id: str, name: str) -> None:
        self.objects.put(f"{run_id}/{name}", self.bundle(run_id).path / name)

    # Unfinished runs

    def has_unfinished(self, run_id: str) -> bool:
        names = [one.key.removeprefix(f"{run_id}/") for one in self.objects.below(run_id)]
        return MANIFEST not in names and any(
            name.startswith(tuple(f"{kind}/" for kind in UNFINISHED)) for name in names
        )

    def hand_on(self, run_id: str, successor: str) -> bool:
        try:
            if not self.has_unfinished(run_id):
                return False
            for kind in UNFINISHED:
                for one in self.objects.below(f"{run_id}/{kind}"):
                    self.objects.copy(one.key, f"{successor}/{one.key.removeprefix(f'{run_id}/')}")
        except ArtifactsDown as error:  # the new run is there already: it begins anew
            log.warning("checkpoint.not_handed_on", extra={"run_id": run_id, "why": error.message})
            return False
        return True

    def drop_unfinished(self, run_id: str) -> None:
        for kind in UNFINISHED:
            self.objects.delete([one.key for one in self.objects.below(f"{run_id}/{kind}")])

    def delete(self, run_id: str) -> None:
        keys = [one.key for one in self.objects.below(run_id)]
        # the manifest first: what is left of a bundle after a failure is no finished one
        self.objects.delete(sorted(keys, key=lambda key: key != f"{run_id}/{MANIFEST}"))
        with self._lock:
            self._manifests.pop(run_id, None)

    # Other files beside the runs

    def write(self, key: str, content: bytes) -> None:
        self.objects.put(key, content)

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def remove(self, folder: str) -> None:
        self.objects.delete([one.key for one in self.objects.below(folder)])

    def sizes(self, *, apart: str) -> tuple[int, int]:
        every = self.objects.below("")
        inner = sum(one.bytes for one in every if one.key.startswith(f"{apart}/"))
        return sum(one.bytes for one in every if RUN_ID.fullmatch(one.key.partition("/")[0])), inner

    # Everything that is kept, by its path

    def kept(self, below: str = "") -> list[Kept]:
        found: dict[str, list[tuple[str, datetime]]] = {}
        for one in self.objects.below(below):
            folder, _, inside = one.key.removeprefix(f"{below}/" if below else "").partition("/")
            if inside:
                found.setdefault(folder, []).append((inside.partition("/")[0], one.changed))
        return [
            Kept(
                key=f"{below}/{folder}" if below else folder,
                changed_at=max(changed for _, changed in inside),
                names=frozenset(name for name, _ in inside),
            )
            for folder, inside in sorted(found.items())
        ]

    def files(self, folder: str) -> list[str]:
        return [one.key for one in self.objects.below(folder)]

    def finished(self) -> set[str]:
        return {one.name for one in self.kept() if RUN_ID.fullmatch(one.name) and MANIFEST in one.names}

    def is_empty(self) -> bool:
        return not self.objects.folders()

    def freed_bytes(self, folder: str) -> int:
        return sum(one.bytes for one in self.objects.below(folder))

    def here(self, key: str, aside: Path) -> Path:
        into = aside / hashlib.sha256(key.encode()).hexdigest()
        if not self.objects.fetch(key, into):
            raise FileNotFoundError(key)
        return into

    def bring_back(self, key: str, source: Path) -> None:
        self.objects.put(key, source)

    def drop(self, key: str) -> None:
        self.objects.delete([key])

    # Data sets that machines hand to one another

    def datasets(self) -> list[OfferedDataset]:
        return published.published(self.objects)

    def fetch_dataset(self, name: str, data: Path) -> None:
        published.fetch(self.objects, name, data)

    def publish_dataset(self, name: str | None, data: Path) -> None:
        if name is None:
            published.publish_all(self.objects, data)
        else:
            published.publish(self.objects, name, data)

    # Room on this machine

    def free_here(self) -> bool:
        self.cache.trim(0)
        self.clear_work()
        return True

    def clear_work(self) -> None:
        """Folders of runs that went on elsewhere."""
        for run_id in super().run_ids():
            folder = self.folder(run_id)
            try:
                old = folder.stat().st_mtime < time.time() - KEPT_WORK_S
            except OSError:
                continue
            if old and not self.in_training(run_id):
                shutil.rmtree(folder, ignore_errors=True)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_bytes())
    except (OSError, ValueError):
        return None


def _empty(folder: Path) -> None:
    """All but what says who writes there."""
    (folder / BROUGHT).unlink(missing_ok=True)  # first: half of a folder is nobody's newest state
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name in (LOCK, ATTEMPT):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
