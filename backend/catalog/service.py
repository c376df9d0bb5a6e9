"""What can be chosen, and what a choice would be, by arithmetic alone: no torch, no queue."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from backend.context import Context
from backend.runs.present import row_label
from backend.runs.repository import RunRepository
from core.backbones.catalog import BACKBONES, mask_name
from core.backbones.plan import Plan
from core.datasets.catalog import DATASETS
from core.datasets.load import status
from core.datasets.splits import split_sizes
from core.energy.modes import DEFAULT_MODE, MODES, layer_kind, static_macs
from core.energy.profiles import DEFAULT_PROFILE, profiles
from core.forecast import seconds, training_memory_bytes, training_ops
from core.recipes.build import build_config, plan_of
from core.recipes.catalog import RECIPES
from core.schemas.api import (
    BackboneInfo,
    Catalog,
    DatasetInfo,
    EqualRun,
    LayerPreview,
    ModeInfo,
    Preview,
    ProfileInfo,
    RecipeInfo,
    RunRequest,
    TimeEstimate,
)
from core.schemas.run import RunConfig, RunState

#: Forecast operations a second of one thread of a small CPU, until a run was measured here: a guess, said so.
GUESSED_OPS_PER_S = 8e9
GUESS = "a guess for one CPU thread; the first run here is measured and replaces it"


@cache
def program_version() -> str:
    return version("spikefront")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Images of a run on the files that are here, or of the published set where they are not."""

    n_train: int
    n_validation: int
    n_test: int


class CatalogService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def catalog(self) -> Catalog:
        return Catalog(
            version=program_version(),
            backbones=[
                BackboneInfo(name=b.name, title=b.title, blocks=b.blocks, masks=b.masks, source=b.source)
                for b in BACKBONES.values()
            ],
            datasets=[self._dataset(name) for name in DATASETS],
            recipes=[RecipeInfo(name=r.name, title=r.title, description=r.description) for r in RECIPES.values()],
            profiles=[
                ProfileInfo(name=p.name, title=p.title, source=p.source, ac_pj=p.ac_pj, mac_pj=p.mac_pj)
                for p in profiles().values()
            ],
            modes=[ModeInfo(name=m.name, title=m.title, description=m.description) for m in MODES.values()],
            default_mode=DEFAULT_MODE,
            default_profile=DEFAULT_PROFILE,
        )

    def preview(self, request: RunRequest) -> Preview:
        """The network and the cost of a request. Raises what `build_config` raises."""
        config = build_config(request)
        plan = plan_of(config)
        found = status(config.dataset, self._context.settings.data)
        sizes = self._sizes(config)
        return Preview(
            config=config,
            config_hash=config.config_hash,
            mask_name=mask_name(config.backbone, config.mask),
            params=plan.params,
            dense_macs=plan.dense_ops,
            macs=static_macs(plan, config.kind, "paper", config.steps),
            neurons=plan.neurons,
            layers=[
                LayerPreview(
                    name=node.name,
                    kind=layer_kind(node, config.kind),
                    block=node.block,
                    output_shape=node.shape,
                    params=node.params,
                    dense_macs=node.dense_ops,
                )
                for node in plan.nodes
                if node.op != "input"
            ],
            training_memory_bytes=training_memory_bytes(plan, config),
            dataset_ready=found.ready,
            dataset_note=found.note,
            n_train=sizes.n_train if found.ready else None,
            time=self._time(config, plan, sizes),
            equal_run=self._equal_run(config),
        )

    def _dataset(self, name: str) -> DatasetInfo:
        spec = DATASETS[name]
        found = status(name, self._context.settings.data)
        return DatasetInfo(
            name=spec.name,
            title=spec.title,
            n_classes=spec.n_classes,
            image_shape=spec.image_shape,
            ready=found.ready,
            complete=found.complete,
            n_train=found.n_train,
            n_test=found.n_test,
            note=found.note,
            citation=spec.citation,
            licence=spec.licence,
        )

    def _sizes(self, config: RunConfig) -> Sizes:
        spec = DATASETS[config.dataset]
        found = status(config.dataset, self._context.settings.data)
        n_train, n_validation = split_sizes(
            found.n_train or spec.n_train,
            share=config.training.validation_share,
            limit=config.training.train_limit,
        )
        return Sizes(n_train=n_train, n_validation=n_validation, n_test=found.n_test or spec.n_test)

    def _time(self, config: RunConfig, plan: Plan, sizes: Sizes) -> TimeEstimate:
        """All epochs, at the speed of the run here that is most like it."""
        ops = training_ops(plan, config, n_train=sizes.n_train, n_validation=sizes.n_validation, n_test=sizes.n_test)
        with self._context.database.read() as session:
            like = RunRepository(session).like(kind=config.kind, dataset=config.dataset, backbone=config.backbone)
        if like is None or not like.ops_per_s:
            return TimeEstimate(total_s=seconds(ops, GUESSED_OPS_PER_S), basis=GUESS, measured=False)
        return TimeEstimate(
            total_s=seconds(ops, like.ops_per_s),
            basis=f"speed on this machine of {row_label(like)}, {like.dataset}, {like.device}",
            measured=True,
        )

    def _equal_run(self, config: RunConfig) -> EqualRun | None:
        with self._context.database.read() as session:
            row = RunRepository(session).equal(config.config_hash)
        return None if row is None else EqualRun(id=row.id, state=RunState(row.state), accuracy=row.accuracy)
