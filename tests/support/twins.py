"""A tiny spiking network and its CNN twin, trained for real, once for all processes of a test run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from commands import called

from core.bundle import Bundle

#: The smallest real run: one Fire module, 32 images, one epoch.
TINY: dict[str, Any] = {
    "mask": ["F9"],
    "dataset": "digits",
    "recipe": "smoke",
    "overrides": {"training.max_epochs": 1, "training.train_limit": 32},
}


def trained_twins(factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Their bundles by kind, to be read and copied: other tests, and other processes, hold the same ones."""
    base = factory.getbasetemp()
    shared = (
        base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    )  # pytest-xdist: each process has a folder there
    with open(shared / "twins.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds them finished
        twins = {kind: shared / "twins" / kind for kind in ("snn", "cnn")}
        for kind, out in twins.items():
            if not Bundle(out).complete:  # the command would see it too, once it has loaded the engine
                _train(kind, out)
    return twins


def _train(kind: str, out: Path) -> None:
    changes = [word for name, value in TINY["overrides"].items() for word in ("--set", f"{name}={value}")]
    done = called(
        "train", "--backbone", "squeezenet", "--kind", kind, "--mask", ",".join(TINY["mask"]),
        "--dataset", TINY["dataset"], "--recipe", TINY["recipe"], "--seed", "0", "--threads", "1",
        *changes, "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
