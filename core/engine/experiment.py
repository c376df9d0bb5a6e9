"""From a config to a bundle: load, train (a teacher first), evaluate once on the test set, count, write."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import filelock
import numpy as np
import torch
from safetensors.torch import save

from core.analysis.confusion import confusion, f1_macro
from core.bundle import Bundle, Predictions
from core.datasets.catalog import DATASETS
from core.datasets.identity import present_digest
from core.datasets.load import load
from core.datasets.splits import limited
from core.energy.modes import MODES
from core.energy.price import energy_pj
from core.energy.profiles import profiles
from core.engine.convert import convert, require_convertible
from core.engine.count import Counter
from core.engine.data import LIMIT_SEED, Normaliser, Splits, evaluation_batches, split
from core.engine.diagnose import choose_examples
from core.engine.environment import (
    choose_device,
    describe_device,
    environment,
    fitting_batch,
    require_memory,
    require_precision,
)
from core.engine.network import Network
from core.engine.teacher import FOLDER, adopt, check, load_teacher, noted
from core.engine.train import EVALUATION_BATCH, Trainer
from core.errors import BadValue, BundleBusy, HomeUnusable, Interrupted, OutOfMemory
from core.host.malloc import keep_freed_memory
from core.recipes.build import plan_of
from core.schemas.results import Counts, Event, Finished, Started, Summary
from core.schemas.run import Kind, RunConfig

log = logging.getLogger(__name__)

MODE = "exact"  # of the figures in summary.json; every other mode follows from counts.json
PROFILE = "horowitz-45nm"
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
) -> Summary:
    """Train `config` and leave its bundle in `out`; resumes where a checkpoint of the same config stands.

    A finished bundle of the same config is left as it is, and its Finished event emitted again. On the CPU a
    resumed run ends with the numbers of an uninterrupted one, bit for bit, if it has as many threads.
    A config with `needs_teacher` trains its CNN twin first, as a bundle of its own in `out`/teacher; `teacher` is
    the folder of such a bundle that is there already, and is copied. Events of the twin carry part = "teacher".
    Raises BadValue, BundleBusy, DatasetMissing, DatasetCorrupt, NonFiniteLoss, OutOfMemory, HomeUnusable,
    or Interrupted when `should_stop()` turned true (checkpoint written).
    """
    bundle = Bundle(out)
    with _writing_to(bundle.path), DATASETS.looking_in(data_dir):
        bundle.require_own(config)
        if bundle.complete:
            summary = bundle.summary()
            _require_same_images(summary, present_digest(config.dataset, data_dir), field="out", folder=bundle.path)
            emit(Finished(summary=summary))
            return summary
        place = choose_device(device)
        require_precision(config, place)
        if config.kind is Kind.SNN and config.start == "converted":
            require_convertible(config)  # now, and not after its teacher was trained
        given = None if teacher is None else check(config, teacher)
        if place.type == "cpu":
            keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)
        with _out_of_memory(config, place), _deterministic():
            summary = _run(config, bundle, data_dir, place, emit, should_stop, given)
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
) -> Summary:
    """The teacher, where there is to be one, and then the run itself."""
    require_memory(plan_of(config), config, device)
    splits = split(load(config.dataset, data_dir), config.training, device)
    bundle.write_model("config.json", config)
    if not config.needs_teacher:
        return _train(config, bundle, splits, device, emit, should_stop, None)
    twin = Bundle(bundle.path / FOLDER)
    twin.require_own(config.twin())
    if given is not None:
        _require_same_images(given.summary(), splits.data, field="teacher", folder=given.path)
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
        )
    return _train(config, bundle, splits, device, emit, should_stop, twin)


def _train(
    config: RunConfig,
    bundle: Bundle,
    splits: Splits,
    device: torch.device,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool],
    taught_by: Bundle | None,
) -> Summary:
    teacher = None if taught_by is None else load_teacher(taught_by, config, device)
    network = _start(config, teacher, splits, device)
    trainer = Trainer(
        network,
        config,
        splits,
        device=device,
        folder=bundle.checkpoint,
        emit=emit,
        should_stop=should_stop,
        teacher=teacher,
    )
    resumed = trainer.restore()
    emit(
        Started(
            device=describe_device(device),
            n_train=len(splits.train),
            n_validation=len(splits.validation),
            n_test=len(splits.test),
            steps_per_epoch=trainer.steps,
            max_epochs=config.training.max_epochs,
            resumed_epoch=trainer.epoch if resumed else None,
            resumed_step=trainer.step if resumed else None,
        )
    )
    log.info("run.started", extra={"config_hash": config.config_hash, "resumed": resumed})
    trainer.train()

    network.load_state_dict(trainer.best)
    outputs_NTC, counter, evaluate_wall_s = _test(network, splits, trainer, device, should_stop)
    counts = counter.counts(len(splits.test))
    predictions = Predictions(
        index=splits.test.index,
        label=splits.test.labels.cpu().numpy(),
        outputs=outputs_NTC,
        classes=list(splits.spec.classes),
    )
    summary = _summarise(config, splits, trainer, counts, predictions, evaluate_wall_s, device)
    origin = environment(device) | ({} if taught_by is None else {"teacher": noted(taught_by)})
    bundle.write_json("environment.json", origin)
    _write(bundle, trainer, splits, counter, counts, predictions, summary)
    log.info("run.finished", extra={"config_hash": config.config_hash, "accuracy": summary.accuracy})
    return summary


def _start(config: RunConfig, teacher: Network | None, splits: Splits, device: torch.device) -> Network:
    """The untrained network on its device: random weights, or those of the twin with balanced thresholds."""
    if config.kind is Kind.CNN or config.start == "random":
        return Network(plan_of(config), config).to(device)
    batches = evaluation_batches(splits.train, Normaliser(splits.spec, device), EVALUATION_BATCH[device.type])
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
    normalise = Normaliser(splits.spec, device, network.encoding)
    network.eval()
    network.seed_encoding("test")
    started = time.monotonic()
    with torch.inference_mode(), Counter(network) as counter:
        for step, (x, _) in enumerate(evaluation_batches(splits.test, normalise, size), start=1):
            outputs.append(network(x).transpose(0, 1))
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
    answers = predictions.outputs.mean(1).argmax(1)
    tally = MODES[MODE].tally(counts)
    neurons = [layer for layer in counts.layers if layer.spikes]
    places = sum(layer.output_numel for layer in neurons) * counts.time_steps * counts.n_samples
    return Summary(
        accuracy=float((answers == predictions.label).mean()),
        f1_macro=f1_macro(confusion(predictions.label, answers, predictions.classes)),
        params=sum(parameter.numel() for parameter in trainer.network.parameters()),
        acs=tally.acs,
        macs=tally.macs,
        energy_pj=energy_pj(tally.acs, tally.macs, profiles()[PROFILE]),
        mode=MODE,
        profile=PROFILE,
        firing_rate=sum(sum(layer.spikes) for layer in neurons) / places if neurons else None,
        seed=config.seed,
        dataset=config.dataset,
        dataset_complete=splits.complete,
        kind=config.kind,
        backbone=config.backbone,
        mask=config.mask,
        recipe=config.recipe,
        time_steps=config.steps,
        n_train=len(splits.train),
        n_train_available=splits.n_train_available,
        n_validation=len(splits.validation),
        n_test=len(splits.test),
        best_epoch=trainer.best_epoch,
        best_validation_accuracy=trainer.best_accuracy,
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
    """Every file of the bundle but config and environment; the manifest makes it one."""
    test = splits.test
    fixed = limited(np.arange(len(test)), predictions.label, FIXED_EXAMPLES, LIMIT_SEED)
    kept = choose_examples(predictions.label, predictions.outputs.mean(1).argmax(1), fixed)
    bundle.write_model("metrics.json", trainer.metrics)
    bundle.write_model("gradients.json", trainer.gradients)
    bundle.write_model("diagnostics.json", trainer.probe.diagnostics)
    bundle.write_model("counts.json", counts)
    bundle.write_arrays("counts_per_sample.npz", counter.per_sample(), compressed=True)
    bundle.write_predictions(predictions)
    bundle.write_arrays(
        "examples.npz", {"index": test.index[kept], "image": test.images[torch.from_numpy(kept)].cpu().numpy()}
    )
    bundle.write_bytes(
        "weights.safetensors", save({name: value.cpu().contiguous() for name, value in trainer.best.items()})
    )
    bundle.write_model("summary.json", summary)
    bundle.seal()


def _require_same_images(summary: Summary, data: str | None, *, field: str, folder: Path) -> None:
    """Raise BadValue where a finished run is known to be on other images than those that are there now."""
    if None not in (summary.data_digest, data) and summary.data_digest != data:
        expected = f"another folder: the run in this one is on other images of {summary.dataset}, exchanged since"
        raise BadValue(field=field, value=str(folder), expected=expected)


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Hold the folder alone. Raises BundleBusy, or HomeUnusable when it cannot be written."""
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:  # an OSError too, so it comes first
        raise BundleBusy(folder=str(folder)) from None
    except OSError as error:
        raise HomeUnusable(folder=str(folder), why=f"{error.strerror or error}.") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _out_of_memory(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Turn an allocation that failed into OutOfMemory with a batch size that fits."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not told:
            raise
        fits = fitting_batch(plan_of(config), config, device)
        raise OutOfMemory(device=device.type, batch_size=config.training.batch_size, fits=fits) from None


@contextmanager
def _deterministic() -> Iterator[None]:
    """The same algorithms at every run, so that equal runs on a GPU give equal numbers."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
