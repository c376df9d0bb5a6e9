"""What a run's folder on this machine holds, sent to the store as it comes: checkpoints while it trains, the manifest last."""

from __future__ import annotations

import os
import time
from pathlib import Path

from backend.store.objects import Objects
from core.bundle import MANIFEST
from core.errors import LeaseLost
from core.run_folder import ATTEMPT, HISTORY, LOG

#: The older checkpoint guards against a disk that loses bytes; an object is whole or not there.
NOT_SENT = ("previous.safetensors",)
NOTES = (HISTORY, LOG)  # grow with every step
NOTES_EVERY_S = 10.0

Sign = tuple[int, int, int]


class Sending:
    """Of one attempt. A look sends whole files, so whoever reads meanwhile sees the old ones or the new."""

    def __init__(self, objects: Objects, folder: Path, *, attempt: int, same: bool) -> None:
        """`same`: the folder was just fetched, so the store has all that is in it."""
        self._objects, self._folder, self._attempt = objects, folder, attempt
        self._run_id = folder.name
        self._sent: dict[str, Sign] = _signs(folder) if same else {}
        self._notes_at = float("-inf")

    def look(self, *, everything: bool) -> None:
        now = _signs(self._folder)
        with_notes = everything or time.monotonic() >= self._notes_at
        changed = [name for name, sign in now.items() if self._sent.get(name) != sign]
        changed = [name for name in changed if with_notes or name not in NOTES]
        # only of a finished run: one that starts anew has others in their place soon
        gone = [name for name in self._sent if name not in now] if everything else []
        if not changed and not gone:
            return
        self._require_owner()
        if with_notes:
            self._notes_at = time.monotonic() + NOTES_EVERY_S
        for name in sorted(changed, key=_rank):
            if name == MANIFEST:
                self._require_owner()  # the last moment at which a later attempt is left what it has
            try:
                self._objects.put(f"{self._run_id}/{name}", self._folder / name)
            except FileNotFoundError:  # replaced by the trainer, which is told of at the next look
                continue
            self._sent[name] = now[name]
        self._objects.delete([f"{self._run_id}/{name}" for name in gone])
        for name in gone:
            del self._sent[name]

    def _require_owner(self) -> None:
        """An attempt that slept while another took the run over must not mix its files with the other's."""
        newest = self._objects.get(f"{self._run_id}/{ATTEMPT}") or b"0"
        if int(newest) > self._attempt:
            raise LeaseLost(run_id=self._run_id, attempt=self._attempt)


def _signs(folder: Path) -> dict[str, Sign]:
    """Name -> what tells its content from another: files are replaced and not changed, but for the log.

    A manifest counts only if it was there before its files were looked at: these are whole then.
    """
    sealed = {path for path in folder.rglob(MANIFEST)}
    found: dict[str, Sign] = {}
    for where, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            path = Path(where, name)
            if name.startswith(".") or name.endswith(".damaged") or name in NOT_SENT:
                continue
            if name == MANIFEST and path not in sealed:
                continue
            try:
                at = path.stat()
            except OSError:
                continue
            found[path.relative_to(folder).as_posix()] = (at.st_mtime_ns, at.st_size, at.st_ino)
    return found


def _rank(name: str) -> tuple[bool, bool, str]:
    """The run's own manifest last, those of bundles in its folder before it, and after all that they list."""
    return name == MANIFEST, name.endswith(MANIFEST), name
