"""Runs side by side: figures, differences on the same test images, twins, curves."""

from __future__ import annotations

from backend.context import Context
from backend.pareto.service import weight_bytes
from backend.runs.as_run import row_label
from backend.runs.repository import RunRepository
from backend.store.models import RunRow
from core.analysis.compare import INTERVAL, paired, ratio
from core.analysis.reprice import moved
from core.backbones.catalog import BACKBONES, mask_name
from core.energy.modes import MODES
from core.energy.price import price
from core.energy.profiles import profiles
from core.errors import BadValue
from core.schemas.compare import ComparedRun, Comparison, Difference, TwinRatio
from core.schemas.prices import AS_PUBLISHED, Factors
from core.schemas.run import Kind, RunConfig

MIN_RUNS, MAX_RUNS = 2, 10


class ComparisonService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def compare(self, run_ids: list[str], *, mode: str, profile: str, factors: Factors = AS_PUBLISHED) -> Comparison:
        """Two to ten succeeded runs, the first being what the others are held against; `factors` move the prices.

        Raises BadValue, UnknownName, NotFound, NotReady, or BundleCorrupt where a file of a run cannot be read.
        """
        if not MIN_RUNS <= len(run_ids) <= MAX_RUNS or len(set(run_ids)) < len(run_ids):
            expected = f"{MIN_RUNS} to {MAX_RUNS} different run ids with commas between them"
            raise BadValue(field="runs", value=",".join(run_ids)[:200], expected=expected)
        accounting, prices = MODES[mode], moved(profiles()[profile], factors)
        with self._context.database.read() as session:
            repository = RunRepository(session)
            rows = [repository.require_succeeded(run_id, what="results to compare") for run_id in run_ids]
            pairs = _twins(repository, rows)
            known = {row.id: row for pair in pairs for row in pair} | {row.id: row for row in rows}
        tallies = {run_id: accounting.tally(self._context.artifacts.bundle(run_id).counts()) for run_id in known}
        energy = {run_id: price(tally, prices) for run_id, tally in tallies.items()}
        return Comparison(
            mode=accounting.name,
            profile=prices.name,
            **factors.model_dump(),
            interval=INTERVAL,
            runs=[self._run(row, tallies[row.id].acs, tallies[row.id].macs, energy[row.id]) for row in rows],
            differences=self._differences(rows, energy),
            twins=[
                TwinRatio(
                    snn_id=snn.id,
                    cnn_id=cnn.id,
                    accuracy=snn.accuracy - cnn.accuracy,
                    energy_ratio=ratio(energy[snn.id], energy[cnn.id]),
                )
                for snn, cnn in pairs
            ],
        )

    def _run(self, row: RunRow, acs: float, macs: float, energy: float) -> ComparedRun:
        bundle, mask = self._context.artifacts.bundle(row.id), tuple(row.mask.split(","))
        return ComparedRun(
            id=row.id,
            label=row_label(row),
            kind=Kind(row.kind),
            mask_name=mask_name(row.backbone, mask) if row.backbone in BACKBONES else None,
            config=RunConfig.model_validate(row.config),
            accuracy=row.accuracy,
            f1_macro=row.f1_macro,
            params=row.params,
            model_bytes=weight_bytes(row.params),
            firing_rate=row.firing_rate,
            acs=acs,
            macs=macs,
            energy_pj=energy,
            n_train=row.n_train,
            n_test=row.n_test,
            dataset_complete=row.dataset_complete,
            metrics=bundle.metrics(),
            gradients=bundle.gradients(),
        )

    def _differences(self, rows: list[RunRow], energy: dict[str, float]) -> list[Difference]:
        first, *others = rows
        answers = {row.id: self._context.artifacts.bundle(row.id).predictions() for row in rows}
        return [
            Difference(
                run_id=row.id,
                against=first.id,
                accuracy=row.accuracy - first.accuracy,
                f1_macro=row.f1_macro - first.f1_macro,
                energy_ratio=ratio(energy[row.id], energy[first.id]),
                paired=paired(answers[first.id], answers[row.id])
                if (row.dataset, row.data_digest) == (first.dataset, first.data_digest)
                else None,
            )
            for row in others
        ]


def _twins(repository: RunRepository, rows: list[RunRow]) -> list[tuple[RunRow, RunRow]]:
    """(spiking, CNN) for every run that has a twin: those that are compared, else the newest one there is."""
    pairs: dict[tuple[str, str], tuple[RunRow, RunRow]] = {}
    for row in rows:
        among = [other for other in rows if other.twin_hash == row.twin_hash and other.kind == Kind(row.kind).twin]
        beside = None if among else repository.succeeded_twin(row)
        for twin in among or ([beside] if beside is not None else []):
            snn, cnn = (row, twin) if row.kind == Kind.SNN else (twin, row)
            pairs[snn.id, cnn.id] = (snn, cnn)
    return list(pairs.values())
