"""Data sets of the user's own: what `dataset.toml` says of one, who reads it, and which are in a data folder.

`<data>/<name>/` holds dataset.toml and the images as they are trained on: four .npy files, whose SHA-256 the
table has. The files that they were made of are not needed any more.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from core.datasets.official import ARRAYS
from core.datasets.spec import (
    Dataset,
    DatasetSpec,
    DatasetStatus,
    FileReport,
    NeverAdded,
    Progress,
    Report,
    no_progress,
)
from core.errors import DatasetCorrupt, DatasetMissing
from core.schemas.base import Frozen
from core.text import text_of

log = logging.getLogger(__name__)

TABLE = "dataset.toml"
NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
RESERVED = frozenset({"downloads"})  # a folder of the data folder that is no data set
MAX_TABLE_BYTES = 1 << 20
Triple = tuple[float, float, float]


class UserFacts(Frozen):
    """The content of dataset.toml. `size` is the side of the square images in pixels; mean, std as in DatasetSpec."""

    format: Literal[1] = 1
    title: str = Field(min_length=1, max_length=80)
    classes: tuple[str, ...] = Field(min_length=2)
    size: int = Field(ge=8, le=1024)
    channels: Literal[3] = 3
    mean: Triple
    std: Triple
    n_train: int = Field(ge=1)
    n_test: int = Field(ge=1)
    mirrors: bool
    split_seed: int | None = Field(default=None, description="of the split made here; none where the folders had one")
    note: str
    sha256: dict[str, str]

    def to_toml(self) -> str:
        """As TOML; JSON's strings, numbers and lists are TOML's too, where no character needs an escape."""
        lines = ["# Written by `spikefront data add`. A changed line makes the data set another one, or unreadable."]
        for key, value in self.model_dump(mode="json", exclude_none=True).items():
            if not isinstance(value, dict):
                lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
        lines += ["", "[sha256]", *(f'"{file}" = "{digest}"' for file, digest in self.sha256.items())]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class UserReader(NeverAdded):
    """Reads the four arrays. Such a set is whole by definition: what its owner added is all there is."""

    facts: UserFacts
    built_in: bool = False

    def status(self, spec: DatasetSpec, folder: Path) -> DatasetStatus:
        for array in ARRAYS:
            if (why := self._fault(folder, array)) is not None:
                return DatasetStatus(ready=False, note=f"{array}.npy {why} Add the data set again.")
        facts = self.facts
        return DatasetStatus(ready=True, complete=True, n_train=facts.n_train, n_test=facts.n_test, note=facts.note)

    def load(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Dataset:
        if not (folder / TABLE).is_file():
            raise DatasetMissing(name=spec.name, folder=str(folder), how="Add it with 'spikefront data add'.")
        arrays = {array: self._read(spec, folder, array) for array in ARRAYS}
        return Dataset(spec=spec, classes=spec.classes, complete=True, note=self.facts.note, **arrays)

    def verify(self, spec: DatasetSpec, folder: Path, progress: Progress = no_progress) -> Report:
        reports = []
        for done, array in enumerate(ARRAYS):
            file = f"{array}.npy"
            progress(file, done, len(ARRAYS))
            try:
                n = len(self._read(spec, folder, array))
                if sha256(folder / file) != self.facts.sha256.get(file):
                    raise DatasetCorrupt(name=spec.name, file=file, why=f"it is not the file that {TABLE} describes.")
                reports.append(FileReport(file=file, state="ok", n=n))
            except DatasetCorrupt as error:
                state = "corrupt" if (folder / file).is_file() else "missing"
                reports.append(FileReport(file=file, state=state, why=error.fields["why"]))
        progress("done", len(ARRAYS), len(ARRAYS))
        states = {report.state for report in reports}
        return Report(
            name=spec.name,
            state="corrupt" if "corrupt" in states else "missing" if "missing" in states else "complete",
            n_train=self.facts.n_train,
            n_test=self.facts.n_test,
            files=tuple(reports),
            note=self.facts.note,
        )

    def _shape(self, array: str) -> tuple[int, ...]:
        n = self.facts.n_train if array.startswith("train") else self.facts.n_test
        return (n, self.facts.size, self.facts.size, 3) if array.endswith("images") else (n,)

    def _fault(self, folder: Path, array: str) -> str | None:
        """What is wrong with the file's size, if anything."""
        least = math.prod(self._shape(array)) * (1 if array.endswith("images") else 8)
        try:
            size = (folder / f"{array}.npy").stat().st_size
        except OSError:
            return "is not there."
        return f"is cut off after {size:,} bytes." if size < least else None

    def _read(self, spec: DatasetSpec, folder: Path, array: str) -> np.ndarray:
        """Mapped copy-on-write. Raises DatasetCorrupt."""
        file = f"{array}.npy"
        if (why := self._fault(folder, array)) is not None:
            raise DatasetCorrupt(name=spec.name, file=file, why=f"it {why}")
        try:
            content = np.load(folder / file, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DatasetCorrupt(name=spec.name, file=file, why=f"it is no array ({error}).") from None
        dtype = np.dtype(np.uint8 if array.endswith("images") else np.int64)
        if not isinstance(content, np.ndarray) or content.shape != self._shape(array) or content.dtype != dtype:
            raise DatasetCorrupt(name=spec.name, file=file, why=f"it holds something else than {TABLE} says.")
        content = np.asarray(content)
        if array.endswith("labels") and not (0 <= content.min() and content.max() < spec.n_classes):
            why = f"its labels go from {content.min()} to {content.max()}; they must be 0 to {spec.n_classes - 1}."
            raise DatasetCorrupt(name=spec.name, file=file, why=why)
        return content


def user_spec(name: str, data_dir: Path) -> DatasetSpec | None:
    """The user's data set of that name in `data_dir`; None where none is. Raises DatasetCorrupt for a bad table."""
    if not NAME.fullmatch(name) or name in RESERVED:
        return None
    path = Path(data_dir) / name / TABLE
    try:
        found = path.stat()
    except OSError:
        return None
    return _spec(name, path, found.st_mtime_ns, found.st_size, found.st_ino)


def user_specs(data_dir: Path) -> Mapping[str, DatasetSpec]:
    """All of them by name. One whose table cannot be read is left out, with a line in the log."""
    found = {}
    try:
        names = sorted(path.parent.name for path in Path(data_dir).glob(f"*/{TABLE}"))
    except OSError:
        names = []
    for name in names:
        try:
            spec = user_spec(name, data_dir)
        except DatasetCorrupt as error:
            log.warning("datasets.table_unreadable", extra={"dataset": name, "why": error.fields["why"]})
            continue
        if spec is not None:
            found[name] = spec
    return found


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=256)
def _spec(name: str, path: Path, *_stamp: int) -> DatasetSpec:
    """Read once for each state of the file: the stamp (time, size, number) is part of the key."""
    facts = read_table(name, path)
    return DatasetSpec(
        name=name,
        title=facts.title,
        classes=facts.classes,
        image_shape=(facts.channels, facts.size, facts.size),
        n_train=facts.n_train,
        n_test=facts.n_test,
        mean=facts.mean,
        std=facts.std,
        citation="a data set of your own",
        licence="as its owner says",
        home="",
        mirrors=facts.mirrors,
        reader=UserReader(facts=facts),
    )


def read_table(name: str, path: Path) -> UserFacts:
    """What a dataset.toml says. Raises DatasetCorrupt."""
    try:
        with open(path, "rb") as file:
            content: dict[str, Any] = tomllib.loads(text_of(file.read(MAX_TABLE_BYTES)))
        return UserFacts.model_validate(content)
    except OSError as error:
        why = f"it cannot be read: {error.strerror}."
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}."
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = f"it is no TOML ({error})."
    raise DatasetCorrupt(name=name, file=TABLE, why=why)
