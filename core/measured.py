"""Finished runs from folders of bundles, priced in one mode or several, and which of them may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.bundle import MANIFEST, Bundle, whole_paths
from core.energy.modes import Mode
from core.energy.price import layers
from core.errors import NotFound
from core.repeats import images_there, repeat_key
from core.schemas.base import digest
from core.schemas.prices import Profile
from core.schemas.results import Summary
from core.schemas.run import RunConfig


@dataclass(frozen=True, kw_only=True)
class Bill:
    """Operations and estimated energy per inference in one accounting mode."""

    acs: float
    macs: float
    energy_pj: float


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """One finished run."""

    path: Path
    config: RunConfig
    summary: Summary = field(repr=False)
    bills: Mapping[str, Bill] = field(repr=False)  # by accounting mode


def read_runs(folders: Iterable[Path], *, modes: Iterable[Mode], profile: Profile) -> list[MeasuredRun]:
    """Every finished bundle below the folders, equal runs once, in order of their paths.

    Raises NotFound for a folder that is none, BundleCorrupt.
    """
    modes, found = list(modes), {}
    for folder in folders:
        if not folder.is_dir():
            raise NotFound(kind="folder of runs", id=str(folder))
        for manifest in sorted(folder.rglob(MANIFEST)):
            run = read_run(manifest.parent, modes=modes, profile=profile)
            found.setdefault(same_run(run), run)
    return list(found.values())


def read_run(path: Path, *, modes: Iterable[Mode], profile: Profile) -> MeasuredRun:
    """One finished bundle. Raises BundleCorrupt with the file's whole path."""
    bundle = Bundle(path)
    with whole_paths(path):
        counts = bundle.counts()
        config, summary = bundle.config(), bundle.summary()
    priced = ((mode.name, layers(counts, {}, mode, profile)) for mode in modes)
    bills = {
        mode: Bill(acs=bill.total_acs, macs=bill.total_macs, energy_pj=bill.total_energy_pj) for mode, bill in priced
    }
    return MeasuredRun(path=path, config=config, summary=summary, bills=bills)


def same_run(run: MeasuredRun) -> tuple[str, tuple[int | str, ...]]:
    """Equal for runs that give the same numbers."""
    return run.config.config_hash, images_there(run.summary)


def same_but_seed(run: MeasuredRun) -> str:
    """Equal for runs that differ in nothing but the seed: their figures have a mean."""
    return repeat_key(run.config, run.summary)


def same_but_mask(run: MeasuredRun) -> str:
    """Equal for runs that differ in mask and seed only: what separates them is the mask."""
    content = run.config.identity()
    del content["seed"], content["mask"]
    return digest([content, *images_there(run.summary)])


def largest_group(runs: Iterable[MeasuredRun]) -> list[MeasuredRun]:
    """Runs that differ in mask and seed only: of all such groups the one with the most masks."""
    groups: dict[str, list[MeasuredRun]] = {}
    for run in runs:
        groups.setdefault(same_but_mask(run), []).append(run)
    return max(groups.values(), key=lambda group: len({run.config.mask for run in group}), default=[])
