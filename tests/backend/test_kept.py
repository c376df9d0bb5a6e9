"""Answers that are kept until something changes: nothing that was changed is ever told as it was before."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from pydantic import TypeAdapter
from sqlalchemy import delete, insert, inspect, text, update

from backend.catalog.service import CatalogService
from backend.context import Context
from backend.kept import LONG_S, LOOK_S, SHARE, Kept, Look
from backend.pareto.endpoints import ParetoQuery, get_pareto
from backend.runs.columns import columns_json, counts_json
from backend.runs.repository import RunWhere
from backend.runs.service import RunService
from backend.store.db import utc_now
from backend.store.lifecycle import Claim
from backend.store.models import Base, RunRow, RunStepRow, RunTagRow, RunTallyRow, SweepRow, SweepRunRow
from backend.store.revision import RESTLESS, WATCHED, revision_of_runs, watch
from backend.sweeps.service import SweepService
from core.errors import UnknownName
from core.recipes.build import build_config
from core.schemas.pareto import Pareto, ParetoColumns
from core.schemas.preview import Preview
from core.schemas.request import RunRequest
from core.schemas.results import EpochDone, Progress, Started
from core.schemas.run import RunState
from core.schemas.run_table import RunColumns, RunCounts
from core.schemas.runs import BulkRequest, RunChange, RunPage
from core.schemas.sweep import SweepRequest
from core.schemas.workers import Offer

EXACT = {"mode": "exact", "profile": "horowitz-45nm"}
STARTED = Started(device="cpu", n_train=10, n_validation=2, n_test=3, steps_per_epoch=5, max_epochs=2)
EPOCH = EpochDone(
    epoch=1, lr=0.1, train_loss=1.0, train_accuracy=0.5, validation_loss=1.0, validation_accuracy=0.5, firing_rate=0.1,
    wall_s=1.0, is_best=True,
)  # fmt: skip


# What keeps them


def test_a_question_is_worked_out_once_a_revision():
    kept, made = Kept(), []

    def make() -> str:
        made.append(len(made))
        return f"answer {made[-1]}"

    asked = [kept.answer("q", revision, make, weigh=len) for revision in (3, 3, 4, 4, 3)]
    assert asked == ["answer 0", "answer 0", "answer 1", "answer 1", "answer 1"]
    assert kept.answer("other", 4, make, weigh=len) == "answer 2"


def test_those_who_ask_at_the_same_time_wait_for_one():
    kept, begun, made = Kept(), threading.Barrier(8), []
    entered, go_on = threading.Event(), threading.Event()

    def make() -> bytes:
        made.append(1)
        entered.set()
        assert go_on.wait(10)
        return b"x"

    def ask() -> bytes:
        begun.wait()
        return kept.answer("q", 1, make, weigh=len)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        assert entered.wait(10)
        assert kept.answer("other", 1, lambda: b"y", weigh=len) == b"y"  # which waits for nobody
        go_on.set()
        assert {one.result() for one in asked} == {b"x"} and made == [1]


def test_what_fails_leaves_nothing_behind():
    kept = Kept()
    with pytest.raises(ZeroDivisionError):
        kept.answer("q", 1, lambda: b"%d" % (1 // 0), weigh=len)
    assert kept.answer("q", 1, lambda: b"x", weigh=len) == b"x" and kept.bytes == 1


def test_all_together_take_no_more_than_the_limit():
    kept = Kept(limit_bytes=250)
    for question in "abc":
        kept.answer(question, 1, lambda: b"x" * 100, weigh=len)
    assert kept.bytes == 200
    for question, there in (("b", True), ("c", True), ("a", False)):  # what nobody asked for longest went
        assert kept.answer(question, 1, lambda: b"new", weigh=len) == (b"x" * 100 if there else b"new")
    assert kept.answer("large", 1, lambda: b"x" * 300, weigh=len) == b"x" * 300
    assert kept.bytes <= 250


class Clocks:
    """`now` is the time of the day, `spent` what a thread has computed."""

    def __init__(self) -> None:
        self.now = self.spent = 100.0
        self.look = Look(clock=lambda: self.now, spent=lambda: self.spent)
        self.made = 0

    def ask(self, revision: int, *, takes: float = 0.0) -> bytes:
        def make() -> bytes:
            self.made += 1
            self.spent += takes
            return b"look %d" % self.made

        return self.look.answer(revision, make)


def test_a_look_is_told_to_all_for_a_moment_and_no_longer_than_a_change():
    clocks = Clocks()
    assert [clocks.ask(1), clocks.ask(1)] == [b"look 1", b"look 1"]
    assert clocks.ask(2) == b"look 2", "a change shows at once"
    clocks.now += LOOK_S / 2
    assert clocks.ask(2) == clocks.ask(1) == b"look 2"
    clocks.now += LOOK_S / 2
    assert clocks.ask(2) == b"look 3"


def test_a_look_that_takes_long_is_taken_seldom_whatever_changes():
    clocks, long = Clocks(), 2 * LONG_S
    for revision in range(100):  # a change and a question every tenth of a second
        clocks.ask(revision, takes=long)
        clocks.now += 0.1
    assert (clocks.made - 2) * long <= 10 * SHARE, "but for the first, and the second, which found that out"
    clocks.now += long / SHARE
    assert clocks.ask(100) == b"look %d" % clocks.made, "and the newest is told in the end"


def test_a_look_that_fails_leaves_the_one_before():
    clocks = Clocks()
    clocks.ask(1)
    with pytest.raises(ZeroDivisionError):
        clocks.look.answer(2, lambda: b"%d" % (1 // 0))
    assert clocks.look.answer(1, lambda: b"new") == b"look 1"


# What the database counts


def now(store: Context) -> int:
    with store.database.read() as session:
        return revision_of_runs(session)


@dataclass(frozen=True)
class Told:
    """All that is kept, read back, beside the same made afresh."""

    page: RunPage
    columns: RunColumns
    counts: RunCounts
    plot: ParetoColumns


def told(store: Context) -> Told:
    query = ParetoQuery(dataset="digits", columns=True)
    return Told(
        page=RunPage.model_validate_json(RunService(store).page_json(RunWhere(), cursor=None, limit=50)),
        columns=RunColumns.model_validate_json(columns_json(store, RunWhere(), **EXACT)),
        counts=RunCounts.model_validate_json(counts_json(store, RunWhere())),
        plot=ParetoColumns.model_validate_json(get_pareto(query, store).body),
    )


def afresh(store: Context) -> Told:
    """As an API that has just started tells it."""
    kept = store.kept
    try:
        object.__setattr__(store, "kept", Kept())
        return told(store)
    finally:
        object.__setattr__(store, "kept", kept)


def begun(store: Context, run_id: str) -> Claim:
    """A run that a trainer has started with."""
    claim = store.lifecycle.claim(run_id, worker="w@host", lease_s=60)
    assert claim is not None
    store.lifecycle.record(claim, STARTED)
    return claim


def test_every_change_of_a_run_shows_at_once(store, finish):
    run, other = finish(), finish(kind="cnn")
    runs, sweeps = RunService(store), SweepService(store)
    seen = told(store)
    assert [item.id for item in seen.page.items] == [other, run] and seen.plot.n == 2

    def bulk(action: str) -> None:
        answers = runs.bulk(BulkRequest(action=action, ids=[run]), key=None)
        assert all(answer.ok for answer in answers.items), answers

    swept = []
    changes = {
        "name": lambda: runs.change(run, RunChange(name="Mine")),
        "note": lambda: runs.change(run, RunChange(note="a note")),
        "tags": lambda: runs.change(run, RunChange(tags=["one"])),
        "fewer tags": lambda: runs.change(run, RunChange(tags=[])),
        "project": lambda: runs.change(run, RunChange(project="p")),
        "archive": lambda: bulk("archive"),
        "unarchive": lambda: bulk("unarchive"),
        "bin": lambda: bulk("delete"),
        "restore": lambda: bulk("restore"),
        "new run": lambda: runs.create(RunRequest(mask="F4", seed=5), key=None),
        "sweep": lambda: swept.append(
            sweeps.create(SweepRequest(name="s", base=RunRequest(mask="F9"), axes={"seed": [0, 7]}), key=None)
        ),
        "forget sweep": lambda: sweeps.delete(swept[0][0].id),
        "purge": lambda: (bulk("delete"), bulk("purge")),
        "finish": lambda: finish(seed=9),
    }
    for what, change in changes.items():
        before = now(store)
        change()
        assert now(store) > before, what
        shown = told(store)
        assert shown == afresh(store), what
        assert shown != seen, what
        seen = shown


def test_progress_shows_at_once_and_counts_no_change(store):
    run = RunService(store).create(RunRequest(mask="F9"), key=None)[0].id
    claim = begun(store, run)
    assert told(store).page.items[0].state is RunState.RUNNING
    before = now(store)
    store.lifecycle.heartbeat(claim, lease_s=60)
    for step in (1, 2):
        store.lifecycle.record(claim, Progress(epoch=1, step=step))
        assert told(store).page.items[0].progress.step == step
    store.lifecycle.record(claim, EPOCH)
    assert now(store) == before


def test_an_answer_without_a_change_is_kept(store, finish, monkeypatch):
    finish()
    first = told(store)
    monkeypatch.setattr("backend.runs.repository.RunRepository.page", None)
    monkeypatch.setattr("backend.runs.repository.RunRepository.measured", None)
    assert told(store) == first


def test_a_preview_is_worked_out_once_until_something_that_it_shows_changes(store, finish, monkeypatch):
    catalog, asked, worked_out = CatalogService(store), RunRequest(mask="F9", recipe="paper"), []
    monkeypatch.setattr(
        "backend.catalog.service.build_config", lambda asked: worked_out.append(1) or build_config(asked)
    )

    def preview(request: RunRequest = asked) -> tuple[Preview, int]:
        """What is told, and by how much working out."""
        worked_out.clear()
        return Preview.model_validate_json(catalog.preview_json(request)), len(worked_out)

    first, _ = preview()
    assert preview() == (first, 0)
    assert preview(RunRequest(mask="F9,F8", recipe="paper"))[1] == preview(asked.model_copy(update={"seed": 1}))[1] == 1
    equal = RunService(store).create(asked, key=None)[0].id
    told, by = preview()
    assert (by, told.equal_run.id) == (1, equal)
    assert told.waits is None
    store.lifecycle.worker_seen(
        "small", queue="cpu", slots=1, busy=0, offer=Offer(device="cpu", threads=1, datasets=[])
    )
    told, by = preview()
    assert (by, told.waits) == (1, "No worker has the data set 'digits'.")
    assert preview() == (told, 0)
    from_a_run = asked.model_copy(update={"overrides": {"start": "bundle", "start_bundle": finish()}})
    assert [preview(from_a_run)[1] for _ in range(2)] == [1, 1], "weights can go without a change of a row"


def test_a_page_put_together_is_the_page(store, finish):
    finish()
    running = RunService(store).create(RunRequest(mask="F4"), key=None)[0].id
    assert store.lifecycle.claim(running, worker="w@host", lease_s=60) is not None
    for limit in (1, 50):
        whole = RunService(store).page(RunWhere(), cursor=None, limit=limit)
        for _ in range(2):
            parts = RunService(store).page_json(RunWhere(), cursor=None, limit=limit)
            assert RunPage.model_validate_json(parts) == whole


def test_filters_and_points_have_answers_of_their_own(store, finish):
    finish()
    finish(kind="cnn")
    pages = [
        RunPage.model_validate_json(RunService(store).page_json(RunWhere(kind=kind), cursor=None, limit=50))
        for kind in (None, "snn", "cnn", None)
    ]
    assert [page.total for page in pages] == [2, 1, 1, 2]
    either = TypeAdapter(Pareto | ParetoColumns)
    shapes = [
        type(either.validate_json(get_pareto(ParetoQuery(dataset="digits", columns=columns), store).body))
        for columns in (True, False, True)
    ]
    assert shapes == [ParetoColumns, Pareto, ParetoColumns]
    dear, cheap = (
        ParetoColumns.model_validate_json(get_pareto(ParetoQuery(dataset="digits", columns=True, mac=mac), store).body)
        for mac in (2.0, 1.0)
    )
    assert sum(dear.columns["energy_pj"]) > sum(cheap.columns["energy_pj"])
    with pytest.raises(UnknownName):
        RunService(store).page_json(RunWhere(dataset="digitz"), cursor=None, limit=50)


def test_the_database_counts_whoever_changes_it(store):
    """A statement that no code of ours makes: each act on each table counts by a trigger of its own."""
    run = RunService(store).create(RunRequest(mask="F9"), key=None)[0].id
    of_run = {"run_id": run}
    with store.database.write() as session:
        session.add(SweepRow(id="s", name="s", request={}, created_at=utc_now()))
        copied = {
            column.name: getattr(session.get_one(RunRow, run), column.name) for column in RunRow.__table__.columns
        }
    cases: list[tuple[type[Base], dict, dict]] = [  # a row, and what is changed in it
        (RunTagRow, of_run | {"tag": "t"}, {"tag": "u"}),
        (RunTallyRow, of_run | {"mode": "exact", "acs": 1.0, "macs": 1.0}, {"acs": 2.0}),
        (RunStepRow, of_run | {"steps": 1, "accuracy": 0.5, "f1_macro": 0.5, "tallies": {}}, {"accuracy": 0.6}),
        (SweepRunRow, of_run | {"sweep_id": "s", "position": 0}, {"position": 1}),
        (RunRow, copied | {"id": "another"}, {"note": "x"}),
    ]
    assert {model for model, _, _ in cases} == set(WATCHED)
    for model, row, change in cases:
        mine = (model.id == "another") if model is RunRow else (model.run_id == run)
        for statement in (
            insert(model).values(row),
            update(model).where(mine).values(change),
            delete(model).where(mine),
        ):
            before = now(store)
            with store.database.write() as session:
                session.execute(statement)
            assert now(store) > before, str(statement)


def test_what_is_taken_back_counts_nothing(store):
    before = now(store)
    with pytest.raises(ZeroDivisionError), store.database.write() as session:
        session.execute(text("INSERT INTO revisions (name, n) VALUES ('other', 1)"))
        raise ZeroDivisionError
    assert now(store) == before


def test_every_column_is_watched_but_the_restless(store):
    """One that a later version adds, too: the triggers are made of the columns that there are."""
    with store.database.read() as session:
        connection = session.connection()
        if store.database.engine.dialect.name == "sqlite":
            rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        else:
            rows = connection.execute(
                text("SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE 'spikefront%'")
            )
        triggers = dict(rows.all())
        assert len(triggers) == 3 * len(WATCHED)
        for model in WATCHED:
            table = model.__tablename__
            update = triggers[f"spikefront_{table}_update"].partition(" OF ")[2].partition(" ON ")[0]
            columns = {column["name"] for column in inspect(connection).get_columns(table)}
            assert set(update.translate(str.maketrans("", "", ' "')).split(",")) == columns - RESTLESS
        with store.database.write() as writing:
            watch(writing.connection())  # again, as after the next change of the schema
    before = now(store)
    RunService(store).create(RunRequest(mask="F9"), key=None)
    assert now(store) > before


def test_epochs_reach_the_page_of_a_run_that_trains(store):
    run = RunService(store).create(RunRequest(mask="F9"), key=None)[0].id
    claim = begun(store, run)
    told(store)
    store.lifecycle.record(claim, EPOCH)
    assert told(store) == afresh(store)
