"""Files of a store, kept on this machine for as long as there is room: of finished bundles, which never change.

One folder a bundle, named by the SHA-256 of its manifest, so that equal bundles are one and no stale file is ever read.
The room is bounded: what was not looked at for the longest time goes first. What is in use is left for a while, so the
bound can be passed for a moment.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

from backend.store.artifacts import folder_bytes

IN_USE_S = 600.0  # after it was asked for: a download, or a process that reads it
LOOKS = 16  # times that the whole is weighed while it fills once


class Cache:
    """Safe to call from many threads, and from several processes over one folder."""

    def __init__(self, root: Path, *, limit_bytes: int) -> None:
        self.root = root
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._unweighed = limit_bytes  # the first file that comes has the whole weighed

    def folder(self, name: str) -> Path:
        """The folder of that name, marked as in use."""
        path = self.root / name
        with suppress(OSError):
            path.mkdir(parents=True, exist_ok=True)
            os.utime(path)
        return path

    def came(self, size: int) -> None:
        """A file of so many bytes was added."""
        with self._lock:
            self._unweighed += size
            if self._unweighed < self._limit / LOOKS:
                return
            self._unweighed = 0
        self.trim(self._limit)

    def trim(self, limit: int, *, in_use_s: float = IN_USE_S) -> None:
        """Have at most so many bytes, but for what is in use."""
        found = []
        with suppress(OSError):
            for path in self.root.iterdir():
                with suppress(OSError):
                    found.append((path.stat().st_mtime, path))
        sizes = {path: folder_bytes(path) for _, path in found}
        total = sum(sizes.values())
        for used_at, path in sorted(found):
            if total <= limit or used_at > time.time() - in_use_s:
                return
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes[path]
