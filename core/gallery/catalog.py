"""The list of the gallery's runs: `runs/index.json` with the SHA-256 of each zip, and the zips beside it.

A record is a run whose figures and curves alone travel: a network's weights and the outputs and counts of single images take
megabytes, all else of its bundle some 20 kB.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from core.bundle import WEIGHTS, Bundle
from core.bundle_checks import EXAMPLES, PER_SAMPLE, PREDICTIONS
from core.datasets.archive import Damaged, extract
from core.errors import BundleCorrupt, UnknownName
from core.schemas.base import Frozen
from core.schemas.wording import fault_of

RUNS = Path(__file__).with_name("runs")
#: What a record leaves out of a finished bundle, whose manifest it keeps: the SHA-256 of these stand there.
NOT_OF_A_RECORD = frozenset({PER_SAMPLE, PREDICTIONS, EXAMPLES, WEIGHTS})
INDEX = "index.json"
#: Of all zips together: they come with every installation.
MOST_BYTES = 25 * 10**6


class GalleryRun(Frozen):
    """One finished run of the gallery."""

    file: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*\.zip$", description="a zip of a bundle, beside the index")
    bytes: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    label: str = Field(description="the network's name")
    config_hash: str
    record: bool = Field(default=False, description="without weights and without what single images gave")

    @property
    def name(self) -> str:
        return self.file.removesuffix(".zip")


class Gallery(Frozen):
    """`runs/index.json`."""

    version: Literal[1] = 1
    runs: tuple[GalleryRun, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(run.bytes for run in self.runs)

    @property
    def whole(self) -> list[GalleryRun]:
        """The runs that are no records."""
        return [run for run in self.runs if not run.record]

    def chosen(self, names: Sequence[str] | None) -> list[GalleryRun]:
        """The whole runs called so, or all of them. Raises UnknownName."""
        known = {run.name: run for run in self.whole}
        for name in names or ():
            if name not in known:
                raise UnknownName(kind="gallery run", name=name, known=sorted(known))
        return [known[name] for name in names] if names else self.whole


def gallery(folder: Path | None = None) -> Gallery:
    """What the index in `folder`, the product's own without one, lists; nothing where there is no index. Raises BundleCorrupt."""
    path = (folder or RUNS) / INDEX
    try:
        return Gallery.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Gallery()
    except ValidationError as error:
        field, _, wanted = fault_of(error.errors()[0])
        raise BundleCorrupt(file=str(path), why=f"{field or 'the whole'} must be {wanted}.") from None


def content_of(run: GalleryRun, folder: Path | None = None) -> bytes:
    """The zip, held against the index. Raises BundleCorrupt."""
    path = (folder or RUNS) / run.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleCorrupt(file=str(path), why=f"{error.strerror}.") from None
    if hashlib.sha256(content).hexdigest() != run.sha256:
        raise BundleCorrupt(file=str(path), why="its SHA-256 differs from the index's.")
    return content


@contextmanager
def unpacked(run: GalleryRun, folder: Path | None = None) -> Iterator[Bundle]:
    """The bundle, or what a record has of it, in a folder that is gone afterwards, every file held against its manifest.

    Raises BundleCorrupt.
    """
    content = content_of(run, folder)
    with tempfile.TemporaryDirectory(prefix="spikefront-gallery-") as room:
        archive, into = Path(room) / run.file, Path(room) / "bundle"
        archive.write_bytes(content)
        try:
            extract(archive, lambda path: path if "/" not in path else None, into)
        except Damaged as error:
            raise BundleCorrupt(file=run.file, why=f"{error}.") from None
        bundle = Bundle(into)
        names = {entry.name for entry in bundle.files()}
        bundle.verify(only=names - NOT_OF_A_RECORD if run.record else None)
        yield bundle
