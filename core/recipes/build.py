"""From a request to the frozen config of a run, and from a config to the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.backbones.catalog import BACKBONES, DEFINITIONS, parse_mask, plan_for
from core.backbones.plan import Plan
from core.datasets.catalog import DATASETS
from core.errors import BadValue, UnknownName
from core.recipes.catalog import RECIPES
from core.registry import Registry
from core.schemas.base import Frozen
from core.schemas.request import RunRequest
from core.schemas.run import Kind, RunConfig
from core.schemas.wording import expected

#: Fields of a config that a request names itself; a recipe is chosen by them, so they are no overrides.
CHOSEN = ("backbone", "definition", "kind", "mask", "dataset", "recipe", "seed")


def build_config(request: RunRequest) -> RunConfig:
    """The whole config: names resolved, mask canonical, recipe applied, overrides last.

    Raises UnknownName, ImpossibleMask, or BadValue with the field at fault.
    """
    _require(BACKBONES, request.backbone)
    _require(DATASETS, request.dataset)
    if request.definition not in DEFINITIONS:
        raise UnknownName(kind="definition", name=request.definition, known=DEFINITIONS)
    config = RECIPES[request.recipe].build(
        backbone=request.backbone,
        definition=request.definition,
        kind=request.kind,
        mask=parse_mask(request.backbone, request.mask),
        dataset=request.dataset,
        seed=request.seed,
    )
    config = override(config, request.overrides)
    plan_of(config)  # a network that cannot be built is refused here, not in the queue
    return config


def plan_of(config: RunConfig) -> Plan:
    """The plan of a config's network on its data set."""
    dataset = DATASETS[config.dataset]
    return plan_for(
        backbone=config.backbone,
        mask=config.mask,
        input_shape=dataset.image_shape,
        n_classes=dataset.n_classes,
        definition=config.definition,
        encoding=config.encoding if config.kind is Kind.SNN else "direct",
    )


def override(config: RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    """`config` with fields replaced, each named by its dotted path or, where that is unique, by its last part.

    Text is read as the field's type: `null` is none, `50,100` a list.
    """
    content = config.model_dump()
    fields = _overridable()
    for name, value in overrides.items():
        path = _resolve(name, fields)
        *parents, leaf = path.split(".")
        target = content
        for parent in parents:
            target = target[parent]
        target[leaf] = _read(path, value, target[leaf])
    try:
        changed = RunConfig.model_validate(content)
    except ValidationError as error:
        raise translate(error) from None
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
    recipe = config.recipe if config.recipe in RECIPES else next(iter(RECIPES))
    base = RECIPES[recipe].build(**{name: getattr(config, name) for name in CHOSEN if name != "recipe"})
    before, after = _flatten(base.model_dump()), _flatten(config.model_dump())
    words = ["spikefront", "train", "--backbone", config.backbone]
    if config.definition != "small":
        words += ["--definition", config.definition]
    words += ["--kind", str(config.kind), "--mask", ",".join(config.mask), "--dataset", config.dataset]
    words += ["--recipe", recipe, "--seed", str(config.seed)]
    for path in _overridable():
        if after[path] != before[path]:
            words += ["--set", f"{path}={_write(after[path])}"]
    words += ["--out", f"{config.backbone}-{config.kind}-{config.dataset}-{config.config_hash[:8]}"]
    return shlex.join(words)


def translate(error: ValidationError) -> BadValue:
    """The first fault of a pydantic error as a domain error."""
    first = error.errors()[0]
    value = first["input"]
    return BadValue(
        field=".".join(str(part) for part in first["loc"]) or "config",
        value=None if first["type"] == "missing" or isinstance(value, dict) else value,
        expected=expected(first),
    )


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


def _resolve(name: str, fields: list[str]) -> str:
    if name in fields:
        return name
    if name in CHOSEN:
        raise BadValue(field="overrides", value=name, expected=f"without {name!r}, which has an option of its own")
    matches = [path for path in fields if path.rpartition(".")[2] == name]
    if len(matches) > 1:
        raise BadValue(field="overrides", value=name, expected=f"one of {', '.join(matches)}")
    if not matches:
        raise UnknownName(
            kind="config field", name=name, known=[*fields, *(path.rpartition(".")[2] for path in fields)]
        )
    return matches[0]


def _read(path: str, value: Any, current: Any) -> Any:
    """Text as the field wants it; other values as they are."""
    if isinstance(value, bool) and not isinstance(current, bool):  # Python takes True for 1; no number means that
        raise BadValue(field=path, value=value, expected="a number or a word")
    if isinstance(current, tuple):
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return () if value is None else (value,)
    if isinstance(value, str) and value.strip().lower() in ("null", "none") and path.rpartition(".")[2] != "augment":
        return None  # augment has a word "none" of its own
    return value.strip() if isinstance(value, str) else value


def _write(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
