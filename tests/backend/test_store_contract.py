"""What every store must do, one suite over all: the schema, runs and their lists, moves, keys, tags, notes, the bin."""

from __future__ import annotations

import math
import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import ValidationError
from sqlalchemy import func, select, text, update
from stores import at_once

from backend.context import Context
from backend.runs.new_runs import new_row
from backend.runs.repository import RunRepository, RunWhere
from backend.runs.service import RunService
from backend.store.backfill import fill_older_rows
from backend.store.db import HEAD, Database, migrate, schema_version
from backend.store.lifecycle import MAX_ATTEMPTS, Claim, Lifecycle
from backend.store.models import Base, IdempotencyKeyRow, RunEventRow, RunRow, RunTagRow, WorkerRow
from core.bundle import Bundle
from core.errors import DatabaseDown, IdempotencyConflict, LeaseLost, NotFound, StateConflict
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.results import EpochDone, Progress, RunError, Started
from core.schemas.run import RunState
from core.schemas.runs import BulkRequest, RunChange
from core.settings import Settings, prepare_home

START = datetime(2030, 1, 1, tzinfo=UTC)


def request(**changes: object) -> RunRequest:
    return RunRequest.model_validate({"mask": "F9", **changes})


def make(store: Context, **changes: object) -> str:
    return RunService(store).create(request(**changes), key=None)[0].id


def put(store: Context, *, at: datetime = START, **values: object) -> str:
    """A run as a row, at a time of one's choice."""
    row = new_row(build_config(request(seed=values.pop("seed", 0))), now=at)
    for name, value in values.items():
        setattr(row, name, value)
    with store.database.write() as session:
        session.add(row)
    return row.id


def row_of(store: Context, run_id: str) -> RunRow:
    with store.database.read() as session:
        return session.get_one(RunRow, run_id)


def count(store: Context, table: type[Base]) -> int:
    with store.database.read() as session:
        return session.scalar(select(func.count()).select_from(table))


def listed(store: Context, **where: object) -> list[str]:
    page = RunService(store).page(RunWhere(**where), cursor=None, limit=200)
    assert page.total == len(page.items)
    return [run.id for run in page.items]


def claimed(store: Context, run_id: str | None = None) -> Claim:
    claim = store.lifecycle.claim(run_id or make(store), worker="w@host", lease_s=60)
    assert claim is not None
    return claim


# The schema


def homes(url: str, folder: Path, n: int) -> list[Settings]:
    """Machines with a data folder each, over one database."""
    made = [Settings(home=folder / str(number), database_url_override=url) for number in range(n)]
    for one in made:
        prepare_home(one)
    return made


def test_the_migrations_build_exactly_the_models_tables_from_nothing_and_again_change_nothing(empty_url, tmp_path):
    (home,) = homes(empty_url, tmp_path, 1)
    database = Database(empty_url)
    with database.engine.connect() as connection:
        assert schema_version(connection) is None
    for _ in range(2):
        migrate(home)
        with database.engine.connect() as connection:
            assert schema_version(connection) == HEAD
            assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_machines_that_start_at_the_same_time_migrate_once(empty_url, tmp_path):
    """Each has a lock file of its own, so the database must keep them apart."""
    starts = [lambda home=home: migrate(home) for home in homes(empty_url, tmp_path, 4)]
    assert at_once(*starts) == [None] * 4
    database = Database(empty_url)
    with database.engine.connect() as connection:
        assert schema_version(connection) == HEAD
    database.close()


# Runs and their lists


def test_a_run_comes_back_as_it_was_made(store):
    asked = request(seed=2**31 - 1, kind="cnn", overrides={"training.max_epochs": 3, "training.lr": 0.1 + 0.2})
    run, created = RunService(store).create(asked, key=None)
    assert created and run.state is RunState.QUEUED and run.config == build_config(asked)
    assert run.config.training.lr == 0.1 + 0.2 and run.config.seed == 2**31 - 1
    assert run == RunService(store).show(run.id)
    assert run.created_at.tzinfo is not None and (run.tags, run.note, run.sweep_ids) == ([], "", [])


def test_times_keep_their_microseconds_and_their_zone(store):
    at = datetime(2030, 6, 1, 12, 0, 0, 123_457, tzinfo=UTC)
    elsewhere = at.astimezone(ZoneInfo("Asia/Kathmandu"))
    found = row_of(store, put(store, at=elsewhere)).created_at
    assert (found, found.utcoffset()) == (at, timedelta())


def test_a_list_is_filtered_by_each_of_its_fields(store):
    snn, cnn = make(store), make(store, kind="cnn")
    other = make(store, mask="F4,F9", recipe="fast")
    small = make(store, backbone="mixnet", mask="Full")
    store.lifecycle.cancel(cnn)
    assert listed(store) == [small, other, cnn, snn]  # the newest first
    assert listed(store, kind="cnn") == [cnn]
    assert listed(store, states=(RunState.CANCELLED,)) == [cnn]
    assert listed(store, states=(RunState.CANCELLED, RunState.QUEUED), backbone="squeezenet") == [other, cnn, snn]
    assert listed(store, masks=(("F4", "F9"), ("F2",))) == [other]
    assert listed(store, recipe="fast") == [other] and listed(store, backbone="mixnet") == [small]
    assert listed(store, dataset="digits") == [small, other, cnn, snn] and listed(store, dataset="cifar10") == []
    RunService(store).delete(cnn)
    assert listed(store, kind="cnn") == [] and listed(store, deleted=True) == [cnn]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("squeezenet F9", ["plain", "noted", "tagged"]), ("SQUEEZENET f9", ["plain", "noted", "tagged"]),
        ("grösse", ["noted"]), ("GRÖSSE", ["noted"]), ("100%", ["noted"]), ("100_", []), ("a_b", ["tagged"]),
        ("a%b", []), ("Ünder", ["tagged"]), ("/", ["noted"]), ("\\", ["noted"]), ("'", ["tagged"]),
    ],
)  # fmt: skip
def test_a_search_ignores_case_in_every_alphabet_and_takes_signs_as_they_are(store, q, found):
    ids = {"plain": make(store), "noted": make(store, seed=1), "tagged": make(store, seed=2)}
    RunService(store).change(ids["noted"], RunChange(note="Größe und GRÖSSE: 100% of w/o \\ x"))
    RunService(store).change(ids["tagged"], RunChange(tags=["a_b", "ünder'"]))
    assert sorted(listed(store, q=q)) == sorted(ids[name] for name in found)


def test_a_search_finds_a_run_by_the_beginning_of_its_id_alone(store):
    run_id = make(store)
    assert listed(store, q=run_id[:9].upper()) == [run_id] and listed(store, q=run_id[1:]) == []


@pytest.mark.parametrize("n_times", [1, 3, 7])
def test_pages_hold_every_run_once_and_in_order_whatever_times_they_share(store, n_times):
    ids = [put(store, at=START + timedelta(microseconds=number % n_times), seed=number) for number in range(7)]
    seen, cursor, sizes = [], None, []
    while True:
        page = RunService(store).page(RunWhere(), cursor=cursor, limit=3)
        assert page.total == 7
        seen += page.items
        sizes.append(len(page.items))
        if (cursor := page.next_cursor) is None:
            break
    assert sizes == [3, 3, 1] and sorted(run.id for run in seen) == sorted(ids)
    places = [(run.created_at, run.id) for run in seen]
    assert places == sorted(places, reverse=True)


# Moves


def epoch(number: int, loss: float = 0.5) -> EpochDone:
    return EpochDone(
        epoch=number, lr=0.1, train_loss=loss, train_accuracy=0.5, validation_loss=None, validation_accuracy=None,
        firing_rate=None, wall_s=1.0, is_best=True,
    )  # fmt: skip


def states_told(store: Context, run_id: str) -> list[str]:
    with store.database.read() as session:
        events = RunRepository(session).events_after(run_id, 0)
    assert [event.id for event in events] == sorted(event.id for event in events)
    return [event.payload["state"] for event in events if event.type == "state"]


def test_epochs_that_nobody_was_told_of_are_told_at_the_end(store, trained):
    """The database was away for the last ones, or an earlier attempt had trained them all."""
    metrics = Bundle(trained["snn"]).metrics()
    for told in ([], metrics.epochs()[:1]):
        claim = claimed(store)
        shutil.copytree(trained["snn"], claim.out)
        for event in told:
            store.lifecycle.record(claim, event)
        store.lifecycle.succeed(claim, Bundle(claim.out).summary())
        with store.database.read() as session:
            kept = RunRepository(session).epochs(claim.run_id)
            last = RunRepository(session).events_after(claim.run_id, 0)[-1]
        assert [row.epoch for row in kept] == metrics.epoch
        assert [row.payload["train_loss"] for row in kept] == metrics.train_loss
        assert (last.type, last.payload["state"]) == ("state", "succeeded")


def test_a_run_is_claimed_reports_and_succeeds(store, finish):
    run_id = make(store)
    claim = claimed(store, run_id)
    assert (claim.attempt, row_of(store, run_id).worker) == (1, "w@host")
    assert store.lifecycle.claim(run_id, worker="other", lease_s=60) is None
    before = row_of(store, run_id).lease_until
    assert (
        store.lifecycle.heartbeat(claim, lease_s=90) is RunState.RUNNING and row_of(store, run_id).lease_until > before
    )
    started = Started(device="cpu", n_train=8, n_validation=2, n_test=9, steps_per_epoch=4, max_epochs=2)
    for event in (
        started,
        Progress(epoch=1, max_epochs=2, step=3, steps=4, loss=math.nan),
        epoch(1, math.inf),
        epoch(1),
    ):
        store.lifecycle.record(claim, event)
    shown = RunService(store).show(run_id).progress
    assert (shown.phase, shown.epoch, shown.step) == ("training", 1, 3) and math.isnan(shown.loss)
    with store.database.read() as session:
        assert [row.payload["train_loss"] for row in RunRepository(session).epochs(run_id)] == [0.5]  # the newer one
    done = RunService(store).show(finish())
    assert done.state is RunState.SUCCEEDED and done.summary is not None and 0 < done.summary.params
    assert states_told(store, done.id) == ["queued", "running", "succeeded"] and done.finished_at >= done.started_at


def test_figures_that_are_no_numbers_are_kept_as_such(store, trained):
    claim = claimed(store)
    shutil.copytree(trained["snn"], claim.out)
    odd = Bundle(claim.out).summary().model_copy(update={"best_validation_accuracy": math.nan})
    store.lifecycle.succeed(claim, odd)
    assert math.isnan(RunService(store).show(claim.run_id).summary.best_validation_accuracy)


def test_a_run_fails_with_its_fields_and_a_late_owner_is_told(store):
    claim = claimed(store)
    fields = {"epoch": 3, "why": "Größe \u0000 NaN", "loss": math.nan}
    store.lifecycle.fail(claim, RunError(code="training-failed", message="No.", fields=fields))
    error = RunService(store).show(claim.run_id).error
    assert (error.code, error.fields["epoch"], error.fields["why"]) == ("training-failed", 3, fields["why"])
    for late in (lambda: store.lifecycle.heartbeat(claim, lease_s=1), lambda: store.lifecycle.record(claim, epoch(1))):
        with pytest.raises(LeaseLost):
            late()


def test_a_run_is_cancelled_at_once_or_by_its_owner_and_not_after_its_end(store):
    waiting, claim = make(store), claimed(store)
    assert store.lifecycle.cancel(waiting) is RunState.CANCELLED
    assert store.lifecycle.cancel(claim.run_id) is RunState.CANCELLING
    assert store.lifecycle.heartbeat(claim, lease_s=60) is RunState.CANCELLING
    store.lifecycle.cancelled(claim)
    failed = claimed(store)
    store.lifecycle.fail(failed, RunError(code="x", message="x"))
    with pytest.raises(StateConflict, match="failed"):
        store.lifecycle.cancel(failed.run_id)
    with pytest.raises(NotFound):
        store.lifecycle.cancel("nobody")
    assert states_told(store, claim.run_id) == ["queued", "running", "cancelling", "cancelled"]


def test_a_silent_owners_run_is_queued_again_and_given_up_at_the_last_loss(store):
    now = [0.0]
    life = Lifecycle(store.settings, database=store.database, ticks=lambda: now[0])
    run_id = make(store)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert life.claim(run_id, worker="w", lease_s=5).attempt == attempt
        found = [life.reap()]
        for _ in range(6):
            now[0] += 1
            found.append(life.reap())
        again = [run for reaped in found for run in (reaped.requeued if attempt < MAX_ATTEMPTS else reaped.failed)]
        assert again == [run_id]
    row = row_of(store, run_id)
    assert (row.state, row.losses, row.error["code"]) == ("failed", MAX_ATTEMPTS, "worker-lost")
    assert states_told(store, run_id) == ["queued", *["running", "lost", "queued"] * 2, "running", "lost", "failed"]


def test_a_run_that_was_given_back_or_lost_goes_on_as_the_next_attempt(store):
    claim = claimed(store)
    store.lifecycle.release(claim, pause_s=100)
    assert row_of(store, claim.run_id).losses == 0 and store.lifecycle.next_run() is None
    again = claimed(store, claim.run_id)
    store.lifecycle.lose(again, RunError(code="x", message="Out of memory."))
    assert store.lifecycle.reap().requeued == [claim.run_id] and row_of(store, claim.run_id).losses == 1
    assert claimed(store, claim.run_id).attempt == 3


def test_of_many_claims_at_once_one_wins(store):
    for _ in range(5):
        run_id = make(store)
        claims = at_once(*[partial(store.lifecycle.claim, run_id, worker=f"w{n}", lease_s=60) for n in range(6)])
        (won,) = [claim for claim in claims if claim is not None]
        assert isinstance(won, Claim) and won.attempt == row_of(store, run_id).attempt == 1
        assert states_told(store, run_id) == ["queued", "running"]


def test_a_claim_and_a_cancel_at_once_leave_one_story(store):
    for _ in range(5):
        run_id = make(store)
        claim, _ = at_once(
            partial(store.lifecycle.claim, run_id, worker="w", lease_s=60), partial(store.lifecycle.cancel, run_id)
        )
        story = ["queued", "cancelled"] if claim is None else ["queued", "running", "cancelling"]
        assert states_told(store, run_id) == story and row_of(store, run_id).state == story[-1]


def test_two_reapers_at_once_requeue_a_run_once(store):
    claim = claimed(store)
    store.lifecycle.lose(claim, RunError(code="x", message="x"))
    lives = [Lifecycle(store.settings, database=store.database) for _ in range(3)]
    reaped = at_once(*[life.reap for life in lives])
    assert [run for one in reaped for run in one.requeued].count(claim.run_id) == 1
    assert states_told(store, claim.run_id) == ["queued", "running", "lost", "queued"]


def test_a_worker_is_known_by_its_newest_sign(store):
    for busy in (0, 1):
        store.lifecycle.worker_seen("g@host", queue="gpu", slots=1, busy=busy, paused=None if busy else "full")
    with store.database.read() as session:
        (worker,) = session.scalars(select(WorkerRow))
    assert (worker.busy, worker.paused, store.lifecycle.queues()) == (1, None, {"gpu": 1})


# Keys


def test_one_key_makes_one_run_and_no_other_thing(store):
    service = RunService(store)
    first, again = (service.create(request(), key="k") for _ in range(2))
    assert (first[1], again[1], first[0].id) == (True, False, again[0].id)
    with pytest.raises(IdempotencyConflict):
        service.create(request(seed=1), key="k")
    assert count(store, RunRow) == 1
    service.cancel(first[0].id)
    service.delete(first[0].id)  # the key goes with the run
    assert service.create(request(), key="k")[1] is True


def test_one_key_from_many_at_once_makes_one_run(store):
    made = at_once(*[lambda: RunService(store).create(request(), key="together") for _ in range(5)])
    assert len({run.id for run, _ in made}) == 1 and [created for _, created in made].count(True) == 1
    assert (count(store, RunRow), count(store, IdempotencyKeyRow)) == (1, 1)


# Tags, notes, the bin


def test_tags_come_sorted_by_their_signs_whatever_the_servers_language(store):
    words = ["b", "B", "ä", "a b", "a-b", "A", "Z", "a", "10", "9"]
    assert RunService(store).change(make(store), RunChange(tags=[*words, "b"])).tags == sorted(words)


def test_tags_and_notes_change_apart_and_hold_any_text(store):
    service, run_id = RunService(store), make(store)
    note = "Größe 🧠 \U0001d54a\n'; DROP TABLE runs; --\t%s {} :x" + "n" * 3900
    service.change(run_id, RunChange(tags=["🧠" * 40, "x:y"]))
    changed = service.change(run_id, RunChange(note=note))
    assert changed.note == note and changed.tags == ["x:y", "🧠" * 40]
    assert listed(store, tag="x:y") == [run_id] and listed(store, tag="X:Y") == []
    assert service.change(run_id, RunChange(tags=[])).note == note


def test_a_note_with_a_sign_that_no_database_keeps_is_refused_by_its_name():
    with pytest.raises(ValidationError, match="note"):
        RunChange(note="a\0b")


def test_tags_set_and_added_by_many_at_once_are_all_answered(store):
    service, run_id = RunService(store), make(store)
    words = [f"t{number}" for number in range(6)]
    adds = [
        lambda word=word: service.bulk(BulkRequest(action="tag", ids=[run_id], tag=word), key=None) for word in words
    ]
    assert all(answer.items[0].ok for answer in at_once(*adds))
    assert service.show(run_id).tags == words  # none was lost
    sets = [lambda: service.change(run_id, RunChange(tags=["same", "other"])) for _ in range(4)]
    assert [answer.tags for answer in at_once(*sets)] == [["other", "same"]] * 4


def test_the_bin_hides_a_run_until_it_is_restored_or_purged(store):
    service = RunService(store)
    kept, gone = claimed(store), claimed(store)
    for claim in (kept, gone):
        with pytest.raises(StateConflict):
            service.delete(claim.run_id)
        store.lifecycle.fail(claim, RunError(code="x", message="x"))
        service.change(claim.run_id, RunChange(tags=["t"], note="n"))
        service.delete(claim.run_id)
    with pytest.raises(NotFound):
        service.show(kept.run_id)
    assert service.restore(kept.run_id).tags == ["t"] and service.restore(kept.run_id).deleted_at is None
    assert store.lifecycle.purge(older_than_s=3600) == []
    assert store.lifecycle.purge(older_than_s=-1) == [gone.run_id]
    with pytest.raises(NotFound):
        service.restore(gone.run_id)
    with store.database.read() as session:  # what hung on it went with it
        for table in (RunEventRow, RunTagRow):
            assert set(session.scalars(select(table.run_id))) == {kept.run_id}


def test_older_rows_are_filled_at_the_start(store):
    run_id = make(store)
    whole = row_of(store, run_id)
    with store.database.write() as session:
        session.execute(update(RunRow).values(label="", repeat_hash="", config=whole.config | {"architecture": {}}))
    fill_older_rows(store.database, store.artifacts, store.settings.data)
    found = row_of(store, run_id)
    assert (found.label, found.repeat_hash) == (whole.label, whole.repeat_hash)


# What goes wrong


def test_a_write_that_fails_half_way_leaves_nothing(store):
    with pytest.raises(RuntimeError, match="half way"), store.database.write() as session:
        session.add(WorkerRow(name="w", queue="cpu", slots=1, busy=0, seen_at=START))
        session.flush()
        raise RuntimeError("half way")
    assert count(store, WorkerRow) == 0


def test_whoever_waits_too_long_for_a_row_is_told_that_it_is_busy(store):
    run_id = make(store)
    with store.database.write() as session:
        session.execute(update(RunRow).where(RunRow.id == run_id).values(note="mine"))
        with pytest.raises(DatabaseDown, match="busy"), store.database.write(patience_ms=50) as other:
            other.execute(update(RunRow).where(RunRow.id == run_id).values(note="theirs"))
    assert row_of(store, run_id).note == "mine"
    with store.database.write(patience_ms=50) as session:  # and then it is free again
        session.execute(update(RunRow).values(note="theirs"))


def test_an_address_that_leads_nowhere_is_a_sentence_without_its_secrets(store_url, tmp_path):
    gone = "sqlite:////nowhere/at/all/x.db" if store_url is None else "postgresql://u:hush@127.0.0.1:9/none"
    with pytest.raises(DatabaseDown) as caught, Database(gone).read() as session:
        session.execute(text("SELECT 1"))
    assert "hush" not in caught.value.message and "nowhere" not in caught.value.message
