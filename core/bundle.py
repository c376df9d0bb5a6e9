"""A run on disk: one folder of plain files and a manifest with their SHA-256 digests.

    config.json             RunConfig
    environment.json        versions, processor, threads: what the numbers were made with
    metrics.json            epoch by epoch, as columns (core.schemas.results.Metrics)
    counts.json             integer operation counts of the test set (core.schemas.results.Counts)
    counts_per_sample.npz   the same counts per test image, one array a layer and quantity
    predictions.npz         index [N], label [N], outputs [N, T, C] float32, classes
    gradients.json          gradient norm per layer and epoch (core.schemas.results.Gradients)
    diagnostics.json        activations of a probe batch per layer, epoch and step (core.schemas.diagnostics.Diagnostics)
    examples.npz            index [M], image [M, H, W, 3] uint8: images worth looking at
    weights.safetensors     parameters and running statistics of the best epoch
    summary.json            core.schemas.results.Summary
    search.json             the course of a search and what it found, of a run that searched (core.schemas.search.SearchFound)
    recount.json            the network counted again by SpikingJelly, unless that is off (core.schemas.recount.Recount)
    manifest.json           written last: a folder without it is unfinished

Bundles from before a file of LATER_FILES was introduced are whole without it. What is measured of a finished run later,
`robustness.json` (core.analysis.robustness), lies beside these files and is no part of the manifest.

`checkpoint/` stands beside them only while the run is unfinished. Nothing is pickled. Every file is
written beside its place, synced and renamed, so a reader sees the old content or the new, never half.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field, ValidationError
from pydantic_core import from_json

from core.bundle_checks import (
    EXAMPLES,
    PER_SAMPLE,
    PREDICTIONS,
    arrays_of,
    check_agree,
    check_answers,
    check_counts,
    check_examples,
    check_per_sample,
    check_search,
    texts,
)
from core.errors import BadValue, BundleCorrupt, HomeUnusable, StorageFull
from core.schemas.base import Frozen
from core.schemas.diagnostics import Diagnostics
from core.schemas.recount import Recount
from core.schemas.results import Counts, Gradients, Metrics, Summary
from core.schemas.run import RunConfig
from core.schemas.search import SearchFound
from core.schemas.wording import fault_of
from core.showing import clipped

FULL = (errno.ENOSPC, errno.EDQUOT)  # no room on the disk, or none left of this user's share of it
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
#: Of every file in a zip of a bundle, so that the same bundle gives the same zip whenever its files were written.
ZIP_MOMENT = (1980, 1, 1, 0, 0, 0)
CHECKPOINT = "checkpoint"
TEACHER = "teacher"  # the bundle of the CNN twin that a run trained first: beside its own, and no part of its manifest
#: What every finished bundle has, beside the manifest itself.
FILES = (
    "config.json",
    "environment.json",
    "metrics.json",
    "counts.json",
    "counts_per_sample.npz",
    "predictions.npz",
    "gradients.json",
    "examples.npz",
    WEIGHTS,
    "summary.json",
)
#: What a bundle has only if it was written since the file was introduced; search.json and recount.json only if the run made one.
LATER_FILES = ("diagnostics.json", "search.json", "recount.json")

Model = TypeVar("Model", bound=Frozen)


class ManifestEntry(Frozen):
    """One file of a bundle."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", description="a plain file name, never a path")
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Frozen):
    version: Literal[1] = 1
    files: tuple[ManifestEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the network said of the test set."""

    index: np.ndarray  # [N] int64, position in the test set
    label: np.ndarray  # [N] int64
    outputs: np.ndarray  # [N, T, C] float32, the raw output of each step; T = 1 for a CNN
    classes: list[str]


@dataclass(frozen=True, kw_only=True)
class ExampleImages:
    """Test images kept with the run."""

    index: np.ndarray  # [M] int64, position in the test set, rising
    image: np.ndarray  # [M, H, W, 3] uint8; H = W = 0 where a bundle travels without its data set's images

    @property
    def has_pixels(self) -> bool:
        return self.image.size > 0 or len(self.index) == 0


def write_atomic(path: Path, content: bytes | bytearray) -> None:
    """Put `content` at `path` whole: written beside it, synced, renamed, and the folder synced.

    Raises StorageFull where the disk is full, and HomeUnusable where the folder cannot be written for another
    reason; the old content then stays.
    """
    beside = path.with_name(f".{path.name}.tmp")  # one writer at a time, so a killed one's leftover is overwritten
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise unwritable(path.parent, error) from None


def unwritable(folder: Path, error: OSError) -> HomeUnusable | StorageFull:
    """What an error of the system while writing below `folder` means for a user."""
    if error.errno in FULL:
        return StorageFull()
    return HomeUnusable(folder=str(folder), why=f"{error.strerror or error}.")


@contextmanager
def whole_paths(folder: Path) -> Iterator[None]:
    """Names the whole path in a BundleCorrupt, for whoever reads several bundles from the shell."""
    try:
        yield
    except BundleCorrupt as error:
        raise BundleCorrupt(file=str(folder / error.fields["file"]), why=error.fields["why"]) from None


class Bundle:
    """Reads and writes the files of one run's folder. Readers raise BundleCorrupt, naming the file."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    # Reading

    @property
    def complete(self) -> bool:
        """The run has ended and every file is in place (`verify` also reads them)."""
        return (self.path / MANIFEST).is_file()

    @property
    def checkpoint(self) -> Path:
        """Folder of the unfinished run's checkpoint."""
        return self.path / CHECKPOINT

    def require_own(self, config: RunConfig) -> None:
        """The folder is new, has none of our files, or holds a run of an equal config. Raises BadValue otherwise."""
        if (self.path / "config.json").exists():
            if self.config().config_hash != config.config_hash:
                raise BadValue(
                    field="out", value=str(self.path), expected="another folder: this one holds a run of another config"
                )
        elif taken := [name for name in FILES + LATER_FILES if (self.path / name).exists()]:
            raise BadValue(
                field="out",
                value=str(self.path),
                expected=f"another folder: this one has a {taken[0]} that is no run's",
            )

    def config(self) -> RunConfig:
        return self.model("config.json", RunConfig)

    def summary(self) -> Summary:
        return self.model("summary.json", Summary)

    def counts(self) -> Counts:
        counts = self.model("counts.json", Counts)
        check_counts(counts)
        return counts

    def metrics(self) -> Metrics:
        return self.model("metrics.json", Metrics)

    def gradients(self) -> Gradients:
        return self.model("gradients.json", Gradients)

    def diagnostics(self) -> Diagnostics | None:
        """None for a run from before they were measured."""
        return self._later("diagnostics.json", Diagnostics)

    def recount(self) -> Recount | None:
        """None for a run that was not counted again."""
        return self._later("recount.json", Recount)

    def search(self) -> SearchFound | None:
        """None for a run that did not search; held against its config."""
        found = self._later("search.json", SearchFound)
        if found is not None:
            check_search(found, self.config(), len(self.metrics().epoch))
        return found

    def _later(self, name: str, model: type[Model]) -> Model | None:
        """A file of LATER_FILES; None where the manifest does not list it."""
        return self.model(name, model) if any(entry.name == name for entry in self.files()) else None

    def environment(self) -> dict[str, Any]:
        try:
            # refuses what no answer could carry: endless nesting, halves of characters, NaN
            value = from_json(self.read("environment.json"), allow_inf_nan=False)
        except ValueError as error:
            raise BundleCorrupt(file="environment.json", why=f"it is not JSON ({error}).") from None
        if not isinstance(value, dict):
            raise BundleCorrupt(file="environment.json", why="it is not a JSON object.")
        return value

    def predictions(self, counts: Counts | None = None) -> Predictions:
        """With `counts`, the run's, also held against them."""
        wanted = {"index": (1, "iu"), "label": (1, "iu"), "outputs": (3, "f"), "classes": (1, "U")}
        arrays = arrays_of(PREDICTIONS, self.read(PREDICTIONS), **wanted)
        index, label, outputs = (arrays[name] for name in ("index", "label", "outputs"))
        classes = texts(PREDICTIONS, "classes", arrays["classes"][: outputs.shape[2] + 1])
        check_answers(index, label, outputs, classes)
        if counts is not None:
            check_agree(outputs, counts)
        return Predictions(index=index.astype(np.int64), label=label.astype(np.int64), outputs=outputs, classes=classes)

    def examples(self) -> ExampleImages:
        arrays = arrays_of(EXAMPLES, self.read(EXAMPLES), index=(1, "iu"), image=(4, "iu"))
        check_examples(arrays["index"], arrays["image"])
        return ExampleImages(index=arrays["index"].astype(np.int64), image=arrays["image"])

    def counts_per_sample(self, counts: Counts | None = None) -> dict[str, np.ndarray]:
        """With `counts`, the run's, all of them are there and held against those."""
        if counts is None:
            return arrays_of(PER_SAMPLE, self.read(PER_SAMPLE))
        wanted = {"layers": (1, "U"), "neuron_layers": (1, "U")}
        wanted |= dict.fromkeys(("ac", "mac", "input_nonzero", "spikes"), (3, "iu"))
        arrays = arrays_of(PER_SAMPLE, self.read(PER_SAMPLE), **wanted)
        check_per_sample(arrays, counts)
        return arrays

    def weights(self) -> dict[str, np.ndarray]:
        """Parameters and running statistics by name."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return load(self.read(WEIGHTS))
        except (SafetensorError, ValueError, TypeError) as error:
            raise BundleCorrupt(file=WEIGHTS, why=f"{error}.") from None
        except KeyError as error:  # of a type that numpy has not
            raise BundleCorrupt(
                file=WEIGHTS, field="the type of a tensor", value=str(error.args[0]), expected="float32"
            ) from None

    def files(self) -> list[ManifestEntry]:
        """The manifest's rows, in its order."""
        return list(self.model(MANIFEST, Manifest).files)

    @property
    def weights_sha256(self) -> str:
        """The digest of the weights as the manifest has it: by this name another run starts from them."""
        found = next((entry.sha256 for entry in self.files() if entry.name == WEIGHTS), None)
        if found is None:
            raise BundleCorrupt(file=MANIFEST, why="it does not list weights.safetensors.")
        return found

    def verify(self, *, only: Collection[str] | None = None) -> None:
        """Read every file, or those named, and compare them with the manifest; raises BundleCorrupt at the first that differs."""
        entries = self.files()
        if missing := sorted(set(FILES) - {entry.name for entry in entries}):
            raise BundleCorrupt(file=MANIFEST, why=f"it does not list {missing[0]}.")
        for entry in entries:
            if only is not None and entry.name not in only:
                continue
            content = self.read(entry.name)
            if len(content) != entry.bytes:
                raise BundleCorrupt(
                    file=entry.name, why=f"it has {len(content)} bytes where the manifest says {entry.bytes}."
                )
            if hashlib.sha256(content).hexdigest() != entry.sha256:
                raise BundleCorrupt(file=entry.name, why="its SHA-256 differs from the manifest's.")

    @property
    def name(self) -> str:
        """Of the run."""
        return self.path.name

    def file(self, name: str) -> Path:
        """Where a file of the bundle lies on this machine; it need not be there."""
        return self.path / name

    def beside(self, name: str) -> Path:
        """The same of a file that lies beside the bundle's, and is no part of its manifest."""
        return self.path / name

    def read(self, name: str) -> bytes:
        """The bytes of one file of the bundle."""
        try:
            return self.file(name).read_bytes()
        except FileNotFoundError:
            raise BundleCorrupt(file=name, why="it is missing.") from None
        except OSError as error:
            raise BundleCorrupt(file=name, why=f"{error.strerror}.") from None

    def model(self, name: str, model: type[Model]) -> Model:
        """A JSON file of the folder."""
        try:
            return model.model_validate_json(self.read(name))
        except ValidationError as error:
            field, value, wanted = fault_of(error.errors(include_url=False)[0])
            field = clipped(field) or "the whole"
            why = f"{field} must be {wanted}." if value is None else ""
            raise BundleCorrupt(file=name, why=why, field=field, value=value, expected=wanted) from None

    # Writing

    def write_model(self, name: str, model: Frozen) -> None:
        write_atomic(self.path / name, model.model_dump_json(indent=2).encode() + b"\n")

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        write_atomic(self.path / name, json.dumps(value, indent=2).encode() + b"\n")

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray], *, compressed: bool = False) -> None:
        buffer = io.BytesIO()
        (np.savez_compressed if compressed else np.savez)(buffer, allow_pickle=False, **arrays)
        write_atomic(self.path / name, buffer.getvalue())

    def write_predictions(self, predictions: Predictions) -> None:
        self.write_arrays(
            "predictions.npz",
            {
                "index": predictions.index.astype(np.int64),
                "label": predictions.label.astype(np.int64),
                "outputs": predictions.outputs.astype(np.float32),
                "classes": np.array(predictions.classes, dtype=np.str_),
            },
        )

    def write_bytes(self, name: str, content: bytes) -> None:
        write_atomic(self.path / name, content)

    def seal(self) -> None:
        """Write the manifest over every file, then drop the checkpoint: from here on the bundle is complete."""
        entries = []
        for name in FILES + tuple(name for name in LATER_FILES if (self.path / name).exists()):
            content = self.read(name)
            entries.append(ManifestEntry(name=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest()))
        self.write_model(MANIFEST, Manifest(files=tuple(entries)))
        shutil.rmtree(self.checkpoint, ignore_errors=True)
