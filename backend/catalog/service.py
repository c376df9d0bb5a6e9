"""What can be chosen, and what a choice would be, by arithmetic alone: no torch, no queue."""

from __future__ import annotations

from backend.catalog.estimate import Estimator
from backend.context import Context
from backend.runs import sources
from backend.runs.new_runs import images_for
from backend.runs.repository import RunRepository
from backend.store.fleet import Fleet, seen_by
from backend.store.revision import revision_of_runs
from backend.store.turns import Need, why_not
from core.backbones.catalog import BACKBONES, Backbone, layout_of, mask_name
from core.backbones.naming import config_label
from core.compression import plan_layers, size_of, told
from core.datasets.catalog import DATASETS
from core.datasets.load import info, status
from core.energy.modes import MODES, static_macs
from core.energy.profiles import profiles
from core.energy.rules import layer_kind
from core.forecast import training_memory_bytes
from core.host.versions import program_version
from core.recipes.build import build_config, plan_of
from core.recipes.catalog import RECIPES
from core.schemas.catalog import BackboneInfo, Catalog, DefinitionInfo, ModeInfo, RecipeInfo
from core.schemas.preview import EqualRun, LayerPreview, Preview
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE
from core.schemas.request import RunRequest
from core.schemas.run import RunConfig, RunState
from core.schemas.runs import OptionInfo


def _definition(backbone: Backbone, name: str) -> DefinitionInfo:
    blocks, masks = layout_of(backbone.name, name)
    options = [
        OptionInfo(field=f"architecture.{one.name}", default=one.default, values=one.values, closed=one.closed)
        for one in backbone.options.get(name, ())
    ]
    return DefinitionInfo(name=name, blocks=blocks, masks=masks, options=options)


class CatalogService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def catalog(self) -> Catalog:
        fleet, data = self._context.fleet(), self._context.settings.data
        return Catalog(
            version=program_version(),
            backbones=[
                BackboneInfo(
                    name=b.name,
                    title=b.title,
                    blocks=b.blocks,
                    masks=b.masks,
                    source=b.source,
                    definitions=[_definition(b, name) for name in b.definitions],
                )
                for b in BACKBONES.values()
            ],
            datasets=[
                info(name, data).model_copy(update={"workers": fleet.holders.get(name, [])}) for name in DATASETS
            ],
            recipes=[
                RecipeInfo(name=r.name, title=r.title, description=r.description, expected_minutes=r.expected_minutes)
                for r in RECIPES.values()
            ],
            profiles=list(profiles().values()),
            modes=[ModeInfo(name=m.name, title=m.title, description=m.description) for m in MODES.values()],
            default_mode=DEFAULT_MODE,
            default_profile=DEFAULT_PROFILE,
            former_datasets=self._former_datasets(),
        )

    def preview_json(self, request: RunRequest) -> bytes:
        """A Preview as JSON, worked out once for all who ask for the same, until a run, the data set, or what workers
        can do changes. Raises what `build_config` raises."""
        data = self._context.settings.data
        with self._context.database.read() as session:
            revision = revision_of_runs(session)
            fleet = seen_by(session, data)  # first: it says which data sets there are
        if sources.FIELDS.keys() & request.overrides.keys():  # its weights may be gone from the disk alone
            return self._preview(request, fleet).model_dump_json().encode()
        question = (
            "preview",
            repr(request),  # JSON cannot say every text that may be asked
            DATASETS[request.dataset],
            status(request.dataset, data),
            images_for(request.dataset, data, fleet),
            tuple(fleet.holders.get(request.dataset, ())),
            frozenset(fleet.ables.items()),
        )
        return self._context.kept.answer(
            question, revision, lambda: self._preview(request, fleet).model_dump_json().encode(), weigh=len
        )

    def _preview(self, request: RunRequest, fleet: Fleet) -> Preview:
        """The network and the cost of a request."""
        config = build_config(request.model_copy(update={"overrides": sources.named(self._context, request.overrides)}))
        sources.require_here(self._context, [config])
        plan = plan_of(config)
        layers = {layer.name: layer for layer in plan_layers(plan, config.compression)}
        estimator = Estimator(self._context)
        found = estimator.dataset(config.dataset)
        there = not found.ready and config.dataset in fleet.holders
        memory = training_memory_bytes(plan, config)
        need = Need(
            dataset=config.dataset,
            device=request.device,
            memory_cpu=memory,
            memory_gpu=training_memory_bytes(plan, config, fused=False),
        )
        return Preview(
            config=config,
            config_hash=config.config_hash,
            mask_name=mask_name(config.backbone, config.mask, config.definition, config.architecture),
            label=config_label(config),
            params=plan.params,
            dense_macs=plan.dense_ops,
            macs=static_macs(plan, config.kind, MODES["paper"], config.steps),
            neurons=plan.neurons,
            size=size_of(layers.values(), plan.params),
            layers=[
                LayerPreview(
                    name=node.name,
                    kind=layer_kind(node, config.kind),
                    block=node.block,
                    output_shape=node.shape,
                    params=node.params,
                    dense_macs=node.dense_ops,
                    **told(layers.get(node.name)),
                )
                for node in plan.nodes
                if node.op != "input"
            ],
            training_memory_bytes=memory,
            dataset_ready=found.ready or there,
            dataset_note=f"The data set is {fleet.where(config.dataset)}." if there else found.note,
            n_train=estimator.sizes(config).n_train if found.ready or there else None,
            time=estimator.time(config),
            equal_run=self._equal_run(config, images_for(config.dataset, self._context.settings.data, fleet)),
            waits=why_not(need, fleet.ables),
        )

    def _former_datasets(self) -> list[str]:
        with self._context.database.read() as session:
            return [name for name in RunRepository(session).datasets() if name not in DATASETS]

    def _equal_run(self, config: RunConfig, images: str) -> EqualRun | None:
        with self._context.database.read() as session:
            row = RunRepository(session).equal(config.config_hash, images)
        return None if row is None else EqualRun(id=row.id, state=RunState(row.state), accuracy=row.accuracy)
