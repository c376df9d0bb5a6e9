"""What a network searches for: bits of its blocks, time steps, edges of its cell; as parameters beside its weights.

LitE-SNN (Liu et al., IJCAI 2024, arXiv:2401.14652), its mixture from EdMIPS (Cai and Vasconcelos, CVPR 2020,
arXiv:2004.05795), its edges from DARTS (Liu et al., ICLR 2019, arXiv:1806.09055):

    kernel      A * sum_b p_b Q_b(W),  p = softmax(beta) of the block, one W and one std for all b
    time steps  q = softmax(psi);  L = sum_t q_t CE(mean of the outputs of steps 1..t, y)
    edges       a node's current is the sum of 2 w_e times its edges' currents, w = softmax(alpha) of the node, alpha shared by all
                cells: a decoded node has two edges of weight 1

In evaluation the network computes with what was last decoded: single bits, two edges of weight 1, and statistics of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from core.backbones.litesnn import EDGES, edges_of_nodes
from core.backbones.plan import Node
from core.engine.compress import CompressedConv, Quantise
from core.schemas.compression import CompressionConfig
from core.schemas.run import RunConfig
from core.search_costs import searched_blocks


class Searched(nn.Module):
    """The parameters of a search, all starting at 0, where every choice is as probable, and what was last decoded.

    betas [B, C], psi [T], alphas [edges]; chosen [B] int64 bits, wired [edges] bool. What is not searched is None.
    """

    betas: nn.Parameter | None
    psi: nn.Parameter | None
    alphas: nn.Parameter | None

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        search, blocks = config.seeks, searched_blocks(config)
        self.candidates, self.blocks, self._is_decided = search.candidates, blocks, False
        self.betas = nn.Parameter(torch.zeros(len(blocks), len(search.candidates))) if search.bits else None
        self.psi = nn.Parameter(torch.zeros(config.time_steps)) if search.steps else None
        self.alphas = nn.Parameter(torch.zeros(EDGES)) if search.cell else None
        if search.bits:
            self.register_buffer("chosen", torch.full((len(blocks),), max(search.candidates)))
        if search.cell:
            self.register_buffer("wired", torch.ones(EDGES, dtype=torch.bool))

    def bits(self) -> Tensor | None:
        """p, [B, C]."""
        return None if self.betas is None else self.betas.softmax(1)

    def steps(self) -> Tensor | None:
        """q, [T]."""
        return None if self.psi is None else self.psi.softmax(0)

    def edges(self) -> Tensor | None:
        """w, [edges]: in sum 1 a node."""
        if self.alphas is None:
            return None
        return torch.cat([self.alphas[own[0] : own[-1] + 1].softmax(0) for own in edges_of_nodes()])

    @property
    def mixes(self) -> bool:
        """Whether the network computes with all choices at once, and not with what was decoded."""
        return self.training and not self._is_decided

    @contextmanager
    def decided(self) -> Iterator[None]:
        """Let a network in training compute with what was decoded, for the statistics of its normalisations."""
        self._is_decided = True
        try:
            yield
        finally:
            self._is_decided = False

    def scale(self, edge: int) -> Tensor:
        """[]: what multiplies the current of an edge."""
        if self.mixes:
            return 2 * self.edges()[edge]
        return self.wired[edge].float()


class MixedConv(CompressedConv):
    """A convolution whose bits are searched: in training it computes with a mixture of all, else with the chosen ones."""

    def __init__(self, node: Node, compression: CompressionConfig, searched: Searched, block: str) -> None:
        super().__init__(node, compression, max(searched.candidates))
        self._choice = (searched, searched.blocks.index(block))  # in a tuple: it is no part of this layer's state

    def _state(self) -> Sequence[Tensor | None]:
        searched, _ = self._choice
        return (*super()._state(), searched.betas, searched.chosen)

    def _effective(self) -> Tensor:
        searched, at = self._choice
        if searched.mixes:
            share = searched.bits()[at]
            mixed = sum(share[i] * Quantise.apply(self.weight, b) for i, b in enumerate(searched.candidates))
        else:
            mixed = Quantise.apply(self.weight, int(searched.chosen[at]))
        return self._pruned(mixed)
