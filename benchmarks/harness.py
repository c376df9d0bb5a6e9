"""Contenders in turn, each in a process of its own, compared pair by pair within one run.

A ratio of two medians taken minutes apart measures the machine's mood. Here each round runs every
contender once, one after another and alternately forwards and backwards; a ratio is formed inside its
round, and the median of those ratios is the result.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

PACKAGES = ("torch", "spikingjelly", "numba", "numpy")

#: Makes a contender: called once in its process with the options; returns what is timed.
Factory = Callable[..., Callable[[], None]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One contender against the first: wall times of one call, and how many times faster it is."""

    name: str
    images_per_s: float
    median_s: float
    fastest_s: float
    speed_ratio: float
    speed_ratio_quartiles: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    title: str
    options: dict[str, Any]
    n: int
    machine: str
    threads: int
    load_before: float
    versions: dict[str, str]
    results: tuple[Result, ...]
    unit: str = "images"  # what a second of a result is counted in


def _serve(pipe: Connection, factory: Factory, threads: int, warm_up: int, options: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(threads)
    work = factory(**options)
    for _ in range(warm_up):
        work()
    pipe.send("ready")
    while pipe.recv():
        start = time.perf_counter()
        work()
        pipe.send(time.perf_counter() - start)


def machine() -> str:
    """The processor's name and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, {platform.system()}"


def compare(
    title: str, contenders: dict[str, Factory], *, images: int, rounds: int, threads: int, warm_up: int = 3, **options: Any
) -> Comparison:  # fmt: skip
    """Time every contender `rounds` times; the first one is what the others are compared with.

    images: how many one call processes. Options go to each factory.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    context = multiprocessing.get_context("spawn")
    times: dict[str, list[float]] = {name: [] for name in contenders}
    processes, pipes = [], {}
    try:
        for name, factory in contenders.items():
            pipes[name], theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, factory, threads, warm_up, options), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes[name].recv()  # warm, before the next one starts
        for number in range(rounds):
            order = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
            for name in order:
                pipes[name].send(True)
                times[name].append(pipes[name].recv())
        for pipe in pipes.values():
            pipe.send(False)
    finally:
        for process in processes:
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()
    return compared(title, times, images=images, threads=threads, load=load, **options)


def in_turn(
    title: str, calls: dict[str, Callable[[], Any]], *, images: int, rounds: int, unit: str = "images", **options: Any
) -> Comparison:
    """As `compare`, of calls in this process on one thread, by the processor's time: for a machine that is not quiet."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for number in range(rounds):
        for name in list(calls) if number % 2 == 0 else list(calls)[::-1]:
            start = time.process_time()
            calls[name]()
            times[name].append(time.process_time() - start)
    return compared(title, times, images=images, threads=1, load=load, unit=unit, **options)


def compared(
    title: str, times: dict[str, list[float]], *, images: int, threads: int, load: float, unit: str = "images", **options: Any
) -> Comparison:  # fmt: skip
    """The first contender against each, from the seconds of its rounds."""
    base = next(iter(times.values()))
    results = []
    for name, seconds in times.items():
        ratios = [a / b for a, b in zip(base, seconds, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        median = statistics.median(seconds)
        results.append(
            Result(
                name=name,
                images_per_s=images / median,
                median_s=median,
                fastest_s=min(seconds),
                speed_ratio=statistics.median(ratios),
                speed_ratio_quartiles=(low, high),
            )
        )
    return Comparison(
        title=title,
        options=options,
        n=len(base),
        machine=machine(),
        threads=threads,
        load_before=load,
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        results=tuple(results),
        unit=unit,
    )


def report(comparisons: list[Comparison], *, as_json: bool) -> None:
    """Print all comparisons, for people or as JSON."""
    if as_json:
        print(json.dumps([asdict(comparison) for comparison in comparisons], indent=1))
        return
    for comparison in comparisons:
        options = ", ".join(f"{name} {value}" for name, value in comparison.options.items())
        versions = ", ".join(f"{name} {value}" for name, value in comparison.versions.items())
        print(f"{comparison.title} ({options})")
        print(f"  {comparison.machine}; {comparison.threads} thread(s); n = {comparison.n} pairs; {versions}")
        if comparison.load_before > 0.5:
            print(f"  the machine was busy before the start (load {comparison.load_before:.1f}): do not quote this run")
        for result in comparison.results:
            low, high = result.speed_ratio_quartiles
            print(
                f"  {result.name:<24}{result.images_per_s:>9.1f} {comparison.unit}/s   "
                f"median {result.median_s * 1e3:8.1f} ms   x{result.speed_ratio:.3f} (quartiles {low:.3f} to {high:.3f})"
            )


def batch_parser(doc: str | None, batches: tuple[int, ...]) -> argparse.ArgumentParser:
    """The options of a benchmark at several batch sizes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help=f"batch {batches[0]} only, few rounds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs="+")
    return parser


def run_from_shell(
    title: str, contenders: dict[str, Factory], *, doc: str | None, batches: tuple[int, ...], batches_per_call: int = 1
) -> None:
    """The command line of a benchmark that compares contenders at several batch sizes; `--small` takes the first.

    One call of a contender works on `batches_per_call` batches.
    """
    arguments = batch_parser(doc, batches).parse_args()
    rounds = arguments.rounds or (5 if arguments.small else 30)
    report(
        [
            compare(
                title,
                contenders,
                images=batches_per_call * batch,
                rounds=rounds,
                threads=arguments.threads,
                batch=batch,
                steps=4,
            )
            for batch in arguments.batch or (batches[:1] if arguments.small else batches)
        ],
        as_json=arguments.json,
    )
