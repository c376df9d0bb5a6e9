"""The network that LitE-SNN's released code searches in, by arithmetic: its convolutions, their weights and their places.

`models/snndarts_search` of github.com/Jaggie-Yan/Lite-SNN at a3a5163. Every edge of every cell holds both operations at once, weighed;
the names here are those of that code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from core.backbones.litesnn import HALVINGS, edges_of

NODES, FILTERS = 4, 12
KERNEL = 3
BITS = (1, 2, 4)
KEEP = Fraction(1, 5)


@dataclass(frozen=True, kw_only=True)
class MixedEdge:
    """One edge's convolutions of C_in to C_out channels, all over a map of side x side outputs."""

    c_in: int
    c_out: int
    side: int
    convolutions: int  # 2; 1 where skip_connect is the identity

    @property
    def weights(self) -> int:
        return self.convolutions * KERNEL**2 * self.c_in * self.c_out


def mixed_edges(side: int) -> Iterator[MixedEdge]:
    """All edges with weights, for images of `side` x `side`. The first cell has no cell two before it."""
    levels = list(HALVINGS.values())
    widths = [FILTERS, FILTERS, *(FILTERS << level for level in levels)]  # before the cells stands the stem, twice
    for cell, level in enumerate(levels):
        earlier, before = (NODES * width for width in widths[cell : cell + 2])
        c_out = FILTERS << level
        for node in range(NODES):
            sources = [0 if cell == 0 else earlier, before, *[c_out] * node]
            for place, c_in in enumerate(sources):
                if c_in:
                    yield MixedEdge(c_in=c_in, c_out=c_out, side=side >> level, convolutions=2 if place < 2 else 1)


def edge_rows(nodes: int) -> int:
    """Rows of alpha, one an edge: 2 + i for node i."""
    return sum(len(edges_of(node)) for node in range(nodes))


def bits_at_start() -> Fraction:
    """Of a weight while all widths weigh the same."""
    return Fraction(sum(BITS), len(BITS))


def size_bits(side: int) -> Fraction:
    """k times the bits of all weights, at the start."""
    return KEEP * bits_at_start() * sum(edge.weights for edge in mixed_edges(side))


def most_bit_synops(side: int) -> Fraction:
    """Of one image and step if every neuron fires, at the start: an edge's two operations weigh a half each."""
    places = sum(Fraction(edge.weights * edge.side**2, 2) for edge in mixed_edges(side))
    return KEEP * bits_at_start() * places
