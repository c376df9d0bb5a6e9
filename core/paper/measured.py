"""Measured runs beside the printed figures: in every accounting mode, with what separates the two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from core.analysis.aggregate import aggregate
from core.backbones import naming
from core.energy.modes import MODES
from core.measured import MeasuredRun, same_but_seed
from core.paper.printed import PrintedRow, printed_for
from core.schemas.architecture import AS_DEFINED, ArchitectureConfig
from core.schemas.run import Kind, RunConfig
from core.schemas.sweep import Aggregate


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """Runs that differ in nothing but the seed, in one accounting mode. Figures are means over the seeds."""

    network: str
    backbone: str
    mask: tuple[str, ...]
    kind: Kind
    dataset: str
    dataset_complete: bool
    recipe: str
    time_steps: int
    n_train: int
    n_train_available: int
    n_test: int
    epochs: float
    seeds: tuple[int, ...]
    config_hashes: tuple[str, ...] = field(repr=False)
    accuracy: Aggregate
    f1_macro: float
    mode: str
    profile: str
    acs: float
    macs: float
    energy_pj: Aggregate
    printed: str | None  # id of the printed row
    printed_accuracy: float | None
    printed_energy_pj: float | None
    difference: str


def measured_rows(runs: Iterable[MeasuredRun], profile: str) -> list[MeasuredRow]:
    """One row for each group of seeds and accounting mode, in order of data set, backbone, mask and kind."""
    groups: dict[str, list[MeasuredRun]] = {}
    for run in runs:
        groups.setdefault(same_but_seed(run), []).append(run)

    def place(group: list[MeasuredRun]) -> tuple:
        config = group[0].config
        return config.dataset, config.backbone, len(config.mask), config.mask, config.kind, config.recipe

    return [_row(group, mode, profile) for group in sorted(groups.values(), key=place) for mode in MODES]


def network_name(
    backbone: str, mask: tuple[str, ...], definition: str = "small", architecture: ArchitectureConfig = AS_DEFINED
) -> str:
    """SqueezeNet, SqueezeNet Ref-1, SqueezeNet F2,F9, SqueezeNet Ref-1, stem 64/2."""
    return naming.network_name(backbone, mask, definition, architecture, full="")


def printed_about(config: RunConfig) -> list[PrintedRow]:
    """The printed rows about a config's network, whose definition as it stands is then the row's or a guess at it."""
    if config.architecture != AS_DEFINED:
        return []
    return printed_for(
        backbone=config.backbone,
        mask=config.mask,
        kind=config.kind,
        dataset=config.dataset,
        definition=config.definition,
    )


def rests_on(group: Sequence[MeasuredRun]) -> dict[str, Any]:
    """What the figures of runs that differ in nothing but the seed rest on, and their accuracy."""
    config, summary = group[0].config, group[0].summary
    return {
        "dataset_complete": all(run.summary.dataset_complete for run in group),
        "recipe": config.recipe,
        "time_steps": config.steps,
        "n_train": summary.n_train,
        "n_train_available": summary.n_train_available,
        "n_test": summary.n_test,
        "accuracy": aggregate([run.summary.accuracy for run in group]),
    }


def cost(group: Sequence[MeasuredRun], mode: str) -> dict[str, Any]:
    """The mean operations and energy of such runs in one accounting mode."""
    bills = [run.bills[mode] for run in group]
    return {
        "mode": mode,
        "acs": fmean(bill.acs for bill in bills),
        "macs": fmean(bill.macs for bill in bills),
        "energy_pj": aggregate([bill.energy_pj for bill in bills]),
    }


def _row(group: list[MeasuredRun], mode: str, profile: str) -> MeasuredRow:
    config = group[0].config
    printed = printed_about(config)
    row = printed[0] if printed else None
    return MeasuredRow(
        network=network_name(config.backbone, config.mask, config.definition, config.architecture),
        backbone=config.backbone,
        mask=config.mask,
        kind=config.kind,
        dataset=config.dataset,
        epochs=fmean(run.summary.epochs_run for run in group),
        seeds=tuple(sorted(run.config.seed for run in group)),
        config_hashes=tuple(run.config.config_hash for run in group),
        f1_macro=fmean(run.summary.f1_macro for run in group),
        profile=profile,
        **rests_on(group),
        **cost(group, mode),
        printed=row and row.id,
        printed_accuracy=row and row.accuracy,
        printed_energy_pj=row and row.energy_pj,
        difference=energy_difference(group, mode, row) if row else "Not printed.",
    )


def energy_difference(group: list[MeasuredRun], mode: str, printed: PrintedRow) -> str:
    """Why a measured energy is another than the printed one, in one sentence made from the figures."""
    steps = group[0].config.steps

    def mean(name: str, of: str = mode) -> float:
        return fmean(getattr(run.bills[of], name) for run in group)

    ratio = mean("energy_pj") / printed.energy_pj
    if mode == "paper" and printed.acs and printed.macs:
        return (
            f"x{ratio:.2f}: one step, as printed; ACs x{mean('acs') / printed.acs:.2f}, "
            f"MACs x{mean('macs') / printed.macs:.2f} of the printed."
        )
    if mode == "paper":
        same = "one step, as printed" if printed.kind is Kind.SNN else "the same rules, so the networks differ so much"
        return f"x{ratio:.2f}: {same}."
    of_paper = mean("energy_pj") / mean("energy_pj", "paper")
    if printed.kind is Kind.SNN:
        return (
            f"x{ratio:.2f}: printed is one step, here are {steps}; by this mode's rules x{of_paper:.2f} of one step "
            f"by the paper's, times x{ratio / of_paper:.2f} for the network itself."
        )
    return f"x{ratio:.2f}: by this mode's rules x{of_paper:.2f} of the paper's, times x{ratio / of_paper:.2f}."
