"""From a config to a bundle: load, train (a teacher first), evaluate once on the test set, count, write."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import save

from core.analysis.confusion import confusion, f1_macro
from core.analysis.predictions import predict
from core.bundle import Bundle, Predictions
from core.datasets.catalog import DATASETS
from core.datasets.identity import present_digest
from core.datasets.load import load
from core.datasets.splits import limited
from core.energy.modes import MODES
from core.energy.price import energy_pj, firing_rate
from core.energy.profiles import profiles
from core.engine.checkpoint import set_aside
from core.engine.compress import parameters
from core.engine.convert import convert, require_convertible
from core.engine.count import Counter
from core.engine.data import LIMIT_SEED, Normaliser, Splits, evaluation_batches, split
from core.engine.diagnose import choose_examples
from core.engine.environment import (
    choose_device,
    describe_device,
    energy_meter,
    environment,
    fitting_batch,
    require_memory,
    require_precision,
)
from core.engine.network import Network
from core.engine.search_train import SearchTrainer
from core.engine.sources import START, adopt, check_start, kept, load_state
from core.engine.start_from import adapt
from core.engine.teacher import FOLDER, check, load_teacher, noted
from core.engine.train import EVALUATION_BATCH, Trainer
from core.errors import BadValue, BundleCorrupt, Interrupted, OutOfMemory
from core.host.malloc import keep_freed_memory
from core.recipes.build import plan_of
from core.run_folder import held
from core.schemas.on_gpu import PLAIN, OnGpu
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE
from core.schemas.results import Counts, Event, Finished, Started, Summary
from core.schemas.run import Kind, RunConfig

log = logging.getLogger(__name__)

Taken = TypeVar("Taken", bound=Trainer)

#: Counts a run again by a tool of others: given its bundle, and images and labels of the test set.
Recounter = Callable[[Bundle, np.ndarray, np.ndarray], None]

FIXED_EXAMPLES = 200  # test images kept by every run on a data set
CONVERSION_BATCHES = 16  # of EVALUATION_BATCH training images, whose activations set a converted network's thresholds


def run(
    config: RunConfig,
    *,
    out: Path,
    data_dir: Path,
    device: str = "auto",
    threads: int | None = None,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool] = lambda: False,
    teacher: Path | None = None,
    retell: bool = False,
    recount: Recounter | None = None,
    start: Path | None = None,
    on_gpu: OnGpu = PLAIN,
) -> Summary:
    """Train `config` and leave its bundle in `out`; resumes where a checkpoint of the same config stands.

    A finished bundle of the same config is left as it is, and its Finished event emitted again. On the CPU a
    resumed run ends with the numbers of an uninterrupted one, bit for bit, if it has as many threads.
    A config with `needs_teacher` trains its CNN twin first, as a bundle of its own in `out`/teacher; `teacher` is
    the folder of such a bundle that is there already, and is copied. Events of the twin carry part = "teacher".
    A config that names a teacher, or weights to start from, needs the folder of that bundle as `teacher` or `start`
    the first time; it is copied too.
    With `retell` a run that resumes emits its earlier epochs again: whoever listened to it before may have died first.
    `on_gpu` says how a GPU is used where one trains.
    `recount` sees the run's bundle with every file in place but the manifest, and may add to it.
    Raises BadValue, BundleBusy, DatasetMissing, DatasetCorrupt, NonFiniteLoss, OutOfMemory, HomeUnusable, StorageFull,
    RunFolderGone, or Interrupted when `should_stop()` turned true (checkpoint written).
    """
    bundle = Bundle(out)
    with held(bundle.path) as hold, DATASETS.looking_in(data_dir):
        bundle.require_own(config)
        if bundle.complete:
            summary = bundle.summary()
            require_same_images(summary, present_digest(config.dataset, data_dir), field="out", folder=bundle.path)
            emit(Finished(summary=summary))
            return summary
        place = choose_device(device)
        require_precision(config, place)
        if config.kind is Kind.SNN and config.start == "converted":
            require_convertible(config)  # now, and not after its teacher was trained
        given = None if teacher is None else check(config, teacher)
        source = None if start is None else check_start(config, start)
        if place.type == "cpu":
            keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)

        def asked_to_stop() -> bool:
            hold.check()  # once a step or batch, so a folder that is gone is noticed soon
            return should_stop()

        with _out_of_memory(config, place), deterministic():
            summary = _run(config, bundle, data_dir, place, emit, asked_to_stop, given, source, retell, recount, on_gpu)
    emit(Finished(summary=summary))
    return summary


def _run(
    config: RunConfig,
    bundle: Bundle,
    data_dir: Path,
    device: torch.device,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool],
    given: Bundle | None,
    source: Bundle | None,
    retell: bool,
    recount: Recounter | None,
    on_gpu: OnGpu,
) -> Summary:
    """The teacher, where there is to be one, and then the run itself."""
    require_memory(plan_of(config), config, device)
    splits = split(load(config.dataset, data_dir), config.training, device)
    origin, taught_by = _origin(config, bundle, source), Bundle(bundle.path / FOLDER)
    if config.has_given_teacher:
        kept(taught_by, given, config.training.teacher, field="training.teacher", option="--teacher")
    bundle.write_model("config.json", config)
    if not config.needs_teacher:
        taught = taught_by if config.has_given_teacher else None
        return _train(
            config, bundle, splits, device, emit, should_stop, taught, retell, recount, given=given, origin=origin,
            on_gpu=on_gpu,
        )  # fmt: skip
    twin = taught_by
    _drop_damaged(twin)
    twin.require_own(config.twin())
    if given is not None:
        require_same_images(given.summary(), splits.data, field="teacher", folder=given.path)
    if twin.complete and twin.summary().data_digest not in (None, splits.data):
        shutil.rmtree(twin.path)  # trained before the data set was exchanged, by an attempt that came no further
    if not twin.complete and given is not None:
        adopt(given, twin)
    if not twin.complete:
        twin.write_model("config.json", config.twin())
        _train(
            config.twin(),
            twin,
            splits,
            device,
            lambda event: emit(event.model_copy(update={"part": "teacher"})),
            should_stop,
            None,
            False,
            on_gpu=on_gpu,
        )
    return _train(
        config, bundle, splits, device, emit, should_stop, twin, retell, recount, given=given, origin=origin,
        on_gpu=on_gpu,
    )  # fmt: skip


def _origin(config: RunConfig, bundle: Bundle, source: Bundle | None) -> Bundle | None:
    """The run's own copy of the bundle that it starts from, while it is unfinished; None where it starts from none."""
    if config.start != "bundle":
        return None
    target = Bundle(bundle.checkpoint / START)
    origin = kept(target, source, config.start_bundle, field="start_bundle", option="--from")
    adapt(
        load_state(origin, torch.device("cpu")), origin.config(), config
    )  # refused now, and not after a teacher's time
    return origin


def _train(
    config: RunConfig,
    bundle: Bundle,
    splits: Splits,
    device: torch.device,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool],
    taught_by: Bundle | None,
    retell: bool,
    recount: Recounter | None = None,
    *,
    given: Bundle | None = None,
    origin: Bundle | None = None,
    on_gpu: OnGpu = PLAIN,
) -> Summary:
    teacher = None if taught_by is None else load_teacher(taught_by, device)

    def fresh() -> Trainer:
        return (SearchTrainer if config.seeks.is_on else Trainer)(
            start_network(config, teacher, splits, device, origin),
            config,
            splits,
            device=device,
            folder=bundle.checkpoint,
            emit=emit,
            should_stop=should_stop,
            teacher=teacher,
            on_gpu=on_gpu,
        )

    trainer, resumed = taken_up(fresh, bundle.checkpoint)
    emit(started(trainer, device, resumed=resumed))
    log.info("run.started", extra={"config_hash": config.config_hash, "resumed": resumed})
    if retell:
        for done in trainer.epochs_done():
            emit(done)
    if trainer.asks_once:
        folders = (taught_by.path,) if given is None else (taught_by.path, given.path)
        trainer.ask_once(taught_by.weights_sha256, folders)
    if recount is not None:
        trainer.pace.expect_recount()
    with energy_meter(device) as meter:
        trainer.train()
    taken = {"training_energy": meter.told(whole_run=not resumed).model_dump(exclude_none=True)}
    made_from = {"teacher": taught_by, "start": origin}
    noted_of = {name: noted(one) for name, one in made_from.items() if one is not None}
    return finish(bundle, trainer, device, should_stop, noted_of | taken, recount)


def taken_up(fresh: Callable[[], Taken], checkpoint: Path) -> tuple[Taken, bool]:
    """What `fresh` makes, where its checkpoint stands or at its beginning; and whether it goes on from there."""
    trainer = fresh()
    try:
        return trainer, trainer.restore()
    except BundleCorrupt as error:  # all of it is lost either way: the run is worth more than its first part
        log.warning("checkpoint.not_used", extra={"why": error.message})
        set_aside(checkpoint)
        return fresh(), False


def started(trainer: Trainer, device: torch.device, *, resumed: bool) -> Started:
    """What a run begins with, or goes on with."""
    splits = trainer.splits
    return Started(
        device=describe_device(device),
        n_train=len(splits.train),
        n_validation=len(splits.validation),
        n_test=len(splits.test),
        steps_per_epoch=trainer.steps,
        max_epochs=trainer.config.training.max_epochs,
        resumed_epoch=trainer.epoch if resumed else None,
        resumed_step=trainer.step if resumed else None,
    )


def finish(
    bundle: Bundle,
    trainer: Trainer,
    device: torch.device,
    should_stop: Callable[[], bool],
    also_noted: dict[str, Any],
    recount: Recounter | None = None,
) -> Summary:
    """Test a trained network once, count it, and write and seal its bundle. `also_noted`: to be noted beside the
    machine. Raises Interrupted (its checkpoint stands)."""
    network, config, splits = trainer.network, trainer.config, trainer.splits
    network.load_state_dict(trainer.best)
    outputs_NTC, counter, evaluate_wall_s = _test(network, splits, trainer, device, should_stop)
    tested_by = network.evaluated_by
    ended = trainer.epoch - 1
    trainer.pace.report("measuring", epoch=ended, step=0, steps=1)
    counts = counter.counts(len(splits.test))
    predictions = Predictions(
        index=splits.test.index,
        label=splits.test.labels.cpu().numpy(),
        outputs=outputs_NTC,
        classes=list(splits.spec.classes),
    )
    summary = _summarise(config, splits, trainer, counts, predictions, evaluate_wall_s, device)
    bundle.write_json("environment.json", environment(device) | also_noted | {"tested_by": tested_by})
    _write(bundle, trainer, splits, counter, counts, predictions, summary)
    if recount is not None:
        trainer.pace.report("recounting", epoch=ended, step=0, steps=1)
        recount(bundle, splits.test.images.cpu().numpy(), splits.test.labels.cpu().numpy())
    bundle.seal()
    log.info("run.finished", extra={"config_hash": config.config_hash, "accuracy": summary.accuracy})
    return summary


def _drop_damaged(twin: Bundle) -> None:
    """A teacher whose files have changed on the disk is trained, or copied, again."""
    try:
        if twin.complete:
            twin.verify()
    except BundleCorrupt as error:
        log.warning("teacher.damaged", extra={"why": error.message})
        shutil.rmtree(twin.path)


def start_network(
    config: RunConfig, teacher: Network | None, splits: Splits, device: torch.device, origin: Bundle | None
) -> Network:
    """The untrained network on its device: random weights, those of a bundle, or the twin's with balanced thresholds."""
    if origin is not None:
        network = Network(plan_of(config), config).to(device)
        network.load_state_dict(adapt(load_state(origin, device), origin.config(), config))
        return network
    if config.kind is Kind.CNN or config.start == "random":
        return Network(plan_of(config), config).to(device)
    batches = evaluation_batches(
        splits.train, Normaliser.of(teacher, splits.spec, device), EVALUATION_BATCH[device.type]
    )
    images = (x for x, _ in islice(batches, CONVERSION_BATCHES))
    return convert(teacher, plan_of(config), config, images, config.conversion_percentile)


def _test(
    network: Network, splits: Splits, trainer: Trainer, device: torch.device, should_stop: Callable[[], bool]
) -> tuple[np.ndarray, Counter, float]:
    """Raw outputs [N, T, C] float32 of the test set, everything counted on the way, and the seconds it took."""
    size = EVALUATION_BATCH[device.type]
    steps = -(-len(splits.test) // size)
    outputs = []
    epoch = trainer.epoch - 1
    normalise = Normaliser.of(network, splits.spec, device)
    network.eval()
    network.seed_encoding("test")
    started = begun = time.monotonic()
    trainer.pace.report("testing", epoch=epoch, step=0, steps=steps)
    with torch.inference_mode(), Counter(network) as counter:
        for step, (x, labels) in enumerate(evaluation_batches(splits.test, normalise, size), start=1):
            outputs.append(network(x).transpose(0, 1))
            now = time.monotonic()
            trainer.pace.took("testing", len(labels), now - begun, epoch)
            begun = now
            trainer.pace.report("testing", epoch=epoch, step=step, steps=steps)
            if should_stop():  # the checkpoint of the last epoch's end stands
                raise Interrupted(epoch=epoch, step=trainer.steps)
    outputs_NTC = torch.cat(outputs).float().cpu().numpy()
    return outputs_NTC, counter, time.monotonic() - started


def _summarise(
    config: RunConfig,
    splits: Splits,
    trainer: Trainer,
    counts: Counts,
    predictions: Predictions,
    evaluate_wall_s: float,
    device: torch.device,
) -> Summary:
    answers = predict(predictions.outputs)
    tally = MODES[DEFAULT_MODE].tally(counts)  # every other mode follows from counts.json
    return Summary(
        accuracy=float((answers == predictions.label).mean()),
        f1_macro=f1_macro(confusion(predictions.label, answers, predictions.classes)),
        params=parameters(trainer.network),
        acs=tally.acs,
        macs=tally.macs,
        energy_pj=energy_pj(tally.acs, tally.macs, profiles()[DEFAULT_PROFILE]),
        mode=DEFAULT_MODE,
        profile=DEFAULT_PROFILE,
        firing_rate=firing_rate(counts),
        seed=config.seed,
        dataset=config.dataset,
        dataset_complete=splits.complete,
        kind=config.kind,
        backbone=config.backbone,
        mask=config.mask,
        recipe=config.recipe,
        time_steps=config.steps,
        layer_synchronous=config.layer_synchronous,
        n_train=len(splits.train),
        n_train_available=splits.n_train_available,
        n_validation=len(splits.validation),
        n_test=len(splits.test),
        best_epoch=trainer.kept[0],
        best_validation_accuracy=trainer.kept[1],
        epochs_run=len(trainer.metrics.epoch),
        train_wall_s=trainer.train_wall_s,
        train_images_per_s=trainer.images_trained / trainer.train_steps_s if trainer.images_trained else 0.0,
        evaluate_wall_s=evaluate_wall_s,
        device=describe_device(device),
        config_hash=config.config_hash,
        data_digest=splits.data,
    )


def _write(
    bundle: Bundle,
    trainer: Trainer,
    splits: Splits,
    counter: Counter,
    counts: Counts,
    predictions: Predictions,
    summary: Summary,
) -> None:
    """Every file of the bundle but config, environment and the manifest, which makes it one."""
    test = splits.test
    fixed = limited(np.arange(len(test)), predictions.label, FIXED_EXAMPLES, LIMIT_SEED)
    kept = choose_examples(predictions.label, predict(predictions.outputs), fixed)
    bundle.write_model("config.json", trainer.config)  # again: it was written long ago
    bundle.write_model("metrics.json", trainer.metrics)
    bundle.write_model("gradients.json", trainer.gradients)
    bundle.write_model("diagnostics.json", trainer.probe.diagnostics)
    bundle.write_model("counts.json", counts)
    if isinstance(trainer, SearchTrainer):
        bundle.write_model("search.json", trainer.found)
    bundle.write_arrays("counts_per_sample.npz", counter.per_sample(), compressed=True)
    bundle.write_predictions(predictions)
    bundle.write_arrays(
        "examples.npz", {"index": test.index[kept], "image": test.images[torch.from_numpy(kept)].cpu().numpy()}
    )
    bundle.write_bytes(
        "weights.safetensors", save({name: value.cpu().contiguous() for name, value in trainer.best.items()})
    )
    bundle.write_model("summary.json", summary)


def require_same_images(summary: Summary, data: str | None, *, field: str, folder: Path) -> None:
    """Raise BadValue where a finished run is known to be on other images than those that are there now."""
    if None not in (summary.data_digest, data) and summary.data_digest != data:
        expected = f"another folder: the run in this one is on other images of {summary.dataset}, exchanged since"
        raise BadValue(field=field, value=str(folder), expected=expected)


#: In the words of torch's allocator, of the C++ library, of the system, and of oneDNN, which computes convolutions on a
#: CPU and says no more than that it could not: what it is asked for is the same at every step, so memory is what it lacks.
NO_MEMORY = (
    "can't allocate memory",
    "std::bad_alloc",
    "Cannot allocate memory",
    "could not create a primitive",
    "could not create a memory object",
    "could not execute a primitive",
)


@contextmanager
def _out_of_memory(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Turn an allocation that failed into OutOfMemory with a batch size that fits."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = isinstance(error, MemoryError | torch.OutOfMemoryError) or any(said in str(error) for said in NO_MEMORY)
        if not told:
            raise
        fits = fitting_batch(plan_of(config), config, device)
        raise OutOfMemory(device=device.type, batch_size=config.training.batch_size, fits=fits) from None


@contextmanager
def deterministic() -> Iterator[None]:
    """The same algorithms at every run, so that equal runs on a GPU give equal numbers."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
