"""How long runs take here: forecast operations at a measured speed, or at a guess before any run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.context import Context
from backend.runs.listed import revision_now
from backend.runs.repository import RunRepository, Speed
from backend.store.models import RunRow
from core.datasets.catalog import DATASETS, title_of
from core.datasets.load import status
from core.datasets.spec import DatasetStatus
from core.datasets.splits import split_sizes
from core.errors import DatasetCorrupt, UnknownName
from core.forecast import seconds, with_teacher
from core.recipes.build import plan_of
from core.schemas.preview import TimeEstimate
from core.schemas.run import Kind, RunConfig

#: Forecast operations a second of one thread of a small CPU, until a run was measured here: a guess, said so.
GUESSED_OPS_PER_S = 8e9
GUESS = "a guess for one CPU thread; the first run here is measured and replaces it"
AT_ONCE = 500  # configs of one statement
MOST_KEPT = 20_000  # runs whose operations are kept


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Images of a run on the files that are here, or of the published set where they are not."""

    n_train: int
    n_validation: int
    n_test: int


class Estimator:
    """Made for one request: it looks at each data set and each speed once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._found: dict[str, DatasetStatus] = {}
        self._like: dict[tuple[str, str, str], Speed | None] = {}

    def dataset(self, name: str) -> DatasetStatus:
        if name not in self._found:
            self._found[name] = status(name, self._context.settings.data)
        return self._found[name]

    def sizes(self, config: RunConfig) -> Sizes:
        spec, found = DATASETS[config.dataset], self.dataset(config.dataset)
        n_train, n_validation = split_sizes(
            found.n_train or spec.n_train,
            share=spec.validation_share(config.training.validation_share),
            limit=config.training.train_limit,
        )
        return Sizes(n_train=n_train, n_validation=n_validation, n_test=found.n_test or spec.n_test)

    def time(self, config: RunConfig) -> TimeEstimate:
        """All epochs, those of a teacher too, at the speed of the run here that is most like it."""
        ops = self._operations(config)
        like = self._most_like(config.kind, config.dataset, config.backbone)
        if like is None:
            return TimeEstimate(total_s=seconds(ops, GUESSED_OPS_PER_S), basis=GUESS, measured=False)
        return TimeEstimate(
            total_s=seconds(ops, like.ops_per_s),
            basis=f"speed on this machine of {like.label}, {title_of(like.dataset)}, {like.device}",
            measured=True,
        )

    def lasts_s(self, session: Session, rows: Sequence[RunRow]) -> dict[str, float]:
        """Forecast seconds of whole runs, by id; 0 where a data set was taken away, since such a run fails as it starts.

        What a run will compute is worked out once, as long as its data set stays as it is: its config never changes.
        """
        known, keys = self._context.operations, {}
        for row in rows:
            try:
                found = self.dataset(row.dataset)
            except (UnknownName, DatasetCorrupt):
                continue
            keys[row.id] = (row.id, found.n_train, found.n_test)
        new = [run_id for run_id, key in keys.items() if key not in known]
        if len(known) + len(new) > MOST_KEPT:
            known.clear()
            new = list(keys)
        for first in range(0, len(new), AT_ONCE):
            wanted = select(RunRow.id, RunRow.config).where(RunRow.id.in_(new[first : first + AT_ONCE]))
            for run_id, config in session.execute(wanted):
                known[keys[run_id]] = self._operations(RunConfig.model_validate(config))
        return {row.id: self._lasts_s(row, known[keys[row.id]]) if row.id in keys else 0.0 for row in rows}

    def _lasts_s(self, row: RunRow, ops: float) -> float:
        like = self._most_like(Kind(row.kind), row.dataset, row.backbone)
        return seconds(ops, GUESSED_OPS_PER_S if like is None else like.ops_per_s)

    def _operations(self, config: RunConfig) -> float:
        """Of all epochs and tests, in MAC equivalents."""
        sizes = self.sizes(config)
        return with_teacher(
            plan_of(config), config, n_train=sizes.n_train, n_validation=sizes.n_validation, n_test=sizes.n_test
        )

    def _most_like(self, kind: Kind, dataset: str, backbone: str) -> Speed | None:
        key = (kind, dataset, backbone)
        if key not in self._like:
            self._like[key] = self._context.kept.answer(
                ("like", *key), revision_now(self._context), lambda: self._ask(*key), weigh=lambda _: 1
            )
        return self._like[key]

    def _ask(self, kind: Kind, dataset: str, backbone: str) -> Speed | None:
        with self._context.database.read() as session:
            return RunRepository(session).like(kind=kind, dataset=dataset, backbone=backbone)


def total(times: list[TimeEstimate]) -> TimeEstimate:
    """Several runs one after another."""
    measured = sum(time.measured for time in times)
    bases = {time.basis for time in times}
    if len(bases) == 1:
        basis = bases.pop()
    elif measured == len(times):
        basis = "each by the speed of the run here that is most like it"
    else:
        basis = f"{measured} of {len(times)} by the speed of runs here, others guessed"
    if not times:
        basis = "nothing to train"
    return TimeEstimate(
        total_s=sum(time.total_s for time in times), basis=basis, measured=bool(times) and measured == len(times)
    )
