"""What other prices do to the front: who enters, who leaves, and that in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from core.analysis.pareto import front


@dataclass(frozen=True, kw_only=True)
class Change:
    """A run whose place changed. `rival` is whom it is held against: its twin, or who beats it now or beat it before.

    `ratio`: energy of the run / energy of the rival, under the new prices; None where the rival costs nothing.
    """

    run: int
    rival: int | None
    is_twin: bool
    ratio: float | None


@dataclass(frozen=True, kw_only=True)
class FrontChanges:
    """Places of runs in the given arrays, most accurate first; `stayed` are on both fronts."""

    entered: list[Change]
    left: list[Change]
    stayed: list[int]


def front_changes(
    before: np.ndarray, after: np.ndarray, value: np.ndarray, twins_of: Callable[[int], Iterable[int]]
) -> FrontChanges:
    """Compare the fronts of the same runs under two ways to price them.

    before, after: [N] energies; value: [N] what is to be high; twins_of: a run's twins, by place; asked only of runs
    that enter or leave.
    """
    was, now = front(before, value), front(after, value)
    order = np.argsort(-np.asarray(value, dtype=np.float64), kind="stable")

    def change(run: int, beaten_by: np.ndarray, *, left: bool) -> Change:
        """A twin whose energy explains the change is the fairest rival; else the cheapest of those that beat the run."""
        of = [twin for twin in twins_of(run) if (after[twin] < after[run]) == left]
        rivals = of or np.flatnonzero(beaten_by).tolist()
        rival = min(rivals, key=lambda place: (after[place], place), default=None)
        ratio = None if rival is None or after[rival] <= 0 else float(after[run] / after[rival])
        return Change(run=run, rival=rival, is_twin=bool(of), ratio=ratio)

    return FrontChanges(
        entered=[change(int(i), _beaten_by(before, value, i), left=False) for i in order if now[i] and not was[i]],
        left=[change(int(i), _beaten_by(after, value, i), left=True) for i in order if was[i] and not now[i]],
        stayed=[int(i) for i in order if was[i] and now[i]],
    )


def _beaten_by(cost: np.ndarray, value: np.ndarray, run: int) -> np.ndarray:
    """Which points dominate a run: [N] bool."""
    no_worse = (cost <= cost[run]) & (value >= value[run])
    return no_worse & ((cost < cost[run]) | (value > value[run]))


def sentence(changes: FrontChanges, names: Sequence[str], kinds: Sequence[str], why: str) -> str:
    """The most telling change in one sentence: a run that leaves, best with a twin, before one that enters.

    `names`, `kinds`: a run's name and kind (`SNN`, `CNN`) by its place; `why` says what was changed, such as
    `with memory traffic`.
    """
    told = min(changes.left, key=_telling, default=None)
    if told is None:
        told = min(changes.entered, key=_telling, default=None)
    if told is None:
        n = len(changes.stayed)
        runs = "the one run" if n == 1 else f"the same {n} runs"
        return f"The front keeps {runs} {why}."
    verb = "leaves" if told in changes.left else "enters"
    start = f"{names[told.run]} {verb} the front"
    if told.rival is None or told.ratio is None:
        return f"{start} {why}."
    rival = f"its {kinds[told.rival]} twin" if told.is_twin else names[told.rival]
    return f"{start}: {why} it costs {times(told.ratio)} {rival}."


def _telling(change: Change) -> tuple[bool, bool, float]:
    """A run whose figures explain the change by themselves goes first: a twin, and a ratio far from 1."""
    far = abs(np.log(change.ratio)) if change.ratio else 0.0
    return (not change.is_twin, change.ratio is None, -far)


def times(ratio: float) -> str:
    """A ratio of energies in words: `1.8 times`, `0.36 times`, `as much as`."""
    if 0.995 <= ratio < 1.005:
        return "as much as"
    return f"{ratio:.2g} times" if ratio < 9.95 else f"{ratio:,.0f} times"
