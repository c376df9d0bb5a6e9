"""How long a server takes on a connection that is kept, as the dashboard's to the API and a browser's are."""

from __future__ import annotations

import time

import httpx

#: What an answer costs more, at the least, where its body waits for the client to confirm its headers (Linux: 40 ms).
DELAYED_S = 0.04


def quickest_answer_s(url: str, *, tries: int = 40) -> float:
    """The best of the later answers: a busy machine makes some of them late, a delayed body makes all of them late.

    The first ones tell nothing, since a new connection confirms at once.
    """
    took = []
    with httpx.Client(trust_env=False, timeout=20) as client:
        for _ in range(tries):
            started = time.perf_counter()
            client.get(url).raise_for_status()
            took.append(time.perf_counter() - started)
    return min(took[tries // 2 :])
