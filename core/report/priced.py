"""Many runs under one lens: priced, merged over seeds, with their certainty, held against another lens.

Explore and a shared view both work here from the runs' operations, so that both show the same. A price that somebody
moves on Explore is applied in the dashboard's own process, and nothing is asked for again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean, stdev
from typing import Any

import numpy as np

from core.analysis.certainty import accuracy_spread, front_probability
from core.analysis.front_changes import FrontChanges, front_changes, sentence
from core.analysis.reprice import moved
from core.energy.price import energy_pj
from core.report.charts.axes import y_of
from core.report.charts.pareto_marks import Marks, Spread, fronted, marks
from core.schemas.pareto import Pareto, ParetoColumns, ParetoPoint, PublishedPoint, View
from core.schemas.prices import AS_PUBLISHED, Factors, Profile
from core.schemas.run import Kind

MEANS = ("accuracy", "f1_macro", "energy_pj", "acs", "macs")


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """N runs in an accounting mode, read once and priced often.

    `points` have the energies of the profile that they were asked for with; acs, macs and each of `other` (counts by
    the name that prices them): [N], operations per inference.
    """

    points: Sequence[ParetoPoint]
    acs: np.ndarray
    macs: np.ndarray
    other: Mapping[str, np.ndarray]
    dataset: str
    mode: str
    published: list[PublishedPoint]
    steps: int | None
    missing: int
    exchanged: int = 0
    at_most_pj: float | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Runs as a view shows them: all that the figure and the tables under it are made of."""

    pareto: Pareto
    marks: Marks  # of the view's axes: what the charts draw
    every: Sequence[ParetoPoint]  # one a run, also where `pareto` has one a config
    spreads: Mapping[str, Spread]
    sure: Mapping[str, float] | None


@dataclass(frozen=True, kw_only=True)
class Lens:
    """Runs, and what their operations cost: a profile's prices, times `factors`."""

    runs: Runs
    profile: Profile
    factors: Factors = AS_PUBLISHED

    @property
    def prices(self) -> Profile:
        return moved(self.profile, self.factors)


def runs_of(told: ParetoColumns) -> Runs:
    """The API's columns as runs."""
    columns = dict(told.columns)
    columns["kind"] = [Kind(kind) for kind in columns["kind"]]
    columns["mask"] = [tuple(mask) for mask in columns["mask"]]
    columns["finished_at"] = [datetime.fromisoformat(moment) for moment in columns["finished_at"]]
    names = list(columns)
    # The API has checked them: ten thousand are put together without doing so again.
    points = [
        ParetoPoint.model_construct(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)
    ]
    return _runs(
        points,
        dataset=told.dataset,
        mode=told.mode,
        published=told.published,
        steps=told.steps,
        missing=told.missing,
        exchanged=told.exchanged,
        at_most_pj=told.at_most_pj,
    )


def runs_in(found: Pareto) -> Runs:
    """The points of a plot as runs."""
    return _runs(
        found.points,
        dataset=found.dataset,
        mode=found.mode,
        published=found.published,
        steps=found.steps,
        missing=found.missing,
        exchanged=found.exchanged,
        at_most_pj=found.at_most_pj,
    )


def together(parts: Sequence[Runs], *, dataset: str) -> Runs:
    """Runs on several data sets as one plot, called `dataset`; at least one part, all in the same mode."""
    return _runs(
        [point for part in parts for point in part.points],
        dataset=dataset,
        mode=parts[0].mode,
        published=[point for part in parts for point in part.published],
        steps=parts[0].steps,
        missing=sum(part.missing for part in parts),
        exchanged=sum(part.exchanged for part in parts),
        at_most_pj=parts[0].at_most_pj,
    )


def priced(lens: Lens) -> list[ParetoPoint]:
    """The runs with their energies under these prices; raises BadValue for a profile without a price of the mode."""
    runs = lens.runs
    found = energy_pj(runs.acs, runs.macs, lens.prices, runs.other).tolist()
    return [point.at(pj) for point, pj in zip(runs.points, found, strict=True)]


def merged(points: Sequence[ParetoPoint]) -> tuple[list[ParetoPoint], dict[str, Spread]]:
    """One point a config: means over its seeds, under the id of its first run; and what each stands for."""
    groups: defaultdict[str, list[ParetoPoint]] = defaultdict(list)
    for point in points:
        groups[point.repeat or point.run_id].append(point)
    means, spreads = [], {}
    for members in groups.values():
        first = members[0]
        if len(members) == 1:
            means.append(first)
            spreads[first.run_id] = Spread(run_ids=(first.run_id,))
        else:
            changes = {name: fmean(getattr(one, name) for one in members) for name in MEANS}
            rates = [one.firing_rate for one in members if one.firing_rate is not None]
            changes["firing_rate"] = fmean(rates) if rates else None
            for name in ("bit_synops", "spikes"):
                known = [value for one in members if (value := getattr(one, name)) is not None]
                changes[name] = fmean(known) if len(known) == len(members) else None
            changes["other"] = {name: fmean(one.other[name] for one in members) for name in first.other}
            # a double-blind share has no times
            changes["finished_at"] = max((one.finished_at for one in members if one.finished_at), default=None)
            spread = {
                name: stdev(getattr(one, name) for one in members) for name in ("accuracy", "f1_macro", "energy_pj")
            }
            spread["synops"] = stdev(one.acs + one.macs for one in members)
            means.append(first.model_copy(update=changes))
            spreads[first.run_id] = Spread(run_ids=tuple(one.run_id for one in members), **spread)
    return means, spreads


def narrowed(lens: Lens, view: View) -> Lens:
    """The lens over the runs that the view lets through alone; printed points are of no recipe and no tag, and stay."""
    if not view.narrowed:
        return lens
    runs = lens.runs
    told = {
        name: getattr(runs, name)
        for name in ("dataset", "mode", "published", "steps", "at_most_pj", "missing", "exchanged")
    }
    return replace(lens, runs=_runs([point for point in runs.points if view.lets(point)], **told))


def seen(lens: Lens, view: View) -> Seen:
    """The runs under these prices, as `view` shows them; raises BadValue for a profile without a price of the mode."""
    lens = narrowed(lens, view)
    every, runs = priced(lens), lens.runs
    points, spreads = merged(every) if view.seeds else (every, {})
    sure = probabilities(points, spreads, every, lens.prices) if view.sure else None
    shown, found = fronted(points, marks(points, x=view.x, y=view.y, spreads=spreads))
    pareto = Pareto.model_construct(
        dataset=runs.dataset, mode=runs.mode, profile=lens.profile.name, points=shown, front=_front(shown),
        published=runs.published, steps=runs.steps, at_most_pj=runs.at_most_pj, missing=runs.missing, exchanged=runs.exchanged,
        **lens.factors.model_dump(),
    )  # fmt: skip
    return Seen(pareto=pareto, marks=found, every=every, spreads=spreads, sure=sure)


def seen_as_stored(found: Pareto, view: View) -> Seen:
    """The same of a plot beside which no prices were stored: its energies stay, and nothing says how sure they are."""
    points, spreads = merged(found.points) if view.seeds else (found.points, {})
    shown, on_axes = fronted(points, marks(points, x=view.x, y=view.y, spreads=spreads))
    return Seen(
        pareto=found.model_copy(update={"points": shown, "front": _front(shown)}),
        marks=on_axes,
        every=found.points,
        spreads=spreads,
        sure=None,
    )


def _front(points: Sequence[ParetoPoint]) -> list[str]:
    """The ids of those on the front, cheapest first."""
    return [point.run_id for point in sorted(points, key=lambda point: point.energy_pj) if point.on_front]


def probabilities(
    points: Sequence[ParetoPoint], spreads: Mapping[str, Spread], every: Sequence[ParetoPoint], profile: Profile
) -> dict[str, float]:
    """Run -> probability of being on the front of accuracy against energy. `every`: all runs, one a seed.

    A merged point is a mean, so it scatters by s / sqrt(number of seeds).
    """
    if not points:
        return {}
    alone = accuracy_spread(_column(every, "accuracy"), _column(every, "n_test"), [one.repeat for one in every])
    known = {one.run_id: (centre, deviation) for one, centre, deviation in zip(every, *alone, strict=True)}
    centre, deviation = (np.array(column) for column in zip(*(known[point.run_id] for point in points), strict=True))
    if spreads:
        deviation = deviation / np.sqrt([spreads[point.run_id].n for point in points])
    found = front_probability(
        centre=centre,
        deviation=deviation,
        acs=_column(points, "acs"),
        macs=_column(points, "macs"),
        other=_others([point.other for point in points]),
        profile=profile,
    )
    return dict(zip((point.run_id for point in points), found.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class Told:
    """What another lens changed: in a sentence, and run by run."""

    sentence: str
    changes: FrontChanges
    points: Sequence[ParetoPoint]  # what the places in `changes` mean
    names: Sequence[str]  # of the same runs


def told(before: Sequence[ParetoPoint], after: Sequence[ParetoPoint], why: str, *, y: str) -> Told:
    """The same runs under two lenses; a run that only one of them knows is left out."""
    was = {point.run_id: point.energy_pj for point in before}
    both = [point for point in after if point.run_id in was]
    twins: defaultdict[str, list[int]] = defaultdict(list)
    for place, point in enumerate(both):
        if point.twin:
            twins[point.twin].append(place)

    def twins_of(place: int) -> list[int]:
        return [other for other in twins[both[place].twin] if both[other].kind != both[place].kind]

    changes = front_changes(
        np.array([was[point.run_id] for point in both]),
        _column(both, "energy_pj"),
        np.array([y_of(point, y) for point in both], dtype=np.float64),
        twins_of,
    )
    kinds = [point.kind.upper() for point in both]
    called = names(both)
    return Told(sentence=sentence(changes, called, kinds, why), changes=changes, points=both, names=called)


def names(points: Sequence[ParetoPoint]) -> list[str]:
    """What each run is called in a sentence: its label, with the seed where several have the same."""
    titles = [point.title for point in points]
    often = Counter(titles)
    return [
        f"{title} (seed {point.seed})" if often[title] > 1 else title
        for title, point in zip(titles, points, strict=True)
    ]


def _runs(points: Sequence[ParetoPoint], **told: Any) -> Runs:
    return Runs(
        points=points,
        acs=_column(points, "acs"),
        macs=_column(points, "macs"),
        other=_others([point.other for point in points]),
        **told,
    )


def _others(rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Counts by name as columns; a run without an entry has none of it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, 0.0) for row in rows], dtype=np.float64) for name in names}


def _column(points: Sequence[ParetoPoint], name: str) -> np.ndarray:
    return np.array([getattr(point, name) for point in points], dtype=np.float64)
