"""Arrays of an npz file, read on no trust: plain numbers and text only, and no more memory than its members have.

`numpy.load` allocates what an array's header claims. Here a header is held against the member that it heads first, so
a file of some bytes that claims terabytes is refused, and so is one with more behind its array.
"""

from __future__ import annotations

import ast
import io
import math
import re
import struct
import zipfile
import zlib

import numpy as np

ENDING = ".npy"
MAGIC = b"\x93NUMPY"
LENGTHS = {b"\x01\x00": "<H", b"\x02\x00": "<I"}  # how a format version writes its header's length
MAX_HEADER = 10_000
PIECE = 1 << 20
#: Truth values, whole and real numbers, text; b1, i8, f4, U20.
PLAIN = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|U[1-9]\d{0,6})", re.ASCII)


class Unreadable(ValueError):
    """No npz file, or one that is damaged or claims what is not in it."""


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays by name. Raises Unreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            members = zipped.infolist()
            if len({member.filename for member in members}) < len(members):
                raise Unreadable("one of its arrays is in it twice")
            return {member.filename.removesuffix(ENDING): _read(zipped, member) for member in members}
    except Unreadable:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error) as error:
        raise Unreadable(str(error)[:200]) from None  # RuntimeError: encrypted, or packed as nobody here knows


def _read(zipped: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = member.filename[:80]
    with zipped.open(member) as file:
        shape, fortran, dtype = _header(file, name)
        size, there = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if size != there:
            raise Unreadable(f"{name} claims {size:.4g} bytes and has {there}")
        data, done = bytearray(size), 0
        while done < size and (piece := file.read(min(PIECE, size - done))):
            data[done : done + len(piece)] = piece
            done += len(piece)
        if done < size or file.read(1):  # the last read also holds the checksum against the content
            raise Unreadable(f"{name} is cut off")
    if not size:
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: zipfile.ZipExtFile, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether Fortran's order, type of an element)."""
    form = LENGTHS.get(version := file.read(len(MAGIC) + 2).removeprefix(MAGIC))
    if form is None:
        raise Unreadable(f"{name} is no array, or of a format that is not read ({version!r})")
    (length,) = struct.unpack(form, file.read(struct.calcsize(form)))
    if length > MAX_HEADER:
        raise Unreadable(f"{name} has a header of {length} bytes")
    try:
        said = ast.literal_eval(file.read(length).decode("latin-1").strip())
        descr, fortran, shape = said["descr"], said["fortran_order"], said["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise Unreadable(f"{name} has an unreadable header") from None
    if not isinstance(shape, tuple) or len(shape) > 8 or any(type(n) is not int or not 0 <= n < 2**40 for n in shape):
        raise Unreadable(f"{name} has no possible shape")
    if not isinstance(descr, str) or not PLAIN.fullmatch(descr):
        raise Unreadable(f"{name} holds no plain numbers or text")
    return shape, bool(fortran), np.dtype(descr)
