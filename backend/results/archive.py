"""A finished bundle as one zip, made while it is sent: what `POST /imports` takes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from core.bundle import MANIFEST, Bundle

PIECE = 1 << 20
#: The same bundle gives the same zip, whenever its files were written.
MOMENT = (1980, 1, 1, 0, 0, 0)


class _Written:
    """A file without seeking that gives back what was written since the last look."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._parts.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        content, self._parts = b"".join(self._parts), []
        return content


def stream(bundle: Bundle) -> Iterator[bytes]:
    """The files of the manifest and the manifest, stored as they are: weights and arrays hardly shrink."""
    paths = [bundle.path / entry.name for entry in bundle.files()] + [bundle.path / MANIFEST]
    return _pieces(paths)


def _pieces(paths: list[Path]) -> Iterator[bytes]:
    written = _Written()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            with (
                archive.open(zipfile.ZipInfo(path.name, MOMENT), "w", force_zip64=True) as into,
                path.open("rb") as file,
            ):
                while piece := file.read(PIECE):
                    into.write(piece)
                    yield written.take()
    yield written.take()
