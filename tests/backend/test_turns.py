"""Whose turn it is, on every store: priority, fair shares, age, place; what a worker cannot do; the queue as it is claimed."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, insert, select, update

from backend.context import Context
from backend.runs.new_runs import new_row
from backend.store.lifecycle import Claim
from backend.store.models import RunRow, TurnRow, WorkerRow
from backend.store.turns import ANYTHING, Able, Need, Shares, Slot, Waiting, able, foreseen, why_not
from backend.workers.service import WorkerService
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.results import RunError
from core.schemas.run import RunState
from core.schemas.workers import Offer, OfferedDataset

START = datetime(2030, 1, 1, tzinfo=UTC)
GIB = 1 << 30


def put(store: Context, n: int = 1, *, at_s: float = 0.0, **values: object) -> list[str]:
    """`n` runs that wait, made in one moment, as a sweep's are."""
    made = new_row(build_config(RunRequest(mask="F9")), now=START + timedelta(seconds=at_s))
    whole = {column.name: getattr(made, column.name) for column in RunRow.__table__.columns}
    rows = [
        {**{name: value for name, value in whole.items() if value is not None}, **values}
        | {"id": f"{random.randrange(1 << 60):016x}", "place": place}
        for place in range(n)
    ]
    with store.database.write() as session:
        session.execute(insert(RunRow), rows)
    return [row["id"] for row in rows]


def claim(store: Context, one: Able = ANYTHING, **more: object) -> Claim | None:
    return store.lifecycle.claim(worker="w", lease_s=60, able=one, **more)


def end(store: Context, run_id: str) -> None:
    with store.database.write() as session:
        session.execute(update(RunRow).where(RunRow.id == run_id).values(state=RunState.CANCELLED, lease_until=None))


def claimed(store: Context, one: Able = ANYTHING, **more: object) -> str | None:
    """A run is claimed and ends at once."""
    found = claim(store, one, **more)
    if found is None:
        return None
    end(store, found.run_id)
    return found.run_id


def test_a_sweep_is_claimed_in_its_own_order_and_an_older_run_before_it(store):
    sweep, (older,) = put(store, 6), put(store, at_s=-5)
    assert [claimed(store) for _ in range(8)] == [older, *sweep, None]


def test_a_higher_priority_goes_first_whosever_it_is(store):
    (plain,), (urgent,), (late,) = put(store), put(store, at_s=9, priority=3), put(store, at_s=-9, priority=-1)
    assert [claimed(store) for _ in range(3)] == [urgent, plain, late]


@pytest.mark.parametrize("slots", [1, 3])
def test_a_thousand_runs_of_one_person_delay_another_persons_one_by_no_more_than_a_slot(store, slots):
    put(store, 1000, submitter="ann")
    running = [claim(store).run_id for _ in range(slots)]
    for n in range(4):  # of a queue that is well under way
        end(store, running.pop(0))
        running.append(claim(store).run_id)
        assert n < 4
    (one,) = put(store, at_s=3600, submitter="ben")
    end(store, running.pop(0))
    assert claim(store).run_id == one, "the first slot that is free"


def test_people_take_turns_and_the_slots_are_shared_evenly(store):
    put(store, 40, submitter="ann")
    put(store, 40, at_s=5, submitter="ben")
    put(store, 40, at_s=9)  # of nobody by name: one person too
    who = []
    for _ in range(9):
        run_id = claimed(store)
        with store.database.read() as session:
            who.append(session.get_one(RunRow, run_id).submitter)
    assert who == ["ann", "ben", None] * 3
    held = [claim(store) for _ in range(6)]
    with store.database.read() as session:
        owners = list(session.scalars(select(RunRow.submitter).where(RunRow.id.in_([one.run_id for one in held]))))
    assert sorted(map(str, owners)) == ["None", "None", "ann", "ann", "ben", "ben"]


def test_a_lost_run_keeps_its_age_and_comes_first(store):
    first, second = put(store, 2)
    lost = claim(store)
    assert lost.run_id == first
    store.lifecycle.lose(lost, RunError(code="x", message="x"))
    assert store.lifecycle.reap().requeued == [first]
    assert [claimed(store), claimed(store)] == [first, second]


def test_a_run_that_was_given_back_is_left_alone_for_its_pause(store):
    first, second = put(store, 2)
    store.lifecycle.release(claim(store), pause_s=30)
    assert [claimed(store), claimed(store)] == [second, None]
    with store.database.write() as session:  # a clock that was set back keeps nobody waiting
        session.execute(update(RunRow).values(not_before=datetime.now(UTC) + timedelta(days=1)))
    assert claimed(store) == first


def test_a_worker_claims_only_what_it_can_do(store):
    (pets,), (gpu,), (cpu,) = (
        put(store, dataset="pets"),
        put(store, wants_device="cuda"),
        put(store, wants_device="cpu"),
    )
    (large,), (old,) = put(store, memory_cpu=8 * GIB, memory_gpu=20 * GIB), put(store, at_s=99)
    small = Able(device="cpu", datasets=frozenset({"digits"}), memory_bytes=4 * GIB)
    assert [claimed(store, small) for _ in range(3)] == [cpu, old, None]
    card = Able(device="cuda", datasets=frozenset({"digits", "pets"}), memory_bytes=16 * GIB)
    assert {claimed(store, card), claimed(store, card)} == {pets, gpu} and claimed(store, card) is None
    assert claimed(store, Able(datasets=frozenset({"digits"}), memory_bytes=8 * GIB)) == large


def test_a_run_that_needs_memory_which_is_in_use_is_waited_for_and_not_passed_by(store):
    (large,), (small,) = put(store, memory_cpu=3 * GIB), put(store, at_s=5, memory_cpu=GIB)
    assert claim(store, free_bytes=2 * GIB) is None
    assert claimed(store, free_bytes=3 * GIB) == large and claimed(store, free_bytes=2 * GIB) == small


def test_a_cpu_worker_leaves_to_a_gpu_worker_what_that_one_can_do(store):
    (any_,), (pets,), (cpu,) = put(store), put(store, dataset="pets"), put(store, at_s=5, wants_device="cpu")
    card = Able(device="cuda", datasets=frozenset({"digits"}))
    assert [claimed(store, Able(leaves=(card,))) for _ in range(3)] == [pets, cpu, None]
    assert claimed(store, Able()) == any_, "once it is gone"


def test_many_workers_at_once_claim_each_run_once(store):
    runs, barrier = put(store, 24, submitter="ann"), threading.Barrier(6)

    def work(_: int) -> list[str]:
        barrier.wait()
        mine = []
        while (found := store.lifecycle.claim(worker="w", lease_s=60)) is not None:
            mine.append(found.run_id)
        return mine

    with ThreadPoolExecutor(6) as pool:
        taken = [run_id for mine in pool.map(work, range(6)) for run_id in mine]
    assert sorted(taken) == sorted(runs)


def test_a_claim_looks_at_the_heads_of_the_lines_alone(store):
    """Every statement that chooses goes by the index of waiting runs; none sorts or reads them all."""
    if store.database.engine.dialect.name != "sqlite":
        pytest.skip("a PostgreSQL server reads a small table whole, whatever index there is")
    put(store, 300, submitter="ann")
    put(store, 300)
    put(store, 3, submitter="ben", priority=1, dataset="pets")
    asked: list[tuple[str, object]] = []
    listening = lambda *told: asked.append((told[2], told[3]))
    event.listen(store.database.engine, "before_cursor_execute", listening)
    try:
        assert claim(store, able(offer("digits"), queue="cpu")) is not None
    finally:
        event.remove(store.database.engine, "before_cursor_execute", listening)
    chose = [(words, values) for words, values in asked if "state = 'queued'" in words]
    assert len(chose) == 8, "two priorities, people of each, ben's line, two heads of equals, the older one's line"
    with store.database.read() as session:
        for words, values in chose:
            plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", values)
            steps = [row[3] for row in plan if " runs " in f"{row[3]} "]
            assert steps and all("ix_runs_line" in step or "ix_runs_state_lease" in step for step in steps), steps


def test_of_people_whose_turn_it_is_alike_the_one_with_the_oldest_run_goes_first(store):
    put(store, 2, at_s=5, submitter="ann")
    put(store, 1, at_s=3)
    (oldest,) = put(store, at_s=1, submitter="zoe", priority=0)
    put(store, at_s=0, submitter="ben", dataset="pets")  # which this worker cannot do
    assert claimed(store, able(offer("digits"), queue="cpu")) == oldest


# The queue as it is shown


def drawn(seed: int) -> list[dict[str, object]]:
    draw = random.Random(seed)
    return [
        {
            "at_s": float(draw.randrange(4)),
            "submitter": draw.choice([None, "ann", "ben"]),
            "priority": draw.choice([0, 0, 0, 2]),
            "dataset": draw.choice(["digits", "pets"]),
            "wants_device": draw.choice([None, None, "cpu", "cuda"]),
            "memory_cpu": draw.choice([None, GIB, 9 * GIB]),
            "memory_gpu": draw.choice([None, GIB, 9 * GIB]),
        }
        for _ in range(14)
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "one",
    [
        ANYTHING,
        Able(device="cuda", memory_bytes=4 * GIB),
        Able(datasets=frozenset({"digits"}), memory_bytes=4 * GIB, leaves=(Able(device="cuda", memory_bytes=4 * GIB),)),
    ],
)
def test_the_order_that_is_foreseen_is_the_order_of_the_claims(store, one, seed):
    for values in drawn(seed):
        put(store, **values)
    with store.database.read() as session:
        waiting = [Waiting.of(row, lasts_s=1.0) for row in session.scalars(select(RunRow))]
        turns = {row.submitter: row.turn for row in session.scalars(select(TurnRow))}
    order = [run.id for run, _ in foreseen(waiting, [Slot(able=one)], Shares(turns=turns))]
    assert list(iter(lambda: claimed(store, one), None)) == order
    assert len(order) == sum(one.can(run.need) for run in waiting)


def test_the_queue_shows_the_order_of_the_claims_with_the_start_of_each(store):
    ann, (ben,) = put(store, 3, submitter="ann"), put(store, at_s=60, submitter="ben")
    (pets,) = put(store, at_s=-60, dataset="pets")
    store.lifecycle.worker_seen("w", queue="cpu", slots=1, busy=0, offer=offer("digits"))
    found = WorkerService(store).queue()
    assert [item.id for item in found.items] == [ann[0], ben, ann[1], ann[2], pets]
    lasts = found.items[0].run_s
    assert [item.starts_in_s for item in found.items] == [*(pytest.approx(n * lasts) for n in range(4)), None]
    assert found.items[-1].waits == "No worker has the data set 'pets'." and found.items[0].waits is None
    assert [claimed(store, able(offer("digits"), queue="cpu")) for _ in range(5)] == [ann[0], ben, ann[1], ann[2], None]


def offer(*datasets: str, device: str = "cpu", memory_bytes: int | None = None) -> Offer:
    return Offer(
        device=device, threads=1, memory_bytes=memory_bytes, datasets=[OfferedDataset(name=name) for name in datasets]
    )


def test_each_run_starts_when_the_first_slot_that_can_do_it_is_free():
    def waiting(name: str, lasts_s: float, **need: object) -> Waiting:
        return Waiting(
            id=name, person="", priority=0, age=(START, 0, name), need=Need(dataset="digits", **need), lasts_s=lasts_s
        )

    def starts(slots: list[Slot], *runs: Waiting) -> list[tuple[str, float]]:
        return [(run.id, at_s) for run, at_s in foreseen(runs, slots, Shares(held={"": 2}))]

    free, card = Slot(able=ANYTHING), Slot(able=Able(device="cuda"))
    a, b, c = (waiting(name, lasts_s) for name, lasts_s in (("a", 3.0), ("b", 1.0), ("c", 5.0)))
    assert starts([free], a, b, c) == [("a", 0.0), ("b", 3.0), ("c", 4.0)]
    assert starts([free, free], a, b, c) == [("a", 0.0), ("b", 0.0), ("c", 1.0)]
    busy = [Slot(able=ANYTHING, busy_s=4.0, person=""), Slot(able=ANYTHING, busy_s=1.0, person="")]
    assert starts(busy, a, b) == [("a", 1.0), ("b", 4.0)]
    assert starts([free, card], waiting("g", 2.0, device="cuda"), waiting("h", 2.0, device="cpu")) == [
        ("h", 0.0),
        ("g", 0.0),
    ]
    assert starts([free], waiting("g", 2.0, device="cuda")) == []


def test_why_no_worker_can_do_a_run_is_said_of_what_is_missing():
    need = Need(dataset="digits", device="cuda", memory_gpu=24 * GIB)
    assert why_not(need, {}) is None, "that there is none at all is said elsewhere"
    workers = {"a": able(offer("cifar10"), queue="cpu")}
    assert why_not(need, workers) == "No worker has the data set 'digits'."
    workers["b"] = able(offer("digits"), queue="cpu")
    assert "trains on a GPU" in why_not(need, workers)
    workers["c"] = able(offer("digits", device="cuda", memory_bytes=16 * GIB), queue="gpu")
    assert "needs about 24.0 GiB, and the most that one has is 16.0 GiB" in why_not(need, workers)
    workers["d"] = able(None, queue="gpu")  # a worker of an earlier version says nothing, and may do all
    assert why_not(need, workers) is None


def test_what_a_worker_can_do_stands_in_its_row_until_it_ends(store):
    life = store.lifecycle
    life.worker_seen("w", queue="cpu", slots=2, busy=0, offer=offer("digits"))
    life.worker_seen("w", queue="cpu", slots=2, busy=1, offer=offer("digits", "pets"))
    (info,) = WorkerService(store).workers().items
    assert [one.name for one in info.offer.datasets] == ["digits", "pets"] and info.busy == 1
    assert life.queues() == {"cpu": 2}
    life.worker_gone("w")
    with store.database.read() as session:
        assert list(session.scalars(select(WorkerRow))) == [] and life.queues() == {"cpu": 1}
