"""The stored content of frozen links: one folder a link beside the bundles of the runs.

results.json     all that the link shows (core.schemas.share.AnyShared)
weights-*.safetensors
offline.html     the page as one file that needs no network
manifest.json    the SHA-256 of each of them, written last (core.bundle.Manifest)
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from backend.store.artifacts import Artifacts
from core.bundle import MANIFEST, Manifest, ManifestEntry, write_atomic
from core.errors import BundleCorrupt, NotFound

FOLDER = "shares"  # no run's id
RESULTS, OFFLINE = "results.json", "offline.html"


class FrozenShares:
    """Reads and writes the folders. Readers raise BundleCorrupt for a file that is missing or changed."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._root = artifacts.root / FOLDER

    def write(self, share_id: str, files: Iterable[tuple[str, bytes]]) -> int:
        """Store the files and their manifest; how many bytes they take. Raises HomeUnusable; then nothing is left."""
        folder, entries = self._root / share_id, []
        try:
            for name, content in files:
                write_atomic(folder / name, content)
                entries.append(entry(name, content))
            write_atomic(folder / MANIFEST, Manifest(files=tuple(entries)).model_dump_json(indent=2).encode() + b"\n")
        except BaseException:
            self.delete(share_id)
            raise
        return sum(item.bytes for item in entries)

    def files(self, share_id: str) -> list[ManifestEntry]:
        try:
            return list(Manifest.model_validate_json(self.read(share_id, MANIFEST)).files)
        except ValidationError:
            raise BundleCorrupt(file=MANIFEST, why="it is no manifest.") from None

    def size(self, share_id: str) -> int:
        """Bytes of all files; 0 where nothing can be read of them."""
        try:
            return sum(file.bytes for file in self.files(share_id))
        except BundleCorrupt:
            return 0

    def read(self, share_id: str, name: str) -> bytes:
        """A file as it was stored, the manifest too. Raises NotFound for a name that it has not."""
        if name == MANIFEST:
            return self._path(share_id, MANIFEST).read_bytes()
        found = next((item for item in self.files(share_id) if item.name == name), None)
        if found is None:
            raise NotFound(kind="file", id=name)
        content = self._path(share_id, name).read_bytes()
        if sha256(content).hexdigest() != found.sha256:
            raise BundleCorrupt(file=name, why="its SHA-256 differs from the manifest's.")
        return content

    def delete(self, share_id: str) -> None:
        shutil.rmtree(self._root / share_id, ignore_errors=True)

    def _path(self, share_id: str, name: str) -> Path:
        path = self._root / share_id / name
        if not path.is_file():
            raise BundleCorrupt(file=name, why="it is missing.")
        return path


def entry(name: str, content: bytes) -> ManifestEntry:
    return ManifestEntry(name=name, bytes=len(content), sha256=sha256(content).hexdigest())
