"""Bringing data sets to this machine, and what is in them: pictures of each class, and what is being added or fetched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.catalog import DatasetInfo
from core.schemas.problem import Problem

MAX_ARCHIVE_BYTES = 512 * 1024 * 1024
MAX_PICTURES_A_CLASS = 48
MAX_CLASSES = 40  # shown at once where no class is asked for


class DatasetAdded(Frozen):
    """`POST /datasets`: what became of the archive; what was left out of it stands in the set's note."""

    dataset: DatasetInfo
    classes: tuple[str, ...]


class DataWork(Frozen):
    """What is done, or was last done, to one data set. `total` is 0 where nobody knows it."""

    name: str
    kind: Literal["add", "fetch"]
    state: Literal["running", "done", "failed", "cancelled"]
    what: str = Field(description="downloading, checking, reading, or the file that is at hand")
    done: int
    total: int
    problem: Problem | None = Field(default=None, description="why it failed")

    @property
    def running(self) -> bool:
        return self.state == "running"


class ClassPictures(Frozen):
    name: str
    n_train: int
    n_test: int
    pictures: list[str] = Field(description="data:image/png;base64,... of training images, spread over the class")


class DatasetPictures(Frozen):
    """`GET /datasets/{name}/pictures`."""

    name: str
    title: str
    class_names: list[str] = Field(description="all of the set's, also those without pictures here")
    classes: list[ClassPictures]
