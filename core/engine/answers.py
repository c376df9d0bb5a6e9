"""A teacher's answers, stored: for each training image as it is, and for its mirror image.

Asked once instead of at every step, they cost nothing, and say nothing of the shift or the covered square of the moment
(Beyer et al., CVPR 2022, arXiv:2106.05237, call that the fixed teacher). They lie beside the teacher's bundle, under the
teacher's weights' name, and other runs take them up; what a run needs beyond them is added.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.engine.data import Images, Normaliser
from core.engine.network import Network
from core.schemas.base import digest

FILE = "answers-{key}.npz"  # beside a bundle, and no part of its manifest
VIEWS = 2  # plain and mirrored


#: Answers by the image's place in the data set, each with the checksum of the image that was asked about.
Known = dict[int, tuple[int, np.ndarray]]


class Answers:
    """`outputs`: [N, VIEWS, C] float32 of the training split in its order, on its device."""

    def __init__(self, outputs_NVC: Tensor) -> None:
        self._outputs_NVC = outputs_NVC

    def of(self, chosen: Tensor, mirrored: Tensor) -> Tensor:
        """[n, C] for images by position [n] int64, each plain or mirrored, [n] bool."""
        return self._outputs_NVC[chosen, mirrored.long()]


def answers(
    teacher: Network,
    train: Images,
    normalise: Normaliser,
    *,
    weights: str,
    folders: tuple[Path, ...],
    batch_size: int,
    look: Callable[[int, int], None],
) -> Answers:
    """The answers of a teacher in evaluation mode, from the first of `folders` that has them all, else asked for now.

    weights: the SHA-256 of the teacher's. What was asked for is stored in every folder that can be written; one may be
    gone, or another's. `look(done, of)` is called after each batch and may raise.
    """
    name = FILE.format(key=digest([weights, teacher.config.dataset])[:16])
    known: Known = {}
    for folder in folders:
        known |= _read(folder / name)
    places = train.index.tolist()
    checksums = [zlib.crc32(image) for image in train.images.cpu().numpy()]
    wanted = zip(places, checksums, strict=True)
    missing = np.array([n for n, (place, crc) in enumerate(wanted) if known.get(place, (None,))[0] != crc], np.int64)
    if len(missing):
        teacher.seed_encoding("answers")
        with torch.inference_mode():
            for low in range(0, len(missing), batch_size):
                part = missing[low : low + batch_size]
                images = train.images[torch.from_numpy(part).to(train.images.device)]
                views = [teacher(normalise(view)).mean(0).float().cpu() for view in (images, images.flip(2))]
                outputs_NVC = torch.stack(views, 1).numpy()
                known |= {places[n]: (checksums[n], own) for n, own in zip(part.tolist(), outputs_NVC, strict=True)}
                look(low + len(part), len(missing))
        for folder in folders:
            _write(folder / name, known)
    outputs = torch.from_numpy(np.stack([known[place][1] for place in places]))
    return Answers(outputs.to(train.images.device))


def _read(path: Path) -> Known:
    """None where the file is not there or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            index, checksum, outputs = (file[name] for name in ("index", "checksum", "outputs"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return {}
    if outputs.ndim != 3 or outputs.shape[1] != VIEWS or not len(index) == len(checksum) == len(outputs):
        return {}
    return dict(zip(index.tolist(), zip(checksum.tolist(), outputs, strict=True), strict=True))


def _write(path: Path, known: Known) -> None:
    """Whole or not at all, under a name of its own at first: two runs may write at once."""
    index = np.array(sorted(known), np.int64)
    checksum, outputs = zip(*(known[place] for place in index.tolist()), strict=True)
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, index=index, checksum=np.array(checksum, np.int64), outputs=np.stack(outputs))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        beside.write_bytes(buffer.getvalue())
        beside.replace(path)
    with suppress(OSError):
        beside.unlink(missing_ok=True)
