"""Arrays from an npz file that may be anybody's: what numpy wrote comes back, and nothing is allocated on a header's word."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from core.arrays import Unreadable, read_arrays


def npz(header: str, data: bytes = b"", *, version: bytes = b"\x01\x00", length: int | None = None) -> bytes:
    text = header.encode().ljust(118) + b"\n"
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text) if length is None else length)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.npy", b"\x93NUMPY" + version + size + text + data)
    return buffer.getvalue()


def header(descr: object, shape: object) -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_comes_back(save) -> None:
    arrays = {
        "whole": np.arange(6).reshape(2, 3), "real": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "half": np.ones(2, np.float16), "text": np.array(["x", "yö"]), "none": np.zeros((0, 3)), "one": np.array(3.0),
        "swapped": np.array([1, 2], ">i4"), "truth": np.array([True]), "pixels": np.zeros((1, 2, 2, 3), np.uint8),
    }  # fmt: skip
    buffer = io.BytesIO()
    save(buffer, **arrays)
    found = read_arrays(buffer.getvalue())
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array), name


@pytest.mark.parametrize(
    "content",
    [
        npz(header("<f8", (10**12,))),
        npz(header("<f8", (10**30,))),
        npz(header("<f8", (2**62, 2**62, 4))),
        npz(header("<f8", (0, 2**39, 2**39))),
        npz(header("<f8", (-1,))),
        npz(header("<f8", (1.5,))),
        npz(header("<f8", (True,)), bytes(8)),
        npz(header("<f8", (1,)), bytes(9)),
        npz(header("<f8", (2,)), bytes(15)),
        npz(header("|O", (1,)), bytes(8)),
        npz(header("<U0", (5,))),
        npz(header("<c8", (1,)), bytes(8)),
        npz(header([("a", "<f8")], (1,)), bytes(8)),
        npz(header("<f8,<f8", (1,)), bytes(16)),
        npz(header("zz", (0,))),
        npz(header(5, (0,))),
        npz("1"),
        npz("garbage("),
        npz("[" * 100),
        npz("{'shape': (0,)}"),
        npz(header("<f8", (0,)), version=b"\x09\x00"),
        npz(header("<f8", (0,)), version=b"\x02\x00", length=2**31),
        b"",
        b"PK\x03\x04 no zip",
        npz(header("<f8", (1,)), bytes(8)).replace(b"\x93NUMPY", b"\x93NUMPX"),
        npz(header("<f8", (1,)), bytes(8)).replace(bytes(8), b"12345678"),  # another content than the checksum's
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable):
        read_arrays(content)


def test_a_name_given_twice_is_refused() -> None:
    buffer = io.BytesIO(npz(header("<f8", (1,)), bytes(8)))
    with zipfile.ZipFile(buffer, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("a.npy", b"x")
    with pytest.raises(Unreadable, match="twice"):
        read_arrays(buffer.getvalue())
