"""What a machine trains with more threads, and with more runs side by side: the two ways to use its cores, measured."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from multiprocessing.connection import Connection

from core.engine.speed import WARM_STEPS, Small
from core.errors import ServiceFailed
from core.schemas.workers import SpeedPoint

#: Until all runs of a point are loaded, each with its own torch.
READY_S = 120.0


def spread(most: int) -> list[int]:
    """1, 2, 4 and so on up to `most`, which is always the last; every number up to 4."""
    return sorted({n for n in range(1, most + 1) if n <= 4 or n & (n - 1) == 0} | {most})


def points(*, cores: int, slots: int, threads: int) -> list[tuple[int, int]]:
    """(runs, threads of each) to time on a CPU: one run with more and more threads, then more and more runs of `threads`."""
    alone = [(1, n) for n in spread(cores)]
    return list(dict.fromkeys([*alone, *((n, threads) for n in spread(slots))]))


def measure(device: str, wanted: Iterable[tuple[int, int]], *, limit_s: float) -> list[SpeedPoint]:
    """Training images a second of the network in `speed.NETWORK`, all runs of a point together, each for `limit_s`.

    Raises ServiceFailed where a run beside others does not come up.
    """
    return [_point(device, runs, threads, limit_s) for runs, threads in wanted]


def _point(device: str, runs: int, threads: int, limit_s: float) -> SpeedPoint:
    if runs == 1:  # this process has the engine loaded
        return SpeedPoint(runs=1, threads=threads, images_per_s=Small(device, threads).images_per_s(limit_s))
    context = multiprocessing.get_context("spawn")  # a fork would inherit OpenMP's threads as they stand
    pipes, processes = [], []
    try:
        for _ in range(runs):
            ours, theirs = context.Pipe()
            process = context.Process(target=_beside, args=(theirs, device, threads, limit_s), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            _hear(pipe, READY_S)
        for pipe in pipes:
            pipe.send("go")
        together = sum(_hear(pipe, READY_S + limit_s) for pipe in pipes)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return SpeedPoint(runs=runs, threads=threads, images_per_s=together)


def _hear(pipe: Connection, limit_s: float) -> float:
    try:
        if pipe.poll(limit_s):
            return float(pipe.recv())
    except EOFError:
        pass
    raise ServiceFailed(
        service="speed", why="a run beside others did not come up; too little memory is the usual cause"
    )


def _beside(pipe: Connection, device: str, threads: int, limit_s: float) -> None:
    """One of several: load, warm up, say so, and train from the moment at which all are told to."""
    small = Small(device, threads)
    for _ in range(WARM_STEPS):
        small.step()
    try:
        pipe.send(0.0)
        pipe.recv()
        pipe.send(small.images_per_s(limit_s))
    except (EOFError, OSError):
        pass  # whoever asked is gone
