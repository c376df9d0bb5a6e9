"""`spikefront trainer`: a process with the engine loaded, waiting for one run of its supervisor.

Protocol, JSON lines. It prints `{"type": "ready"}`, reads one request (core.schemas.training.TrainRequest)
and prints the events of core.schemas.results. Exit code 0: succeeded; 1: failed, after a Failed event; 75: stopped by
SIGTERM or by a later attempt on the run, checkpoint written; 3: standard input closed, which means that the supervisor
is gone: nothing more is written. Standard error is for people.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

from pydantic import ValidationError

from core.bundle import FULL
from core.cli.commands.train import print_event
from core.cli.console import EXIT_FAILED
from core.cli.train_here import recounter, step_back, stop_on_signals
from core.errors import BadValue, BundleCorrupt, Interrupted, SpikefrontError, StorageFull
from core.loglines import LineFormatter, to_stderr
from core.recipes.build import translate
from core.request_ids import Marked
from core.run_folder import LOOK_S, is_superseded
from core.schemas.results import Failed, Ready
from core.schemas.run import RunConfig
from core.schemas.training import EXIT_INTERRUPTED, EXIT_ORPHANED, TrainRequest
from core.settings import Settings

YIELD_S = 30.0  # for the step under way and a checkpoint


def trainer() -> None:
    """Wait with the engine loaded for one run on standard input. Ends the process."""
    to_stderr(LineFormatter(), level=logging.INFO)
    step_back()
    with stop_on_signals() as stop:
        from core.engine import experiment
        from core.engine.warm import warm_up

        warm_up()
        print_event(Ready())
        recount = recounter()  # loads SpikingJelly, while nobody waits
        line = _read_request(stop.is_set)
        if line is None:
            _leave(0)
        Thread(target=_watch_supervisor, daemon=True, name="supervisor-watch").start()
        try:
            request = TrainRequest.model_validate_json(line)
            if request.attempt is not None:
                Thread(target=_watch_successor, args=(request, stop), daemon=True, name="successor-watch").start()
            marked = Marked(run_id=request.out.name, request_id=request.request_id)
            to_stderr(LineFormatter(), marked, level=logging.INFO)
            config = RunConfig.model_validate(request.config)
            experiment.run(
                config,
                out=request.out,
                data_dir=request.data,
                device=request.device,
                threads=request.threads,
                emit=print_event,
                should_stop=stop.is_set,
                teacher=_usable_teacher(request, config),
                retell=True,
                recount=recount,
                start=request.start,
                on_gpu=Settings().on_gpu,
            )
        except ValidationError as error:
            _fail(Failed.of(translate(error)))
        except BrokenPipeError:  # standard output is gone: so is the supervisor
            os._exit(EXIT_ORPHANED)
        except Interrupted as error:
            print(f"spikefront: {error.message}", file=sys.stderr)
            _leave(EXIT_INTERRUPTED)
        except SpikefrontError as error:
            _fail(Failed.of(error))
        except Exception as error:  # noqa: BLE001  the supervisor must learn of a bug too, whatever it is
            traceback.print_exc()
            if isinstance(error, OSError) and error.errno in FULL:  # such as the cache of a data set
                _fail(Failed.of(StorageFull()))
            _fail(Failed(code="internal", message=f"The trainer failed: {type(error).__name__}."))
        _leave(0)


def _usable_teacher(request: TrainRequest, config: RunConfig) -> Path | None:
    """The teacher that was offered; None where it is not what it should be, so that the run trains its own.

    A teacher that the config names cannot be trained here: what is wrong with it is said by the run itself.
    """
    if request.teacher is None or config.has_given_teacher:
        return request.teacher
    from core.engine.teacher import check

    try:
        check(config, request.teacher)
    except (BadValue, BundleCorrupt) as error:
        print(f"spikefront: the teacher is not used: {error.message}", file=sys.stderr)
        return None
    return request.teacher


def _leave(code: int) -> NoReturn:
    """End now. Every file is synced already, and taking torch apart would keep the supervisor waiting."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(event: Failed) -> NoReturn:
    print_event(event)
    _leave(EXIT_FAILED)


def _read_request(should_stop: Callable[[], bool]) -> bytes | None:
    """The first line of standard input; None when asked to stop before it came."""
    line = b""
    while not line.endswith(b"\n"):
        if should_stop():
            return None
        if select.select([sys.stdin], [], [], 0.2)[0]:
            # one byte: what follows the line belongs to the watcher, and no buffer may swallow the end
            if not (byte := os.read(sys.stdin.fileno(), 1)):
                os._exit(EXIT_ORPHANED)
            line += byte
    return line


def _watch_successor(request: TrainRequest, stop: Event) -> None:
    """Stop once a later attempt owns the run, as after a long standstill of the supervisor; it waits for the lock."""
    while not is_superseded(request.out, request.attempt):
        time.sleep(LOOK_S)
    stop.set()
    time.sleep(YIELD_S)
    os._exit(EXIT_ORPHANED)  # it hangs, as in a write to a supervisor that does not read


def _watch_supervisor() -> None:
    """End at once, saving nothing more, when standard input closes: another trainer may own the run by then."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(EXIT_ORPHANED)
