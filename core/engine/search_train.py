"""The training loop of a search: weights on one part of the training images, the architecture on another, step by step.

    weights         the config's objective, its cross-entropy weighed over the prefixes by q where T is searched
    architecture    L = sum_t q_t CE_t + size + Bit-SynOps, by beta, psi and alpha alone

A term of cost is its coefficient times the expected cost over p and q, sum_t q_t of the steps up to t; or, with a budget,
a price times max(0, cost / budget - 1). The price starts at 1 and doubles after every epoch whose expected cost is beyond the
budget. Firing rates pass no gradient. Adam (decay 1e-3) moves beta and alpha, SGD (momentum 0.9, its rate falling to 0.001 by a
cosine) psi, which rests while all steps weigh the same. As in LitE-SNN's released code, but for the images: that draws the same
ones for both (`search.as_released`), and for budgets, which it has not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.backbones.litesnn import decoded_cell
from core.backbones.plan import SYNAPTIC, Node
from core.datasets.splits import stratified
from core.engine.average import statistics_images, take_statistics
from core.engine.checkpoint import below
from core.engine.data import Batch, Images, Splits, TrainBatches
from core.engine.losses import cross_entropy_of_mean, cross_entropy_of_prefixes
from core.engine.network import Network, observe, own_encoding
from core.engine.optimizers import eager, moments_of, take_moments
from core.engine.train import Learnt, Trainer
from core.errors import BadValue
from core.schemas.compression import bits_by_block
from core.schemas.results import EpochDone
from core.schemas.run import RunConfig
from core.schemas.search import SearchEpoch, SearchFound
from core.search_costs import BITS_OF_KB, Costs, costs_of, decode

DECAY, MOMENTUM, LAST_STEPS_LR = 1e-3, 0.9, 1e-3  # LitE-SNN's
SIZE, BIT_SYNOPS = "size", "bit_synops"  # terms of the loss that may have a budget


def parts(train: Images, config: RunConfig) -> tuple[Images, Images]:
    """The training images cut by search.held_out, the classes in their shares: for the weights, for the architecture.

    Raises BadValue where a part has less than a batch.
    """
    n, size = len(train), config.training.batch_size
    first = n - config.search.n_held_out(n)
    if min(first, n - first) < size:
        raise BadValue(
            field="search.held_out",
            value=config.search.held_out,
            expected=f"a share that leaves both parts of {n} training images a batch of {size}",
        )
    own, held = stratified(np.arange(n), train.labels.cpu().numpy(), first, config.training.split_seed)

    def part(index: np.ndarray) -> Images:
        at = torch.from_numpy(index).to(train.labels.device)
        return Images(images=train.images[at], labels=train.labels[at], index=train.index[index])

    return part(own), part(held)


@dataclass(kw_only=True)
class Sums:
    """What an epoch has gathered, float64: the architecture's terms, and the rates of convolutions' inputs [L, T]."""

    steps: int
    terms: dict[str, float]
    rates_LT: Tensor


class SearchTrainer(Trainer):
    """A Trainer that searches too. What it has found stands in `network.searched`, epoch by epoch in `found`."""

    def __init__(self, network: Network, config: RunConfig, splits: Splits, **rest: Any) -> None:
        own, held = parts(splits.train, config)
        self._search, self._searched = config.search, network.searched
        self._costs = costs_of(network.plan, config)
        self._in_torch = _Costs(self._costs)
        self._convolutions = [node for node in network.plan.nodes if node.op in SYNAPTIC]
        self.epochs: list[SearchEpoch] = []
        self._now: SearchEpoch | None = None
        self._prices = dict.fromkeys((SIZE, BIT_SYNOPS), 1.0)
        self._steps_searched = config.steps
        super().__init__(network, config, replace(splits, train=own), **rest)
        self._held = TrainBatches(held, config, self._normalise)
        self._n_held = len(held)
        choices = [value for value in (self._searched.betas, self._searched.alphas) if value is not None]
        self._movers: dict[str, torch.optim.Optimizer] = {}
        if choices:
            self._movers["choice"] = eager(torch.optim.Adam)(choices, lr=self._search.choice_lr, weight_decay=DECAY)
        if self._searched.psi is not None:
            self._movers["steps"] = eager(torch.optim.SGD)(
                [self._searched.psi], lr=self._search.steps_lr, momentum=MOMENTUM
            )

    @property
    def found(self) -> SearchFound:
        """The whole course so far: `search.json`."""
        return SearchFound(
            search=self._search,
            n_held_out=0 if self._search.as_released else self._n_held,
            blocks=list(self._costs.blocks),
            time_steps=self.config.steps,
            epochs=self.epochs,
        )

    def epochs_done(self) -> list[EpochDone]:
        pairs = zip(super().epochs_done(), self.epochs, strict=True)
        return [done.model_copy(update={"search": search}) for done, search in pairs]

    def _clear_epoch(self) -> None:
        super()._clear_epoch()
        rates_LT = torch.zeros(len(self._convolutions), self._steps_searched, dtype=torch.float64)
        self._sums = Sums(steps=0, terms={}, rates_LT=rates_LT)

    def _train_epoch(self, started: float) -> None:
        super()._train_epoch(started)
        self._decode()  # now: the epoch is validated as what it would become

    @contextmanager
    def _weights_to_keep(self, started: float) -> Iterator[None]:
        """The decoded network: other bits and edges give other statistics than the mixture that was trained."""
        self._own = {name: value.clone() for name, value in self.network.state_dict().items()}  # for a stop meanwhile
        try:
            with self._searched.decided():
                images, size = statistics_images(self.splits.train), self.config.training.batch_size
                take_statistics(self.network, images, self._normalise, size, lambda: self._look_up(started))
        finally:
            self._own = None
        yield

    def _learn(self, drawn: Tensor) -> Learnt:
        self._teach_architecture(drawn)
        return super()._learn(drawn)

    def _teach_architecture(self, drawn: Tensor) -> None:
        """One step of beta, psi and alpha; weights and scores stay."""
        batch = self._architecture_batch(drawn)
        rates = _Rates(self.network)
        with own_encoding(self.network, "search", self.epoch, self.step), rates.watch():
            outputs_TNC = self.network(self._normalise(batch.images))
        rates_LT = rates.read(self._convolutions)
        terms = self._terms(outputs_TNC, batch.labels, rates_LT.to(outputs_TNC.device))
        movers = (
            self._movers if self.epoch > self._even_epochs else {k: v for k, v in self._movers.items() if k == "choice"}
        )
        moved = [value for mover in movers.values() for group in mover.param_groups for value in group["params"]]
        if moved:
            gradients = torch.autograd.grad(sum(terms.values()), moved, allow_unused=True)
            for value, gradient in zip(moved, gradients, strict=True):
                value.grad = gradient
            self._set_steps_rate()
            for mover in movers.values():
                mover.step()
        self._sums.steps += 1
        self._sums.rates_LT += rates_LT
        for name, value in terms.items():
            self._sums.terms[name] = self._sums.terms.get(name, 0.0) + float(value.detach())

    def _architecture_batch(self, drawn: Tensor) -> Batch:
        if self._search.as_released:
            return self._batches.made_of(drawn)
        # a part of another size has other steps, which begin anew with each epoch
        return self._held.made_of(self._held.draw(self.epoch, self.step % self._held.steps).to(drawn.device))

    @property
    def _even_epochs(self) -> int:
        return math.floor(self._search.even_share * self.config.training.max_epochs)

    def _set_steps_rate(self) -> None:
        if (mover := self._movers.get("steps")) is None:
            return
        last = min(LAST_STEPS_LR, self._search.steps_lr)
        share = (self.epoch - 1) / self.config.training.max_epochs
        rate = last + (self._search.steps_lr - last) * (1 + math.cos(math.pi * share)) / 2
        for group in mover.param_groups:
            group["lr"] = rate

    def _terms(self, outputs_TNC: Tensor, labels_N: Tensor, rates_LT: Tensor) -> dict[str, Tensor]:
        smoothing, q_T, p_BC = self.config.training.label_smoothing, self._searched.steps(), self._searched.bits()
        if q_T is None:
            terms = {"cross_entropy": cross_entropy_of_mean(outputs_TNC, labels_N, smoothing)}
        else:
            terms = {"cross_entropy": q_T @ cross_entropy_of_prefixes(outputs_TNC, labels_N, smoothing)}
        if self._search.cell:
            return terms
        size, synops = self._in_torch.expected(p_BC, q_T, rates_LT)
        search = self._search
        if p_BC is not None:
            budget = None if search.size_kb is None else BITS_OF_KB * search.size_kb
            terms[SIZE] = self._weighed(SIZE, size, budget, search.size_weight)
        budget = None if search.bit_synops_m is None else 1e6 * search.bit_synops_m
        terms[BIT_SYNOPS] = self._weighed(BIT_SYNOPS, synops, budget, search.bit_synops_weight)
        return terms

    def _weighed(self, name: str, cost: Tensor, budget: float | None, coefficient: float) -> Tensor:
        weighed = coefficient * cost if budget is None else self._prices[name] * (cost / budget - 1).clamp(min=0)
        return weighed.float()

    @torch.no_grad()
    def _decode(self) -> None:
        """Decode what would be found now, and let the network compute with it in evaluation."""
        searched, sums = self._searched, self._sums
        rates_LT = (sums.rates_LT / sums.steps).numpy()
        p_BC = np.zeros((0, len(self._costs.candidates))) if searched.betas is None else _array(searched.bits())
        q_T = None if searched.psi is None else _array(searched.steps())
        decoded = decode(self._costs, self._search, rates_LT=rates_LT, p_BC=p_BC, q_T=q_T)
        edges = [] if searched.alphas is None else _array(searched.edges()).tolist()
        if edges:
            cell, wired = decoded_cell(edges)
            decoded = decoded.model_copy(update={"cell": cell})
            searched.wired.copy_(torch.tensor(wired))
        if searched.betas is not None:
            bits = bits_by_block(decoded.block_bits)
            searched.chosen.copy_(torch.tensor([bits[block] for block in searched.blocks]))
        self._now = SearchEpoch(
            epoch=self.epoch,
            steps=[] if q_T is None else q_T.tolist(),
            bits=p_BC.tolist(),
            edges=edges,
            terms={name: value / sums.steps for name, value in sums.terms.items()},
            decoded=decoded,
        )

    def _end_search_epoch(self) -> SearchEpoch | None:
        self.epochs.append(self._now)
        with torch.no_grad():
            mean = (self._sums.rates_LT / self._sums.steps).to(self._device)
            expected = self._in_torch.expected(self._searched.bits(), self._searched.steps(), mean)
        budgets = self._search.size_kb, self._search.bit_synops_m
        units = BITS_OF_KB, 1e6
        for name, cost, budget, unit in zip((SIZE, BIT_SYNOPS), expected, budgets, units, strict=True):
            if budget is not None and float(cost) > unit * budget:
                self._prices[name] *= 2
        return self._now

    def _saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {"search.rates": self._sums.rates_LT}
        for kind, mover in self._movers.items():
            tensors |= {f"search.{kind}.{name}": value for name, value in moments_of(mover).items()}
        state = {
            "epochs": [epoch.model_dump(mode="json") for epoch in self.epochs],
            "prices": self._prices,
            "steps": self._sums.steps,
            "terms": self._sums.terms,
        }
        return tensors, {"search": state}

    def _adopt(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        super()._adopt(tensors, state)
        mine = state["search"]
        self.epochs = [SearchEpoch.model_validate(epoch) for epoch in mine["epochs"]]
        self._prices = dict(mine["prices"])
        self._sums = Sums(steps=mine["steps"], terms=dict(mine["terms"]), rates_LT=tensors["search.rates"].cpu())
        for kind, mover in self._movers.items():
            take_moments(mover, below(tensors, f"search.{kind}."))


class _Costs:
    """`core.search_costs.Costs` as differentiable expectations."""

    def __init__(self, costs: Costs) -> None:
        self._fixed_bits = costs.fixed_bits
        arrays = (costs.kept_B, costs.fixed_L, costs.ops_BL, np.array(costs.candidates, dtype=np.float64))
        self._held = tuple(map(torch.from_numpy, arrays))

    def expected(self, p_BC: Tensor | None, q_T: Tensor | None, rates_LT: Tensor) -> tuple[Tensor, Tensor]:
        """Expected bits of the weights and Bit-SynOps of an image, [] float64 each."""
        kept_B, fixed_L, ops_BL, candidates = (value.to(rates_LT.device) for value in self._held)
        bits_B = kept_B if p_BC is None else p_BC.double() @ candidates  # without blocks both are empty
        synops_T = ((fixed_L + bits_B @ ops_BL) @ rates_LT).cumsum(0)
        size = self._fixed_bits + kept_B @ bits_B
        return size, synops_T[-1] if q_T is None else q_T.double() @ synops_T


class _Rates:
    """The share of each convolution's input that is not 0, at every step of the forward passes that it watches."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._rates: dict[str, tuple[Tensor, bool]] = {}
        self._nodes = {node.name: node for node in network.plan.nodes}

    def watch(self) -> AbstractContextManager[None]:
        return observe(self._network, self._see)

    def _see(self, node: Node, inputs: tuple[Tensor, ...], output: Tensor | None) -> None:
        if node.op not in SYNAPTIC:
            return
        source, x = self._nodes[node.inputs[0]], inputs[0].detach()
        once = self._network.is_constant(source)
        x_TM = x.reshape(1 if once else self._network.steps, -1)
        rate_T = x_TM.mean(1) if source.spikes else x_TM.ne(0).float().mean(1)
        self._rates[node.name] = (rate_T, once)

    def read(self, convolutions: list[Node]) -> Tensor:
        """[L, T] float64; what is the same at every step counts at the first alone."""
        rates_LT = torch.zeros(len(convolutions), self._network.steps, dtype=torch.float64)
        for at, node in enumerate(convolutions):
            rate_T, once = self._rates[node.name]
            rates_LT[at, : 1 if once else None] = rate_T.double().cpu()
        return rates_LT


def _array(value: Tensor) -> np.ndarray:
    return value.detach().double().cpu().numpy()
