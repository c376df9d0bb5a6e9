"""A run on disk: one folder of plain files and a manifest with their SHA-256 digests.

    config.json             RunConfig
    environment.json        versions, processor, threads: what the numbers were made with
    metrics.json            epoch by epoch, as columns (core.schemas.api.Metrics)
    counts.json             integer operation counts of the test set (core.schemas.results.Counts)
    counts_per_sample.npz   the same counts per test image, one array a layer and quantity
    predictions.npz         index [N], label [N], outputs [N, T, C] float32, classes
    gradients.json          gradient norm per layer and epoch (core.schemas.api.Gradients)
    diagnostics.json        activations of a probe batch per layer, epoch and step (core.schemas.diagnostics.Diagnostics)
    examples.npz            index [M], image [M, H, W, 3] uint8: images worth looking at
    weights.safetensors     parameters and running statistics of the best epoch
    summary.json            core.schemas.results.Summary
    manifest.json           written last: a folder without it is unfinished

Bundles from before a file of LATER_FILES was introduced are whole without it.

`checkpoint/` stands beside them only while the run is unfinished. Nothing is pickled. Every file is
written beside its place, synced and renamed, so a reader sees the old content or the new, never half.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
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
    texts,
)
from core.errors import BadValue, BundleCorrupt, HomeUnusable
from core.schemas.base import Frozen, Misfit
from core.schemas.diagnostics import Diagnostics
from core.schemas.results import Counts, Gradients, Metrics, Summary
from core.schemas.run import RunConfig
from core.schemas.wording import expected

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint"
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
    "weights.safetensors",
    "summary.json",
)
#: What a bundle has only if it was written since the file was introduced.
LATER_FILES = ("diagnostics.json",)

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
    image: np.ndarray  # [M, H, W, 3] uint8


def write_atomic(path: Path, content: bytes) -> None:
    """Put `content` at `path` whole: written beside it, synced, renamed, and the folder synced.

    Raises HomeUnusable where the folder cannot be written or the disk is full; the old content then stays.
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
        raise HomeUnusable(folder=str(path.parent), why=f"{error.strerror or error}.") from None


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
        return self._model("config.json", RunConfig)

    def summary(self) -> Summary:
        return self._model("summary.json", Summary)

    def counts(self) -> Counts:
        counts = self._model("counts.json", Counts)
        check_counts(counts)
        return counts

    def metrics(self) -> Metrics:
        return self._model("metrics.json", Metrics)

    def gradients(self) -> Gradients:
        return self._model("gradients.json", Gradients)

    def diagnostics(self) -> Diagnostics | None:
        """None for a run from before they were measured."""
        if all(entry.name != "diagnostics.json" for entry in self.files()):
            return None
        return self._model("diagnostics.json", Diagnostics)

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
            return load(self.read("weights.safetensors"))
        except (SafetensorError, ValueError, TypeError) as error:
            raise BundleCorrupt(file="weights.safetensors", why=f"{error}.") from None
        except KeyError as error:  # of a type that numpy has not
            raise BundleCorrupt(
                file="weights.safetensors", field="the type of a tensor", value=str(error.args[0]), expected="float32"
            ) from None

    def files(self) -> list[ManifestEntry]:
        """The manifest's rows, in its order."""
        return list(self._model(MANIFEST, Manifest).files)

    def verify(self) -> None:
        """Read every file and compare it with the manifest; raises BundleCorrupt at the first that differs."""
        entries = self.files()
        if missing := sorted(set(FILES) - {entry.name for entry in entries}):
            raise BundleCorrupt(file=MANIFEST, why=f"it does not list {missing[0]}.")
        for entry in entries:
            content = self.read(entry.name)
            if len(content) != entry.bytes:
                raise BundleCorrupt(
                    file=entry.name, why=f"it has {len(content)} bytes where the manifest says {entry.bytes}."
                )
            if hashlib.sha256(content).hexdigest() != entry.sha256:
                raise BundleCorrupt(file=entry.name, why="its SHA-256 differs from the manifest's.")

    def read(self, name: str) -> bytes:
        """The bytes of one file of the bundle."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise BundleCorrupt(file=name, why="it is missing.") from None
        except OSError as error:
            raise BundleCorrupt(file=name, why=f"{error.strerror}.") from None

    def _model(self, name: str, model: type[Model]) -> Model:
        try:
            return model.model_validate_json(self.read(name))
        except ValidationError as error:
            raise _misfit(name, error.errors(include_url=False)[0]) from None

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


def _misfit(file: str, fault: Any) -> BundleCorrupt:
    """What pydantic found in a file: field, value, and what would be right."""
    where = ".".join(map(str, fault["loc"]))
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, Misfit):
        field = ".".join(part for part in (where, cause.field) if part)
        return BundleCorrupt(file=file, field=field, value=cause.value, expected=cause.expected)
    if not where:
        return BundleCorrupt(file=file, why=f"{fault['msg'][:500]}.")
    why = f"{where} is missing." if fault["type"] == "missing" else ""
    value = None if why else fault["input"]
    return BundleCorrupt(file=file, why=why, field=where, value=value, expected=expected(fault))
