"""Finished runs beside the printed rows about the same network, data set and kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from core.analysis.aggregate import aggregate
from core.measured import MeasuredRun, same_but_seed
from core.paper.measured import energy_difference
from core.paper.printed import PrintedRow, printed_for
from core.schemas.architecture import AS_DEFINED
from core.schemas.audit import MeasuredMode, MeasuredPrint

#: The accounting modes that stand beside a printed figure: the paper's rules, and what was really counted.
MODES_BESIDE = ("paper", "exact")


def beside_printed(runs: Iterable[tuple[str, MeasuredRun]]) -> list[MeasuredPrint]:
    """(run id, run) -> one entry for each printed row and group of seeds; other networks give none.

    Every run holds the bills of MODES_BESIDE. Only the small definitions, as they stand, are the paper's. Groups come in the order
    recipe `paper` first, then by training images, seeds and time steps, most first.
    """
    groups: dict[str, list[tuple[str, MeasuredRun]]] = {}
    for run_id, run in runs:
        groups.setdefault(same_but_seed(run), []).append((run_id, run))
    found = [
        _entry(row, sorted(group, key=lambda pair: (pair[1].config.seed, pair[0])))
        for group in groups.values()
        for row in _printed(group[0][1])
    ]
    return sorted(
        found, key=lambda one: (one.row, one.recipe != "paper", -one.n_train, -len(one.seeds), -one.time_steps)
    )


def _printed(run: MeasuredRun) -> list[PrintedRow]:
    config = run.config
    if config.definition != "small" or config.architecture != AS_DEFINED:
        return []
    return printed_for(backbone=config.backbone, mask=config.mask, kind=config.kind, dataset=config.dataset)


def _entry(row: PrintedRow, group: Sequence[tuple[str, MeasuredRun]]) -> MeasuredPrint:
    runs = [run for _, run in group]
    config, summary = runs[0].config, runs[0].summary
    return MeasuredPrint(
        row=row.id,
        run_ids=[run_id for run_id, _ in group],
        seeds=[run.config.seed for run in runs],
        recipe=config.recipe,
        time_steps=config.steps,
        n_train=summary.n_train,
        n_train_available=summary.n_train_available,
        n_test=summary.n_test,
        dataset_complete=all(run.summary.dataset_complete for run in runs),
        params=summary.params,
        accuracy=aggregate([run.summary.accuracy for run in runs]),
        f1_macro=aggregate([run.summary.f1_macro for run in runs]),
        modes=[
            MeasuredMode(
                mode=mode,
                acs=fmean(run.bills[mode].acs for run in runs),
                macs=fmean(run.bills[mode].macs for run in runs),
                energy_pj=aggregate([run.bills[mode].energy_pj for run in runs]),
                difference=energy_difference(runs, mode, row),
            )
            for mode in MODES_BESIDE
        ],
    )
