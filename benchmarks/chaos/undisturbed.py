"""The bundles that a storm's runs are held against: each config trained once, by nobody disturbed.

`python -m benchmarks.chaos.undisturbed FOLDER DATA SEED:EPOCHS ...` trains them one after another in a process of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.chaos.plan import distinct


def main() -> None:
    from core.engine.experiment import run

    folder, data = map(Path, sys.argv[1:3])
    pairs = (pair.split(":") for pair in sys.argv[3:])
    for order in distinct({int(seed): int(epochs) for seed, epochs in pairs}):
        told: list[object] = []
        run(order.config, out=folder / order.name, data_dir=data, device="cpu", threads=1, emit=told.append)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
