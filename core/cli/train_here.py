"""A run in this process: signals, priority, and what is shown of it. Loads the engine when a run starts."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event as Flag
from types import FrameType
from typing import TYPE_CHECKING, Literal

from core.bundle import Bundle
from core.cli.console import print_json
from core.schemas.recount import Recount
from core.schemas.results import Event, Finished
from core.schemas.run import RunConfig
from core.schemas.training import EXIT_INTERRUPTED
from core.settings import Settings

if TYPE_CHECKING:
    from core.engine.experiment import Recounter

log = logging.getLogger(__name__)


def train_here(
    config: RunConfig,
    *,
    out: Path,
    data_dir: Path,
    device: str,
    threads: int | None,
    teacher: Path | None,
    stream: Callable[[Event], None] | None,
    as_json: bool,
    recount: Literal["on", "off"] | None = None,
    start: Path | None = None,
) -> None:
    """Train and write the bundle; events go to `stream`, or to a progress bar and lines on standard error."""
    from core.cli.train_screen import Show  # rich, which a stream does without

    bundle = Bundle(out)
    bundle.require_own(config)
    with stop_on_signals() as stop, nullcontext() if stream else Show(out) as show:
        emit = stream or show
        if bundle.complete:  # an answer that needs no engine
            summary = bundle.summary()
            emit(Finished(summary=summary))
        else:
            from core.engine.experiment import run

            summary = run(
                config,
                out=out,
                data_dir=data_dir,
                device=device,
                threads=threads,
                emit=emit,
                should_stop=stop.is_set,
                teacher=teacher,
                recount=recounter(recount),
                start=start,
                on_gpu=Settings().on_gpu,
            )
    if as_json:
        print_json(summary.model_dump(mode="json"))


def recounter(wanted: Literal["on", "off"] | None = None) -> Recounter | None:
    """What counts a finished run again, or None; `wanted` None asks the settings. Loads SpikingJelly now, not in a run.

    Where it cannot be loaded, every run records that and is none the worse for it.
    """
    if (wanted or Settings().recount) == "off":
        return None
    try:
        from core.oracles.recount import after_test

        return after_test
    except Exception as error:
        log.exception("recount.not_loaded")
        failed = Recount(counter="spikingjelly", counter_version="", failure=f"{type(error).__name__}: {error}"[:500])
        return lambda bundle, images, labels: bundle.write_model("recount.json", failed)


@contextmanager
def stop_on_signals() -> Iterator[Flag]:
    """A flag that SIGTERM or Ctrl-C raises; a second one ends the process at once."""
    flag = Flag()

    def stop(number: int, frame: FrameType | None) -> None:
        if flag.is_set():
            os._exit(EXIT_INTERRUPTED)
        flag.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def step_back() -> None:
    """Lower this process's priority, so that the dashboard answers while it trains."""
    try:
        os.nice(5)
    except (AttributeError, OSError) as error:  # not on this system, or not allowed in this container
        print(f"spikefront: priority unchanged ({error})", file=sys.stderr)
