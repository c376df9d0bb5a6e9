"""How long the API's answers take with many runs and many clients, on SQLite and on PostgreSQL.

Goals on two cores, PostgreSQL and SQLite: 50 clients at 10,000 runs get a list, a preview and the columns of the Pareto
plot with p99 of at most 300, 300 and 500 ms.

Starts a real API over drawn rows (`benchmarks.explore_load`: a load for timing, no results). Each kind of request is asked
by one client and then by many, each client the next request as soon as it has its answer, over connections that are kept.
The clients run in a process of their own on the same machine, and so in the same cores. What an answer costs is the CPU
time of the API's process by that many answers.

    python -m benchmarks.latency [--small] [--json] [--runs N] [--clients N ...] [--seconds S] [--database URL]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np

from benchmarks.explore_load import DATASET, draw, fill
from benchmarks.explore_places import free_port, served, until
from benchmarks.harness import machine
from core.host.usage import cpu_s
from core.settings import Settings, read_token

TIMEOUT_S = 120
FEWEST = 5  # answers a client gets, however long they take

Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@dataclass(frozen=True, kw_only=True)
class Latency:
    """One kind of request by so many clients at once."""

    request: str
    clients: int
    n: int
    failed: int
    p50_ms: float
    p99_ms: float
    answers_per_s: float
    cpu_ms: float  # of the API, an answer


def _asks(ids: list[str]) -> dict[str, Ask]:
    """The requests that pages make most; previews differ, as those of people do who choose a mask."""
    dice = random.Random(0)

    def preview(client: httpx.AsyncClient) -> Awaitable[httpx.Response]:
        mask = [f"F{number}" for number in range(2, 10) if dice.random() < 0.5] or ["F9"]
        return client.post("/preview", json={"mask": mask, "dataset": DATASET, "recipe": "paper"})

    return {
        "GET /runs?limit=100": lambda client: client.get("/runs", params={"limit": 100}),
        "GET /runs?q=Ref-1": lambda client: client.get("/runs", params={"q": "Ref-1"}),
        "GET /runs/{id}": lambda client: client.get(f"/runs/{dice.choice(ids)}"),
        "POST /preview": preview,
        "GET /pareto?columns=true": lambda client: client.get("/pareto", params={"columns": True, "dataset": DATASET}),
    }


async def _asked(root: str, token: str, name: str, ask: Ask, *, clients: int, seconds: float, api: int) -> Latency:
    """`clients` at once for `seconds`, and FEWEST answers each at least."""
    taken: list[float] = []
    failed = 0
    end = 0.0

    async def one() -> None:
        nonlocal failed
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=root, headers=headers, timeout=TIMEOUT_S) as client:
            (await ask(client)).raise_for_status()  # its connection is open, and what is kept is kept
            own = 0
            while own < FEWEST or time.perf_counter() < end:
                start = time.perf_counter()
                answer = await ask(client)
                taken.append(time.perf_counter() - start)
                own += 1
                failed += not answer.is_success

    before, start = cpu_s(api) or 0.0, time.perf_counter()
    end = start + seconds
    await asyncio.gather(*(one() for _ in range(clients)))
    passed, spent = time.perf_counter() - start, (cpu_s(api) or 0.0) - before
    return Latency(
        request=name,
        clients=clients,
        n=len(taken),
        failed=failed,
        p50_ms=float(np.percentile(taken, 50)) * 1e3,
        p99_ms=float(np.percentile(taken, 99)) * 1e3,
        answers_per_s=len(taken) / passed,
        cpu_ms=spent / (len(taken) + clients) * 1e3,
    )


@contextmanager
def _api(settings: Settings, folder: Path) -> Iterator[int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SPIKEFRONT_")}
    own = {"SPIKEFRONT_HOME": str(settings.home), "SPIKEFRONT_API_PORT": str(settings.api_port)}
    if settings.database_url_override is not None:
        own["SPIKEFRONT_DATABASE_URL"] = settings.database_url_override
    output = folder / "api.log"
    with served([sys.executable, "-m", "backend"], output=output, environment=clean | own) as process:

        def alive() -> bool:
            try:
                return httpx.get(f"{settings.api_url}/api/v1/health/live").is_success
            except httpx.TransportError:
                return False

        until(alive, process=process, output=output)
        yield process.pid


def measure(*, runs: int, clients: list[int], seconds: float, database: str | None) -> list[Latency]:
    with tempfile.TemporaryDirectory(prefix="sf-bench-", ignore_cleanup_errors=True) as room:
        folder = Path(room)
        settings = Settings(home=folder / "home", api_port=free_port(), database_url_override=database)
        fill(settings, draw(runs))
        found = []
        with _api(settings, folder) as api:
            root, token = f"{settings.api_url}/api/v1", read_token(settings)
            headers = {"Authorization": f"Bearer {token}"}
            listed = httpx.get(f"{root}/runs", params={"limit": 100}, headers=headers, timeout=TIMEOUT_S)
            ids = [run["id"] for run in listed.raise_for_status().json()["items"]]
            for name, ask in _asks(ids).items():
                for many in clients:
                    found.append(asyncio.run(_asked(root, token, name, ask, clients=many, seconds=seconds, api=api)))
                    print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="1,000 runs, few answers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 50])
    parser.add_argument("--seconds", type=float, help="for each kind of request and number of clients")
    parser.add_argument("--database", help="postgresql://... of an empty database [default: SQLite]")
    arguments = parser.parse_args()
    runs = arguments.runs or (1_000 if arguments.small else 10_000)
    load = os.getloadavg()[0]
    found = measure(
        runs=runs,
        clients=arguments.clients,
        seconds=arguments.seconds or (1 if arguments.small else 10),
        database=arguments.database,
    )
    if arguments.json:
        print(
            json.dumps(
                {"machine": machine(), "load_before": load, "runs": runs}
                | {"latencies": [asdict(one) for one in found]}
            )
        )
        return
    print(f"{machine()}; {runs:,} runs; {'PostgreSQL' if arguments.database else 'SQLite'}; load before {load:.1f}")
    print(f"{'request':<28}{'clients':>8}{'n':>7}{'failed':>8}{'p50 ms':>9}{'p99 ms':>9}{'answers/s':>11}{'CPU ms':>8}")
    for one in found:
        print(
            f"{one.request:<28}{one.clients:>8}{one.n:>7}{one.failed:>8}{one.p50_ms:>9.1f}{one.p99_ms:>9.1f}"
            f"{one.answers_per_s:>11.1f}{one.cpu_ms:>8.1f}"
        )


if __name__ == "__main__":
    main()
