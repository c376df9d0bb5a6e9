"""What a choice of bits and time steps costs, by arithmetic, and the best choice that keeps a budget. No torch.

    size(b)         = fixed + sum over blocks of kept_B b_B                                bits
    bit_synops(b,T) = sum over s <= T of sum over layers of k P H W r_s b                  Bit-SynOps an image

Operations are LitE-SNN's (Liu et al., IJCAI 2024, arXiv:2401.14652): P weights of which the share k is kept, H x W outputs, r_s
the share of the input that is not 0 at step s. What is the same at every step is computed once, so charged at step 1 alone.

Shapes: L convolutions, B blocks whose bits are searched, C candidates, T time steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.backbones.plan import SYNAPTIC, Plan
from core.compression import FLOAT_BITS, LayerSize, bits_of, plan_layers
from core.errors import BadValue
from core.schemas.compression import CompressionConfig, written
from core.schemas.run import RunConfig
from core.schemas.search import BudgetFound, Decoded, SearchConfig

#: Prices of a whole budget that are tried when choices are weighed against it, in logarithms of probability.
PRICES = np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 361)])
#: What the whole of a budget is worth, in the same: what is left of it is spent on bits, unless fewer are clearly more probable.
SPENDING = 3.0
BITS_OF_KB = 8000
IMPOSSIBLE = 1e-30  # probabilities below it are taken for it: its logarithm is finite


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of one network, before anything is measured. layers: names of the convolutions, in the order of L.

    fixed_bits: of all sizes, what does not follow from the choice; kept_B: weights; once_L: whether its input is the same
    at every step; fixed_L and ops_BL: Bit-SynOps and operations of a step at rate 1, each layer in one of the two.
    """

    candidates: tuple[int, ...]
    blocks: tuple[str, ...]
    layers: tuple[str, ...]
    once_L: np.ndarray
    fixed_bits: float
    kept_B: np.ndarray
    fixed_L: np.ndarray
    ops_BL: np.ndarray

    def size_kb(self, bits_B: np.ndarray) -> float:
        return (self.fixed_bits + float(self.kept_B @ bits_B)) / BITS_OF_KB

    def bit_synops(self, bits_B: np.ndarray, rates_LT: np.ndarray) -> np.ndarray:
        """[T]: of a network that stops after 1, 2, .. steps."""
        return np.cumsum((self.fixed_L + bits_B @ self.ops_BL) @ rates_LT)


def with_bits(config: RunConfig, block_bits: str) -> CompressionConfig:
    """The config's compression where its blocks have these bits."""
    return config.compression.model_copy(update={"block_bits": block_bits})


def searched_blocks(config: RunConfig) -> tuple[str, ...]:
    """The blocks whose bits are searched, in network order."""
    return config.mask if config.seeks.bits else ()


def compression_in_search(config: RunConfig) -> CompressionConfig:
    """The compression of a network that searches, its blocks at the most bits that they may get."""
    return with_bits(config, written(dict.fromkeys(searched_blocks(config), max(config.search.candidates))))


def searched_layers(plan: Plan, config: RunConfig) -> dict[str, str]:
    """Convolution -> block, of those whose bits are searched: all of such a block but the network's first and last."""
    blocks, convolutions = searched_blocks(config), [node for node in plan.nodes if node.op in SYNAPTIC]
    return {
        node.name: node.block
        for node in convolutions[:-1]
        if node.block in blocks and node.inputs != ("input",) and node.block is not None
    }


def costs_of(plan: Plan, config: RunConfig) -> Costs:
    """Of the network that a config searches."""
    compression, blocks = compression_in_search(config), searched_blocks(config)
    bits, searched = bits_of(plan, compression), searched_layers(plan, config)
    nodes = {node.name: node for node in plan.nodes}
    sizes = plan_layers(plan, compression)
    fixed_bits, kept_B = sum(_places(size, config.search) for size in sizes), np.zeros(len(blocks))
    fixed_L, ops_BL = np.zeros(len(sizes)), np.zeros((len(blocks), len(sizes)))
    for at, size in enumerate(sizes):
        ops = nodes[size.name].dense_ops * size.kept / size.weights
        if size.name in searched:
            kept_B[blocks.index(searched[size.name])] += size.kept
            ops_BL[blocks.index(searched[size.name]), at] = ops
        else:
            fixed_bits += size.kept_bits
            fixed_L[at] = ops * (bits[size.name] or FLOAT_BITS)
    return Costs(
        candidates=config.search.candidates,
        blocks=blocks,
        layers=tuple(size.name for size in sizes),
        once_L=np.array([nodes[nodes[size.name].inputs[0]].constant for size in sizes]),
        fixed_bits=float(fixed_bits),
        kept_B=kept_B,
        fixed_L=fixed_L,
        ops_BL=ops_BL,
    )


def _places(size: LayerSize, search: SearchConfig) -> float:
    """Bits that say where the kept weights are, as search.size_as reads a size: the same whatever their bits."""
    reading = {"kept": size.kept_bits, "bitmap": size.bitmap_bits, "entropy": size.entropy_bits}[search.size_as]
    return reading - size.kept_bits


def require_possible(plan: Plan, config: RunConfig) -> None:
    """Raise BadValue for a budget below the smallest network that the search can find."""
    search = config.seeks
    if (search.bits or search.cell) and not config.mask:
        expected = "steps where no block is kept, whose bits or cells could be searched"
        raise BadValue(field="search.what", value=search.what, expected=expected)
    if search.size_kb is None:
        return
    costs = costs_of(plan, config)
    least = costs.size_kb(np.full(len(costs.blocks), min(search.candidates)))
    if search.size_kb < least:
        raise BadValue(
            field="search.size_kb",
            value=search.size_kb,
            expected=f"at least {math.ceil(1000 * least) / 1000:g}, the kB of the smallest network of this search: "
            f"{min(search.candidates)} bits in every block",
        )


def decode(
    costs: Costs, search: SearchConfig, *, rates_LT: np.ndarray, p_BC: np.ndarray, q_T: np.ndarray | None
) -> Decoded:
    """The most probable choice that keeps the budgets; without any each argmax by itself.

    For every T that may be (q_T None: the last alone) the bits maximise sum log p less a price times their costs in
    budgets, at the lowest price that keeps them. What is left is spent: one block after the other gets more bits, the best of all such
    changes first, while its log p falls by less than SPENDING times the budget that it takes. Of these T the greatest log q + sum
    log p. Where no T keeps the budgets, what goes beyond them the least. rates_LT: mean over the epoch; p_BC, q_T: probabilities.
    """
    log_p_BC = np.log(np.maximum(p_BC, IMPOSSIBLE))
    ranked = []
    for t in range(1, rates_LT.shape[1] + 1) if q_T is not None else (rates_LT.shape[1],):
        log_q = 0.0 if q_T is None else math.log(max(float(q_T[t - 1]), IMPOSSIBLE))
        choice = _Choice(costs, search, rates_LT, t)
        at_B = choice.best(log_p_BC)
        rank = (-max(choice.over(at_B), 0.0), log_q + float(log_p_BC[np.arange(len(at_B)), at_B].sum()))
        ranked.append((rank, -t, at_B, choice))
    _, _, at_B, choice = max(ranked, key=lambda one: one[:2])  # of equal ones the shortest
    found = choice.cost_of(at_B)
    bits_B = choice.candidates[at_B]
    return Decoded(
        time_steps=choice.steps,
        block_bits=written({block: int(bits) for block, bits in zip(costs.blocks, bits_B, strict=True)}),
        **found,
        budgets={name: BudgetFound(budget=value, found=found[name]) for name, value in choice.budgets.items()},
    )


class _Choice:
    """The bits of the blocks of a network of so many steps, as the places of candidates, [B]."""

    def __init__(self, costs: Costs, search: SearchConfig, rates_LT: np.ndarray, steps: int) -> None:
        self._costs, self._rates_LT, self.steps = costs, rates_LT, steps
        self.candidates = np.array(costs.candidates)
        self.budgets = {name: getattr(search, name) for name in ("size_kb", "bit_synops_m") if getattr(search, name)}
        self._pull_B = _pull(costs, self.budgets, rates_LT[:, :steps].sum(1))

    def cost_of(self, at_B: np.ndarray) -> dict[str, float]:
        bits_B = self.candidates[at_B]
        synops = float(self._costs.bit_synops(bits_B, self._rates_LT)[self.steps - 1])
        return {"size_kb": self._costs.size_kb(bits_B), "bit_synops_m": synops / 1e6}

    def over(self, at_B: np.ndarray) -> float:
        """How far it is beyond a budget, as a share of it; at most 0 where it keeps all."""
        found = self.cost_of(at_B)
        return max((found[name] / budget - 1 for name, budget in self.budgets.items()), default=0.0)

    def best(self, log_p_BC: np.ndarray) -> np.ndarray:
        at_B = log_p_BC.argmax(1)
        for price in PRICES if self.budgets else ():
            at_B = (log_p_BC - price * self._pull_B[:, None] * self.candidates).argmax(1)
            if self.over(at_B) <= 0:
                return self._spent(at_B, log_p_BC)
        return at_B

    def _spent(self, at_B: np.ndarray, log_p_BC: np.ndarray) -> np.ndarray:
        while True:
            gains = {}
            for block, now in enumerate(at_B):
                for place in range(now + 1, len(self.candidates)):
                    more = self._pull_B[block] * (self.candidates[place] - self.candidates[now])
                    gain = log_p_BC[block, place] - log_p_BC[block, now] + SPENDING * more
                    after = at_B.copy()
                    after[block] = place
                    if gain > 0 and self.over(after) <= 0:
                        gains[gain] = after
            if not gains:
                return at_B
            at_B = gains[max(gains)]


def _pull(costs: Costs, budgets: dict[str, float], rates_L: np.ndarray) -> np.ndarray:
    """[B]: what one bit more of a block costs, in budgets. rates_L: summed over the steps."""
    pull_B = np.zeros(len(costs.blocks))
    if "size_kb" in budgets:
        pull_B += costs.kept_B / (BITS_OF_KB * budgets["size_kb"])
    if "bit_synops_m" in budgets:
        pull_B += costs.ops_BL @ rates_L / (1e6 * budgets["bit_synops_m"])
    return pull_B
