"""Finished runs beside the printed rows about the same network, data set and kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.analysis.aggregate import aggregate
from core.measured import MeasuredRun, same_but_seed
from core.paper.measured import cost, energy_difference, printed_about, rests_on
from core.paper.printed import PrintedRow
from core.schemas.audit import MeasuredMode, MeasuredPrint

#: The accounting modes that stand beside a printed figure: the paper's rules, and what was really counted.
MODES_BESIDE = ("paper", "exact")


def beside_printed(runs: Iterable[tuple[str, MeasuredRun]]) -> list[MeasuredPrint]:
    """(run id, run) -> one entry for each printed row and group of seeds; other networks give none.

    Every run holds the bills of MODES_BESIDE. Only a row's own definition, as it stands, is the paper's. Groups come in the order
    recipe `paper` first, then by training images, seeds and time steps, most first.
    """
    groups: dict[str, list[tuple[str, MeasuredRun]]] = {}
    for run_id, run in runs:
        groups.setdefault(same_but_seed(run), []).append((run_id, run))
    found = [
        _entry(row, sorted(group, key=lambda pair: (pair[1].config.seed, pair[0])))
        for group in groups.values()
        for row in printed_about(group[0][1].config)
        if row.definition == group[0][1].config.definition
    ]
    return sorted(
        found, key=lambda one: (one.row, one.recipe != "paper", -one.n_train, -len(one.seeds), -one.time_steps)
    )


def _entry(row: PrintedRow, group: Sequence[tuple[str, MeasuredRun]]) -> MeasuredPrint:
    runs = [run for _, run in group]
    return MeasuredPrint(
        row=row.id,
        run_ids=[run_id for run_id, _ in group],
        seeds=[run.config.seed for run in runs],
        params=runs[0].summary.params,
        f1_macro=aggregate([run.summary.f1_macro for run in runs]),
        modes=[
            MeasuredMode(**cost(runs, mode), difference=energy_difference(runs, mode, row)) for mode in MODES_BESIDE
        ],
        **rests_on(runs),
    )
