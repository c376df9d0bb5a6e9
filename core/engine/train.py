"""The training loop: epochs, validation, early stopping, checkpoints, and resuming as if nothing had happened.

All that decides the numbers is the config, the weights, the optimiser's state and (epoch, step): order,
augmentation, dropout and rate coding draw from generators keyed by them. What an epoch has gathered so far (loss,
hits, gradient norms, one row a step) is saved too, so the metrics of a resumed run are those of an
uninterrupted one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.bundle import CHECKPOINT
from core.engine.average import Average, statistics_images, take_statistics
from core.engine.checkpoint import below, load_checkpoint, save_checkpoint
from core.engine.data import Normaliser, Splits, TrainBatches, evaluation_batches, stream
from core.engine.diagnose import FiringRate, GradientNorms
from core.engine.fast.triton_there import triton_norm
from core.engine.graphs import CudaRecorder, Tape, can_record
from core.engine.lessons import Lessons
from core.engine.losses import cross_entropy_of_mean
from core.engine.network import Network, passing_counts
from core.engine.objective import Objective
from core.engine.optimizers import moments_of, optimizer, set_rate, take_moments
from core.engine.probe import Probe
from core.engine.progress import Pace
from core.engine.schedules import learning_rate, mean_rate
from core.errors import BundleCorrupt, Interrupted, NonFiniteLoss
from core.forecast import STATISTICS_IMAGES
from core.schemas.diagnostics import Diagnostics
from core.schemas.on_gpu import PLAIN, OnGpu
from core.schemas.results import EpochDone, Event, Gradients, Metrics, Phase
from core.schemas.run import RunConfig
from core.schemas.search import SearchEpoch
from core.schemas.stages import Phase as Stretch
from core.schemas.stages import phases

log = logging.getLogger(__name__)

CHECKPOINT_EVERY_S = 60.0  # inside an epoch; every epoch ends with one anyway
LOOK_EVERY = 32  # steps between looks at the loss where a look makes the device wait
EVALUATION_BATCH = {"cpu": 128, "cuda": 512}  # batch statistics are frozen, so its size decides nothing


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What an epoch's validation found. firing_rate is None for a CNN."""

    loss: float
    accuracy: float
    firing_rate: float | None
    is_best: bool


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What a step tells: the loss and its terms, right answers (all 0-d), and the gradient norm of each layer."""

    loss: Tensor
    terms: dict[str, Tensor]
    hits: Tensor
    norms_L: Tensor


class Trainer:
    """Trains `network` in place; afterwards `best` holds the weights that `training.select` asks for.

    best: those of the best validation accuracy; last: of the last epoch; ema: their average over the last steps. What
    is validated is what would be kept. With max_epochs = 0 nothing is trained, and the best are the weights it came
    with. `teacher` is the trained network that it learns from, where the objective distils. With stages every stage
    begins as a run from the weights of the one before: with a fresh optimiser, a fresh average, and a best of its own.
    Raises Interrupted (checkpoint written) when `should_stop()` turns true, NonFiniteLoss when the loss does.
    """

    def __init__(
        self,
        network: Network,
        config: RunConfig,
        splits: Splits,
        *,
        device: torch.device,
        folder: Path,
        emit: Callable[[Event], None],
        should_stop: Callable[[], bool],
        teacher: Network | None = None,
        on_gpu: OnGpu = PLAIN,
    ) -> None:
        self._recorded = can_record(network.plan, config, device, wanted=on_gpu.graphs)
        network.kernels = triton_norm(device, wanted=on_gpu.triton and network.spiking)
        self.network, self.config, self.splits = network, config, splits
        self._device, self._folder, self._emit, self._should_stop = device, folder, emit, should_stop
        self._normalise = Normaliser.of(network, splits.spec, device)
        self._batches = TrainBatches(splits.train, config, self._normalise)
        self.steps = self._batches.steps
        self._objective = Objective(network, config)
        self._lessons = Lessons(teacher, splits, device) if teacher and self._objective.needs_teacher else None
        self._norms = GradientNorms(network)
        self.probe = Probe(network, splits.train, self._normalise)
        self._phases = phases(config)
        self._draws = any(node.op == "dropout" for node in network.plan.nodes)
        self._pace = Pace(
            emit,
            max_epochs=config.training.max_epochs,
            n_train=len(splits.train),
            n_validation=len(splits.validation),
            n_averaging=min(STATISTICS_IMAGES, len(splits.train)) if config.training.ema else 0,
            n_probe=self.probe.diagnostics.n_probe,
            validate_every=config.training.validate_every,
            n_test=len(splits.test),
            steps_of={phase.first: phase.time_steps for phase in self._phases},
        )
        self._own: dict[str, Tensor] | None = None  # the network's own state while the average is in its place
        # Where the run stands: `step` steps of `epoch` are done.
        self.epoch, self.step = 1, 0
        self.metrics = Metrics(**{name: [] for name in Metrics.model_fields})
        self.gradients = Gradients(layers=self._norms.layers, epochs=[], norm=[])
        self._begin(self._phases[0])
        self.train_wall_s = 0.0  # of finished epochs, validation included
        self.train_steps_s, self.images_trained = 0.0, 0
        self._epoch_wall_s = 0.0
        self._saved_at = time.monotonic()
        self._clear_epoch()

    def _begin(self, phase: Stretch) -> None:
        """A phase from the weights as they are: nothing is left of an earlier one's moments, average and best."""
        self._phase = phase
        if len(self._phases) > 1:
            self.network.steps = phase.time_steps
        self._optimizer = optimizer(self.network, phase.training, recorded=self._recorded)
        self._tape = Tape(self._learn_and_move, CudaRecorder()) if self._recorded else None
        self._average = Average(self.network, phase.training.ema) if phase.training.ema else None
        self.best: dict[str, Tensor] = {}
        self.best_epoch, self.best_accuracy = 0, -1.0

    def _phase_at(self, epoch: int) -> Stretch:
        return next(phase for phase in reversed(self._phases) if phase.first <= epoch)

    def _clear_epoch(self) -> None:
        """Room for one row a step: loss, right answers, gradient norm of each layer."""
        self._loss_S = torch.zeros(self.steps, device=self._device)
        self._hits_S = torch.zeros(self.steps, dtype=torch.int64, device=self._device)
        self._norm_SL = torch.zeros(self.steps, len(self._norms.layers), device=self._device)
        self._terms_S: dict[str, Tensor] = {}  # the loss apart, to name the term that leaves the finite
        self._looked = 0

    @property
    def is_done(self) -> bool:
        """All epochs used, or `patience` of them without a better validation accuracy, the last one validated."""
        patience = self.config.training.patience
        ended = self.epoch - 1
        return ended >= self.config.training.max_epochs or (
            patience is not None
            and ended > 0
            and self.config.training.validates(ended)
            and ended - self.best_epoch >= patience
        )

    @property
    def kept(self) -> tuple[int, float]:
        """The epoch whose weights `best` holds, and their validation accuracy."""
        if self.config.training.select == "best" or not self.metrics.epoch:
            return self.best_epoch, self.best_accuracy
        return self.metrics.epoch[-1], self.metrics.validation_accuracy[-1]

    @property
    def pace(self) -> Pace:
        return self._pace

    @property
    def asks_once(self) -> bool:
        """Whether the teacher's answers are to be stored (`ask_once`) before it goes on."""
        return self._lessons is not None and self.config.training.teacher_answers == "stored" and not self.is_done

    def ask_once(self, weights: str, folders: tuple[Path, ...]) -> None:
        """Ask the teacher for all its answers, or take up those that lie in one of the folders."""

        def look(done: int, of: int) -> None:
            if self._should_stop():
                raise Interrupted(epoch=self.epoch, step=self.step)

        self._lessons.store(weights, folders, batch_size=EVALUATION_BATCH[self._device.type], look=look)

    def train(self) -> None:
        """Go on from where the run stands to its end."""
        if self.config.training.max_epochs == 0 and not self.best:
            _, self.best_accuracy, _ = self._validate(time.monotonic())
            self._probe(epoch=0)
            self._keep()
        while not self.is_done:
            started = time.monotonic() - self._epoch_wall_s
            self._pace.epoch_begins()
            self._train_epoch(started)
            found = self._evaluate(started) if self.config.training.validates(self.epoch) else None
            self._end_epoch(found, wall_s=time.monotonic() - started)
            self._pace.epoch_ends()

    def _train_epoch(self, started: float) -> None:
        self.network.train()
        self.network.fused = not self.config.training.differentiates_twice
        while self.step < self.steps:
            self._train_step()
            self.step += 1
            self._epoch_wall_s = time.monotonic() - started
            done = self.step
            self._pace.report(
                "training",
                epoch=self.epoch,
                step=done,
                steps=self.steps,
                images_left=round(len(self.splits.train) * (1 - done / self.steps)),
                loss=self._recent_loss,
            )
            if self._should_stop():
                self._stop()
            if time.monotonic() - self._saved_at >= CHECKPOINT_EVERY_S:
                self.save()
        self._look()

    def _recent_loss(self) -> float:
        """Mean over the last steps, at most 20."""
        return float(self._loss_S[max(0, self.step - 20) : self.step].mean())

    def _train_step(self) -> None:
        begun = time.monotonic()
        drawn = self._batches.draw(self.epoch, self.step).to(self._device)
        rate = learning_rate(self._phase.training, self._phase.local(self.epoch), self.step, self.steps)
        set_rate(self._optimizer, rate)
        if self._draws:
            torch.manual_seed(stream(self.config.seed, "dropout", self.epoch, self.step).initial_seed())
        self.network.seed_encoding("train", self.epoch, self.step)
        done = self._learn(drawn) if self._tape is None else self._tape(drawn)
        self._loss_S[self.step] = done.loss
        for name, value in done.terms.items():
            self._terms_S.setdefault(name, torch.zeros_like(self._loss_S))[self.step] = value
        self._hits_S[self.step] = done.hits
        self._norm_SL[self.step] = done.norms_L
        if self._device.type == "cpu" or (self.step + 1) % LOOK_EVERY == 0:
            self._look(upto=self.step + 1)
        if self._tape is None:
            self._optimizer.step()
        if self._average is not None:
            self._average.update()
        spent = time.monotonic() - begun
        self.train_steps_s += spent
        n = drawn.shape[1]
        self.images_trained += n
        self._pace.took("training", n, spent, self.epoch)

    def _learn(self, drawn: Tensor) -> Learnt:
        """Forward and backward pass of the batch that was drawn; the gradients are left in the weights."""
        batch = self._batches.made_of(drawn)
        progress = (self.epoch - 1 + self.step / self.steps) / self.config.training.max_epochs
        taught = None if self._lessons is None else self._lessons.of(batch, self.epoch, self.step)
        done = self._objective(self._normalise(batch.images), batch.labels, taught, progress)
        self._optimizer.zero_grad(set_to_none=True)
        done.loss.backward()
        return Learnt(
            loss=done.loss.detach(),
            terms={name: value.detach() for name, value in done.terms.items()},
            hits=(done.outputs_TNC.detach().mean(0).argmax(1) == batch.labels).sum(),
            norms_L=self._norms.read(),
        )

    def _learn_and_move(self, drawn: Tensor) -> Learnt:
        """The whole step, as it is recorded."""
        learnt = self._learn(drawn)
        self._optimizer.step()
        return learnt

    def _look(self, upto: int | None = None) -> None:
        """Raise NonFiniteLoss at the first step, not looked at before, whose loss is not finite."""
        upto = self.step if upto is None else upto
        losses = self._loss_S[self._looked : upto]
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad):
            step = self._looked + int(bad[0])
            # all terms may be finite where only their sum is not
            term = next((name for name, value in self._terms_S.items() if not value[step].isfinite()), "sum")
            raise NonFiniteLoss(epoch=self.epoch, step=step + 1, loss=str(float(self._loss_S[step])), term=term)
        self._looked = upto

    def _evaluate(self, started: float) -> Validation:
        """Validate and probe the weights that would be kept, and keep them where they are."""
        with self._weights_to_keep(started):
            loss, accuracy, firing_rate = self._validate(started)
            self._probe(self.epoch)
            is_best = accuracy > self.best_accuracy
            if is_best:
                self.best_epoch, self.best_accuracy = self.epoch, accuracy
            if is_best or self.config.training.select != "best":
                self._keep()
        return Validation(loss=loss, accuracy=accuracy, firing_rate=firing_rate, is_best=is_best)

    def _probe(self, epoch: int) -> None:
        """Of all T steps, in every stage: the columns of all epochs are alike."""
        steps, begun = self.network.steps, time.monotonic()
        self.network.steps = self.probe.diagnostics.time_steps
        self._at("probing", 0, self.probe.diagnostics.n_probe)
        self.probe.measure(epoch, lambda done, of: self._at("probing", done, of))
        self.network.steps = steps
        self._pace.took("probing", self.probe.diagnostics.n_probe, time.monotonic() - begun)

    def _at(self, phase: Phase, done: int, of: int) -> None:
        """Report where a phase behind the training steps stands."""
        loss = self._recent_loss if self.step else None
        self._pace.report(phase, epoch=self.epoch, step=done, steps=of, loss=loss)

    @contextmanager
    def _weights_to_keep(self, started: float) -> Iterator[None]:
        """The network as it is, or with its average and the statistics that belong to it while the block runs."""
        if self._average is None:
            yield
            return
        with self._average.in_place(self.network) as self._own:
            try:
                self.network.fused = True
                images, size = statistics_images(self.splits.train), self.config.training.batch_size
                begun = time.monotonic()
                self._at("averaging", 0, 1)
                take_statistics(self.network, images, self._normalise, size, lambda: self._look_up(started))
                self._pace.took("averaging", len(images), time.monotonic() - begun, self.epoch)
                yield
            finally:
                self._own = None

    def _look_up(self, started: float) -> None:
        """Stop between two batches of an evaluation, where that is asked."""
        if self._should_stop():
            self._epoch_wall_s = time.monotonic() - started
            self._stop()

    def _validate(self, started: float) -> tuple[float, float, float | None]:
        """Mean loss, accuracy and firing rate on the validation split."""
        part = self.splits.validation
        size = EVALUATION_BATCH[self._device.type]
        steps = -(-len(part) // size)
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        hits = torch.zeros((), dtype=torch.int64, device=self._device)
        firing = FiringRate(self.network)
        self.network.eval()
        self.network.fused = True
        self.network.seed_encoding("validation")
        self._at("validating", 0, steps)
        with torch.inference_mode(), firing.watch(), passing_counts(self.network):
            for step, (x, labels) in enumerate(evaluation_batches(part, self._normalise, size), start=1):
                begun = time.monotonic()
                outputs_TNC = self.network(x)
                total += cross_entropy_of_mean(outputs_TNC, labels).double() * len(labels)
                hits += (outputs_TNC.mean(0).argmax(1) == labels).sum()
                self._pace.took("validating", len(labels), time.monotonic() - begun, self.epoch)
                self._at("validating", step, steps)
                self._look_up(started)
        loss = float(total) / len(part)
        if not torch.isfinite(torch.tensor(loss)):
            raise NonFiniteLoss(epoch=self.epoch, step=self.steps, loss=str(loss), term="validation")
        return loss, int(hits) / len(part), firing.read()

    def _end_epoch(self, found: Validation | None, *, wall_s: float) -> None:
        """Write the epoch into the columns and go to the next."""
        sizes = torch.tensor([self._batches.size(step) for step in range(self.steps)], dtype=torch.float64)
        done = EpochDone(
            epoch=self.epoch,
            lr=mean_rate(self._phase.training, self._phase.local(self.epoch), self.steps),
            train_loss=float((self._loss_S.cpu().double() * sizes).sum() / sizes.sum()),
            train_accuracy=int(self._hits_S.sum()) / len(self.splits.train),
            validation_loss=found.loss if found else None,
            validation_accuracy=found.accuracy if found else None,
            firing_rate=found.firing_rate if found else None,
            wall_s=wall_s,
            is_best=found is not None and found.is_best,
            search=self._end_search_epoch(),
        )
        for name in Metrics.model_fields:
            getattr(self.metrics, name).append(getattr(done, name))
        self.gradients.epochs.append(self.epoch)
        self.gradients.norm.append(self._norm_SL.cpu().double().mean(0).tolist())
        self.train_wall_s += wall_s
        self.epoch, self.step, self._epoch_wall_s = self.epoch + 1, 0, 0.0
        self._clear_epoch()
        if (phase := self._phase_at(self.epoch)) is not self._phase:
            self._begin(phase)
        log.info("epoch.finished", extra={"epoch": done.epoch, "validation_accuracy": done.validation_accuracy})
        self._emit(done)  # before the checkpoint: a repeated event is harmless, a lost one is not
        self.save()

    def _end_search_epoch(self) -> SearchEpoch | None:
        """Where a search stands when an epoch has ended (`core.engine.search_train`)."""
        return None

    def epochs_done(self) -> list[EpochDone]:
        """The events of the epochs that lie behind."""
        return self.metrics.epochs()

    def _keep(self) -> None:
        self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def _stop(self) -> None:
        self._look()
        self.save()
        raise Interrupted(epoch=self.epoch, step=self.step)

    def save(self) -> None:
        """Write a checkpoint, unless the gradients have left the finite already."""
        if self.step and not bool(torch.isfinite(self._norm_SL[: self.step]).all()):
            return
        own = self.network.state_dict() if self._own is None else self._own
        tensors = {f"model.{name}": value for name, value in own.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= {f"optimizer.{name}": value for name, value in moments_of(self._optimizer).items()}
        if self._average is not None:
            tensors |= {f"average.{name}": value for name, value in self._average.values.items()}
        tensors |= {"epoch.loss": self._loss_S, "epoch.hits": self._hits_S, "epoch.norm": self._norm_SL}
        state = {name: getattr(self, name) for name in _STATE}
        state |= {"metrics": self.metrics.model_dump(), "gradients": self.gradients.model_dump()}
        state["average_steps"] = 0 if self._average is None else self._average.steps
        state["diagnostics"] = self.probe.diagnostics.model_dump()
        state["data"] = self.splits.data
        more_tensors, more_state = self._saved()
        save_checkpoint(self._folder, tensors | more_tensors, state | more_state)
        self._saved_at = time.monotonic()
        log.info("checkpoint.saved", extra={"epoch": self.epoch, "step": self.step})

    def _saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a checkpoint holds of a trainer of another kind."""
        return {}, {}

    def restore(self) -> bool:
        """Go to where the checkpoint stands; False where there is none that is whole and of these images.

        Raises BundleCorrupt for one that does not fit, such as of another version of the network; this trainer is then
        of no use any more.
        """
        loaded = load_checkpoint(self._folder, self._device)
        if loaded is None:
            return False
        if loaded[1].get("data", self.splits.data) != self.splits.data:
            log.warning("checkpoint.of_other_images", extra={"config_hash": self.config.config_hash})
            return False
        try:
            self._adopt(*loaded)
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            if "memory" in str(error):  # of the device: the checkpoint is not to blame
                raise
            raise BundleCorrupt(file=CHECKPOINT, why=f"it does not fit ({type(error).__name__}).") from error
        return True

    def _adopt(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        under = partial(below, tensors)
        self._begin(self._phase_at(state["epoch"]))
        self.network.load_state_dict(under("model."))
        self.best = under("best.")
        take_moments(self._optimizer, under("optimizer.") or under("adam."))  # as older versions called it
        if self._average is not None:
            self._average.restore(under("average."), state["average_steps"])
        self._loss_S, self._hits_S, self._norm_SL = (tensors[f"epoch.{name}"] for name in ("loss", "hits", "norm"))
        for name in _STATE:
            setattr(self, name, state[name])
        self.metrics = Metrics.model_validate(state["metrics"])
        self.gradients = Gradients.model_validate(state["gradients"])
        if "diagnostics" in state:  # not in a checkpoint from before they were measured
            self.probe.diagnostics = Diagnostics.model_validate(state["diagnostics"])
        self._looked = self.step


#: Plain numbers of a Trainer that a checkpoint holds.
_STATE = (
    "epoch",
    "step",
    "best_epoch",
    "best_accuracy",
    "train_wall_s",
    "train_steps_s",
    "images_trained",
    "_epoch_wall_s",
)
