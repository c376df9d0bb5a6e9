"""Runs side by side: figures, differences on the same test images, twins, curves."""

from __future__ import annotations

from backend.context import Context
from backend.pareto.service import weight_bytes
from backend.runs.repository import RunRepository
from backend.store.models import RunRow
from backend.store.outcome import figures
from core.analysis import ensemble as ensembles
from core.analysis.compare import INTERVAL, paired, ratio
from core.analysis.reprice import moved
from core.backbones.naming import known_mask
from core.bundle import Predictions
from core.energy.modes import MODES
from core.energy.price import price
from core.energy.profiles import profiles
from core.errors import BadValue
from core.schemas.compare import FEWEST, MOST, ComparedRun, Comparison, Difference, TwinRatio
from core.schemas.ensemble import ComparedEnsemble
from core.schemas.prices import AS_PUBLISHED, Factors
from core.schemas.run import Kind, RunConfig


class ComparisonService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def compare(self, run_ids: list[str], *, mode: str, profile: str, factors: Factors = AS_PUBLISHED) -> Comparison:
        """Two to ten succeeded runs, the first being what the others are held against; `factors` move the prices.

        Raises BadValue, UnknownName, NotFound, NotReady, or BundleCorrupt where a file of a run cannot be read.
        """
        if not FEWEST <= len(run_ids) <= MOST or len(set(run_ids)) < len(run_ids):
            expected = f"{FEWEST} to {MOST} different run ids with commas between them"
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
                    accuracy=figures(snn).accuracy - figures(cnn).accuracy,
                    energy_ratio=ratio(energy[snn.id], energy[cnn.id]),
                    paired=paired(self._answers(cnn), self._answers(snn)),
                )
                for snn, cnn in pairs
            ],
        )

    def ensemble(
        self, first_id: str, second_id: str, *, mode: str, profile: str, factors: Factors = AS_PUBLISHED
    ) -> ComparedEnsemble:
        """Two succeeded runs that answer together. Raises as `compare`, BadValue also where their test images differ."""
        if first_id == second_id:
            raise BadValue(field="second", value=second_id, expected="another run than first")
        accounting, prices = MODES[mode], moved(profiles()[profile], factors)
        with self._context.database.read() as session:
            rows = [
                RunRepository(session).require_succeeded(run_id, what="answers") for run_id in (first_id, second_id)
            ]
        first, second = ((row.dataset, row.data_digest) for row in rows)
        ensembles.require_same_data(first, second, names=(first_id, second_id))
        bundles = [self._context.artifacts.bundle(row.id) for row in rows]
        found = ensembles.of_bundles(*bundles, mode=accounting, profile=prices)
        return ComparedEnsemble(first_id=first_id, second_id=second_id, **found.model_dump(), **factors.model_dump())

    def _run(self, row: RunRow, acs: float, macs: float, energy: float) -> ComparedRun:
        bundle, config = self._context.artifacts.bundle(row.id), RunConfig.model_validate(row.config)
        own = figures(row)
        return ComparedRun(
            id=row.id,
            label=row.label,
            differs=row.differs or "",
            own_name=row.name,
            kind=Kind(row.kind),
            mask_name=known_mask(config.backbone, config.mask, config.definition, config.architecture),
            config=config,
            accuracy=own.accuracy,
            f1_macro=own.f1_macro,
            params=own.params,
            model_bytes=weight_bytes(own.params),
            firing_rate=row.firing_rate,
            acs=acs,
            macs=macs,
            energy_pj=energy,
            n_train=own.n_train,
            n_test=own.n_test,
            dataset_complete=own.dataset_complete,
            data_digest=row.data_digest,
            metrics=bundle.metrics(),
            gradients=bundle.gradients(),
        )

    def _differences(self, rows: list[RunRow], energy: dict[str, float]) -> list[Difference]:
        first, *others = rows
        answers = {row.id: self._answers(row) for row in rows}
        return [
            Difference(
                run_id=row.id,
                against=first.id,
                accuracy=figures(row).accuracy - figures(first).accuracy,
                f1_macro=figures(row).f1_macro - figures(first).f1_macro,
                energy_ratio=ratio(energy[row.id], energy[first.id]),
                paired=paired(answers[first.id], answers[row.id])
                if (row.dataset, row.data_digest) == (first.dataset, first.data_digest)
                else None,
            )
            for row in others
        ]

    def _answers(self, row: RunRow) -> Predictions:
        return self._context.artifacts.bundle(row.id).predictions()


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
