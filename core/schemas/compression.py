"""Which weights of a network are kept, and with how many bits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from core.schemas.base import Frozen, Spoken

MOST_BITS = 8
#: Of the first and the last convolution where others are quantised and nothing else is said: LitE-SNN's choice.
BITS_OF_ENDS = 4


class CompressionConfig(Frozen):
    """Pruned weights of few bits, after LitE-SNN (Liu et al., IJCAI 2024, arXiv:2401.14652): A * Q_b(W) for W.

    A keeps the share `keep` of each convolution's weights, those with the largest |S|: `learned` scores S start at W,
    scaled, and get the gradient of A straight through; with `magnitude` S is W itself. Q_b has 2^b levels, none of them 0
    (`core.compression`); 0 bits stand for float32. Biases, normalisations and neurons stay as they are. The spiking network
    and its CNN twin have the same.
    """

    keep: float = Field(default=1.0, gt=0.0, le=1.0, description="share of each convolution's weights that is kept")
    bits: Spoken = Field(default=0, ge=0, le=MOST_BITS, description="of a weight; 0: float32")
    block_bits: str = Field(
        default="", max_length=2048, description="of a block's weights where they differ, as F4:2,F6:1; 0: float32"
    )
    ends_bits: Spoken | None = Field(
        default=None,
        ge=0,
        le=MOST_BITS,
        description="of the first and the last convolution; null: 4 where others are quantised, else float32",
    )
    scores: Literal["learned", "magnitude"] = Field(default="learned", description="what says which weights are kept")

    @field_validator("block_bits")
    @classmethod
    def _read(cls, text: str) -> str:
        return written(bits_by_block(text))

    @property
    def is_on(self) -> bool:
        """Whether any weight is pruned or quantised."""
        return self.keep < 1 or self.quantises

    @property
    def quantises(self) -> bool:
        return bool(self.bits or self.ends_bits or any(self.by_block.values()))

    @property
    def by_block(self) -> dict[str, int]:
        """Bits by the name of the block, of those that differ."""
        return bits_by_block(self.block_bits)

    @property
    def bits_of_ends(self) -> int:
        """Of the first and the last convolution."""
        if self.ends_bits is not None:
            return self.ends_bits
        return BITS_OF_ENDS if self.bits or any(self.by_block.values()) else 0


class Size(Frozen):
    """A network's weights in three readings, in whole bytes, and the rest.

    rest: biases, normalisations and what neurons learn, float32: in none of the three.
    """

    weights: int = Field(description="of all convolutions, without biases")
    kept: int = Field(description="of them that are not pruned")
    kept_bytes: int = Field(description="the bits of the kept ones alone, as LitE-SNN prints a model's size")
    bitmap_bytes: int = Field(description="and a bit for every place, where anything is pruned")
    entropy_bytes: int = Field(description="and the places at the entropy bound")
    rest_bytes: int


def bits_by_block(text: str) -> dict[str, int]:
    """`F4:2,F6:1` by block. Raises ValueError, in words that follow "it must be ..."."""
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        block, colon, bits = (piece.strip() for piece in part.rpartition(":"))
        if not (block and colon and bits.isdecimal() and int(bits) <= MOST_BITS):
            raise ValueError(f"blocks with bits from 0 to {MOST_BITS}, such as F4:2,F6:1")
        if block in found:
            raise ValueError(f"a list that names {block} once")
        found[block] = int(bits)
    return found


def written(bits: dict[str, int]) -> str:
    """The inverse of `bits_by_block`."""
    return ",".join(f"{block}:{n}" for block, n in bits.items())


#: Every weight kept, as float32.
AS_TRAINED = CompressionConfig()
