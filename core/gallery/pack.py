"""A finished bundle as an entry of the gallery: without any image of its data set, in a zip that is always the same."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.analysis.predictions import with_fewer_bits
from core.backbones.naming import config_label
from core.bundle import MANIFEST, ZIP_MOMENT, Bundle, write_atomic
from core.errors import BadValue
from core.gallery.catalog import INDEX, MOST_BYTES, NOT_OF_A_RECORD, Gallery, GalleryRun, gallery
from core.schemas.run import RunConfig


def add(bundle: Bundle, folder: Path, *, record: bool = False) -> GalleryRun:
    """Pack `bundle`, or a record of it, and list it; a run of the same config takes the place of the one that is there.

    Raises BundleCorrupt for a bundle that is not whole, BadValue where the gallery would be larger than MOST_BYTES.
    """
    bundle.verify()
    config = bundle.config()
    content = recorded(bundle) if record else packed(bundle)
    run = GalleryRun(
        file=f"{slug(config)}.zip",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        label=config_label(config),
        config_hash=config.config_hash,
        record=record,
    )
    kept = [one for one in gallery(folder).runs if one.config_hash != run.config_hash]
    listed = Gallery(runs=tuple(sorted([*kept, run], key=lambda one: one.file)))
    if listed.bytes > MOST_BYTES:
        raise BadValue(
            field="gallery", value=f"{listed.bytes / 1e6:.1f} MB", expected=f"at most {MOST_BYTES / 1e6:.0f} MB in all"
        )
    write_atomic(folder / run.file, content)
    write_atomic(folder / INDEX, listed.model_dump_json(indent=1).encode() + b"\n")
    return run


def slug(config: RunConfig) -> str:
    """A file's name that tells the runs of a gallery apart: `cifar10-snn-squeezenet-f4-f6-best-0-1a2b3c4d`."""
    mask = "-".join(config.mask).lower() or "none"
    parts = [config.dataset, config.kind, config.backbone, mask, config.recipe, config.seed, config.config_hash[:8]]
    return "-".join(str(part) for part in parts).replace("_", "-")


def packed(bundle: Bundle) -> bytes:
    """The zip of the bundle with its example images left out and its manifest made anew."""
    with tempfile.TemporaryDirectory(prefix="spikefront-gallery-") as room:
        bare = Bundle(Path(room) / "bundle")
        bare.path.mkdir()
        for entry in bundle.files():
            shutil.copyfile(bundle.path / entry.name, bare.path / entry.name)
        _leave_pixels_out(bare)
        _make_small(bare)
        if (counted := bundle.recount()) is not None and counted.failure is not None:
            (bare.path / "recount.json").unlink()  # it holds no figure, and says nothing of the run
        bare.seal()
        return _zipped(bare, [entry.name for entry in bare.files()])


def recorded(bundle: Bundle) -> bytes:
    """The zip of what a record keeps, with the manifest as it is."""
    return _zipped(bundle, [entry.name for entry in bundle.files() if entry.name not in NOT_OF_A_RECORD])


def _leave_pixels_out(bundle: Bundle) -> None:
    """Which images were worth a look stays: whoever has the data set sees them."""
    index = bundle.examples().index
    blank = np.zeros((len(index), 0, 0, 3), np.uint8)
    bundle.write_arrays("examples.npz", {"index": index, "image": blank}, compressed=True)


def _make_small(bundle: Bundle) -> None:
    """Three quarters of a small network's bundle are the outputs and counts of single images."""
    for name in ("counts_per_sample.npz", "predictions.npz"):
        bundle.write_bytes(name, _dense(bundle.read(name)))


def _dense(content: bytes) -> bytes:
    """The same arrays in fewer bytes: outputs to the places that answers need, images last, so that like counts lie
    together, and LZMA; any reader opens it."""
    buffer = io.BytesIO()
    with (
        np.load(io.BytesIO(content), allow_pickle=False) as arrays,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive,
    ):
        for name in arrays.files:
            array, values = io.BytesIO(), arrays[name]
            if name == "outputs":
                values = with_fewer_bits(values)
            np.save(array, np.asfortranarray(values), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", ZIP_MOMENT), array.getvalue(), zipfile.ZIP_LZMA)
    return buffer.getvalue()


def _zipped(bundle: Bundle, names: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in [*names, MANIFEST]:
            info = zipfile.ZipInfo(name, ZIP_MOMENT)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, bundle.read(name), compresslevel=9)
    return buffer.getvalue()
