"""How often Python looks for cyclic garbage in the processes that answer people."""

from __future__ import annotations

import gc


def search_rarely() -> None:
    """For a server once its modules are loaded: those are never searched again, and more objects come between searches.

    An answer about ten thousand runs makes some hundred thousand objects that live until it is sent. Under Python's own
    thresholds each of many searches walks through them all, and through every module: half of such an answer's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
