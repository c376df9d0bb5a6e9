"""From a request to the frozen config of a run, and from a config to the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.backbones.catalog import BACKBONES, layout_of, parse_mask, plan_for
from core.backbones.litesnn import ALL
from core.backbones.plan import Plan
from core.backbones.settle import settled
from core.datasets.catalog import DATASETS
from core.errors import BadValue, UnknownName
from core.recipes.catalog import RECIPES
from core.registry import Registry
from core.schemas.architecture import AS_DEFINED, ArchitectureConfig
from core.schemas.base import Frozen
from core.schemas.compression import CompressionConfig, written
from core.schemas.request import RunRequest
from core.schemas.run import Kind, RunConfig
from core.schemas.search import NO_SEARCH, Decoded
from core.schemas.stages import fitted
from core.schemas.wording import fault_of
from core.search_costs import require_possible

#: Fields of a config that a request names itself; a recipe is chosen by them, so they are no overrides.
CHOSEN = ("backbone", "definition", "kind", "mask", "dataset", "recipe", "seed")

#: Fields of the training that are such in every search (`core.schemas.conflicts`).
_OF_A_SEARCH = {"select": "last", "patience": None}


def build_config(request: RunRequest) -> RunConfig:
    """The whole config: names resolved, mask canonical, recipe applied, overrides last.

    Raises UnknownName, ImpossibleMask, or BadValue with the field at fault.
    """
    _require(BACKBONES, request.backbone)
    _require(DATASETS, request.dataset)
    BACKBONES[request.backbone].chosen(request.definition, AS_DEFINED)  # raises UnknownName
    draft = RECIPES[request.recipe].draft(
        backbone=request.backbone,
        definition=request.definition,
        kind=request.kind,
        mask=(),
        dataset=request.dataset,
        seed=request.seed,
    )
    config = override(draft, request.overrides, mask=request.mask)
    plan_of(config)  # a network that cannot be built is refused here, not in the queue
    DATASETS[config.dataset].require_augment(config.training.augment)
    return config


def plan_of(config: RunConfig) -> Plan:
    """The plan of a config's network on its data set."""
    dataset = DATASETS[config.dataset]
    return plan_for(
        architecture=config.architecture.model_copy(update={"cell": ALL}) if config.seeks.cell else config.architecture,
        backbone=config.backbone,
        mask=config.mask,
        input_shape=dataset.image_shape,
        n_classes=dataset.n_classes,
        definition=config.definition,
        encoding=config.encoding if config.kind is Kind.SNN else "direct",
    )


def architecture_of(overrides: Mapping[str, Any]) -> ArchitectureConfig:
    """The options that overrides of the architecture alone give: for a network without a run.

    Raises UnknownName for any other field, or BadValue.
    """
    fields = [path for path in _overridable() if path.startswith("architecture.")]
    content = {}
    for name, value in overrides.items():
        path = _resolve(name, fields, kind="architecture option")
        content[path.rpartition(".")[2]] = _read(path, value, None)
    try:
        return ArchitectureConfig.model_validate(content)
    except ValidationError as error:
        fault = translate(error)
        raise BadValue(**fault.fields | {"field": f"architecture.{fault.fields['field']}"}) from None


def compression_of(overrides: Mapping[str, Any]) -> CompressionConfig:
    """The compression that overrides of it alone give: for a network without a run. Raises BadValue."""
    content = {name: _read(f"compression.{name}", value, None) for name, value in overrides.items()}
    try:
        return CompressionConfig.model_validate(content)
    except ValidationError as error:
        fault = translate(error)
        raise BadValue(**fault.fields | {"field": f"compression.{fault.fields['field']}"}) from None


def options_of(config: RunConfig) -> dict[str, Any]:
    """The options of a config's network as overrides of a request."""
    return {f"architecture.{name}": value for name, value in config.architecture if value is not None}


def override(config: RunConfig, overrides: Mapping[str, Any], *, mask: str | list[str] | None = None) -> RunConfig:
    """`config` with fields replaced, each named by its dotted path or, where that is unique, by its last part.

    Text is read as the field's type: `null` is none, `50,100` a list. `mask` is read last, since the blocks that there
    are depend on the options; without one the kept blocks stay, and a whole network stays whole.
    """
    changed = _replaced(config, overrides)
    if mask is None and changed.architecture != config.architecture:
        before, after = (layout_of(one.backbone, one.definition, one.architecture).blocks for one in (config, changed))
        mask = list(after) if config.mask == before else None
    if mask is not None:
        kept = parse_mask(changed.backbone, mask, changed.definition, changed.architecture)
        changed = changed.model_copy(update={"mask": kept})
    return _settled(changed)


def _settled(config: RunConfig) -> RunConfig:
    """The config with the options and the compression of its network written in the one way that equal networks share."""

    def plan_with(architecture: ArchitectureConfig) -> Plan:
        return plan_of(config.model_copy(update={"architecture": architecture}))

    changed = {
        "architecture": settled(config.backbone, config.definition, config.architecture, plan_with),
        "compression": settled_compression(
            config.compression,
            config.mask,
            config.backbone,
            layout_of(config.backbone, config.definition, config.architecture).blocks,
        ),
    }
    if not config.search.is_on:
        changed["search"] = NO_SEARCH  # of which nothing is done
    changed = {name: value for name, value in changed.items() if value != getattr(config, name)}
    settled_config = config.model_copy(update=changed) if changed else config
    if settled_config.seeks.is_on:
        require_possible(plan_of(settled_config), settled_config)
    return settled_config


def settled_compression(
    found: CompressionConfig, mask: tuple[str, ...], backbone: str, blocks: tuple[str, ...]
) -> CompressionConfig:
    """Without what changes nothing: bits of a block that is left out or that has no others, scores where all is kept.

    `blocks`: all removable ones. Raises BadValue for bits of a block that the backbone has not.
    """
    by_name = {block.lower(): block for block in blocks}
    for block in found.by_block:
        if block.lower() not in by_name:
            raise BadValue(
                field="compression.block_bits",
                value=found.block_bits,
                expected=f"of blocks that {backbone} has: {', '.join(blocks)}, not {block}",
            )
    bits = {by_name[block.lower()]: n for block, n in found.by_block.items()}
    own = {block: bits[block] for block in blocks if block in mask and bits.get(block, found.bits) != found.bits}
    changed: dict[str, Any] = {"block_bits": written(own)}
    if found.ends_bits == found.model_copy(update=changed | {"ends_bits": None}).bits_of_ends:
        changed["ends_bits"] = None
    if found.keep == 1:
        changed["scores"] = "learned"
    return found.model_copy(update=changed)


def _replaced(config: RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    content = config.model_dump()
    fields = _overridable()
    named = [_resolve(name, fields) for name in overrides]
    for path, value in zip(named, overrides.values(), strict=True):
        *parents, leaf = path.split(".")
        target = content
        for parent in parents:
            target = target[parent]
        target[leaf] = _read(path, value, target[leaf])
    for path, value in _OF_A_SEARCH.items() if content["search"]["what"] != NO_SEARCH.what else ():
        if f"training.{path}" not in named:  # nobody named it, so it follows
            content["training"][path] = value
    stages = () if "training.stages" in named else config.training.stages
    if stages:
        content["training"]["stages"] = ()
    try:
        changed = RunConfig.model_validate(content)
    except ValidationError as error:
        raise translate(error) from None
    if stages:  # nobody named them, so they follow what was named
        kept = fitted(stages, changed.training, changed.time_steps)
        changed = changed.model_copy(update={"training": changed.training.model_copy(update={"stages": kept})})
    for name in ("max_epochs", "teacher_epochs"):
        epochs = getattr(changed.training, name)
        if epochs and changed.training.warmup_epochs > epochs:
            raise BadValue(
                field="training.warmup_epochs",
                value=changed.training.warmup_epochs,
                expected=f"at most training.{name}, {epochs}",
            )
    return changed


def command(config: RunConfig) -> str:
    """The shell command that repeats a run: the recipe and every field that differs from it."""
    words = ["spikefront", "train", "--backbone", config.backbone]
    if config.definition != "small":
        words += ["--definition", config.definition]
    words += ["--kind", str(config.kind), "--mask", ",".join(config.mask), "--dataset", config.dataset]
    words += ["--recipe", _known_recipe(config), "--seed", str(config.seed)]
    for path, (_, value) in differing(config).items():
        words += ["--set", f"{path}={_write(value)}"]
    words += ["--out", f"{config.backbone}-{config.kind}-{config.dataset}-{config.config_hash[:8]}"]
    return shlex.join(words)


def differing(config: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Dotted field -> (the recipe's value, the config's), of each that is not the same."""
    base = RECIPES[_known_recipe(config)].draft(**{name: getattr(config, name) for name in CHOSEN if name != "recipe"})
    before, after = _flatten(base.model_dump()), _flatten(config.model_dump())
    return {path: (before[path], after[path]) for path in _overridable() if after[path] != before[path]}


def found_overrides(config: RunConfig, found: Decoded) -> dict[str, str | int | float | bool | None]:
    """What makes a searching run's config that of the network which it has found, to be trained as its recipe says."""
    training = (
        RECIPES[_known_recipe(config)]
        .draft(**{name: getattr(config, name) for name in CHOSEN if name != "recipe"})
        .training
    )
    changes: dict[str, str | int | float | bool | None] = {"search.what": NO_SEARCH.what}
    changes |= {f"training.{name}": getattr(training, name) for name in _OF_A_SEARCH}
    if config.search.steps:
        changes["time_steps"] = found.time_steps
    if config.search.bits:
        changes["compression.block_bits"] = found.block_bits
    if config.search.cell:
        changes["architecture.cell"] = found.cell
    return changes


def request_of(config: RunConfig) -> RunRequest:
    """The request that gives a config: its recipe and every field that differs from it."""
    chosen = {name: getattr(config, name) for name in CHOSEN if name != "mask"}
    overrides = {path: value if isinstance(value, str | int | float | None) else _write(value)
                 for path, (_, value) in differing(config).items()}  # fmt: skip
    recipe = _known_recipe(config)
    return RunRequest(**chosen | {"recipe": recipe, "mask": list(config.mask), "overrides": overrides})


def _known_recipe(config: RunConfig) -> str:
    """The config's recipe, or the first one where it is no longer known."""
    return config.recipe if config.recipe in RECIPES else next(iter(RECIPES))


def translate(error: ValidationError) -> BadValue:
    """The first fault of a pydantic error as a domain error."""
    field, value, wanted = fault_of(error.errors()[0])
    return BadValue(field=field or "config", value=value, expected=wanted)


def _require(registry: Registry[Any], name: str) -> None:
    registry[name]  # raises UnknownName


def _overridable() -> list[str]:
    return [path for path in _paths(RunConfig) if path not in CHOSEN]


def _paths(model: type[Frozen], prefix: str = "") -> list[str]:
    """Dotted paths of all leaves of a config model."""
    found = []
    for name, field in model.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, Frozen)
        found += _paths(field.annotation, f"{prefix}{name}.") if nested else [f"{prefix}{name}"]
    return found


def _resolve(name: str, fields: list[str], kind: str = "config field") -> str:
    if name in fields:
        return name
    if name in CHOSEN:
        raise BadValue(field="overrides", value=name, expected=f"without {name!r}, which has an option of its own")
    matches = [path for path in fields if path.rpartition(".")[2] == name]
    if len(matches) > 1:
        raise BadValue(field="overrides", value=name, expected=f"one of {', '.join(matches)}")
    if not matches:
        raise UnknownName(kind=kind, name=name, known=[*fields, *(path.rpartition(".")[2] for path in fields)])
    return matches[0]


def _read(path: str, value: Any, current: Any) -> Any:
    """Text as the field wants it; other values as they are."""
    if isinstance(value, bool) and not isinstance(current, bool):  # Python takes True for 1; no number means that
        raise BadValue(field=path, value=value, expected="a number or a word")
    if isinstance(current, tuple):
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, list | tuple):
            return tuple(value)
        return () if value is None else (value,)
    if isinstance(value, str) and value.strip().lower() in ("null", "none") and path.rpartition(".")[2] != "augment":
        return None  # augment has a word "none" of its own
    return value.strip() if isinstance(value, str) else value


def _write(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(":".join(map(str, part.values())) if isinstance(part, dict) else str(part) for part in value)
    return str(value)


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
