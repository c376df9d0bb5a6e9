"""A run's moves: only those in TRANSITIONS, each once, each by the one who may."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import sampled_from
from sqlalchemy import select, update

from backend.runs.new_runs import new_row
from backend.store.db import Database, migrate, utc_now
from backend.store.lifecycle import MAX_ATTEMPTS, Claim, Lifecycle, Reaped, move
from backend.store.models import RunEventRow, RunRow, WorkerRow
from backend.store.signs import LATELY_S
from core.bundle import Bundle
from core.errors import BundleCorrupt, LeaseLost, NotFound, StateConflict
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.results import EpochDone, Progress, RunError, Started
from core.schemas.run import TRANSITIONS, RunState
from core.settings import Settings, prepare_home

FINAL = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
START = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    """Time that stands still until told."""

    def __init__(self) -> None:
        self.now = START
        self.ticked = 1000.0

    def __call__(self) -> datetime:
        return self.now

    def ticks(self) -> float:
        return self.ticked

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.ticked += seconds

    def set(self, seconds: float) -> None:
        """As somebody sets it: no time passes."""
        self.now += timedelta(seconds=seconds)


def add_run(database: Database, *, state: RunState = RunState.QUEUED, attempt: int = 0, **values: object) -> str:
    row = new_row(build_config(RunRequest(mask="F9")), now=START)
    row.state, row.attempt = state, attempt
    for name, value in values.items():
        setattr(row, name, value)
    with database.write() as session:
        session.add(row)
    return row.id


def state_of(database: Database, run_id: str) -> RunState:
    with database.read() as session:
        return RunState(session.scalars(select(RunRow.state).where(RunRow.id == run_id)).one())


def row_of(database: Database, run_id: str) -> RunRow:
    with database.read() as session:
        return session.get_one(RunRow, run_id)


def states_told(database: Database, run_id: str) -> list[str]:
    with database.read() as session:
        payloads = session.scalars(
            select(RunEventRow.payload)
            .where(RunEventRow.run_id == run_id, RunEventRow.type == "state")
            .order_by(RunEventRow.id)
        )
        return [payload["state"] for payload in payloads]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def life(settings: Settings, database: Database, clock: Clock) -> Lifecycle:
    return Lifecycle(settings, database=database, clock=clock, ticks=clock.ticks)


def reap_after(life: Lifecycle, clock: Clock, seconds: float) -> Reaped:
    """What the reaper does, looking every second, until so many have passed."""
    reaped = life.reap()
    for _ in range(round(seconds)):
        clock.advance(1)
        found = life.reap()
        reaped = Reaped(**{name: getattr(reaped, name) + getattr(found, name) for name in vars(found)})
    return reaped


def claim_new(life: Lifecycle, database: Database, *, lease_s: float = 60) -> Claim:
    claim = life.claim(add_run(database), worker="w1", lease_s=lease_s)
    assert claim is not None
    return claim


@pytest.mark.parametrize(("before", "after"), list(product(RunState, RunState)))
def test_a_move_happens_exactly_when_the_table_has_it(database: Database, before: RunState, after: RunState) -> None:
    run_id = add_run(database, state=before)
    with database.write() as session:
        moved = move(session, run_id, after, now=START)
    assert moved == (after in TRANSITIONS[before])
    assert state_of(database, run_id) == (after if moved else before)
    assert states_told(database, run_id) == ([after] if moved else [])


OWNER_MOVES: dict[str, Callable[[Lifecycle, Claim], object]] = {
    "heartbeat": lambda life, claim: life.heartbeat(claim, lease_s=60),
    "record": lambda life, claim: life.record(claim, Progress(epoch=1, max_epochs=1, step=1, steps=2)),
    "fail": lambda life, claim: life.fail(claim, RunError(code="error", message="It broke.")),
    "cancelled": lambda life, claim: life.cancelled(claim),
    "release": lambda life, claim: life.release(claim),
    "lose": lambda life, claim: life.lose(claim, RunError(code="trainer-died", message="It was killed.")),
}


@pytest.mark.parametrize("name", OWNER_MOVES)
def test_a_late_word_of_an_old_attempt_is_refused(name: str, life: Lifecycle, database: Database, clock: Clock) -> None:
    old = claim_new(life, database, lease_s=10)
    assert reap_after(life, clock, 11).requeued == [old.run_id]
    with pytest.raises(LeaseLost):  # queued again, and nobody has it
        OWNER_MOVES[name](life, old)
    new = life.claim(old.run_id, worker="w2", lease_s=10)
    assert new is not None and new.attempt == old.attempt + 1
    with pytest.raises(LeaseLost):
        OWNER_MOVES[name](life, old)
    row = row_of(database, old.run_id)
    assert (row.state, row.attempt, row.worker) == (RunState.RUNNING, new.attempt, "w2")


@pytest.mark.parametrize(("end", "name"), list(product(FINAL, OWNER_MOVES)))
def test_a_final_state_never_changes(life: Lifecycle, database: Database, end: RunState, name: str) -> None:
    run_id = add_run(database, state=end, attempt=1)
    claim = Claim(run_id=run_id, attempt=1, config=build_config(RunRequest()), stored={}, out=Path("nowhere"))
    with pytest.raises(LeaseLost):
        OWNER_MOVES[name](life, claim)
    assert life.claim(run_id, worker="w", lease_s=60) is None
    reaped = life.reap()
    assert not (reaped.requeued or reaped.failed or reaped.cancelled)
    if end is not RunState.CANCELLED:
        with pytest.raises(StateConflict):
            life.cancel(run_id)
    assert state_of(database, run_id) is end


def test_of_many_claims_at_the_same_time_one_wins(settings: Settings, database: Database) -> None:
    run_ids = [add_run(database) for _ in range(5)]
    lives = [Lifecycle(settings) for _ in range(6)]  # an engine each, as separate workers have
    barrier, won = threading.Barrier(len(lives)), []

    def race(life: Lifecycle, worker: str) -> None:
        for run_id in run_ids:
            barrier.wait()
            claim = life.claim(run_id, worker=worker, lease_s=60)
            if claim is not None:
                won.append((claim.run_id, claim.attempt))

    threads = [threading.Thread(target=race, args=(life, f"w{n}")) for n, life in enumerate(lives)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for life in lives:
        life.close()
    assert sorted(won) == sorted((run_id, 1) for run_id in run_ids)


def test_a_cancel_and_a_claim_at_the_same_time_leave_one_story(settings: Settings, database: Database) -> None:
    first, second = Lifecycle(settings), Lifecycle(settings)
    for _ in range(20):
        run_id = add_run(database)
        barrier, claims = threading.Barrier(2), []

        def claim(run_id: str = run_id, barrier: threading.Barrier = barrier, claims: list = claims) -> None:
            barrier.wait()
            claims.append(first.claim(run_id, worker="w", lease_s=60))

        thread = threading.Thread(target=claim)
        thread.start()
        barrier.wait()
        answer = second.cancel(run_id)
        thread.join()
        expected = ["cancelled"] if claims[0] is None else ["running", "cancelling"]
        assert states_told(database, run_id) == expected
        assert answer == expected[-1]
    first.close()
    second.close()


def test_cancelling_a_queued_run_is_done_at_once(life: Lifecycle, database: Database) -> None:
    run_id = add_run(database)
    assert life.cancel(run_id) is RunState.CANCELLED
    assert row_of(database, run_id).finished_at == START
    assert life.claim(run_id, worker="w", lease_s=60) is None


def test_cancelling_a_running_run_waits_for_its_process(life: Lifecycle, database: Database) -> None:
    claim = claim_new(life, database)
    assert life.cancel(claim.run_id) is RunState.CANCELLING
    assert life.cancel(claim.run_id) is RunState.CANCELLING  # asking twice changes nothing
    assert life.heartbeat(claim, lease_s=60) is RunState.CANCELLING
    life.cancelled(claim)
    assert states_told(database, claim.run_id) == ["running", "cancelling", "cancelled"]


def test_a_run_that_ends_before_the_cancel_reaches_it_keeps_its_own_end(life: Lifecycle, database: Database) -> None:
    claim = claim_new(life, database)
    life.cancel(claim.run_id)
    life.fail(claim, RunError(code="non-finite-loss", message="The loss became nan.", fields={"epoch": 1}))
    row = row_of(database, claim.run_id)
    assert row.state == RunState.FAILED
    assert row.error == {"code": "non-finite-loss", "message": "The loss became nan.", "fields": {"epoch": 1}}
    with pytest.raises(LeaseLost):
        life.cancelled(claim)


def test_a_running_run_cannot_be_cancelled_without_having_been_asked(life: Lifecycle, database: Database) -> None:
    claim = claim_new(life, database)
    with pytest.raises(LeaseLost):
        life.cancelled(claim)
    assert state_of(database, claim.run_id) is RunState.RUNNING


def test_cancelling_an_unknown_run_says_so(life: Lifecycle) -> None:
    with pytest.raises(NotFound):
        life.cancel("nobody")


def test_a_heartbeat_keeps_the_reaper_away(life: Lifecycle, database: Database, clock: Clock) -> None:
    claim = claim_new(life, database, lease_s=10)
    for _ in range(5):
        assert reap_after(life, clock, 9).requeued == []
        assert life.heartbeat(claim, lease_s=10) is RunState.RUNNING
    assert reap_after(life, clock, 11).requeued == [claim.run_id]
    assert states_told(database, claim.run_id) == ["running", "lost", "queued"]


def test_a_run_is_lost_at_most_so_many_times(life: Lifecycle, database: Database, clock: Clock) -> None:
    run_id = add_run(database)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = life.claim(run_id, worker="w", lease_s=10)
        assert claim is not None and claim.attempt == attempt
        reaped = reap_after(life, clock, 11)
        assert (reaped.requeued, reaped.failed) == (([run_id], []) if attempt < MAX_ATTEMPTS else ([], [run_id]))
    row = row_of(database, run_id)
    assert row.state == RunState.FAILED and row.error is not None and row.error["code"] == "worker-lost"


def test_a_worker_that_stops_gives_its_run_back_and_that_is_no_loss(life: Lifecycle, database: Database) -> None:
    run_id = add_run(database)
    for attempt in range(1, MAX_ATTEMPTS + 3):
        claim = life.claim(run_id, worker="w", lease_s=10)
        assert claim is not None and claim.attempt == attempt
        life.release(claim)
    row = row_of(database, run_id)
    assert (row.state, row.losses, row.worker, row.sent_at) == (RunState.QUEUED, 0, None, None)


def test_a_worker_that_stops_while_its_run_is_being_cancelled_cancels_it(life: Lifecycle, database: Database) -> None:
    claim = claim_new(life, database)
    life.cancel(claim.run_id)
    life.release(claim)
    assert state_of(database, claim.run_id) is RunState.CANCELLED


def test_a_cancelling_run_without_a_worker_is_cancelled_by_the_reaper(
    life: Lifecycle, database: Database, clock: Clock
) -> None:
    claim = claim_new(life, database, lease_s=10)
    life.cancel(claim.run_id)
    assert life.reap().cancelled == []
    assert reap_after(life, clock, 11).cancelled == [claim.run_id]


def test_a_resumed_epoch_replaces_its_older_self_and_only_the_newest_progress_stays(
    life: Lifecycle, database: Database
) -> None:
    claim = claim_new(life, database)

    def epoch(number: int, loss: float) -> EpochDone:
        return EpochDone(
            epoch=number, lr=0.1, train_loss=loss, train_accuracy=0.5, validation_loss=1, validation_accuracy=0.5,
            firing_rate=0.1, wall_s=1, is_best=True,
        )  # fmt: skip

    life.record(claim, Started(device="cpu", n_train=8, n_validation=2, n_test=2, steps_per_epoch=4, max_epochs=3))
    assert row_of(database, claim.run_id).progress["steps"] == 4
    for event in (epoch(1, 3.0), epoch(2, 2.0), epoch(2, 2.5)):
        life.record(claim, event)
    for step in (1, 2, 3):
        life.record(claim, Progress(epoch=3, max_epochs=3, step=step, steps=4, loss=float("nan")))
    with database.read() as session:
        rows = list(session.scalars(select(RunEventRow).order_by(RunEventRow.id)))
    assert [(row.type, row.epoch, row.payload.get("train_loss")) for row in rows if row.type == "epoch"] == [
        ("epoch", 1, 3.0),
        ("epoch", 2, 2.5),
    ]
    assert [row.payload["step"] for row in rows if row.type == "progress"] == [3]
    assert rows[-1].payload["loss"] == "NaN"  # JSON has no NaN


def test_a_run_without_a_readable_bundle_does_not_succeed(life: Lifecycle, database: Database, trained: dict) -> None:
    summary = Bundle(trained["snn"]).summary()
    claim = claim_new(life, database)
    with pytest.raises(BundleCorrupt):
        life.succeed(claim, summary)
    assert state_of(database, claim.run_id) is RunState.RUNNING


def test_a_worker_is_remembered_by_its_last_sign(life: Lifecycle, database: Database, clock: Clock) -> None:
    life.worker_seen("w1", queue="cpu", slots=2, busy=0)
    clock.advance(5)
    life.worker_seen("w1", queue="cpu", slots=2, busy=1)
    with database.read() as session:
        (row,) = session.scalars(select(WorkerRow))
    assert (row.busy, row.seen_at) == (1, START + timedelta(seconds=5))


def test_bells_ring_where_workers_live(life: Lifecycle, clock: Clock) -> None:
    assert life.queues() == {"cpu": 1}
    life.worker_seen("c", queue="cpu", slots=2, busy=0)
    life.worker_seen("g", queue="gpu", slots=1, busy=0)
    assert life.queues() == {"cpu": 2, "gpu": 1}
    clock.advance(LATELY_S + 1)
    assert life.queues() == {"cpu": 1}


class RunMachine(RuleBasedStateMachine):
    """Any order of moves by workers old and new, the reaper and a user: the states told always follow TRANSITIONS."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        made = Settings(home=self.home)
        prepare_home(made)
        if RunMachine.template is None:
            migrate(made)
            RunMachine.template = (self.home / "spikefront.db").read_bytes()
        (self.home / "spikefront.db").write_bytes(RunMachine.template)
        self.database = Database(made.database_url)
        self.clock = Clock()
        self.life = Lifecycle(made, database=self.database, clock=self.clock, ticks=self.clock.ticks)
        self.claims: list[Claim] = []

    template: bytes | None = None

    @initialize()
    def start(self) -> None:
        self.run_id = add_run(self.database)

    @rule()
    def claim(self) -> None:
        was = state_of(self.database, self.run_id)
        claim = self.life.claim(self.run_id, worker="w", lease_s=10)
        assert (claim is not None) == (was is RunState.QUEUED)
        if claim is not None:
            assert claim.attempt == len(self.claims) + 1
            self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(name=sampled_from(sorted(OWNER_MOVES)), old=sampled_from((False, True)))
    def owner_says(self, name: str, old: bool) -> None:
        claim = self.claims[0 if old else -1]
        row = row_of(self.database, self.run_id)
        owns = row.attempt == claim.attempt and row.state in (RunState.RUNNING, RunState.CANCELLING)
        if name == "cancelled":
            owns = owns and row.state == RunState.CANCELLING
        if owns:
            OWNER_MOVES[name](self.life, claim)
        else:
            with pytest.raises(LeaseLost):
                OWNER_MOVES[name](self.life, claim)
            assert state_of(self.database, self.run_id) == row.state

    @rule()
    def cancel(self) -> None:
        was = state_of(self.database, self.run_id)
        if was in (RunState.SUCCEEDED, RunState.FAILED):
            with pytest.raises(StateConflict):
                self.life.cancel(self.run_id)
        else:
            assert self.life.cancel(self.run_id) in (RunState.CANCELLED, RunState.CANCELLING)

    @rule(seconds=sampled_from((1, 11)))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def reap(self) -> None:
        self.life.reap()

    @invariant()
    def states_follow_the_table(self) -> None:
        told = [RunState.QUEUED, *(RunState(state) for state in states_told(self.database, self.run_id))]
        for before, after in pairwise(told):
            assert after in TRANSITIONS[before], told
        assert state_of(self.database, self.run_id) is told[-1]

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.home)


RunMachine.TestCase.settings = hypothesis_settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRunMachine = RunMachine.TestCase


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(database: Database) -> None:
    run_id = add_run(database)
    tokyo = utc_now().astimezone(ZoneInfo("Asia/Tokyo"))
    with database.write() as session:
        session.execute(update(RunRow).where(RunRow.id == run_id).values(sent_at=tokyo))
    sent_at = row_of(database, run_id).sent_at
    assert sent_at == tokyo and sent_at is not None and sent_at.utcoffset() == timedelta(0)


def test_a_lease_that_was_renewed_meanwhile_is_not_taken_away(database: Database) -> None:
    later = START + timedelta(seconds=1)
    run_id = add_run(database, state=RunState.RUNNING, attempt=1, lease_until=later)
    for seen, moved in ((START, False), (later, True)):
        with database.write() as session:
            assert move(session, run_id, RunState.LOST, now=START, if_attempt=1, if_lease=seen) == moved


@pytest.mark.parametrize("hours", [-24 * 365, -2.33, 1, 24 * 365])
def test_a_clock_that_is_set_neither_takes_a_living_owners_run_nor_keeps_a_dead_ones(
    life: Lifecycle, database: Database, clock: Clock, hours: float
) -> None:
    claim = claim_new(life, database, lease_s=10)
    clock.set(hours * 3600)
    for _ in range(30):
        assert life.heartbeat(claim, lease_s=10) is RunState.RUNNING
        assert reap_after(life, clock, 1).requeued == []
    clock.set(hours * 3600)
    assert reap_after(life, clock, 8).requeued == []  # the last sign of life was seen a second ago
    assert reap_after(life, clock, 2).requeued == [claim.run_id]


def test_an_owner_may_be_silent_as_long_as_it_said(life: Lifecycle, database: Database, clock: Clock) -> None:
    patient, hasty = claim_new(life, database, lease_s=40), claim_new(life, database, lease_s=5)
    assert reap_after(life, clock, 6).requeued == [hasty.run_id]
    assert reap_after(life, clock, 30).requeued == []
    assert reap_after(life, clock, 6).requeued == [patient.run_id]


def test_silence_counts_only_while_the_reaper_looks(life: Lifecycle, database: Database, clock: Clock) -> None:
    """A worker that stood still, with its machine or alone, must not take its own runs for abandoned."""
    claim = claim_new(life, database, lease_s=10)
    reap_after(life, clock, 8)
    clock.advance(3600)
    assert reap_after(life, clock, 8).requeued == []
    life.silence.forget()  # the disk was full: nobody could write
    assert reap_after(life, clock, 9).requeued == []
    assert reap_after(life, clock, 2).requeued == [claim.run_id]


def test_a_run_whose_trainer_was_killed_is_lost_goes_on_and_is_given_up_with_the_cause(
    life: Lifecycle, database: Database, clock: Clock
) -> None:
    run_id = add_run(database)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = life.claim(run_id, worker="w", lease_s=10)
        assert claim is not None
        life.lose(
            claim,
            RunError(code="trainer-died", message="The trainer was ended by SIGKILL.", fields={"signal": "SIGKILL"}),
        )
        assert state_of(database, run_id) is RunState.LOST
        with pytest.raises(LeaseLost):
            life.heartbeat(claim, lease_s=10)
        reaped = life.reap()
        assert (reaped.requeued, reaped.failed) == (([run_id], []) if attempt < MAX_ATTEMPTS else ([], [run_id]))
        assert attempt == MAX_ATTEMPTS or row_of(database, run_id).error is None
    error = row_of(database, run_id).error
    assert error is not None and error["code"] == "trainer-died"
    assert error["message"] == "The trainer was ended by SIGKILL. It was tried 3 times."
    assert error["fields"] == {"signal": "SIGKILL", "losses": 3}


def test_a_lost_trainer_of_a_run_that_is_being_cancelled_cancels_it(life: Lifecycle, database: Database) -> None:
    claim = claim_new(life, database)
    life.cancel(claim.run_id)
    life.lose(claim, RunError(code="trainer-died", message="It was killed."))
    assert state_of(database, claim.run_id) is RunState.CANCELLED


def test_a_run_that_is_given_back_for_a_while_is_not_claimed_before(
    life: Lifecycle, database: Database, clock: Clock
) -> None:
    claim = claim_new(life, database)
    life.release(claim, pause_s=30)
    assert row_of(database, claim.run_id).losses == 0
    clock.advance(29)
    assert life.next_run() is None
    clock.advance(2)
    assert life.next_run() == (claim.run_id, claim.config)


def test_a_worker_from_before_the_clock_was_set_back_is_not_taken_for_alive(life: Lifecycle, clock: Clock) -> None:
    life.worker_seen("g1", queue="gpu", slots=1, busy=0)
    assert life.queues() == {"gpu": 1}
    clock.set(-2 * 3600)
    assert life.queues() == {"cpu": 1}
    life.worker_seen("g1", queue="gpu", slots=1, busy=0)
    assert life.queues() == {"gpu": 1}
