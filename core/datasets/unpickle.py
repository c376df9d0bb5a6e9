"""Reads the pickles of the CIFAR files and nothing else: no code of the file's choosing ever runs.

Three fences. Only opcodes that such a file needs are let through. Only the names that NumPy arrays and
Python 2 strings are pickled with are resolved, and they resolve to plain stand-ins of ours that hold
data, not to NumPy's own constructors. What comes out is checked before an array is made of it.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np

#: Everything that protocols 0 to 5 write for dicts, lists, strings, integers and NumPy arrays.
OPCODES = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT",
    "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT",
    "DICT", "SETITEM", "SETITEMS", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET", "MEMOIZE",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
})  # fmt: skip
MAX_MEMO = 1 << 20  # the unpickler reserves memory up to the largest memo number, so a file may not choose it freely
DTYPES = {"u1": np.dtype("u1"), "i4": np.dtype("<i4"), "i8": np.dtype("<i8")}


class Refused(ValueError):
    """The file is no such pickle, or asks for something that such a file never needs."""


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, str):
        return value
    raise Refused("a name in it is no text")


def _vocabulary() -> tuple[type, dict[tuple[str, str], Any]]:
    """The array stand-in and the table of names; made anew for each file, so that none can alter the next one's."""

    class Dtype:
        def __init__(self, code: Any, *_: Any) -> None:
            self.code, self.order = _text(code), "|"

        def __setstate__(self, state: Any) -> None:
            if not (isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)):
                raise Refused("an array has a structured type")
            self.order = _text(state[1])

    class Array:
        def __init__(self, *_: Any) -> None:
            self.state: Any = None

        def __setstate__(self, state: Any) -> None:
            self.state = state

        def value(self) -> np.ndarray:
            """The array, after every claim of the file about it has been checked."""
            if not (isinstance(self.state, tuple) and len(self.state) == 5):
                raise Refused("an array has no content")
            _, shape, dtype, fortran, raw = self.state
            if not (isinstance(shape, tuple) and len(shape) <= 4 and all(type(n) is int and n >= 0 for n in shape)):
                raise Refused("an array has an odd shape")
            if not isinstance(dtype, Dtype) or dtype.code not in DTYPES or dtype.order not in ("|", "<", "="):
                raise Refused("an array holds something else than integers")
            if isinstance(raw, str):  # a Python 2 string that went through a protocol 2 rewrite
                raw = raw.encode("latin1")
            kind = DTYPES[dtype.code]
            if not isinstance(raw, bytes | bytearray) or len(raw) != math.prod(shape) * kind.itemsize:
                raise Refused("an array's size does not fit its shape")
            return np.frombuffer(raw, dtype=kind).reshape(shape, order="F" if fortran else "C")

    def reconstruct(*_: Any) -> Array:
        return Array()

    def from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> Array:  # protocol 5
        array = Array()
        array.state = (1, shape, dtype, order == "F", raw)
        return array

    def encode(text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
            raise Refused("a string has an odd encoding")
        return text.encode("latin1")

    def empty_bytes(*arguments: Any) -> bytes:
        if arguments and not (len(arguments) == 1 and isinstance(arguments[0], bytes | bytearray)):
            raise Refused("a byte string is built in an odd way")  # bytes(10**12) would fill the memory
        return bytes(*arguments)

    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): Dtype,
        ("_codecs", "encode"): encode,
    }
    for module in ("numpy.core", "numpy._core"):  # before and since NumPy 2
        names[f"{module}.multiarray", "_reconstruct"] = reconstruct
        names[f"{module}.numeric", "_frombuffer"] = from_buffer
    for module in ("builtins", "__builtin__"):
        names[module, "bytes"] = names[module, "bytearray"] = empty_bytes
    return Array, names


def _check_opcodes(data: bytes) -> None:
    for opcode, argument, position in pickletools.genops(data):
        if opcode.name not in OPCODES:
            raise Refused(f"it holds the pickle instruction {opcode.name}, which such a file never needs")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= argument < MAX_MEMO:
            raise Refused("its memo numbers are out of range")
        if opcode.name == "STOP" and position != len(data) - 1:
            raise Refused("bytes follow its end")


def loads(data: bytes) -> dict[str, Any]:
    """The dict in `data` with text keys; NumPy arrays as arrays, strings as bytes or str.

    Raises Refused, with the reason, for anything else.
    """
    array, names = _vocabulary()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            try:
                return names[module, name]
            except KeyError:
                raise Refused(f"it asks for {module}.{name}, which such a file never needs; nothing was run") from None

    try:
        _check_opcodes(data)
        content = Unpickler(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(content, dict):
            raise Refused("it holds no table of named parts")
        return {_text(key): value.value() if isinstance(value, array) else value for key, value in content.items()}
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001  a damaged pickle can fail in any way that its instructions can
        raise Refused(f"it is cut off or no pickle ({type(error).__name__}: {str(error)[:120]})") from None
