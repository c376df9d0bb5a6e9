"""A sweep's total time with as many one-thread runs side by side as there are cores, against one after another with all.

Claim: at least 1.5 times as fast on 2 cores. Both sides train the same runs by the same program, in turn within each
round, alternately forwards and backwards; a ratio is formed inside its round. Before anything is timed, both sides'
networks of one seed are compared. It also says what a second trainer adds to the memory that the first takes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import machine
from core.host.machine import cores

LOOK_S = 0.25


def train(folder: Path, seed: int, *, threads: int, dataset: str, images: int) -> subprocess.Popen[bytes]:
    """Start one run of the sweep: SNN-SqueezeNet F5,F9, one epoch."""
    argv = [sys.executable, "-m", "core.cli", "train", "--dataset", dataset, "--recipe", "smoke", "--mask", "F5,F9"]
    argv += ["--seed", str(seed), "--threads", str(threads), "--out", str(folder)]
    argv += ["--set", "training.max_epochs=1", "--set", f"training.train_limit={images}"]
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    return subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, error = process.communicate()
    if process.returncode:
        raise RuntimeError(error.decode(errors="replace")[-2000:])


def sweep(folder: Path, *, runs: int, side_by_side: int, threads: int, **options) -> float:
    """Seconds for all `runs`, `side_by_side` of them at any time."""
    start = time.perf_counter()
    waiting, under_way = list(range(runs)), []
    while waiting or under_way:
        while waiting and len(under_way) < side_by_side:
            seed = waiting.pop(0)
            under_way.append(train(folder / str(seed), seed, threads=threads, **options))
        for process in [one for one in under_way if one.poll() is not None]:
            finish(process)
            under_way.remove(process)
        time.sleep(0.02)
    return time.perf_counter() - start


def memory_mib(pid: int) -> dict[str, float] | None:
    """RSS, its share with shared pages divided among their users (PSS), and what no other process has."""
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return None
    found = {row.split(":")[0]: float(row.split()[1]) / 1024 for row in rows}
    return {"rss": found["Rss"], "pss": found["Pss"], "private": found["Private_Clean"] + found["Private_Dirty"]}


def memory(folder: Path, **options) -> list[dict[str, float]]:
    """The highest private memory, and what was shared then, of one trainer alone and of each of two side by side."""
    peaks = []
    for together in (1, 2):
        processes = [train(folder / f"m{together}{n}", n, threads=1, **options) for n in range(together)]
        seen: list[dict[str, float]] = [{"rss": 0, "pss": 0, "private": 0} for _ in processes]
        while any(one.poll() is None for one in processes):
            for number, one in enumerate(processes):
                now = memory_mib(one.pid)
                if now is not None and now["private"] > seen[number]["private"]:
                    seen[number] = now
            time.sleep(LOOK_S)
        for one in processes:
            finish(one)
        peaks += seen
    return peaks


def weights_hash(bundle: Path) -> str:
    return hashlib.sha256((bundle / "weights.safetensors").read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="one round of few images")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--images", type=int)
    parser.add_argument("--dataset", default="digits")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.small else 3)
    options = {"dataset": arguments.dataset, "images": arguments.images or (200 if arguments.small else 1000)}
    n = cores()
    load = os.getloadavg()[0]
    ratios, seconds = [], {"one after another": [], "side by side": []}
    with tempfile.TemporaryDirectory(prefix="sf-packing-") as name:
        root = Path(name)
        for number in range(rounds):
            ways = [("one after another", 1, n), ("side by side", n, 1)]
            for title, beside, threads in ways if number % 2 == 0 else ways[::-1]:
                place = root / f"{number}-{beside}"
                took = sweep(place, runs=arguments.runs, side_by_side=beside, threads=threads, **options)
                seconds[title].append(took)
            ratios.append(seconds["one after another"][-1] / seconds["side by side"][-1])
        equal = sum(
            weights_hash(root / "0-1" / str(seed)) == weights_hash(root / f"0-{n}" / str(seed))
            for seed in range(arguments.runs)
        )
        peaks = memory(root, **options)
    said = {
        "machine": machine(),
        "load_before": load,
        "runs": arguments.runs,
        "rounds": rounds,
        "equal_weights": equal,
        "seconds": seconds,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "memory_mib": peaks,
        **options,
    }
    if arguments.json:
        print(json.dumps(said, indent=1))
        return
    print(
        f"{arguments.runs} runs of SNN-SqueezeNet F5,F9, {options['images']} images of {options['dataset']}, one epoch"
    )
    print(f"  {said['machine']}; n = {rounds} rounds; start of each process and test included")
    if load > 0.5:
        print(f"  the machine was busy before the start (load {load:.1f}): do not quote this run")
    print(f"  networks equal to the bit with 1 thread and with {n}: {equal} of {arguments.runs}")
    print(f"  one after another, {n} threads   median {statistics.median(seconds['one after another']):7.1f} s")
    ratio = f"x{said['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"  {n} side by side, 1 thread each  median {statistics.median(seconds['side by side']):7.1f} s   {ratio}")
    for title, peak in zip(("one trainer alone", "first of two", "second of two"), peaks, strict=True):
        print(f"  {title:18} RSS {peak['rss']:6.0f} MiB, PSS {peak['pss']:6.0f}, its own alone {peak['private']:6.0f}")


if __name__ == "__main__":
    main()
