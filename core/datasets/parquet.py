"""Parquet files as the hubs of data sets hand them out: a column of encoded images, and one of labels.

Reading them needs pyarrow, which comes with the dashboard and is not needed otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from core.datasets.parts import TEST, TRAIN, VALIDATION, part_in, passed_over
from core.datasets.spec import DatasetSpec
from core.errors import BadValue, DatasetCorrupt

END = ".parquet"
IMAGES = ("img", "image")
LABELS = ("fine_label", "label", "labels")
MAX_BYTES = 2 << 30  # of one file unpacked, by its own word
ROWS = 256  # read at a time


def shards(folder: Path) -> tuple[list[Path], list[Path]] | None:
    """(training, test) files of `folder`: train-00000-of-00001.parquet, or train/0000.parquet; None where none train."""
    found: dict[str | None, list[Path]] = {}
    for path in sorted((*folder.glob(f"*{END}"), *folder.glob(f"*/*{END}"))):
        inside = path.relative_to(folder)
        if passed_over(inside) or not path.is_file():
            continue
        found.setdefault(part_in(path.stem) or part_in(PurePosixPath(inside).parent.name), []).append(path)
    if not found.get(TRAIN):
        return None
    return found[TRAIN], found.get(TEST) or found.get(VALIDATION) or []


def read(spec: DatasetSpec, files: list[Path]) -> tuple[int, Iterator[tuple[str, bytes, int]]]:
    """(number of rows, the rows: name, encoded image, label). Raises DatasetCorrupt, or BadValue without pyarrow."""
    opened = [_open(spec, path) for path in files]
    n = sum(file.metadata.num_rows for file in opened)
    return n, (row for path, file in zip(files, opened, strict=True) for row in _rows(spec, path, file))


def _open(spec: DatasetSpec, path: Path) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        expected = "read with the package pyarrow, which is not installed: pip install pyarrow"
        raise BadValue(field="path", value=str(path), expected=expected) from None
    try:
        file = ParquetFile(path)
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    except (ArrowException, OSError, ValueError) as error:
        raise DatasetCorrupt(name=spec.name, file=path.name, why=f"it is no parquet file ({error}).") from None
    if size > MAX_BYTES:
        raise DatasetCorrupt(name=spec.name, file=path.name, why=f"it unpacks to more than {MAX_BYTES >> 20} MB.")
    return file


def _rows(spec: DatasetSpec, path: Path, file: Any) -> Iterator[tuple[str, bytes, int]]:
    from pyarrow import ArrowException

    def corrupt(why: str) -> DatasetCorrupt:
        return DatasetCorrupt(name=spec.name, file=path.name, why=why)

    columns = file.schema_arrow.names
    image = next((name for name in IMAGES if name in columns), None)
    label = next((name for name in LABELS if name in columns), None)
    if image is None or label is None:
        raise corrupt(f"its columns are {', '.join(columns)[:200]}; an image (img) and a label are needed.")
    numbers = _numbers(spec, path, file.schema_arrow, label)
    row = 0
    try:
        for batch in file.iter_batches(batch_size=ROWS, columns=[image, label]):
            for picture, number in zip(batch[image].to_pylist(), batch[label].to_pylist(), strict=True):
                content = picture.get("bytes") if isinstance(picture, dict) else picture
                if not isinstance(content, bytes):
                    raise corrupt(f"row {row} holds no image in its bytes.")
                if type(number) is not int or number not in numbers:
                    raise corrupt(
                        f"row {row} has the label {str(number)[:40]!r}; {spec.title} has 0 to {spec.n_classes - 1}."
                    )
                yield f"{path.name}, row {row}", content, numbers[number]
                row += 1
    except (ArrowException, OSError) as error:
        raise corrupt(f"it is cut off or damaged ({error}).") from None


def _numbers(spec: DatasetSpec, path: Path, schema: Any, label: str) -> dict[int, int]:
    """The file's label -> the label here, by the class names that the file gives, if it does."""
    same = {number: number for number in range(spec.n_classes)}
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return same
    if not isinstance(names, list) or sorted(map(str, names)) != sorted(spec.classes):
        why = f"its class names are not those of {spec.title}."
        raise DatasetCorrupt(name=spec.name, file=path.name, why=why)
    return {number: spec.classes.index(name) for number, name in enumerate(names)}
