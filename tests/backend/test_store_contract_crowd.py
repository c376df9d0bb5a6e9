"""What every store must do for a laboratory: many at once, ids for years, any text, a move from one store to the other."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import func, insert, select, text
from stores import at_once

from backend.accounts.service import AccountService
from backend.context import Context
from backend.runs.events import read_batch
from backend.runs.new_runs import new_row
from backend.runs.repository import RunRepository, RunWhere
from backend.runs.service import RunService
from backend.store.actors import OWNER
from backend.store.copying import copy
from backend.store.db import Database, migrate, upgrade, utc_now
from backend.store.lifecycle import Claim
from backend.store.models import Base, RunRow, SavedViewRow, SweepRow
from backend.sweeps.service import SweepService
from backend.views import service as views
from core.errors import BadValue, CopyFailed, HomeUnusable
from core.recipes.build import build_config
from core.schemas.accounts import NewAccount, TokenRequest
from core.schemas.request import RunRequest
from core.schemas.results import Progress
from core.schemas.runs import RunChange
from core.schemas.saved_view import NewView
from core.schemas.sweep import SweepRequest
from core.settings import Settings, prepare_home

BEYOND_32_BITS = 2**31 + 5


def make(store: Context, seed: int = 0) -> str:
    return RunService(store).create(RunRequest(mask="F9", seed=seed), key=None)[0].id


def claimed(store: Context) -> Claim:
    claim = store.lifecycle.claim(make(store), worker="w@host", lease_s=60)
    assert claim is not None
    return claim


def count(store: Context, table: type[Base]) -> int:
    with store.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


# Ids


def next_event_id(store: Context, number: int) -> None:
    with store.database.write() as session:
        if store.database.engine.dialect.name == "sqlite":
            session.execute(text("DELETE FROM sqlite_sequence WHERE name = 'run_events'"))
            made = {"n": number - 1}
            session.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES ('run_events', :n)"), made)
        else:
            session.execute(text(f"ALTER SEQUENCE run_events_id_seq RESTART {number}"))


def test_events_are_numbered_beyond_32_bits(store):
    next_event_id(store, BEYOND_32_BITS)
    run_id = make(store)
    with store.database.read() as session:
        assert [row.id for row in RunRepository(session).events_after(run_id, 0)] == [BEYOND_32_BITS]


def test_progress_uses_up_no_ids_and_its_newest_stands_where_it_happened(store):
    claim = claimed(store)
    for step in range(5):
        store.lifecycle.record(claim, Progress(epoch=1, max_epochs=2, step=step, steps=9, loss=0.5))
    batch = read_batch(store.database, claim.run_id, 0)
    assert [row.type for row in batch.told(None)] == ["state", "state", "progress"]
    assert batch.progress.payload["step"] == 4 and batch.told(batch.progress.created_at) == batch.rows
    store.lifecycle.release(claim)
    after = read_batch(store.database, claim.run_id, 0)
    assert [row.type for row in after.told(None)] == ["state", "state", "progress", "state", "state"]
    assert [row.id for row in after.rows] == [1, 2, 4, 5]  # one for five times of progress


# At once


def swept(name: str) -> SweepRequest:
    return SweepRequest.model_validate({"name": name, "base": {"mask": "F9"}, "axes": {"seed": [0, 1]}})


def test_equal_sweeps_at_once_make_their_runs_once(store):
    made = at_once(*[partial(SweepService(store).create, swept(f"s{n}"), key=None) for n in range(8)])
    assert [new for _, new in made] == [True] * 8
    assert (count(store, RunRow), count(store, SweepRow)) == (2, 8)
    assert {detail.n_runs for detail, _ in made} == {2}


def test_views_of_one_name_kept_at_once_are_one_view(store):
    made = at_once(*[partial(views.save, store, NewView(name="mine", parts={"q": str(n)})) for n in range(6)])
    assert {view.name for view in made} == {"mine"} and count(store, SavedViewRow) == 1


def test_many_submit_at_once_beside_many_runs_and_all_are_answered(store):
    """SQLite's own waiting is by chance: of fifty some would meet the end of their patience."""
    row = new_row(build_config(RunRequest(mask="F9")), now=utc_now())
    known = {column.name: getattr(row, column.name) for column in RunRow.__table__.columns}
    known = {name: value for name, value in known.items() if value is not None}
    with store.database.write() as session:
        session.execute(insert(RunRow), [known | {"id": f"{n:016x}"} for n in range(2_000)])
    made = at_once(*[partial(make, store, seed) for seed in range(50)])
    assert all(isinstance(one, str) for one in made) and count(store, RunRow) == 2_050


# Text


@pytest.mark.parametrize("field", ["q", "tag", "sweep", "recipe"])
def test_a_search_for_a_sign_that_no_text_can_hold_is_refused_alike(store, field):
    with pytest.raises(BadValue, match="NUL"):
        RunService(store).page(RunWhere(**{field: "a\0b"}), cursor=None, limit=5)


def test_a_text_with_that_sign_is_kept_nowhere_and_read_nowhere(store):
    claim = claimed(store)
    for act in (
        lambda: RunService(store).show("a\0b"),
        lambda: store.lifecycle.worker_seen("w\0", queue="cpu", slots=1, busy=0),
        lambda: RunService(store).change(claim.run_id, RunChange.model_construct({"note"}, note="a\0b")),
    ):
        with pytest.raises(BadValue, match="NUL"):
            act()


# From one store to the other


def rows(database: Database) -> dict[str, list[dict[str, object]]]:
    with database.read() as session:
        return {
            table.name: sorted((dict(row) for row in session.execute(select(table)).mappings()), key=repr)
            for table in Base.metadata.sorted_tables
        }


@pytest.fixture
def old(tmp_path, empty_database) -> Database:
    """A SQLite file with a run of each kind, a sweep, tags, and a note that earlier versions took."""
    settings = Settings(home=tmp_path / "old")
    prepare_home(settings)
    (settings.home / "spikefront.db").write_bytes(empty_database.read_bytes())
    from backend.context import build_context

    context = build_context(settings)
    SweepService(context).create(swept("s"), key="k")
    claim = claimed(context)
    context.lifecycle.record(claim, Progress(epoch=1, max_epochs=2, step=1, steps=9, loss=float("nan")))
    RunService(context).change(claim.run_id, RunChange(tags=["a", "ä"], name="mine"))
    accounts = AccountService(context.database, OWNER)
    accounts.add(NewAccount(name="ann"))
    accounts.add_token(TokenRequest(name="t", account="ann"))
    with context.database.engine.begin() as connection:
        connection.execute(text("UPDATE runs SET note = 'a' || char(0) || 'b'"))
    yield context.database
    context.database.close()


def test_a_copy_holds_every_row_of_every_table_and_counts_on_from_there(old, store):
    counts = copy(old, store.database)
    found, wanted = rows(store.database), rows(old)
    ours, theirs = found.pop("revisions"), wanted.pop("revisions")  # each counts its own changes
    assert ours != theirs and [row["name"] for row in ours] == ["runs"]
    for row in wanted["runs"]:
        row["note"] = "a\ufffdb"
    assert found == {name: sorted(table, key=repr) for name, table in wanted.items()}
    assert counts["runs"] == 3 and counts["run_tags"] == 2 and counts["run_events"] == len(wanted["run_events"])
    make(store, seed=7)  # the next id is a new one
    AccountService(store.database, OWNER).add(NewAccount(name="ben"))
    for counted in ("run_events", "audit_log"):
        assert max(row["id"] for row in rows(store.database)[counted]) > max(row["id"] for row in wanted[counted])


def test_what_holds_a_row_is_not_copied_into(old, store):
    make(store)
    before = rows(store.database)
    with pytest.raises(CopyFailed, match="not empty: it has rows in .*runs"):
        copy(old, store.database)
    assert rows(store.database) == before


def test_where_nobody_may_migrate_a_start_says_what_to_do(empty_url, tmp_path):
    kept = Settings(home=tmp_path / "h", database_url_override=empty_url, migrate="off")
    prepare_home(kept)
    with pytest.raises(HomeUnusable, match="Run: spikefront db upgrade"):
        migrate(kept)
    upgrade(kept)
    migrate(kept)
