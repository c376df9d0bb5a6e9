"""What a storm consists of, decided before it begins: the same seed gives the same faults and the same runs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count

from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.run import Kind, RunConfig


class Hit(StrEnum):
    """What a fault does."""

    TRAINER = "kill -9 of a trainer"
    WORKER = "kill -9 of a worker"
    API = "kill -9 of the API"
    BROKER = "kill -9 of the broker"
    UP = "kill -9 of `spikefront up`"
    CUT = "every database connection cut"
    LOCK = "the database locked"
    STALL = "a worker stopped past its lease"
    DISK = "the disk full"
    DOUBLE = "messages delivered twice"
    CLOCK = "a worker's clock set"


#: How often each comes, relative to the others. Those that start processes anew are the dear ones.
WEIGHTS = {
    Hit.TRAINER: 6,
    Hit.WORKER: 3,
    Hit.API: 3,
    Hit.BROKER: 10,
    Hit.UP: 1,
    Hit.CUT: 20,
    Hit.LOCK: 12,
    Hit.STALL: 3,
    Hit.DISK: 10,
    Hit.DOUBLE: 16,
    Hit.CLOCK: 16,
}
CLOCKS_S = (-7200, -40, 40, 3600)
SEVERAL = 0.15  # share of faults that come at the same moment as the one before


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`pick` in [0, 1) says which one, where there are several to hit; `hold_s` is for those that last."""

    number: int
    hit: Hit
    after_s: float  # since the one before; 0 is at the same moment
    pick: float
    hold_s: float
    whole: bool  # a worker is stopped together with its trainers
    clock_s: int


def faults(n: int, *, seed: int, hits: Sequence[Hit], every_s: float, lease_s: float) -> list[Fault]:
    """`n` of them. Each kind comes once before any comes again, so that a short storm has all."""
    draw = random.Random(seed)
    order = draw.sample(hits, len(hits))
    order += draw.choices(hits, [WEIGHTS[hit] for hit in hits], k=max(0, n - len(order)))
    found = []
    for number, hit in enumerate(order[:n], 1):
        together = number > 1 and draw.random() < SEVERAL
        found.append(
            Fault(
                number=number,
                hit=hit,
                after_s=0.0 if together else draw.expovariate(1 / every_s),
                pick=draw.random(),
                hold_s=2.5 * lease_s if hit is Hit.STALL else draw.uniform(2.0, 6.0),
                whole=draw.random() < 0.5,
                clock_s=draw.choice(CLOCKS_S),
            )
        )
    return found


class Wish(StrEnum):
    """How a run is meant to end."""

    END = "to succeed"
    CANCEL = "to be cancelled"
    POISON = "to kill every trainer it gets"
    MEMORY = "to run out of memory"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A run to ask for. `pick` in [0, 1): how late a cancel comes."""

    number: int
    kind: Kind
    seed: int
    epochs: int
    wish: Wish
    pick: float

    @property
    def request(self) -> RunRequest:
        overrides = {"training.max_epochs": self.epochs, "training.train_limit": 64, "training.validation_share": 0.01}
        return RunRequest(kind=self.kind, mask="F9", recipe="smoke", seed=self.seed, overrides=overrides)

    @property
    def config(self) -> RunConfig:
        return build_config(self.request)

    @property
    def name(self) -> str:
        """Of all orders of the same config."""
        return f"{self.kind}-{self.seed}-{self.epochs}"


WISHES = (Wish.END,) * 11 + (Wish.CANCEL,) * 3 + (Wish.POISON, Wish.MEMORY)
SEEDS = {0: 1, 1: 2, 2: 3, 3: 6}  # seed -> epochs
ENDLESS = 400  # epochs of a run that is meant not to reach its end


def orders(seed: int, *, seeds: Mapping[int, int] = SEEDS) -> Iterator[Order]:
    """Without end: both kinds in turn, each wish once before any comes again. `seeds` are a run's, with its epochs."""
    draw = random.Random(seed + 1)
    for number in count(1):
        wish = tuple(Wish)[number - 1] if number <= len(Wish) else draw.choice(WISHES)
        weights = draw.choice(list(seeds))
        order = Order(
            number=number,
            kind=(Kind.SNN, Kind.CNN)[number % 2],
            seed=weights,
            epochs=seeds[weights],
            wish=wish,
            pick=draw.random(),
        )
        yield replace(order, epochs=ENDLESS) if wish in (Wish.POISON, Wish.MEMORY) else order


def distinct(seeds: Mapping[int, int] = SEEDS) -> list[Order]:
    """One order of each config that may succeed."""
    return [
        Order(number=0, kind=kind, seed=seed, epochs=epochs, wish=Wish.END, pick=0.0)
        for kind in (Kind.SNN, Kind.CNN)
        for seed, epochs in seeds.items()
    ]
