"""The stored content of frozen links: one folder a link beside the bundles of the runs.

results.json     all that the link shows (core.schemas.share.AnyShared)
weights-*.safetensors
offline.html     the page as one file that needs no network
manifest.json    the SHA-256 of each of them, written last (core.bundle.Manifest)
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256

from pydantic import ValidationError

from backend.store.artifacts import Artifacts
from backend.store.places import SHARES
from core.bundle import MANIFEST, Manifest, ManifestEntry
from core.errors import ArtifactsDown, BundleCorrupt, NotFound

FOLDER = SHARES
RESULTS, OFFLINE = "results.json", "offline.html"


class FrozenShares:
    """Reads and writes the folders. Readers raise BundleCorrupt for a file that is missing or changed."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def write(self, share_id: str, files: Iterable[tuple[str, bytes]]) -> int:
        """Store the files and their manifest; how many bytes they take. Raises HomeUnusable; then nothing is left."""
        entries = []
        try:
            for name, content in files:
                self._artifacts.write(self._key(share_id, name), content)
                entries.append(entry(name, content))
            manifest = Manifest(files=tuple(entries)).model_dump_json(indent=2).encode() + b"\n"
            self._artifacts.write(self._key(share_id, MANIFEST), manifest)
        except BaseException:
            with suppress(ArtifactsDown):  # a store that is away keeps what it has
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
            return self._read(share_id, MANIFEST)
        found = next((item for item in self.files(share_id) if item.name == name), None)
        if found is None:
            raise NotFound(kind="file", id=name)
        content = self._read(share_id, name)
        if sha256(content).hexdigest() != found.sha256:
            raise BundleCorrupt(file=name, why="its SHA-256 differs from the manifest's.")
        return content

    def delete(self, share_id: str) -> None:
        self._artifacts.remove(f"{FOLDER}/{share_id}")

    def _read(self, share_id: str, name: str) -> bytes:
        if (content := self._artifacts.read(self._key(share_id, name))) is None:
            raise BundleCorrupt(file=name, why="it is missing.")
        return content

    @staticmethod
    def _key(share_id: str, name: str) -> str:
        return f"{FOLDER}/{share_id}/{name}"


def entry(name: str, content: bytes) -> ManifestEntry:
    return ManifestEntry(name=name, bytes=len(content), sha256=sha256(content).hexdigest())
