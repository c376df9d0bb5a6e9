"""How a finished run stands disturbances: measured on request by a child process, priced when somebody looks."""

from __future__ import annotations

from backend.context import Context
from backend.runs.new_runs import require_here
from backend.runs.repository import RunRepository
from backend.runs.same_data import require_same_data
from core.analysis import robustness as stood
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.schemas.robustness import MeasureRequest, RobustnessRequest, RunRobustness

WHAT = "robustness"


class RobustnessService:
    """Stateless; one is made for each request. Raises NotFound, and NotReady until the run has succeeded."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def measure(self, run_id: str, asked: RobustnessRequest) -> RunRobustness:
        """Begin in the background; what is under way for this run goes on.

        Raises DatasetMissing where the run's data set is not on this machine, NotReady where it was replaced since,
        MeasurementBusy, MeasurementFailed.
        """
        data = self._context.settings.data
        with self._context.database.read() as session:
            row = RunRepository(session).require_succeeded(run_id, what=WHAT)
        require_same_data(row, data, what=WHAT, lost="the test images of this run")
        require_here(row.dataset, data)
        artifacts = self._context.artifacts
        folder = artifacts.whole(run_id)
        request = MeasureRequest(folder=folder, data=data, images=asked.images, seed=asked.seed)
        return RunRobustness(
            work=self._context.measurements.start(
                run_id, request, done=lambda: artifacts.keep_beside(run_id, stood.FILE)
            ),
            found=None,
        )

    def show(self, run_id: str, *, mode: str, profile: str) -> RunRobustness:
        """Raises UnknownName for a mode or profile, BundleCorrupt."""
        accounting, prices = MODES[mode], profiles()[profile]
        with self._context.database.read() as session:
            RunRepository(session).require_succeeded(run_id, what=WHAT)
        work = self._context.measurements.of(run_id)  # before the file: what it says is done is there then
        found = stood.kept(self._context.artifacts.bundle(run_id))
        return RunRobustness(work=work, found=None if found is None else stood.priced(found, accounting, prices))
