"""From the launch form's values to requests: pure functions, tested without a page."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from core.backbones.catalog import BACKBONES
from core.datasets.catalog import title_of
from core.errors import BadValue
from core.schemas.base import Frozen, digest
from core.schemas.request import RunRequest
from core.schemas.run import Kind
from core.schemas.sweep import ANY_MASK, Study, SweepRequest

MOST_SEEDS = 20
TWINS = "twins"
KINDS: dict[str, tuple[Kind, ...]] = {
    Kind.SNN.value: (Kind.SNN,),
    Kind.CNN.value: (Kind.CNN,),
    TWINS: (Kind.SNN, Kind.CNN),
}


def parse_seeds(text: str) -> list[int]:
    """`0`, `0,1,2`, `0-4` or a mix, in the order written and each once. Raises BadValue."""
    expected = f"whole numbers such as 0 or 0,1,2 or 0-4, at most {MOST_SEEDS} of them"
    seeds: dict[int, None] = {}
    for part in re.split(r"[,;\s]+", text.strip()):
        match = re.fullmatch(r"(\d{1,10})(?:(?:-|\.\.|–)(\d{1,10}))?", part)
        if match is None:
            raise BadValue(field="seeds", value=text, expected=expected)
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first or last - first >= MOST_SEEDS or last > 2**31 - 1:
            raise BadValue(field="seeds", value=text, expected=expected)
        seeds |= dict.fromkeys(range(first, last + 1))
        if len(seeds) > MOST_SEEDS:
            raise BadValue(field="seeds", value=text, expected=expected)
    return list(seeds)


class Form(NamedTuple):
    """All that the page has asked for. What follows `overrides` is the sweep's; empty means: as above."""

    backbone: str
    definition: str
    kinds: Sequence[Kind]
    mask: str  # its name, or blocks such as F4,F6
    dataset: str
    recipe: str
    seeds: Sequence[int]
    overrides: Mapping[str, str]
    backbones: Sequence[str] = ()
    masks: Sequence[str] = ()
    fields: Mapping[str, Sequence[str]] = MappingProxyType({})
    name: str = ""
    sampler: Literal["random", "pareto"] | None = None  # of a study; None: every combination
    trials: int = 0
    repeat: bool = False
    priority: int = 0
    project: str | None = None


def requests(form: Form) -> list[RunRequest]:
    """One request a kind, of the first of everything else: what is previewed, and launched if there is no sweep."""
    choices = _choices(form)
    first = {name: values[0] for name, values in choices.items() if name in RunRequest.model_fields}
    fields = {name: values[0] for name, values in choices.items() if name not in first}
    if form.sampler is not None:  # of what is drawn the low end and the mask above stand for it
        fields = {name: _number(value.split(":")[0]) if is_range(value) else value for name, value in fields.items()}
        first |= {"mask": form.mask} if first["mask"] == ANY_MASK else {}
    overrides = {name: _number(value.strip()) for name, value in form.overrides.items() if value.strip()}
    return [
        RunRequest(
            **(first | {"kind": kind}),
            definition=form.definition,
            dataset=form.dataset,
            recipe=form.recipe,
            overrides=overrides | fields,
            priority=form.priority,
            project=form.project,
        )
        for kind in choices["kind"]
    ]


def sweep(form: Form) -> SweepRequest | None:
    """Every combination, seeds fastest; None where one network, or its twins, is all that is asked for."""
    study = None if form.sampler is None else Study(sampler=form.sampler, trials=form.trials)
    drawn = study is not None
    axes = {
        name: list(values)
        for name, values in _choices(form).items()
        if len(values) > 1 or (drawn and (is_range(values[0]) or (name, values[0]) == ("mask", ANY_MASK)))
    }
    if drawn:
        axes.pop("seed", None)
    if axes.keys() <= {"kind"}:
        return None
    name = form.name.strip() or _name(form, axes)
    return SweepRequest(name=name, base=requests(form)[0], axes=axes, study=study, repeat=form.repeat)


def is_range(value: Any) -> bool:
    """Whether the value of an axis stands for all numbers between two, in a study: `0.001:0.1:log`."""
    return isinstance(value, str) and ":" in value


def _choices(form: Form) -> dict[str, Sequence[Any]]:
    """The values of each axis, those with one value too, slowest first. A swept field wins over its override."""
    fields = {
        name: list(dict.fromkeys(_number(text) for text in texts)) for name, texts in form.fields.items() if texts
    }
    return {
        "backbone": list(form.backbones) or [form.backbone],
        "mask": list(form.masks) or [form.mask],
        **fields,
        "kind": [kind.value for kind in form.kinds],
        "seed": list(form.seeds),
    }


def _name(form: Form, axes: Mapping[str, Sequence[Any]]) -> str:
    """Such as `SqueezeNet on Digits: 9 masks, 2 kinds, 3 seeds`."""
    what = ", ".join(f"{len(values)} {name.rpartition('.')[2]}s" for name, values in axes.items() if name != "backbone")
    networks = "+".join(BACKBONES[name].title for name in axes.get("backbone", [form.backbone]))
    return (f"{networks} on {title_of(form.dataset)}" + (f": {what}" if what else ""))[:100]


def parse_values(text: str, *, commas: bool = True) -> list[str]:
    """`1e-3, 2e-3` as its parts, each once; without `commas` they belong to the values: `0,1|2,3|5,6; 0,1|3,4|6,7`."""
    return list(dict.fromkeys(part for part in re.split(r"[,;\s]+" if commas else r"[;\s]+", text.strip()) if part))


def _number(text: str) -> int | float | str:
    """A number where the text is one; else the text, which the API then judges."""
    for read in (int, float):
        try:
            value = read(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def idempotency_key(nonce: str, *requests: Frozen) -> str:
    """The same form with the same content gives the same key, so a second click cannot launch twice.

    The content is part of it: after a refusal the mended form is a new request.
    """
    content = [request.model_dump(mode="json") for request in requests]
    return f"{nonce}-{digest(content[0] if len(content) == 1 else content)[:24]}"
