"""All benchmarks, one after another: `python -m benchmarks [--small]`. Nothing else should run meanwhile."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "training_step",
    "neurons",
    "inference",
    "counting",
    "run_end",
    "growth",
    "pareto",
    "packing",
    "gpu",
    "first_light",
    "latency",
    "crowd",
    "tabs",
    "explore",
)


def main() -> None:
    failed = []
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
