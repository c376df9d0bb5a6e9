"""What does the end of a run take: test, all counts, diagnostics, and the bundle's files?

Goals for SNN-SqueezeNet-P on CIFAR-10: under 10 % of a run with the recipe `smoke`, and at most 10 s for its 10,000 test
images on two cores. A real run is trained and ended, and each of its parts timed: by the processor's time, for the share,
and by the clock, for the seconds. The probe measures once an epoch and belongs to the training's time; it is listed by
itself too.

    python -m benchmarks.run_end [--small] [--json] [--data FOLDER] [--threads N] [--set key=value ...]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import machine

MASK, SHARE_GOAL, TEST_GOAL_S = "Ref-1", 0.1, 10.0  # Ref-1: {F4, F6, F8, F9}


@dataclass
class Spent:
    """By part: the seconds of the clock and of the processor, all threads together."""

    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_s[part] = self.wall_s.get(part, 0.0) + time.perf_counter() - wall
            self.cpu_s[part] = self.cpu_s.get(part, 0.0) + time.process_time() - cpu


@contextmanager
def watched(owner: Any, name: str, spent: Spent, part: str) -> Iterator[None]:
    """Time every call of `owner.name` while the block runs."""
    work: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any, **options: Any) -> Any:
        with spent.on(part):
            return work(*args, **options)

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, work)


def measure(*, dataset: str, data: Path, threads: int, overrides: dict[str, Any]) -> tuple[Spent, Any]:
    """One run of the recipe `smoke` on the CPU; its parts and its summary."""
    from core.bundle import Bundle
    from core.engine import experiment
    from core.engine.count import Counter
    from core.engine.probe import Probe
    from core.engine.train import Trainer
    from core.engine.warm import warm_up
    from core.recipes.build import build_config
    from core.schemas.request import RunRequest

    config = build_config(RunRequest(kind="snn", mask=MASK, dataset=dataset, recipe="smoke", overrides=overrides))
    warm_up()
    spent = Spent()
    parts = (
        (Trainer, "train", "training"),
        (Probe, "measure", "of it: the probe"),
        (experiment, "finish", "end"),
        (experiment, "_test", "of it: test with all counts"),
        (Counter, "counts", "of it: sums of the counts"),
        (Counter, "per_sample", "of it: counts of each image"),
        (experiment, "_write", "of it: files, with the counts of each image"),
        (Bundle, "seal", "of it: the manifest"),
    )
    with ExitStack() as watching, tempfile.TemporaryDirectory(prefix="sf-bench-") as room:
        for part in parts:
            watching.enter_context(watched(part[0], part[1], spent, part[2]))
        summary = experiment.run(
            config, out=Path(room) / "run", data_dir=data, device="cpu", threads=threads, emit=lambda _: None
        )
    return spent, summary


def main() -> None:
    from core.settings import Settings

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="the digits that come with scikit-learn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", type=Path, help="where CIFAR-10 lies [default: the product's folder of data sets]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `spikefront train`")
    arguments = parser.parse_args()
    overrides = dict(one.split("=", 1) for one in arguments.set)
    dataset, load = "digits" if arguments.small else "cifar10", os.getloadavg()[0]
    spent, summary = measure(
        dataset=dataset, data=arguments.data or Settings().data, threads=arguments.threads, overrides=overrides
    )
    share = spent.cpu_s["end"] / (spent.cpu_s["end"] + spent.cpu_s["training"])
    test_s = spent.wall_s["of it: test with all counts"]
    if arguments.json:
        print(json.dumps({"machine": machine(), "load_before": load, "share": share} | asdict(spent)))
        return
    print(f"{machine()}; {arguments.threads} thread(s); load before {load:.1f}; {dataset}, smoke, n = 1 run")
    for part, cpu_s in spent.cpu_s.items():
        print(f"  {part:<48}{cpu_s:8.2f} s of the processor {spent.wall_s[part]:8.2f} s")
    print(f"  end of the run, share of both: {share:.1%} (goal: under {SHARE_GOAL:.0%} on CIFAR-10)")
    print(f"  {summary.n_test:,} test images with all counts: {test_s:.2f} s (goal: {TEST_GOAL_S:.0f} s for 10,000)")


if __name__ == "__main__":
    main()
