"""An uploaded bundle on its way to disk: bounded, unpacked by known names only, and held against itself."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from anyio import open_file

from backend.imports import figures, training
from backend.imports.refusals import require, same
from backend.problems import BodyTooLarge, UploadCorrupt
from backend.store.artifacts import NAMES
from core.bundle import MANIFEST, Bundle
from core.datasets.archive import Damaged, extract
from core.errors import BundleCorrupt, UnknownLayer, UnsafeArchive
from core.recipes.build import plan_of
from core.schemas.results import Summary
from core.schemas.run import RunConfig

MAX_UNPACKED = 1 << 30
#: Bytes of the files that grow with epochs, layers and steps, and of the others.
MAX_COLUMNS, MAX_FACTS = 64 << 20, 1 << 20
MAX_FIELDS = 20_000  # of one file; the counts of the deepest network have some thousand
COLUMNS = frozenset(
    {"metrics.json", "gradients.json", "diagnostics.json", "counts.json", "search.json", "recount.json"}
)
MAX_MEMBERS = 1000
ARCHIVE = "upload.zip"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A bundle whose every file was read and found to agree with the others."""

    bundle: Bundle
    digest: str
    config: RunConfig
    summary: Summary


async def receive(body: AsyncIterator[bytes], path: Path, *, limit_bytes: int) -> None:
    """Write a body to `path` piece by piece; raises BodyTooLarge once it is longer than the limit."""
    size = 0
    async with await open_file(path, "xb") as file:
        async for piece in body:
            size += len(piece)
            if size > limit_bytes:
                raise BodyTooLarge(limit_bytes=limit_bytes)
            await file.write(piece)


def unpack(archive: Path, into: Path) -> Upload:
    """The bundle in a zip, checked. Raises UnsafeArchive, UploadCorrupt, UnknownName or ImpossibleMask."""
    with _as_upload():
        _check_members(archive)
        try:
            extract(archive, _place, into)
        except Damaged as error:
            raise UploadCorrupt(file=ARCHIVE, why=f"{error}.") from None
        _check_texts(into)
        bundle = Bundle(into)
        if not bundle.complete:
            raise UploadCorrupt(file=MANIFEST, why="it is missing.")
        listed = {entry.name for entry in bundle.files()} | {MANIFEST}
        for path in into.iterdir():
            if path.name not in listed:
                path.unlink()  # nobody vouches for it
        bundle.verify()
        for path in into.glob("*.npz"):
            _check_members(path)
        return _agreeing(bundle)


@contextmanager
def _as_upload() -> Iterator[None]:
    """What is wrong with a bundle here is the sender's to mend, not a fault of ours."""
    try:
        yield
    except UploadCorrupt:
        raise
    except BundleCorrupt as error:
        raise UploadCorrupt.of(error) from None
    except UnknownLayer as error:
        raise UploadCorrupt(file="counts.json", why=error.message) from None
    except MemoryError:
        raise UploadCorrupt(file=ARCHIVE, why="an array in it claims more than this machine's memory.") from None
    except (zlib.error, RuntimeError) as error:  # an encrypted or broken member of an inner archive, endless nesting
        raise UploadCorrupt(file=ARCHIVE, why=f"a file in it cannot be read ({error}).") from None


def _place(path: str) -> str | None:
    name = PurePosixPath(path).name
    return name if name in NAMES else None


def _check_members(archive: Path) -> None:
    """Bounds on what a zip says of itself; reading stops at what it said."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = zipped.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise UploadCorrupt(file=archive.name, why=f"it is no readable zip ({error}).") from None
    if len(members) > MAX_MEMBERS:
        raise UnsafeArchive(archive=archive.name, member="", why=f"there are more than {MAX_MEMBERS} files in it")
    if sum(member.file_size for member in members) > MAX_UNPACKED:
        raise UnsafeArchive(archive=archive.name, member="", why=f"unpacks to more than {MAX_UNPACKED >> 20} MB")
    if archive.name != ARCHIVE:
        return
    parents = {PurePosixPath(m.filename).parent for m in members if PurePosixPath(m.filename).name in NAMES}
    if any(len(parent.parts) > 1 for parent in parents):
        raise UploadCorrupt(file=archive.name, why="the bundle's files must be at its top or in one folder.")


def _check_texts(into: Path) -> None:
    """Bounds on JSON before it is read: its size, and how many lists and fields its size can hold."""
    for path in into.glob("*.json"):
        size, most = path.stat().st_size, MAX_COLUMNS if path.name in COLUMNS else MAX_FACTS
        require(path.name, "the size", size, size <= most, f"at most {most:,} bytes")
        content = path.read_bytes()
        for what, sign, most in (("fields", b":", MAX_FIELDS), ("lists", b"[", MAX_FIELDS + size // 8)):
            n = content.count(sign)
            require(path.name, f"the number of {what}", n, n <= most, f"at most {most:,}")


def _unpacked_bytes(path: Path) -> int:
    if path.suffix != ".npz":
        return path.stat().st_size
    with zipfile.ZipFile(path) as zipped:
        return sum(member.file_size for member in zipped.infolist())


def _agreeing(bundle: Bundle) -> Upload:
    """Every file read, and every figure recomputed from what it was made of or held against what the trainer can give."""
    config, summary, counts = bundle.config(), bundle.summary(), bundle.counts()
    spec, plan = figures.trained_on(config), plan_of(config)
    figures.check_config(config, plan)
    figures.check_summary(summary, counts, config, plan, spec)
    found = bundle.search()
    there = "missing" if found is None else "there"
    same("search.json", {"it": (there, "there" if config.seeks.is_on else "missing")}, source="for its config it is")
    figures.check_counts(counts, config, plan, found)
    figures.check_energy(counts, summary)
    for file, most in figures.most_bytes(config, plan, counts.n_samples).items():
        size = _unpacked_bytes(bundle.path / file)  # bounded by what the run can have written, before it is read
        of = f"{counts.n_samples:,} images, {config.steps} steps and {plan.n_classes} classes"
        require(file, "the size, unpacked", size, size <= most, f"at most {most:,} bytes, for {of}")
    figures.check_answers(bundle.predictions(counts), summary, plan, spec)
    figures.check_examples(bundle, summary, spec)
    bundle.counts_per_sample(counts)
    metrics = bundle.metrics()
    training.check_epochs(metrics, summary, config)
    training.check_gradients(bundle.gradients(), metrics, plan)
    if (diagnostics := bundle.diagnostics()) is not None:
        training.check_diagnostics(diagnostics, metrics, summary, config, plan)
    if (recount := bundle.recount()) is not None:
        figures.check_recount(recount, counts)
    training.check_weights(bundle, config, plan)
    bundle.environment()
    return Upload(
        bundle=bundle, digest=hashlib.sha256(bundle.read(MANIFEST)).hexdigest(), config=config, summary=summary
    )
