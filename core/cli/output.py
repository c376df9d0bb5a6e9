"""Standard output that never ends a command with a traceback: not by a character, not by whoever reads it."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO


class OutputLost(OSError):
    """Standard output took no more: its reader has gone, its disk is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error))

    @property
    def wanted(self) -> bool:
        """Not where a reader has gone: it had enough, as `head` has."""
        return self.errno != errno.EPIPE


class Output(io.TextIOWrapper):
    """Writes a character that the encoding does not have as its code, and tells its own failures from other files'."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise OutputLost(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputLost(error) from error


def careful_output() -> None:
    """Let `sys.stdout` be one, where it is a file of this process and not of a test."""
    plain = sys.stdout
    if type(plain) is not io.TextIOWrapper:
        return
    sys.stdout = Output(
        plain.buffer,
        encoding=plain.encoding,
        errors="backslashreplace",
        line_buffering=plain.line_buffering,
        write_through=plain.write_through,
    )


def drop_output(stream: TextIO) -> None:
    """Let what is left for a stream that is lost go nowhere, or the end of the interpreter tries again."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
