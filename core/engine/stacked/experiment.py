"""Several configs to several bundles: trained as one batched network, then tested and written one by one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from core.bundle import Bundle
from core.datasets.catalog import DATASETS
from core.datasets.identity import present_digest
from core.datasets.load import load
from core.engine.data import Splits, split
from core.engine.environment import choose_device, energy_meter, require_precision
from core.engine.experiment import (
    Recounter,
    deterministic,
    finish,
    require_same_images,
    start_network,
    started,
    taken_up,
)
from core.engine.stacked.member import Member
from core.engine.stacked.together import members_at_once, require_together
from core.engine.stacked.train import train
from core.errors import BadValue, OutOfMemory, SpikefrontError
from core.host.malloc import keep_freed_memory
from core.run_folder import held
from core.schemas.on_gpu import PLAIN, OnGpu
from core.schemas.results import Event, Finished, Summary
from core.schemas.run import RunConfig

log = logging.getLogger(__name__)

#: Called with the place of a run in the list, and what it says.
Emit = Callable[[int, Event], None]


def run_stack(
    configs: Sequence[RunConfig],
    *,
    outs: Sequence[Path],
    data_dir: Path,
    device: str = "auto",
    threads: int | None = None,
    at_once: int | None = None,
    emit: Emit,
    should_stop: Callable[[], bool] = lambda: False,
    recount: Recounter | None = None,
    on_gpu: OnGpu = PLAIN,
) -> list[Summary | SpikefrontError]:
    """Train runs that differ in seed, learning rate and the like together; leave the bundle of each in its folder.

    Each has its own order of images, statistics, learning rate, weight decay and end, and a bundle with the config and
    hash that it would have alone. At most `at_once` are in memory together (None: as many as fit), group after group.
    A finished bundle of the same config is left as it is; an unfinished run goes on from its checkpoint, which is one that
    a run alone goes on from too. Returns the summary of each, or what it failed by: one that fails stops no other.
    Raises BadValue for runs that cannot be trained together, and what `core.engine.experiment.run` raises.
    """
    require_together(configs)
    if len(set(outs)) < len(outs) or len(outs) != len(configs):
        raise BadValue(field="outs", value=len(set(outs)), expected=f"a folder for each of the {len(configs)} runs")
    if at_once is not None and at_once < 1:
        raise BadValue(field="at_once", value=at_once, expected="at least 1")
    bundles = [Bundle(out) for out in outs]
    results: dict[int, Summary | SpikefrontError] = {}
    with ExitStack() as holds:
        looks = [holds.enter_context(held(bundle.path)).check for bundle in bundles]
        holds.enter_context(DATASETS.looking_in(data_dir))
        for number, (bundle, config) in enumerate(zip(bundles, configs, strict=True)):
            bundle.require_own(config)
            if bundle.complete:
                summary = bundle.summary()
                present = present_digest(config.dataset, data_dir)
                require_same_images(summary, present, field="out", folder=bundle.path)
                results[number] = summary
                emit(number, Finished(summary=summary))
        waiting = [number for number in range(len(configs)) if number not in results]
        if not waiting:
            return [results[number] for number in range(len(configs))]
        place = choose_device(device)
        require_precision(configs[0], place)
        if place.type == "cpu":
            keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)
        size = at_once or members_at_once([configs[number] for number in waiting], place)
        splits = split(load(configs[0].dataset, data_dir), configs[0].training, place)

        def asked_to_stop() -> bool:
            for look in looks:
                look()
            return should_stop()

        for low in range(0, len(waiting), size):
            group = {number: (configs[number], bundles[number]) for number in waiting[low : low + size]}
            with deterministic():
                results |= _run_group(group, splits, place, emit, asked_to_stop, recount, on_gpu)
    return [results[number] for number in range(len(configs))]


def _run_group(
    group: dict[int, tuple[RunConfig, Bundle]],
    splits: Splits,
    device: torch.device,
    emit: Emit,
    should_stop: Callable[[], bool],
    recount: Recounter | None,
    on_gpu: OnGpu,
) -> dict[int, Summary | SpikefrontError]:
    """Runs that are in memory together."""
    members: dict[int, Member] = {}
    for number, (config, bundle) in group.items():
        bundle.write_model("config.json", config)
        members[number] = _member(config, bundle, splits, device, partial(emit, number), should_stop)
    with energy_meter(device) as meter:
        try:
            train(list(members.values()), device, should_stop, on_gpu=on_gpu)
        except (MemoryError, torch.OutOfMemoryError):
            if len(group) == 1:
                batch_size = next(iter(members.values())).config.training.batch_size
                raise OutOfMemory(device=device.type, batch_size=batch_size, fits=None) from None
            expected = f"below {len(group)}: so many runs at once are more than the memory holds"
            raise BadValue(field="at_once", value=len(group), expected=expected) from None
    log.info("stack.trained", extra={"members": len(group), "energy": meter.told(whole_run=True).parts})
    results: dict[int, Summary | SpikefrontError] = {}
    for number, member in members.items():
        if member.failure is not None:
            results[number] = member.failure
            continue
        summary = finish(group[number][1], member, device, should_stop, _noted(len(group)), recount)
        results[number] = summary
        emit(number, Finished(summary=summary))
    return results


def _noted(members: int) -> dict[str, Any]:
    """For the environment of each bundle: a meter tells of the whole stack, so no member has a figure of its own."""
    why = (
        f"the meters tell of all {members} runs that were trained as one stack" if members > 1 else "trained in a stack"
    )
    return {"stack": {"members": members}, "training_energy": {"unavailable": why}}


def _member(
    config: RunConfig,
    bundle: Bundle,
    splits: Splits,
    device: torch.device,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> Member:
    """A member where its checkpoint stands, or at its beginning."""

    def fresh() -> Member:
        return Member(
            start_network(config, None, splits, device, None),
            config,
            splits,
            device=device,
            folder=bundle.checkpoint,
            emit=emit,
            should_stop=should_stop,
        )

    member, resumed = taken_up(fresh, bundle.checkpoint)
    emit(started(member, device, resumed=resumed))
    return member
