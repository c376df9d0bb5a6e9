"""An uploaded bundle on its way to disk: bounded, unpacked by known names only, and held against itself."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from anyio import open_file

from backend.problems import BodyTooLarge, UploadCorrupt
from backend.store.artifacts import NAMES
from core.analysis.confusion import accuracy, confusion, f1_macro
from core.analysis.predictions import predict
from core.bundle import MANIFEST, Bundle
from core.datasets.archive import Damaged, extract
from core.energy.modes import MODES
from core.energy.price import price
from core.energy.profiles import profiles
from core.errors import BundleCorrupt, UnsafeArchive
from core.recipes.build import plan_of
from core.schemas.results import Counts, Summary
from core.schemas.run import RunConfig

MAX_UNPACKED = 1 << 30
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
        raise UploadCorrupt(**error.fields) from None
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


def _agreeing(bundle: Bundle) -> Upload:
    """Every file read, and every figure of the summary recomputed from what it was made of."""
    config, summary, counts = bundle.config(), bundle.summary(), bundle.counts()
    plan = plan_of(config)
    _same(
        "summary.json",
        {
            "config_hash": (summary.config_hash, config.config_hash),
            "backbone": (summary.backbone, config.backbone),
            "kind": (summary.kind, config.kind),
            "mask": (summary.mask, config.mask),
            "dataset": (summary.dataset, config.dataset),
            "recipe": (summary.recipe, config.recipe),
            "seed": (summary.seed, config.seed),
            "time_steps": (summary.time_steps, config.steps),
            "params": (summary.params, plan.params),
            "n_test": (summary.n_test, counts.n_samples),
        },
    )
    _same(
        "counts.json",
        {
            "kind": (counts.kind, config.kind),
            "time_steps": (counts.time_steps, config.steps),
            "params": (sum(layer.params for layer in counts.layers), plan.params),
            "dense_ops": (sum(layer.dense_ops for layer in counts.layers), plan.dense_ops),
        },
    )
    _check_energy(counts, summary)
    _check_answers(bundle, config, summary)
    for read in (
        bundle.metrics,
        bundle.gradients,
        bundle.diagnostics,
        bundle.environment,
        bundle.examples,
        bundle.weights,
    ):
        read()
    bundle.counts_per_sample()
    recount = bundle.recount()
    names = [layer.name for layer in counts.layers]  # a share may show them
    if recount is not None and recount.failure is None and [layer.name for layer in recount.layers] != names:
        raise UploadCorrupt(file="recount.json", why="its layers are not those of counts.json.")
    return Upload(
        bundle=bundle, digest=hashlib.sha256(bundle.read(MANIFEST)).hexdigest(), config=config, summary=summary
    )


def _check_energy(counts: Counts, summary: Summary) -> None:
    """What the summary says of energy is recomputed from the integers."""
    tally = MODES[summary.mode].tally(counts)
    energy = price(tally, profiles()[summary.profile])
    told = {
        "acs": (summary.acs, tally.acs),
        "macs": (summary.macs, tally.macs),
        "energy_pj": (summary.energy_pj, energy),
    }
    _close("summary.json", told, "counts.json gives")


def _check_answers(bundle: Bundle, config: RunConfig, summary: Summary) -> None:
    answers = bundle.predictions()
    n, steps, _ = answers.outputs.shape
    _same("predictions.npz", {"images": (n, summary.n_test), "steps": (steps, config.steps)})
    table = confusion(answers.label, predict(answers.outputs), answers.classes)
    scores = {"accuracy": (summary.accuracy, accuracy(table)), "f1_macro": (summary.f1_macro, f1_macro(table))}
    _close("summary.json", scores, "predictions.npz gives")


def _same(file: str, pairs: dict[str, tuple[object, object]]) -> None:
    for name, (said, true) in pairs.items():
        if said != true:
            raise UploadCorrupt(file=file, why=f"{name} is {said}, where the rest of the bundle gives {true}.")


def _close(file: str, pairs: dict[str, tuple[float, float]], source: str) -> None:
    for name, (said, true) in pairs.items():
        if not math.isclose(said, true, rel_tol=1e-9, abs_tol=1e-9):
            raise UploadCorrupt(file=file, why=f"{name} is {said:g}, where {source} {true:g}.")
