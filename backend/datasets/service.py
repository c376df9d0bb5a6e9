"""Data sets from the browser: an archive that somebody brings, a fetch in the background, pictures of each class."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from anyio import to_thread

from backend.context import Context
from backend.imports.upload import receive
from backend.imports.workplace import workplace
from backend.security import UPLOADS
from backend.store import audit_log
from backend.store.actors import OWNER, Actor
from core.datasets.add import add, check_asked
from core.datasets.catalog import find
from core.datasets.fetch import fetch, require_address
from core.datasets.load import info, load
from core.datasets.picture import png_uri
from core.datasets.spec import Dataset, Progress
from core.errors import ArtifactsDown, BadValue, NoClassFolders, UnknownName
from core.schemas.datasets import MAX_CLASSES, ClassPictures, DatasetAdded, DatasetPictures, DataWork

log = logging.getLogger("spikefront.datasets")

ADDRESS = "/api/v1/datasets"
UNNAMED = "archive"
LONGEST_NAME = 80


class DatasetService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context, actor: Actor = OWNER) -> None:
        self._context = context
        self._actor = actor
        self._data = context.settings.data

    async def take(
        self,
        body: AsyncIterator[bytes],
        *,
        total: int,
        name: str,
        file: str,
        size: int | None,
        mirrors: bool,
        replace: bool,
    ) -> DatasetAdded:
        """The data set in an archive, as `spikefront data add` takes it; raises what that raises. `total`: bytes, or 0."""
        with self._context.data_works.doing(name, "add") as progress:
            with _as_asked(name, file):
                check_asked(name, self._data, size=size, mirrors=mirrors, replace=replace)
            with workplace(self._data) as folder:
                archive = folder / _file_name(file)
                progress("receiving", 0, 0)
                await receive(_counted(body, total, progress), archive, limit_bytes=UPLOADS[ADDRESS])

                def store() -> None:
                    with _as_asked(name, file):
                        add(name, archive, self._data, replace=replace, size=size, mirrors=mirrors, progress=progress)

                    act = "dataset.replaced" if replace else "dataset.added"
                    with self._context.database.write() as session:
                        audit_log.note(session, self._actor, act, name)

                await to_thread.run_sync(store)
        await to_thread.run_sync(self._publish, name)
        return DatasetAdded(dataset=info(name, self._data), classes=find(name, self._data).classes)

    def fetch(self, name: str) -> DataWork:
        """Begin to fetch in the background, or go on. Raises UnknownName, or BadValue for a set without an address."""
        require_address(find(name, self._data))

        def work(progress: Progress) -> None:
            fetch(name, self._data, progress=progress)
            self._publish(name)

        return self._context.data_works.start(name, work)

    def _publish(self, name: str) -> None:
        """For workers of other machines. It is here whether the store answers or not, which is asked again at the next start."""
        try:
            self._context.artifacts.publish_dataset(name, self._data)
        except ArtifactsDown as error:
            log.warning("dataset.not_published", extra={"dataset": name, "why": error.message})

    def pictures(self, name: str, *, of: str | None, limit: int) -> DatasetPictures:
        """`limit` training images of each class, or of the class `of`.

        Raises UnknownName for a data set or a class, DatasetMissing, DatasetCorrupt.
        """
        dataset = load(name, self._data)
        classes = list(dataset.classes)
        if of is not None and of not in classes:
            raise UnknownName(kind="class", name=of, known=classes)
        shown = classes[:MAX_CLASSES] if of is None else [of]
        return DatasetPictures(
            name=name,
            title=dataset.spec.title,
            class_names=classes,
            classes=[_pictures(dataset, classes.index(each), each, limit) for each in shown],
        )


def _pictures(dataset: Dataset, label: int, name: str, limit: int) -> ClassPictures:
    """Images from the class's first to its last at equal distances, so that not all are of one file or camera."""
    places = np.flatnonzero(dataset.train_labels == label)
    chosen = places[np.linspace(0, len(places) - 1, min(limit, len(places))).round().astype(int)]
    return ClassPictures(
        name=name,
        n_train=len(places),
        n_test=int((dataset.test_labels == label).sum()),
        pictures=[png_uri(np.asarray(dataset.train_images[place])) for place in chosen],
    )


async def _counted(body: AsyncIterator[bytes], total: int, progress: Progress) -> AsyncIterator[bytes]:
    done = 0
    async for piece in body:
        done += len(piece)
        progress("receiving", done, total)
        yield piece


def _file_name(file: str) -> str:
    """The last part of the sender's name for it, where that can be a file's name here."""
    name = PurePosixPath(file.replace("\\", "/")).name
    fits = name.isprintable() and not name.startswith(".") and 0 < len(name.encode(errors="replace")) <= LONGEST_NAME
    return name if fits else UNNAMED


@contextmanager
def _as_asked(name: str, file: str) -> Iterator[None]:
    """What was wrong, by the parameters of the request: it has no path, and no option that begins with dashes."""
    try:
        yield
    except NoClassFolders as error:
        raise NoClassFolders(folder=_file_name(file), found=error.found) from None
    except BadValue as error:
        field, value, expected = (error.fields[part] for part in ("field", "value", "expected"))
        if field == "path":
            field, value = "file", _short_path(str(value), file)
        words = expected.replace("--replace", "`replace`")
        raise BadValue(field=field.removeprefix("--"), value=value, expected=words) from None


def _short_path(path: str, file: str) -> str:
    """The sender's own name for the archive, or for what lies in it, without the place where it was kept here."""
    _, found, inside = path.partition(f"/{_file_name(file)}")
    return f"{_file_name(file)}{inside}" if found else Path(path).name
