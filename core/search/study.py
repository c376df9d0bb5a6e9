"""A search as an Optuna study on disk: each trial is one run and leaves its bundle.

    DIR/optuna.db            the study, in Optuna's own SQLite storage
    DIR/runs/<config hash>/  the bundles; an equal config is never trained twice

Two objectives: validation accuracy, to maximise, and estimated energy per inference in one accounting mode at one
hardware profile, to minimise. The test accuracy is never looked at for a choice. (Energy is counted while the test
images pass through the network; their labels play no part in it.)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import filelock
import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from core.addresses import sqlite_url
from core.analysis.pareto import front
from core.backbones.catalog import layout_of
from core.bundle import Bundle
from core.energy.modes import MODES, Mode
from core.energy.price import layers
from core.energy.profiles import profiles
from core.errors import (
    BadValue,
    BundleBusy,
    HomeUnusable,
    ImpossibleMask,
    NonFiniteLoss,
    NotFound,
    OutOfMemory,
    SpikefrontError,
)
from core.recipes.build import override, plan_of
from core.schemas.base import Frozen
from core.schemas.prices import Profile
from core.schemas.results import Summary
from core.schemas.run import RunConfig
from core.search.space import Choice, Dimension

STUDY = "spikefront"
DATABASE = "optuna.db"
#: What ends one trial and lets the search go on. Anything else, such as missing data, would end every trial alike.
TRIAL_FAILURES = (ImpossibleMask, BadValue, NonFiniteLoss, OutOfMemory)

#: Trains a config into a folder, or returns the summary of the finished equal run there.
Train = Callable[[RunConfig, Path], Summary]


class Search(Frozen):
    """What is searched and how; a folder holds one."""

    base: RunConfig
    space: tuple[Dimension, ...]
    masks: bool
    sampler: Literal["random", "nsga2", "tpe"]
    seed: int
    population: int
    mode: str
    profile: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One trial that ended. Figures are None where it failed, `reason` where it did not."""

    number: int
    chosen: dict[str, str | int | float | bool | None]
    reason: str | None
    config_hash: str | None = None  # none where no network could be built
    bundle: str | None = None
    mask: tuple[str, ...] = ()
    seed: int | None = None
    dataset_complete: bool | None = None
    validation_accuracy: float | None = None
    energy_pj: float | None = None
    params: int | None = None
    on_front: bool = False


def search(
    wanted: Search,
    *,
    folder: Path,
    trials: int,
    train: Train,
    on_trial: Callable[[Outcome], None] = lambda outcome: None,
) -> None:
    """Go on until `trials` trials have ended in the study, failed ones included.

    A trial that was stopped stays `running` in the storage; the next search takes it up first, and its run goes on
    from its checkpoint. A sampler sees the study and its own seed, drawn from (seed, trials ended), so a search that was stopped and
    resumed makes the choices of one that was not. Raises BadValue for a folder with another search, BundleBusy,
    HomeUnusable, whatever `train` raises beyond TRIAL_FAILURES, Interrupted among it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise BundleBusy(folder=str(folder)) from None
    except OSError as error:
        raise HomeUnusable(folder=str(folder), why=f"{error.strerror or error}.") from None
    try:
        study, pricing = _create(folder, wanted), (MODES[wanted.mode], profiles()[wanted.profile])
        while len(done := ended(study)) < trials:
            study.sampler = _sampler(wanted, len(done))
            _one(study, wanted, folder, train, done, pricing)
            on_trial(outcomes(study)[-1])
    finally:
        lock.release()


def open_study(folder: Path) -> tuple[optuna.Study, Search]:
    """The study in a folder, for reading. Raises NotFound."""
    if not (folder / DATABASE).is_file():
        raise NotFound(kind="search", id=str(folder))
    study = optuna.load_study(study_name=STUDY, storage=_storage(folder))
    return study, Search.model_validate(study.user_attrs["search"])


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """Trials with an answer, be it a failure, in their order."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))


def outcomes(study: optuna.Study) -> list[Outcome]:
    """The ended trials in their order, those on the Pareto front marked."""
    trials = ended(study)
    accuracy, energy = (
        np.array([trial.values[place] if trial.values else np.nan for trial in trials]) for place in (0, 1)
    )
    return [
        Outcome(
            number=trial.number,
            chosen=trial.params,
            reason=trial.user_attrs.get("reason"),
            validation_accuracy=trial.values[0] if trial.values else None,
            energy_pj=trial.values[1] if trial.values else None,
            on_front=bool(best),
            **trial.user_attrs.get("run", {}),
        )
        for trial, best in zip(trials, front(energy, accuracy), strict=True)
    ]


def _storage(folder: Path) -> str:
    return sqlite_url(folder.resolve() / DATABASE)


def _create(folder: Path, wanted: Search) -> optuna.Study:
    study = optuna.create_study(
        study_name=STUDY, storage=_storage(folder), directions=["maximize", "minimize"], load_if_exists=True
    )
    stored = study.user_attrs.get("search")
    if stored is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the names are for its own tools
            study.set_metric_names(["validation accuracy", f"energy in pJ, {wanted.mode}, {wanted.profile}"])
        study.set_user_attr("search", wanted.model_dump(mode="json"))
    elif (before := Search.model_validate(stored)) != wanted:
        differs = [name for name in Search.model_fields if getattr(before, name) != getattr(wanted, name)]
        raise BadValue(
            field="--out",
            value=str(folder),
            expected=f"another folder: the search in this one differs in {', '.join(differs)}",
        )
    return study


def _sampler(wanted: Search, n_ended: int) -> optuna.samplers.BaseSampler:
    seed = int(np.random.SeedSequence([wanted.seed, n_ended]).generate_state(1)[0])
    if wanted.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=wanted.population, seed=seed)
    if wanted.sampler == "tpe":
        return optuna.samplers.TPESampler(n_startup_trials=wanted.population, seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _one(
    study: optuna.Study,
    wanted: Search,
    folder: Path,
    train: Train,
    done: list[FrozenTrial],
    pricing: tuple[Mode, Profile],
) -> None:
    """Ask, train, tell."""
    left = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))  # of a process that was stopped or killed
    trial = Trial(study, left[0]._trial_id) if left else study.ask()  # what it chose already stays chosen
    try:
        config = _suggest(trial, wanted)
        place = Path("runs") / config.config_hash[:12]
        run = {"config_hash": config.config_hash, "bundle": str(place), "mask": list(config.mask)}
        trial.set_user_attr("run", run)
        for earlier in done:  # what failed once would fail again
            reason, before = earlier.user_attrs.get("reason"), earlier.user_attrs.get("run", {})
            if reason and before.get("config_hash") == config.config_hash:
                _fail(study, trial, reason)
                return
        summary = train(config, folder / place)
        bill = layers(Bundle(folder / place).counts(), {}, *pricing)
    except TRIAL_FAILURES as error:
        _fail(study, trial, _reason(error))
        return
    result = {"params": summary.params, "seed": summary.seed, "dataset_complete": summary.dataset_complete}
    trial.set_user_attr("run", run | result)
    study.tell(trial, [summary.best_validation_accuracy, bill.total_energy_pj])


def _suggest(trial: Trial, wanted: Search) -> RunConfig:
    """The trial's config. Raises ImpossibleMask, or BadValue where values do not go together."""
    overrides = {}
    for dimension in wanted.space:
        name = dimension.field
        if isinstance(dimension, Choice):
            overrides[name] = trial.suggest_categorical(name, list(dimension.values))
        elif isinstance(dimension.low, int) and isinstance(dimension.high, int):
            overrides[name] = trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
        else:
            overrides[name] = trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    mask = wanted.base.mask
    if wanted.masks:
        base = wanted.base
        blocks = layout_of(base.backbone, base.definition, base.architecture).blocks
        mask = tuple(block for block in blocks if trial.suggest_categorical(f"keep.{block}", [True, False]))
    config = override(wanted.base.model_copy(update={"mask": mask}), overrides)
    plan_of(config)
    return config


def _reason(error: SpikefrontError) -> str:
    return f"{error.code}: {error.message}"


def _fail(study: optuna.Study, trial: Trial, reason: str) -> None:
    trial.set_user_attr("reason", reason)
    study.tell(trial, state=TrialState.FAIL)
