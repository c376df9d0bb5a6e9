"""The process that measures how a run stands disturbances, for the API, which itself never loads torch.

One child at a time, `python -m core.cli measure`: it says how far it is, leaves `robustness.json` in the run's folder and
ends. If the API dies without a word, its standard input closes and it ends by itself.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from backend.inference import REFUSALS, made_anew
from backend.problems import describe
from core.errors import MeasurementBusy, MeasurementFailed, SpikefrontError
from core.host.child_env import child_env
from core.host.processes import kill_group
from core.schemas.results import Failed
from core.schemas.robustness import MEASURING, ImagesDone, Measured, MeasureRequest, RobustnessWork

log = logging.getLogger("spikefront.robustness")

ARGV = (sys.executable, "-m", "core.cli", "measure")
KEPT = 64  # works remembered after their end


class Measurements:
    """Safe to call from any thread. One measurement at a time."""

    def __init__(self, *, argv: Sequence[str] = ARGV) -> None:
        self._argv = tuple(argv)
        self._lock = threading.Lock()
        self._works: dict[str, RobustnessWork] = {}
        self._running: str | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def of(self, run_id: str) -> RobustnessWork | None:
        """How far it is, or how it ended; None where none was asked for since this process started."""
        with self._lock:
            return self._works.get(run_id)

    def start(
        self, run_id: str, request: MeasureRequest, *, done: Callable[[], object] = lambda: None
    ) -> RobustnessWork:
        """Begin in the background; what is under way for this run goes on as it is. `done` is called once it is measured.

        Raises MeasurementBusy while another run is measured, MeasurementFailed where no process can be started.
        """
        with self._lock:
            if self._running == run_id:
                return self._works[run_id]
            if self._running is not None:
                raise MeasurementBusy(run_id=self._running)
            if self._closed:
                raise MeasurementFailed(why="the API is stopping.")
            try:
                child = subprocess.Popen(
                    self._argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=child_env(threads=1, device=None),  # the other cores, and the GPUs, belong to training
                    start_new_session=True,
                )
            except OSError as error:
                raise MeasurementFailed(why=f"its process did not start: {error.strerror}.") from None
            self._works.pop(run_id, None)
            while len(self._works) >= KEPT:
                del self._works[next(iter(self._works))]
            self._works[run_id] = work = RobustnessWork(state="running")
            self._running, self._child = run_id, child
            self._thread = threading.Thread(
                target=self._follow, args=(run_id, child, request, done), name=f"measure-{run_id}", daemon=True
            )
            self._thread.start()
        log.info("robustness.started", extra={"run_id": run_id, "pid": child.pid, "images": request.images})
        return work

    def close(self) -> None:
        """End what is under way; nothing of it is left but what was measured before."""
        with self._lock:
            self._closed = True
            child, thread = self._child, self._thread
        if child is not None:
            kill_group(child.pid)
        if thread is not None:
            thread.join()

    def _follow(
        self, run_id: str, child: subprocess.Popen[bytes], request: MeasureRequest, measured: Callable[[], object]
    ) -> None:
        """Read how far the child is until it ends, and say how."""
        assert child.stdin is not None and child.stdout is not None, "it is started with pipes"
        end: dict[str, Any] = {"state": "failed", "problem": describe(MeasurementFailed(why="its process ended."))}
        try:
            child.stdin.write(request.model_dump_json().encode() + b"\n")
            child.stdin.flush()  # and stays open: its end tells the child that nobody waits any more
            for line in child.stdout:
                match MEASURING.validate_json(line):
                    case ImagesDone(done=done, total=total):
                        self._note(run_id, {"done": done, "total": total})
                    case Measured():
                        measured()
                        end = {"state": "done"}
                    case Failed() as failed:
                        end = {"state": "failed", "problem": describe(_error(failed))}
        except OSError:  # the child is gone before it read
            pass
        except SpikefrontError as error:  # it could not be kept
            end = {"state": "failed", "problem": describe(error)}
        except ValidationError:
            log.exception("robustness.unreadable", extra={"run_id": run_id})
        except Exception:
            log.exception("robustness.failed", extra={"run_id": run_id})
        finally:
            kill_group(child.pid)
            child.wait()
            for pipe in (child.stdin, child.stdout):
                try:
                    pipe.close()
                except OSError:  # what was buffered for a reader that is gone
                    pass
            log.info("robustness.ended", extra={"run_id": run_id, "state": end["state"]})
            with self._lock:
                self._running = self._child = None
                self._works[run_id] = self._works[run_id].model_copy(update=end)

    def _note(self, run_id: str, change: dict[str, Any]) -> None:
        with self._lock:
            self._works[run_id] = self._works[run_id].model_copy(update=change)


def _error(failed: Failed) -> SpikefrontError:
    """The child's refusal in the domain's words, or that it failed."""
    return made_anew(failed) if failed.code in REFUSALS else MeasurementFailed(why=failed.message)
