"""A set is the same set from its folder and from every archive that a system makes of it."""

import bz2
import gzip
import io
import lzma
import tarfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from packing import folders_of, tar_of, with_companions, zip_of_linux, zip_of_macos, zip_of_windows
from PIL import Image

from core.datasets.add import add
from core.datasets.load import load


def tar(files: dict[str, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    return tar_of(*((name, files.get(name, b"")) for name in [*folders_of(files), *files]), kind=kind)


PACKERS = {
    "linux.tar": tar,
    "linux.tar.gz": lambda files: gzip.compress(tar(files, tarfile.PAX_FORMAT)),
    "linux.tar.xz": lambda files: lzma.compress(tar(files, tarfile.USTAR_FORMAT), preset=0),
    "linux.tar.bz2": lambda files: bz2.compress(tar({f"./{name}": content for name, content in files.items()})),
    "macos.tar.gz": lambda files: gzip.compress(tar(with_companions(files), tarfile.PAX_FORMAT)),
    "linux.zip": zip_of_linux,
    "macos.zip": zip_of_macos,
    "windows.zip": zip_of_windows,
}
# Letters of code page 437 whose bytes never make UTF-8 (ß before two others could), of other scripts, and marks.
LETTERS = "abXZ09 -_.()'&+~éüñÅçêöáÑ犬Ёй한😀İ"


def usable(name: str) -> bool:
    return name == name.strip() and not name.startswith(".") and name.isprintable()


NAMES = st.text(LETTERS, min_size=1, max_size=8).filter(usable)
CLASSES = st.lists(NAMES, min_size=2, max_size=4, unique_by=lambda name: unicodedata.normalize("NFC", name))
LAYOUTS = st.sampled_from(
    [("",), ("train/", "test/"), ("Train/", "Validation/"), ("set/training/", "set/dev/"), ("a b/é/",)]
)


def bmp(random: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(buffer, "BMP")
    return buffer.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    classes=CLASSES, layout=LAYOUTS, stems=st.lists(NAMES, min_size=2, max_size=3, unique=True), seed=st.integers(0, 99)
)
@example(classes=["café", "b"], layout=("",), stems=["é", "z"], seed=0)  # z stands between e and é in one spelling
@example(classes=["İ", "犬", "a"], layout=("train/", "test/"), stems=["한", "0"], seed=1)
def test_classes_and_pixels_do_not_depend_on_how_the_set_is_packed(classes, layout, stems, seed, tmp_path_factory):
    here, random = tmp_path_factory.mktemp("packed"), np.random.default_rng(seed)
    files = {f"{part}{name}/{stem}.bmp": bmp(random) for part in layout for name in classes for stem in stems}
    add("plain", write(here / "folder", files), here / "data")
    plain = load("plain", here / "data")
    assert plain.classes == tuple(sorted(unicodedata.normalize("NFC", name) for name in classes))
    for name, pack in PACKERS.items():
        (here / name).write_bytes(pack(files))
        add("packed", here / name, here / "data", replace=True)
        packed = load("packed", here / "data")
        assert (packed.classes, packed.note) == (plain.classes, plain.note), name
        for array in ("train_images", "train_labels", "test_images", "test_labels"):
            assert np.array_equal(getattr(packed, array), getattr(plain, array)), name


@pytest.mark.parametrize("name", PACKERS)
def test_the_packers_differ_as_their_systems_do(name):
    """Else the property above would compare one form with itself."""
    files = {"é/0.bmp": b"x", "犬/0.bmp": b"y"}
    archive = PACKERS[name](files)
    if name == "windows.zip":
        assert "é\\0.bmp".encode("cp437") in archive and "犬\\0.bmp".encode() in archive
    if name == "macos.zip":
        assert unicodedata.normalize("NFD", "é/0.bmp").encode() in archive and b"__MACOSX/" in archive
    if name == "linux.zip":
        assert "é/0.bmp".encode() in archive
