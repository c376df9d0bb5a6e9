"""Where the bundles of runs lie, and short-lived addresses of their files."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import time
from pathlib import Path
from urllib.parse import quote

from core.addresses import folder_of
from core.bundle import CHECKPOINT, FILES, LATER_FILES, MANIFEST, TEACHER, Bundle
from core.errors import NotFound, Unauthorised
from core.settings import Settings

URL_LIFETIME_S = 15 * 60
UNFINISHED = (CHECKPOINT, TEACHER)
BUNDLE_ZIP = "bundle.zip"  # the address of a whole bundle, beside those of its files
NAMES = frozenset({*FILES, *LATER_FILES, MANIFEST})
MEDIA_TYPES = {".json": "application/json", ".npz": "application/zip"}


class Artifacts:
    """One folder a run under `artifacts_url`. Only `file://` addresses are served by this version."""

    def __init__(self, settings: Settings) -> None:
        self.root = folder_of(settings.artifacts_url, setting="SPIKEFRONT_ARTIFACTS_URL")

    def folder(self, run_id: str) -> Path:
        """The folder of one run's bundle; it need not exist yet."""
        return self.root / run_id

    def bundle(self, run_id: str) -> Bundle:
        return Bundle(self.folder(run_id))

    def file(self, run_id: str, name: str) -> Path:
        """The path of a bundle's file; raises NotFound unless `name` is one of a bundle's files."""
        path = self.folder(run_id) / name
        if name not in NAMES or not path.is_file():
            raise NotFound(kind="artifact", id=name)
        return path

    def has_unfinished(self, run_id: str) -> bool:
        """Whether an unfinished run has left something to go on from."""
        folder = self.folder(run_id)
        return not (folder / MANIFEST).exists() and any((folder / name).exists() for name in UNFINISHED)

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
        """Remove a run's folder; nothing happens when there is none."""
        shutil.rmtree(self.folder(run_id), ignore_errors=True)


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
