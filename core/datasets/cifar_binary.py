"""The binary version of the CIFAR sets: rows of a label (CIFAR-100: coarse and fine) and 3,072 bytes of pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.datasets.cifar_layout import ROW, Layout
from core.datasets.spec import DatasetSpec
from core.errors import DatasetCorrupt
from core.text import text_of

END = ".bin"
#: The file that names the classes in order, by the key of the names in the layout that is read here.
NAMES = {"label_names": "batches.meta.txt", "fine_label_names": "fine_label_names.txt"}


def binary_files(layout: Layout, spec: DatasetSpec, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Official name -> (rows [n, 3072] uint8, labels [n]) of the .bin files in `folder`; none unless one trains.

    Raises DatasetCorrupt.
    """
    places = {name: folder / f"{name}{END}" for name in (*layout.train, layout.test)}
    there = {name: path for name, path in places.items() if path.is_file()}
    if not any(name in there for name in layout.train):
        return {}
    _check_names(layout, spec, folder)
    return {name: _rows(layout, spec, path, layout.rows(name)) for name, path in there.items()}


def _rows(layout: Layout, spec: DatasetSpec, path: Path, most: int) -> tuple[np.ndarray, np.ndarray]:
    labels = 2 if layout.label_key.startswith("fine") else 1
    width, size = labels + ROW, path.stat().st_size
    if size % width or not 1 <= size // width <= most:
        why = f"it has {size:,} bytes; such a file has {width:,} for each of 1 to {most:,} images."
        raise DatasetCorrupt(name=spec.name, file=path.name, why=why)
    table = np.fromfile(path, dtype=np.uint8).reshape(-1, width)
    return np.ascontiguousarray(table[:, labels:]), table[:, labels - 1].astype(np.int64)


def _check_names(layout: Layout, spec: DatasetSpec, folder: Path) -> None:
    path = folder / NAMES[layout.names_key]
    if not path.is_file():
        return
    try:
        names = text_of(path.read_bytes()[: 1 << 16]).split()
    except UnicodeDecodeError:
        names = []
    if names != list(spec.classes):
        why = f"its class names are not those of {spec.title}."
        raise DatasetCorrupt(name=spec.name, file=path.name, why=why)
