"""How a command becomes a program of a room above `core`, which `core` may not import."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def become(module: str, *args: str) -> NoReturn:
    """`python -m module args` in place of this process, so that signals reach it and its exit code is the command's."""
    os.execv(sys.executable, [sys.executable, "-m", module, *args])  # noqa: S606  no shell
