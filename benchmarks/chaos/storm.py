"""Runs are asked for, faults strike, and it is seen how long the installation takes to be well again."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.chaos.hits import Hits, Struck
from benchmarks.chaos.installation import Installation, Seen
from benchmarks.chaos.machine import holders
from benchmarks.chaos.plan import Fault, Hit, Order, Wish
from core.schemas.run import RunState

TICK_S = 0.25
#: Faults that the installation has not got over yet; then the next one waits. Of those that start processes anew fewer.
MOST_OPEN, MOST_DEAR = 8, 3
DEAR = (Hit.TRAINER, Hit.WORKER, Hit.UP, Hit.API, Hit.STALL)
NO_TARGET_S = 90.0  # a fault waits that long for something to hit
RECOVERY_LIMIT_S = 420.0
START_LIMIT_S = 600.0
CALM_LIMIT_S = 600.0  # without any run moving, once the faults are over


@dataclass(kw_only=True)
class Open:
    """A fault that the installation has not got over yet."""

    fault: Fault
    at: float
    struck: Struck
    over: bool = False


@dataclass(kw_only=True)
class Tally:
    """What happened."""

    recovered: dict[Hit, list[float]] = field(default_factory=dict)  # kind -> seconds
    injected: dict[Hit, int] = field(default_factory=dict)
    together: int = 0  # faults that struck while another was not over
    no_target: int = 0
    unrecovered: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    poisoned: int = 0  # trainers of doomed runs that were killed or given no memory
    storm_s: float = 0.0
    wall_s: float = 0.0


class Storm:
    """One thread: each tick keeps the parts alive, asks for runs, strikes, and looks."""

    def __init__(
        self,
        made: Installation,
        *,
        faults: list[Fault],
        orders: Iterator[Order],
        side: int,
        until: float = float("inf"),
        tell: Callable[[int, dict[str, Seen]], None] = lambda _done, _runs: None,
    ) -> None:
        self.made, self.tally = made, Tally()
        self._faults, self._orders, self._side, self._until, self._tell = list(faults), orders, side, until, tell
        self.hits = Hits(made, self._doomed)
        self.wanted: list[Order] = []  # not asked for yet with an answer
        self.asked: dict[str, Order] = {}  # id -> order
        self.cancels: set[str] = set()  # ids whose cancel was answered
        self.runs: dict[str, Seen] = {}
        self._open: list[Open] = []
        self._due: list[tuple[Fault, float]] = []
        self._next_strike = 0.0
        self._starved: set[int] = set()

    # The whole

    def run(self) -> None:
        began = time.monotonic()
        self._await_start()
        self._next_strike = time.monotonic()
        while (self._faults or self._due) and time.monotonic() < self._until:
            self._tick(more=True)
            self._strike()
        self.tally.storm_s = time.monotonic() - began
        self._faults.clear()
        self._calm_down()
        self.tally.wall_s = time.monotonic() - began

    def _await_start(self) -> None:
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until:
            self.made.keep()
            if self.made.ready() and self.made.all_there():
                return
            time.sleep(TICK_S)
        raise RuntimeError(f"the installation did not start\n{self.made.all_logs()[-4000:]}")

    def _calm_down(self) -> None:
        """Every run ends, or none has moved for long: then those are stuck."""
        last, moved_at = None, time.monotonic()
        while True:
            self._tick(more=False)
            left = [run for run in self.runs.values() if not RunState(run.state).is_final]
            now = [run.place for run in left]
            if now != last:
                last, moved_at = now, time.monotonic()
            if not left and not self.wanted and not self._open:
                return
            if time.monotonic() - moved_at > CALM_LIMIT_S:
                self.tally.stuck = [f"{run.id} is {run.state} at {run.place}" for run in left]
                return

    def _tick(self, *, more: bool) -> None:
        time.sleep(TICK_S)
        self.made.keep()
        if (runs := self.made.runs()) is not None:
            self.runs = runs
        self._ask(more=more)
        self._doom()
        self._look()
        self._tell(sum(self.tally.injected.values()), self.runs)

    # Runs

    def _ask(self, *, more: bool) -> None:
        active = [run for run in self.runs.values() if not RunState(run.state).is_final]
        unseen = [run_id for run_id in self.asked if run_id not in self.runs]
        if more and len(active) + len(unseen) + len(self.wanted) < self._side:
            self.wanted.append(next(self._orders))
        for order in list(self.wanted):
            key = {"Idempotency-Key": f"chaos-{order.number}"}
            answer = self.made.ask("POST", "/runs", json=order.request.model_dump(mode="json"), headers=key)
            if answer is None:
                return
            answer.raise_for_status()
            self.asked[answer.json()["id"]] = order
            self.wanted.remove(order)
        for run in active:
            order = self.asked.get(run.id)
            if order is not None and order.wish is Wish.CANCEL and run.id not in self.cancels and _due(order, run):
                answer = self.made.ask("POST", f"/runs/{run.id}/cancel")
                if answer is not None and answer.status_code in (200, 202, 409):
                    self.cancels.add(run.id)

    def _doomed(self, run_id: str) -> bool:
        order = self.asked.get(run_id)
        return order is not None and order.wish in (Wish.POISON, Wish.MEMORY)

    def _doom(self) -> None:
        """What a doomed run does to its trainer: the kernel kills it, or it gets no more memory than it has."""
        doomed = [run for run in self.runs.values() if run.trains and self._doomed(run.id)]
        if not doomed:
            return
        found = holders(self.made.settings.home / "runs")
        for run in doomed:
            pid = found.get(run.id)
            if pid is None or pid in self._starved:
                continue
            self._starved.add(pid)
            self.tally.poisoned += 1
            with suppress(ProcessLookupError):
                if self.asked[run.id].wish is Wish.POISON:
                    self.hits.kill(pid)
                else:
                    with open(f"/proc/{pid}/statm") as file:
                        now = int(file.read().split()[0]) * resource.getpagesize()
                    resource.prlimit(pid, resource.RLIMIT_AS, (now, now))

    # Faults

    def _strike(self) -> None:
        """What is due, and what was due and found nothing to hit; others do not wait for that."""
        now = time.monotonic()
        while self._faults and now >= self._next_strike and len(self._due) < MOST_OPEN:
            self._due.append((self._faults.pop(0), now))
            if self._faults:
                self._next_strike = now + self._faults[0].after_s
        for fault, since in list(self._due):
            if len(self._open) >= MOST_OPEN:
                return
            dear = sum(one.fault.hit in DEAR for one in self._open)
            full = fault.hit in DEAR and dear >= MOST_DEAR
            struck = None if full else self.hits.strike(fault, self.runs)
            if struck is not None:
                self.tally.together += bool(self._open)
                self.tally.injected[fault.hit] = self.tally.injected.get(fault.hit, 0) + 1
                self._open.append(Open(fault=fault, at=time.monotonic(), struck=struck))
            elif full or now - since < NO_TARGET_S:
                continue
            else:
                self.tally.no_target += 1
            self._due.remove((fault, since))

    def _look(self) -> None:
        """What lasted long enough is ended; what the installation has got over is noted."""
        now = time.monotonic()
        for one in self._open:
            if not one.over and now >= one.struck.until:
                one.struck.over()
                one.over = True
        waits = [one for one in self._open if one.over and all(map(self._moved, one.struck.runs))]
        if waits and self.made.all_there() and self.made.ready():
            for one in waits:
                # of a stop the other worker's taking over counts, of all else the time after its end
                since = one.at if one.fault.hit is Hit.STALL else max(one.at, one.struck.until)
                self.tally.recovered.setdefault(one.fault.hit, []).append(max(0.0, time.monotonic() - since))
                self._open.remove(one)
        for one in [one for one in self._open if now - one.at > RECOVERY_LIMIT_S and one.over]:
            at = [self.runs[run.id] for run in one.struck.runs if not self._moved(run)]
            self.tally.unrecovered.append(f"no. {one.fault.number}, {one.fault.hit}: {at or 'a service is not well'}")
            self._open.remove(one)

    def _moved(self, then: Seen) -> bool:
        """A run that was hit has ended, or trains and is somewhere else than it was."""
        now = self.runs.get(then.id)
        return now is None or RunState(now.state).is_final or (now.trains and now.place != then.place)


def _due(order: Order, run: Seen) -> bool:
    """Some cancels meet a waiting run, some one that starts, some one that trains."""
    return order.pick < 0.25 or (run.state == "running" and (order.pick < 0.5 or run.trains))
