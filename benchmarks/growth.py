"""How do time and memory grow with time steps, batch, image size, firing rate, number of runs and workers?

Each quantity is measured while one thing grows and all else stays, and its slope in logarithms is printed beside the
expected one; pictures of all go to a folder. Times are the processor's, the least of some rounds; memory is what autograd
keeps for the backward pass. Networks have drawn weights, runs are drawn rows: a load, no results.

    python -m benchmarks.growth [--small] [--json] [--rounds N] [--only NAME ...] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.growth_chart import Line, svg
from benchmarks.harness import machine

BATCH, STEPS, SIDE = 8, 4, 32
MOST_S = 5.0  # for one number of runs side by side


def least_ms(work: Callable[[], Any], rounds: int) -> float:
    """The processor's time of one call."""
    work()
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken) * 1e3


def training(*, batch: int = BATCH, steps: int = STEPS, side: int = SIDE) -> tuple[Callable[[], None], int]:
    """One training step of SqueezeNet-P, and the bytes it keeps for its backward pass."""
    import torch
    from torch.nn import functional as F

    from benchmarks.training_contenders import saved_bytes
    from core.backbones.catalog import parse_mask, plan_for
    from core.engine.network import Network
    from core.schemas.run import RunConfig

    mask = parse_mask("squeezenet", "Ref-1")
    plan = plan_for(backbone="squeezenet", mask=mask, input_shape=(3, side, side), n_classes=10)
    network = Network(plan, RunConfig(mask=mask, kind="snn", dataset="cifar10", time_steps=steps))
    draw = torch.Generator().manual_seed(0)
    x, labels = torch.randn(batch, 3, side, side, generator=draw), torch.randint(0, 10, (batch,), generator=draw)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x).mean(0), labels).backward()
        optimizer.step()

    return step, saved_bytes(network, x)


def by_training(name: str, title: str, places: tuple[int, ...], slope: float, rounds: int) -> list[Line]:
    """Time and memory of a training step over the option `name`."""
    times, kept = [], []
    for place in places:
        step, bytes_ = training(**{name: place})
        times.append(least_ms(step, rounds))
        kept.append(bytes_ / 2**20)
    shared = {"x_title": title, "x": places, "slope": slope}
    return [
        Line(title="Training step", y_title="CPU time, ms", y=tuple(times), **shared),
        Line(title="Kept for the backward pass", y_title="MiB", y=tuple(kept), **shared),
    ]


def by_rate(rates: tuple[float, ...], rounds: int) -> list[Line]:
    """Inference by what fires, whose convolutions alone grow with the rate: the slope 1 is that of a network which is nothing else."""
    import torch

    from benchmarks.inference import images, network_firing_at

    times = []
    for rate in rates:
        network, x = network_firing_at(rate), images(BATCH)
        with torch.inference_mode():
            times.append(least_ms(lambda network=network, x=x: network(x), rounds))
    shared = {"x_title": "firing rate", "y_title": "CPU time, ms", "slope": 1.0}
    return [Line(title=f"Inference, batch {BATCH}", x=rates, y=tuple(times), **shared)]


def by_runs(numbers: tuple[int, ...], rounds: int) -> list[Line]:
    """What an answer costs the API: a page of the list, and all points of Explore."""
    from benchmarks.latency import measure

    wanted = {"GET /runs?limit=100": 0.0, "GET /pareto?columns=true": 1.0}
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for number in numbers:
        for one in measure(runs=number, clients=[1], seconds=0.3 * rounds, database=None):
            if one.request in wanted:
                found[one.request].append(one.cpu_ms)
    shared = {"x_title": "runs", "y_title": "CPU time of an answer, ms", "x": numbers}
    return [Line(title=name, y=tuple(found[name]), slope=slope, **shared) for name, slope in wanted.items()]


def by_workers(numbers: tuple[int, ...], rounds: int) -> list[Line]:
    """Runs side by side, a thread each: what all train together, up to the number of cores."""
    from core.engine.packing import measure

    points = measure("cpu", [(number, 1) for number in numbers], limit_s=min(MOST_S, rounds))
    together = tuple(point.images_per_s for point in points)
    shared = {"x_title": "runs side by side", "y_title": "images/s of all", "slope": 1.0}
    return [Line(title="Training together", x=numbers, y=together, **shared)]


def parts(*, small: bool, rounds: int) -> dict[str, Callable[[], list[Line]]]:
    """Each thing that grows, by its name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    doubled = tuple(2**n for n in range(cores.bit_length())) if cores > 1 else (1, 2)
    return {
        "steps": lambda: by_training("steps", "time steps T", (2, 4) if small else (1, 2, 4, 8), 1.0, rounds),
        "batch": lambda: by_training("batch", "batch", (4, 8) if small else (4, 8, 16, 32, 64), 1.0, rounds),
        "size": lambda: by_training(
            "side", "side of an image, pixels", (16, 32) if small else (16, 32, 64), 2.0, rounds
        ),
        "rate": lambda: by_rate((0.1, 0.4) if small else (0.05, 0.1, 0.2, 0.4), rounds),
        "runs": lambda: by_runs((100, 1_000) if small else (100, 1_000, 10_000), rounds),
        "workers": lambda: by_workers(doubled, rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="two places each, few rounds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", nargs="+", choices=list(parts(small=True, rounds=1)), help="what is to grow")
    parser.add_argument("--out", type=Path, help="a folder for the pictures")
    arguments = parser.parse_args()
    import torch

    from core.host.malloc import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    made = {}
    for name, measured in parts(
        small=arguments.small, rounds=arguments.rounds or (3 if arguments.small else 9)
    ).items():
        if arguments.only and name not in arguments.only:
            continue
        made[name] = measured()
        for number, line in enumerate(made[name]):
            if not arguments.json:
                shown = ", ".join(f"{x:g}: {y:.3g}" for x, y in zip(line.x, line.y, strict=True))
                told = f"{line.title} by {line.x_title}: slope {line.found:.2f}, expected {line.slope:g}"
                print(f"{told} ({line.y_title}: {shown})", flush=True)
            if arguments.out is not None:
                arguments.out.mkdir(parents=True, exist_ok=True)
                file = arguments.out / f"growth-{name}{f'-{number + 1}' if number else ''}.svg"
                file.write_text(svg(line), encoding="utf-8")
    if arguments.json:
        lines = {name: [asdict(line) | {"found": line.found} for line in lines] for name, lines in made.items()}
        print(json.dumps({"machine": machine(), "load_before": load, "lines": lines}))
    else:
        print(f"{machine()}; load before {load:.1f}")


if __name__ == "__main__":
    main()
