"""How much of the scatter of a sweep's accuracies each of its fields explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.analysis.sweep_runs import SweptRun, is_number, key_of, swept

FEWEST = 10  # runs: a forest over fewer says more of itself than of them
SEED = 20_180_703  # fixed, so that the same runs always get the same answer
TREES = 64


@dataclass(frozen=True, kw_only=True)
class Importance:
    """`shares`: field -> share of the explained variance, from the greatest down, in sum 1; else `why_not`."""

    n: int
    shares: dict[str, float]
    why_not: str = ""


def importance(runs: Sequence[SweptRun]) -> Importance:
    """fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014), by Optuna: a random forest's variance, split by field.

    A field that is a number is taken by the rank of its value, which a tree's splits do not see; others are categories.
    Seeds are a field like the others: what lies below them is no more than chance. Not said: what two fields do together.
    """
    n, fields = len(runs), swept(runs)
    if len(fields) < 2:
        return Importance(n=n, shares={}, why_not="It takes two swept fields with finished runs at different values.")
    if n < FEWEST:
        return Importance(
            n=n,
            shares={},
            why_not=f"Too few runs: {n} have finished, and it takes {FEWEST} to say which field matters.",
        )
    if len({run.accuracy for run in runs}) == 1:
        return Importance(
            n=n, shares={}, why_not="All finished runs have the same accuracy: nothing explains a difference."
        )
    found = _fanova(runs, fields)
    return Importance(n=n, shares=dict(sorted(found.items(), key=lambda item: -item[1])))


def _fanova(runs: Sequence[SweptRun], fields: dict[str, list[Any]]) -> dict[str, float]:
    import optuna  # takes a second, and is asked for by one chart

    space: dict[str, Any] = {}
    codes: dict[str, dict[str, Any]] = {}
    for name, values in fields.items():
        ranked = all(is_number(value) for value in values)
        codes[name] = {key_of(value): place if ranked else str(place) for place, value in enumerate(values)}
        last = len(values) - 1
        space[name] = (
            optuna.distributions.IntDistribution(0, last)
            if ranked
            else optuna.distributions.CategoricalDistribution([str(place) for place in range(last + 1)])
        )
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize")
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: codes[name][key_of(run.values.get(name))] for name in fields},
                    distributions=space,
                    value=run.accuracy,
                )
                for run in runs
            ]
        )
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=SEED)
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    finally:
        optuna.logging.set_verbosity(verbosity)
