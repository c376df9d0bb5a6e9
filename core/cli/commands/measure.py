"""`spikefront measure`: a process that measures how one run stands disturbances, and leaves that in the run's folder.

Protocol, JSON lines. It reads one request (core.schemas.robustness.MeasureRequest) and prints how far it is and how it
ended (MEASURING). It ends at once when standard input closes, since whoever asked is gone then. Standard error is
for people.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from threading import Thread

from pydantic import ValidationError

from core.analysis.robustness import keep
from core.bundle import Bundle
from core.cli.console import EXIT_FAILED
from core.cli.train_here import step_back
from core.datasets.catalog import DATASETS
from core.datasets.load import load
from core.errors import SpikefrontError
from core.schemas.base import Frozen
from core.schemas.results import Failed
from core.schemas.robustness import ImagesDone, Measured, MeasureRequest

EVERY_S = 0.25  # between two lines of how far it is


def measure() -> None:
    """Measure what one line on standard input asks for. Ends the process where it failed."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not stand between the lines

    def tell(line: Frozen) -> None:
        answers.write(line.model_dump_json().encode() + b"\n")
        answers.flush()

    step_back()
    asked = sys.stdin.buffer.readline()
    Thread(target=_end_with_standard_input, daemon=True, name="input-watch").start()
    try:
        tell(_measured(MeasureRequest.model_validate_json(asked), tell))
    except ValidationError as error:
        tell(Failed(code="invalid-request", message=f"The request cannot be read: {error.error_count()} faults."))
    except SpikefrontError as error:
        tell(Failed.of(error))
        sys.exit(EXIT_FAILED)
    except Exception as error:  # noqa: BLE001  whoever asked must learn of a bug too
        traceback.print_exc()
        tell(Failed(code="internal", message=f"The engine failed: {type(error).__name__}."))
        sys.exit(EXIT_FAILED)


def _measured(request: MeasureRequest, tell: Callable[[Frozen], None]) -> Measured:
    bundle, told = Bundle(request.folder), 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if done == total or time.monotonic() - told >= EVERY_S:
            told = time.monotonic()
            tell(ImagesDone(done=done, total=total))

    with DATASETS.looking_in(request.data):
        bundle.verify()
        dataset = load(bundle.config().dataset, request.data)
        from core.engine.robustness import measure as measure_run

        keep(bundle, measure_run(bundle, dataset, n=request.images, seed=request.seed, progress=progress))
    return Measured()


def _end_with_standard_input() -> None:
    while os.read(0, 4096):  # not by sys.stdin: its lock is asked for when the process ends
        pass
    os._exit(EXIT_FAILED)
