"""The training loop: epochs, validation, early stopping, checkpoints, and resuming as if nothing had happened.

All that decides the numbers is the config, the weights, the optimiser's state and (epoch, step): order,
augmentation, dropout and rate coding draw from generators keyed by them. What an epoch has gathered so far (loss,
hits, gradient norms, one row a step) is saved too, so the metrics of a resumed run are those of an
uninterrupted one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.engine.checkpoint import load_checkpoint, save_checkpoint
from core.engine.data import Normaliser, Splits, TrainBatches, evaluation_batches, stream
from core.engine.diagnose import FiringRate, GradientNorms
from core.engine.losses import cross_entropy_of_mean
from core.engine.network import Network
from core.engine.objective import Objective
from core.engine.probe import Probe
from core.engine.progress import Pace
from core.engine.schedules import learning_rate, mean_rate
from core.errors import Interrupted, NonFiniteLoss
from core.schemas.diagnostics import Diagnostics
from core.schemas.results import EpochDone, Event, Gradients, Metrics
from core.schemas.run import RunConfig, TrainingConfig

log = logging.getLogger(__name__)

CHECKPOINT_EVERY_S = 60.0  # inside an epoch; every epoch ends with one anyway
LOOK_EVERY = 32  # steps between looks at the loss where a look makes the device wait
EVALUATION_BATCH = {"cpu": 128, "cuda": 512}  # batch statistics are frozen, so its size decides nothing


class Trainer:
    """Trains `network` in place; afterwards `best` holds the weights of the best validation accuracy.

    With max_epochs = 0 nothing is trained, and the best are the weights it came with. `teacher` is the trained CNN
    twin, where the objective distils. Raises Interrupted (checkpoint written) when `should_stop()` turns true, NonFiniteLoss when the
    loss does.
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
    ) -> None:
        self.network, self.config, self.splits = network, config, splits
        self._device, self._folder, self._emit, self._should_stop = device, folder, emit, should_stop
        self._normalise = Normaliser(splits.spec, device, network.encoding)
        self._batches = TrainBatches(splits.train, config, self._normalise)
        self.steps = self._batches.steps
        self._objective = Objective(network, config)
        self._teacher = teacher.eval() if teacher and self._objective.needs_teacher else None
        self._teacher_normalise = Normaliser(splits.spec, device)
        self._optimizer = optimizer(network, config.training)
        self._norms = GradientNorms(network)
        self.probe = Probe(network, splits.train, self._normalise)
        self._draws = any(node.op == "dropout" for node in network.plan.nodes)
        self._pace = Pace(
            emit,
            max_epochs=config.training.max_epochs,
            n_train=len(splits.train),
            n_validation=len(splits.validation),
            n_test=len(splits.test),
        )
        # Where the run stands: `step` steps of `epoch` are done.
        self.epoch, self.step = 1, 0
        self.metrics = Metrics(**{name: [] for name in Metrics.model_fields})
        self.gradients = Gradients(layers=self._norms.layers, epochs=[], norm=[])
        self.best: dict[str, Tensor] = {}
        self.best_epoch, self.best_accuracy = 0, -1.0
        self.train_wall_s = 0.0  # of finished epochs, validation included
        self.train_steps_s, self.images_trained = 0.0, 0
        self._epoch_wall_s = 0.0
        self._saved_at = time.monotonic()
        self._clear_epoch()

    def _clear_epoch(self) -> None:
        """Room for one row a step: loss, right answers, gradient norm of each layer."""
        self._loss_S = torch.zeros(self.steps, device=self._device)
        self._hits_S = torch.zeros(self.steps, dtype=torch.int64, device=self._device)
        self._norm_SL = torch.zeros(self.steps, len(self._norms.layers), device=self._device)
        self._terms_S: dict[str, Tensor] = {}  # the loss apart, to name the term that leaves the finite
        self._looked = 0

    @property
    def is_done(self) -> bool:
        """All epochs used, or `patience` of them without a better validation accuracy."""
        patience = self.config.training.patience
        ended = self.epoch - 1
        return ended >= self.config.training.max_epochs or (
            patience is not None and ended > 0 and ended - self.best_epoch >= patience
        )

    @property
    def pace(self) -> Pace:
        return self._pace

    def train(self) -> None:
        """Go on from where the run stands to its end."""
        if self.config.training.max_epochs == 0 and not self.best:
            _, self.best_accuracy, _ = self._validate(time.monotonic())
            self.probe.measure(epoch=0)
            self._keep_best()
        while not self.is_done:
            started = time.monotonic() - self._epoch_wall_s
            self._train_epoch(started)
            loss, accuracy, firing_rate = self._validate(started)
            self.probe.measure(self.epoch)
            self._end_epoch(loss, accuracy, firing_rate, wall_s=time.monotonic() - started)

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
        images, labels = self._batches.pixels(self.epoch, self.step)
        rate = learning_rate(self.config.training, self.epoch, self.step, self.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self._draws:
            torch.manual_seed(stream(self.config.seed, "dropout", self.epoch, self.step).initial_seed())
        self.network.seed_encoding("train", self.epoch, self.step)
        done = self._objective(self._normalise(images), labels, self._taught(images))
        self._optimizer.zero_grad(set_to_none=True)
        done.loss.backward()
        self._loss_S[self.step] = done.loss.detach()
        for name, value in done.terms.items():
            self._terms_S.setdefault(name, torch.zeros_like(self._loss_S))[self.step] = value.detach()
        self._hits_S[self.step] = (done.outputs_TNC.detach().mean(0).argmax(1) == labels).sum()
        self._norm_SL[self.step] = self._norms.read()
        if self._device.type == "cpu" or (self.step + 1) % LOOK_EVERY == 0:
            self._look(upto=self.step + 1)
        self._optimizer.step()
        spent = time.monotonic() - begun
        self.train_steps_s += spent
        self.images_trained += len(labels)
        self._pace.trained(len(labels), spent)

    @torch.no_grad()
    def _taught(self, images: Tensor) -> Tensor | None:
        """The teacher's outputs, [N, C], for the very pictures that the network sees."""
        return None if self._teacher is None else self._teacher(self._teacher_normalise(images))[0]

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
        with torch.inference_mode(), firing.watch():
            for step, (x, labels) in enumerate(evaluation_batches(part, self._normalise, size), start=1):
                begun = time.monotonic()
                outputs_TNC = self.network(x)
                total += cross_entropy_of_mean(outputs_TNC, labels).double() * len(labels)
                hits += (outputs_TNC.mean(0).argmax(1) == labels).sum()
                self._pace.evaluated(len(labels), time.monotonic() - begun)
                recent = self._recent_loss if self.step else None
                self._pace.report("validating", epoch=self.epoch, step=step, steps=steps, loss=recent)
                if self._should_stop():
                    self._epoch_wall_s = time.monotonic() - started
                    self._stop()
        loss = float(total) / len(part)
        if not torch.isfinite(torch.tensor(loss)):
            raise NonFiniteLoss(epoch=self.epoch, step=self.steps, loss=str(loss), term="validation")
        return loss, int(hits) / len(part), firing.read()

    def _end_epoch(self, loss: float, accuracy: float, firing_rate: float | None, *, wall_s: float) -> None:
        """Write the epoch into the columns, keep the weights if they are the best, go to the next."""
        sizes = torch.tensor([self._batches.size(step) for step in range(self.steps)], dtype=torch.float64)
        is_best = accuracy > self.best_accuracy
        done = EpochDone(
            epoch=self.epoch,
            lr=mean_rate(self.config.training, self.epoch, self.steps),
            train_loss=float((self._loss_S.cpu().double() * sizes).sum() / sizes.sum()),
            train_accuracy=int(self._hits_S.sum()) / len(self.splits.train),
            validation_loss=loss,
            validation_accuracy=accuracy,
            firing_rate=firing_rate,
            wall_s=wall_s,
            is_best=is_best,
        )
        for name in Metrics.model_fields:
            getattr(self.metrics, name).append(getattr(done, name))
        self.gradients.epochs.append(self.epoch)
        self.gradients.norm.append(self._norm_SL.cpu().double().mean(0).tolist())
        if is_best:
            self.best_epoch, self.best_accuracy = self.epoch, accuracy
            self._keep_best()
        self.train_wall_s += wall_s
        self.epoch, self.step, self._epoch_wall_s = self.epoch + 1, 0, 0.0
        self._clear_epoch()
        log.info("epoch.finished", extra={"epoch": done.epoch, "validation_accuracy": accuracy})
        self._emit(done)  # before the checkpoint: a repeated event is harmless, a lost one is not
        self.save()

    def _keep_best(self) -> None:
        self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def _stop(self) -> None:
        self._look()
        self.save()
        raise Interrupted(epoch=self.epoch, step=self.step)

    def save(self) -> None:
        """Write a checkpoint, unless the gradients have left the finite already."""
        if self.step and not bool(torch.isfinite(self._norm_SL[: self.step]).all()):
            return
        tensors = {f"model.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for i, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": value for name, value in moments.items()}
        tensors |= {"epoch.loss": self._loss_S, "epoch.hits": self._hits_S, "epoch.norm": self._norm_SL}
        state = {name: getattr(self, name) for name in _STATE}
        state |= {"metrics": self.metrics.model_dump(), "gradients": self.gradients.model_dump()}
        state["diagnostics"] = self.probe.diagnostics.model_dump()
        state["data"] = self.splits.data
        save_checkpoint(self._folder, tensors, state)
        self._saved_at = time.monotonic()
        log.info("checkpoint.saved", extra={"epoch": self.epoch, "step": self.step})

    def restore(self) -> bool:
        """Go to where the checkpoint stands; False where there is none of these images. Raises BundleCorrupt."""
        loaded = load_checkpoint(self._folder, self._device)
        if loaded is None:
            return False
        tensors, state = loaded
        if state.get("data", self.splits.data) != self.splits.data:
            log.warning("checkpoint.of_other_images", extra={"config_hash": self.config.config_hash})
            return False

        def under(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        self.network.load_state_dict(under("model."))
        self.best = under("best.")
        moments: dict[int, dict[str, Any]] = {}
        for name, value in under("adam.").items():
            i, _, key = name.partition(".")
            moments.setdefault(int(i), {})[key] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._loss_S, self._hits_S, self._norm_SL = (tensors[f"epoch.{name}"] for name in ("loss", "hits", "norm"))
        for name in _STATE:
            setattr(self, name, state[name])
        self.metrics = Metrics.model_validate(state["metrics"])
        self.gradients = Gradients.model_validate(state["gradients"])
        if "diagnostics" in state:  # not in a checkpoint from before they were measured
            self.probe.diagnostics = Diagnostics.model_validate(state["diagnostics"])
        self._looked = self.step
        return True


def optimizer(network: Network, training: TrainingConfig) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019), which decays convolution weights only.

    A bias, a normalisation's scale and a neuron's time constant do not grow with depth, and decay would pull them
    from their meaning. Adam's L2 term touches everything, as in torch.
    """
    if training.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), lr=training.lr, weight_decay=training.weight_decay, fused=True)
    weights = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=training.lr, weight_decay=training.weight_decay, fused=True)


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
