"""How long runs take here: forecast operations at a measured speed, or at a guess before any run."""

from __future__ import annotations

from dataclasses import dataclass

from backend.context import Context
from backend.runs.listed import revision_now
from backend.runs.repository import RunRepository, Speed
from core.datasets.catalog import DATASETS, title_of
from core.datasets.load import status
from core.datasets.spec import DatasetStatus
from core.datasets.splits import split_sizes
from core.forecast import seconds, with_teacher
from core.recipes.build import plan_of
from core.schemas.preview import TimeEstimate
from core.schemas.run import RunConfig

#: Forecast operations a second of one thread of a small CPU, until a run was measured here: a guess, said so.
GUESSED_OPS_PER_S = 8e9
GUESS = "a guess for one CPU thread; the first run here is measured and replaces it"


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
        sizes = self.sizes(config)
        ops = with_teacher(
            plan_of(config), config, n_train=sizes.n_train, n_validation=sizes.n_validation, n_test=sizes.n_test
        )
        like = self._most_like(config)
        if like is None:
            return TimeEstimate(total_s=seconds(ops, GUESSED_OPS_PER_S), basis=GUESS, measured=False)
        return TimeEstimate(
            total_s=seconds(ops, like.ops_per_s),
            basis=f"speed on this machine of {like.label}, {title_of(like.dataset)}, {like.device}",
            measured=True,
        )

    def _most_like(self, config: RunConfig) -> Speed | None:
        key = (config.kind, config.dataset, config.backbone)
        if key not in self._like:
            self._like[key] = self._context.kept.answer(
                ("like", *key), revision_now(self._context), lambda: self._ask(config), weigh=lambda _: 1
            )
        return self._like[key]

    def _ask(self, config: RunConfig) -> Speed | None:
        with self._context.database.read() as session:
            return RunRepository(session).like(kind=config.kind, dataset=config.dataset, backbone=config.backbone)


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
