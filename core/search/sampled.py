"""The trials of a study that is a sweep with a sampler: what to train next, from what has been trained.

A study's state is its runs: what each was given (`Study.asked`), and what became of it. From these an Optuna study is made anew
for every question, with a sampler whose seed follows from the study's and the number of trials so far. So the trials of a
study follow from its seed and the results that there were when each was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.backbones.catalog import layout_of
from core.errors import BadValue, SpikefrontError
from core.recipes.build import build_config
from core.recipes.sweep import Point, point
from core.schemas.sweep import ANY_MASK, AxisValue, Study, SweepRequest
from core.search.space import Choice, Dimension, Range, read

KEEP = "keep."  # before a block's name, where each is a choice of its own
TRIES = 50  # for one trial: a choice that was made before, or gives no network, is made again
FIRST_AT_RANDOM = 8  # trials of a Pareto study before results guide it


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A trial that has ended: validation accuracy in [0, 1] and energy in pJ, None where it failed."""

    asked: Mapping[str, AxisValue]
    found: tuple[float, float] | None


def dimensions(request: SweepRequest) -> dict[str, Dimension]:
    """What each axis may be. Raises BadValue for a range that is none, and what `build_config` raises for its ends."""
    found: dict[str, Dimension] = {}
    for name, values in request.axes.items():
        if name == "mask" and values == [ANY_MASK]:
            base = build_config(request.base)
            blocks = layout_of(base.backbone, base.definition, base.architecture).blocks
            found |= {f"{KEEP}{block}": Choice(field=f"{KEEP}{block}", values=(True, False)) for block in blocks}
        elif len(values) == 1 and isinstance(values[0], str) and ":" in values[0]:
            found[name] = read(f"{name}={values[0]}")
        else:
            found[name] = Choice(field=name, values=tuple(map(_plain, values)))
    for name, dimension in found.items():
        if isinstance(dimension, Range):
            for end in dimension.ends:
                point(request.base, {name: end})
    return found


def propose(
    request: SweepRequest, ended: Sequence[Ended] = (), *, n: int, guided: bool = True
) -> tuple[list[Point], list[dict[str, AxisValue]]]:
    """At most n new points beside those of `request.study.asked`, and what each was given; fewer where no others are found.

    `guided` false: at random, whatever the sampler. Raises what `dimensions` raises.
    """
    study = request.study
    assert study is not None
    space, asked = dimensions(request), list(study.asked)
    seen = {_made(request, one).config.config_hash for one in asked}
    ask = _asking(study, space, ended, n_before=len(asked), guided=guided)
    points: list[Point] = []
    news: list[dict[str, AxisValue]] = []
    for _ in range(n):
        for _ in range(TRIES):
            chosen = ask()
            try:
                made = _made(request, chosen)
            except SpikefrontError:  # such as a mask of no block, or values that do not go together
                continue
            if made.config.config_hash not in seen:
                seen.add(made.config.config_hash)
                points.append(made)
                news.append(chosen)
                break
    if not asked and not points:
        raise BadValue(field="axes", value=len(space), expected="some of whose choices give a network")
    return points, news


def _asking(
    study: Study, space: Mapping[str, Dimension], ended: Sequence[Ended], *, n_before: int, guided: bool
) -> Any:
    """A function that gives the next choice of every dimension."""
    import optuna  # takes a second, and is asked for by studies alone

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int(np.random.SeedSequence([study.seed, n_before]).generate_state(1)[0])
    if guided and study.sampler == "pareto":
        sampler: Any = optuna.samplers.TPESampler(seed=seed, n_startup_trials=FIRST_AT_RANDOM, constant_liar=True)
    else:
        sampler = optuna.samplers.RandomSampler(seed=seed)
    kept = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    spread = {name: _distribution(dimension) for name, dimension in space.items()}
    for one in ended:
        if one.found is not None and guided:
            params = {name: _code(space[name], value) for name, value in one.asked.items()}
            kept.add_trial(optuna.trial.create_trial(params=params, distributions=spread, values=list(one.found)))

    def ask() -> dict[str, AxisValue]:
        params = kept.ask(spread).params
        return {name: _value(dimension, params[name]) for name, dimension in space.items()}

    return ask


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(list(range(len(dimension.values))))  # by place: a value may be a list
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return FloatDistribution(float(dimension.low), float(dimension.high), log=dimension.log)


def _code(dimension: Dimension, value: AxisValue) -> Any:
    return dimension.values.index(value) if isinstance(dimension, Choice) else value  # type: ignore[arg-type]


def _value(dimension: Dimension, code: Any) -> AxisValue:
    return dimension.values[code] if isinstance(dimension, Choice) else code


def _plain(value: AxisValue) -> str | bool | int | float | None:
    """A mask as text, as an axis may hold it too."""
    return ",".join(value) if isinstance(value, list) else value


def _made(request: SweepRequest, asked: Mapping[str, AxisValue]) -> Point:
    kept = [name.removeprefix(KEEP) for name, value in asked.items() if name.startswith(KEEP) and value]
    values: dict[str, AxisValue] = {name: value for name, value in asked.items() if not name.startswith(KEEP)}
    if len(values) < len(asked):
        values["mask"] = kept
    return point(request.base, values)
