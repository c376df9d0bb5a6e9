"""A finished bundle as one zip, made while it is sent: what `POST /imports` takes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from core.bundle import MANIFEST, ZIP_MOMENT, Bundle

PIECE = 1 << 20


class _Written:
    """A file without seeking that gives back what was written since the last look."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._parts.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        content, self._parts = b"".join(self._parts), []
        return content


def stream(bundle: Bundle) -> Iterator[bytes]:
    """The files of the manifest and the manifest, stored as they are: weights and arrays hardly shrink."""
    return _pieces(bundle, [entry.name for entry in bundle.files()] + [MANIFEST])


def _pieces(bundle: Bundle, names: list[str]) -> Iterator[bytes]:
    written = _Written()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name in names:  # each is looked for when its turn comes
            with (
                archive.open(zipfile.ZipInfo(name, ZIP_MOMENT), "w", force_zip64=True) as into,
                bundle.file(name).open("rb") as file,
            ):
                while piece := file.read(PIECE):
                    into.write(piece)
                    yield written.take()
    yield written.take()
