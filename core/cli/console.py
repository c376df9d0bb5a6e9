"""What every command shares: how results and errors are printed, and the exit codes."""

from __future__ import annotations

import json
import sys
from typing import Any

from core.errors import SpikefrontError

EXIT_FAILED = 1  # a domain error, told in one sentence
EXIT_ORPHANED = 3  # the supervisor died: nothing more was saved
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: stopped on request, a checkpoint is kept


def print_json(value: Any) -> None:
    """One JSON value on standard output, keys in the order given."""
    print(json.dumps(value, indent=2, ensure_ascii=False), flush=True)


def print_error(error: SpikefrontError, *, as_json: bool) -> None:
    """One sentence on standard error; with `as_json` also `{code, message, fields}` on standard output."""
    print(f"spikefront: {error.message}", file=sys.stderr, flush=True)
    if as_json:
        print_json({"code": error.code, "message": error.message, "fields": error.fields})
