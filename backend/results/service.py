"""What a finished run shows, read from its bundle; metrics also while it runs.

The figures of one bundle take names for the runs in them, so that a share can show them without ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from backend.context import Context
from backend.results import archive
from backend.results.images import Cell, Measured, Which, alike, examples_of, image_of
from backend.results.noted import history_in, log_in
from backend.runs.repository import RunRepository
from backend.store.models import RunRow
from core.analysis import exits, steps
from core.analysis.calibration import calibration
from core.analysis.confusion import confusion
from core.analysis.findings import diagnostic_findings
from core.analysis.predictions import predict
from core.analysis.twin import twin_energy
from core.backbones.litesnn import every_wiring
from core.bundle import Bundle
from core.datasets.catalog import DATASETS
from core.energy import price
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.errors import BadValue, BundleCorrupt, ImpossibleMask, NotReady
from core.recipes.build import found_overrides, override, plan_of
from core.run_folder import HISTORY, LOG
from core.schemas.bill import Layers
from core.schemas.diagnostics import Calibration, Confusion, DiagnosticsReport, Exits, Steps
from core.schemas.history import RunHistory, RunLog
from core.schemas.images import Examples, SeenImage
from core.schemas.results import Environment, Gradients, Metrics, Summary
from core.schemas.run import Kind, RunConfig, RunState
from core.schemas.search import RunSearch, SearchFound, Wiring
from core.schemas.twin import RunTwin
from core.search_costs import searched_blocks


def layers_of(bundle: Bundle, *, mode: str, profile: str) -> Layers:
    """The bill of each layer; raises UnknownName for a mode or profile."""
    return price.layers(bundle.counts(), _blocks(bundle.config()), MODES[mode], profiles()[profile])


def _blocks(config: RunConfig) -> dict[str, str | None]:
    """Layer -> removable block. Empty where the user took the data set away, or replaced it by one of images on which
    there is no such network: what was counted is there all the same."""
    if config.dataset not in DATASETS:
        return {}
    try:
        return {node.name: node.block for node in plan_of(config).nodes}
    except ImpossibleMask:
        return {}


def confusion_of(bundle: Bundle) -> Confusion:
    answers = bundle.predictions()
    return confusion(answers.label, predict(answers.outputs), answers.classes)


def calibration_of(bundle: Bundle) -> Calibration:
    answers = bundle.predictions()
    return calibration(answers.label, answers.outputs)


def steps_of(bundle: Bundle, *, mode: str, profile: str) -> Steps:
    """Raises UnknownName for a mode or profile."""
    counts = bundle.counts()
    return steps.curve(bundle.predictions(counts), counts, mode=MODES[mode], profile=profiles()[profile])


def exits_of(bundle: Bundle, *, mode: str, profile: str, threshold: float | None = None) -> Exits:
    """Raises UnknownName for a mode or profile, BadValue for a mode without an energy of one image."""
    accounting, prices, counts = MODES[mode], profiles()[profile], bundle.counts()
    predictions, per_sample = bundle.predictions(counts), bundle.counts_per_sample(counts)
    return exits.curve(predictions, counts, per_sample, mode=accounting, profile=prices, threshold=threshold)


class ResultService:
    """Stateless; one is made for each request. Raises NotFound, and NotReady until the run has succeeded."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def metrics(self, run_id: str) -> Metrics:
        """Epoch by epoch: from the bundle of a finished run, else from the events so far."""
        with self._context.database.read() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            epochs = [event.payload for event in repository.epochs(run_id)]
        if row.state == RunState.SUCCEEDED:
            return self._context.artifacts.bundle(run_id).metrics()
        return Metrics.model_validate({column: [epoch[column] for epoch in epochs] for column in Metrics.model_fields})

    def search(self, run_id: str) -> RunSearch:
        """The course of a search, also while it goes on. Raises NotReady for a run that searches nothing."""
        with self._context.database.read() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            epochs = [event.payload.get("search") for event in repository.epochs(run_id)]
            config = RunConfig.model_validate(row.config)
            if not config.seeks.is_on:
                raise NotReady(run_id=run_id, state=row.state, what="search", why="it searches nothing (search.what)")
            if row.state != RunState.SUCCEEDED:
                return RunSearch(found=self._search_so_far(config, epochs))
            found = self._context.artifacts.bundle(run_id).search()
            if found is None:
                raise BundleCorrupt(file="search.json", why="it is missing.")
            return RunSearch(found=found, wirings=self._wirings(repository, config, found))

    def _search_so_far(self, config: RunConfig, epochs: list[Any]) -> SearchFound:
        return SearchFound.model_validate(
            {
                "search": config.search,
                "blocks": list(searched_blocks(config)),
                "time_steps": config.steps,
                "epochs": list(takewhile(lambda epoch: epoch is not None, epochs)),
            }
        )

    def _wirings(self, repository: RunRepository, config: RunConfig, found: SearchFound) -> list[Wiring]:
        """Of every wiring of a cell the newest run that was trained as this search's config has it otherwise."""
        if not config.search.cell or found.decoded is None:
            return []
        trained_by_itself = override(config, found_overrides(config, found.decoded))
        configs = ((cell, override(trained_by_itself, {"architecture.cell": cell})) for cell in every_wiring())
        cells = {one.config_hash: cell for cell, one in configs}
        rows = {cells[row.config_hash]: row for row in repository.of_configs(cells)}
        trained = [
            Wiring(
                cell=cell,
                run_id=row.id,
                accuracy=summary.accuracy,
                validation_accuracy=summary.best_validation_accuracy,
            )
            for cell, row in rows.items()
            for summary in [Summary.model_validate(row.summary)]
        ]
        return sorted(trained, key=lambda one: (-one.validation_accuracy, one.cell))

    def history(self, run_id: str) -> RunHistory:
        """Empty for a run that no worker here has trained."""
        return history_in(self._beside_bundle(run_id, HISTORY))

    def log(self, run_id: str) -> RunLog:
        return log_in(self._beside_bundle(run_id, LOG))

    def _beside_bundle(self, run_id: str, name: str) -> Path:
        with self._context.database.read() as session:
            RunRepository(session).require(run_id)
        return self._context.artifacts.bundle(run_id).beside(name)

    def layers(self, run_id: str, *, mode: str, profile: str) -> Layers:
        return layers_of(self._measured(run_id, "layer counts").bundle, mode=mode, profile=profile)

    def confusion(self, run_id: str) -> Confusion:
        return confusion_of(self._measured(run_id, "confusion matrix").bundle)

    def gradients(self, run_id: str) -> Gradients:
        return self._measured(run_id, "gradients").bundle.gradients()

    def calibration(self, run_id: str) -> Calibration:
        return calibration_of(self._measured(run_id, "calibration").bundle)

    def steps(self, run_id: str, *, mode: str, profile: str) -> Steps:
        return steps_of(self._measured(run_id, "figures per step").bundle, mode=mode, profile=profile)

    def exits(self, run_id: str, *, mode: str, profile: str, threshold: float | None) -> Exits:
        bundle = self._measured(run_id, "early exits").bundle
        return exits_of(bundle, mode=mode, profile=profile, threshold=threshold)

    def twin(self, run_id: str, *, mode: str, profile: str) -> RunTwin:
        """The run and its newest succeeded twin, whichever is the CNN. Raises NotReady where no twin has succeeded."""
        with self._context.database.read() as session:
            repository = RunRepository(session)
            row = repository.require_succeeded(run_id, what="figures beside its twin")
            other = repository.succeeded_twin(row)
            if other is None:
                twin = Kind(row.kind).twin
                states = [state for _, kind, state, _ in repository.twins([row.twin_hash]) if kind == twin]
                why = f"the newest one is {states[0]}" if states else "none has been launched"
                raise NotReady(run_id=run_id, state=row.state, what=f"finished {twin.value.upper()} twin", why=why)
        snn, cnn = (row, other) if row.kind == Kind.SNN else (other, row)
        snn_counts, cnn_counts = (measured(self._context, one).bundle.counts() for one in (snn, cnn))
        found = twin_energy(snn_counts, cnn_counts, MODES[mode], profiles()[profile])
        return RunTwin(snn_id=snn.id, cnn_id=cnn.id, **found.model_dump())

    def diagnostics(self, run_id: str) -> DiagnosticsReport:
        """Raises NotReady also for a run from before they were measured."""
        found = self._measured(run_id, "diagnostics").bundle.diagnostics()
        if found is None:
            why = "it was trained before they were measured, and they come when it is trained again"
            raise NotReady(run_id=run_id, state=RunState.SUCCEEDED, what="diagnostics", why=why)
        return DiagnosticsReport(diagnostics=found, findings=diagnostic_findings(found))

    def examples(
        self, run_id: str, *, which: Which, limit: int, against: str | None = None, cell: Cell | None = None
    ) -> Examples:
        """With the answers of the newest succeeded twin, where there is one.

        With `against` that run stands in the twin's place, and only images are given that it got right and this one
        did not. Raises BadValue where the two were tested on other data sets.
        """
        with self._context.database.read() as session:
            repository = RunRepository(session)
            row = repository.require_succeeded(run_id, what="examples")
            if against is None:
                other = repository.succeeded_twin(row)
            else:
                other = repository.require_succeeded(against, what="examples")
                if other.dataset != row.dataset:
                    raise BadValue(field="against", value=against, expected=f"a run on {row.dataset}")
        beside = self._beside(row, other)
        if against is not None and beside is None:
            expected = f"a run on the same images: {row.dataset} was replaced between the two"
            raise BadValue(field="against", value=against, expected=expected)
        return examples_of(
            measured(self._context, row), beside, which=which, limit=limit, lost_only=against is not None, cell=cell
        )

    def image(self, run_id: str, index: int, *, mode: str, profile: str) -> SeenImage:
        """With the answer of the newest succeeded twin, where there is one. Raises NotFound for no such image."""
        with self._context.database.read() as session:
            repository = RunRepository(session)
            row = repository.require_succeeded(run_id, what="images")
            other = repository.succeeded_twin(row)
        twin = self._beside(row, other)
        return image_of(measured(self._context, row), twin, index, mode=mode, profile=profile)

    def environment(self, run_id: str) -> Environment:
        return Environment(noted=self._measured(run_id, "environment").bundle.environment())

    def archive(self, run_id: str) -> Iterator[bytes]:
        """The whole bundle as a zip, piece by piece."""
        return archive.stream(self._measured(run_id, "bundle").bundle)

    def artifact(self, run_id: str, name: str) -> Path:
        """The path of one file of a finished bundle."""
        self._measured(run_id, "artifacts")
        return self._context.artifacts.file(run_id, name)

    def _beside(self, row: RunRow, other: RunRow | None) -> Measured | None:
        """The other run's answers to the same images; None where it has none."""
        if other is None:
            return None
        own, beside = measured(self._context, row), measured(self._context, other)
        return beside if alike(own, beside) else None

    def _measured(self, run_id: str, what: str) -> Measured:
        with self._context.database.read() as session:
            row = RunRepository(session).require_succeeded(run_id, what=what)
        return measured(self._context, row)


def measured(context: Context, row: RunRow, *, name: str | None = None) -> Measured:
    """A succeeded run's bundle, shown as `name`, or as its id."""
    return Measured(
        name=name or row.id,
        kind=Kind(row.kind),
        images=(row.dataset, row.data_digest),
        bundle=context.artifacts.bundle(row.id),
        data=context.settings.data,
    )
