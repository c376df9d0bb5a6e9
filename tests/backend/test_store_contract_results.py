"""What every store must do with results, one suite over all: sweeps, plots, steps, imports, links, what follows from rows."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from sqlalchemy import delete, func, select, text, update

from backend.audits.service import measured
from backend.comparisons.service import ComparisonService
from backend.context import Context
from backend.imports.service import ImportService
from backend.installation.service import installation
from backend.pareto.service import pareto
from backend.runs.found import take_up
from backend.runs.repository import RunRepository, RunWhere
from backend.runs.service import RunService
from backend.shares.frozen import FOLDER
from backend.shares.service import ShareService
from backend.store.backfill import fill_older_rows
from backend.store.db import utc_now
from backend.store.models import (
    Base,
    IdempotencyKeyRow,
    RunRow,
    RunStepRow,
    RunTallyRow,
    ShareRow,
    SweepRow,
    SweepRunRow,
)
from backend.suggestions.service import suggestions
from backend.sweeps.service import SweepService
from backend.workers.service import WorkerService
from core.bundle import MANIFEST
from core.energy.modes import MODES
from core.errors import IdempotencyConflict, NotFound, ShareGone
from core.schemas.pareto import ParetoPoint
from core.schemas.run import Kind, RunState
from core.schemas.runs import RunChange
from core.schemas.share import ShareRequest
from core.schemas.sweep import SweepRequest

EXACT = {"mode": "exact", "profile": "horowitz-45nm"}


def count(store: Context, table: type[Base]) -> int:
    with store.database.read() as session:
        return session.scalar(select(func.count()).select_from(table))


def sweep_of(seeds: list[int], **changes: object) -> SweepRequest:
    base = {"mask": "F9"}
    return SweepRequest.model_validate({"name": "Zwei Läufe", "base": base, "axes": {"seed": seeds}, **changes})


def plot(store: Context, **asked: object):
    return pareto(store, **{"dataset": "digits", **EXACT, **asked}).points()


# Sweeps


def test_a_sweep_takes_equal_runs_in_and_counts_its_states(store, finish):
    done = finish(seed=0)
    service = SweepService(store)
    preview = service.preview(sweep_of([0, 1, 2]))
    assert (preview.n_runs, preview.n_new, preview.n_existing) == (3, 2, 1)
    made, new = service.create(sweep_of([0, 1, 2]), key=None)
    assert new and made.name == "Zwei Läufe" and made.request == sweep_of([0, 1, 2])
    assert made.states == {RunState.SUCCEEDED: 1, RunState.QUEUED: 2} and made.n_runs == 3
    (group,) = made.groups
    assert (group.n, group.seeds, group.run_ids[0]) == (1, [0, 1, 2], done)
    assert RunService(store).show(done).sweep_ids == [made.id]
    assert RunService(store).page(RunWhere(sweep=made.id), cursor=None, limit=9).total == 3
    assert service.cancel(made.id).states == {RunState.SUCCEEDED: 1, RunState.CANCELLED: 2}
    service.delete(made.id)
    with pytest.raises(NotFound):
        service.show(made.id, **EXACT)
    assert (count(store, SweepRunRow), count(store, RunRow)) == (0, 3)


def test_sweeps_are_paged_newest_first_and_one_key_makes_one(store):
    service = SweepService(store)
    ids = [service.create(sweep_of([number]), key=f"k{number}")[0].id for number in range(5)]
    seen, cursor = [], None
    while True:
        page = service.page(cursor=cursor, limit=2)
        seen += [sweep.id for sweep in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == ids[::-1] and page.total == 5
    assert service.create(sweep_of([0]), key="k0")[0].id == ids[0]
    with pytest.raises(IdempotencyConflict):
        service.create(sweep_of([9]), key="k0")
    assert (count(store, SweepRow), count(store, IdempotencyKeyRow)) == (5, 5)


def test_a_sweep_asked_for_twice_at_once_with_one_key_is_made_once(store):
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(SweepService(store).create, sweep_of([1, 2]), key="k") for _ in range(4)]
    assert len({one.result()[0].id for one in asked}) == 1
    assert (count(store, SweepRow), count(store, RunRow)) == (1, 2)


# Plots


def test_a_plot_has_a_point_for_each_result_and_says_all_of_it(store, finish):
    spiking, twin = finish(), finish("cnn")
    RunService(store).create(SweepService(store).create(sweep_of([0]), key=None)[0].request.base, key=None)
    RunService(store).change(spiking, RunChange(tags=["b", "a, c", "Z"]))
    found = plot(store)
    points = {point.run_id: point for point in found.points}
    assert [point.run_id for point in found.points] == [spiking, twin]  # the oldest first; queued ones are not there
    with store.database.read() as session:
        tally = session.get_one(RunTallyRow, (spiking, "exact"))
        row = session.get_one(RunRow, spiking)
        sweeps = set(session.scalars(select(SweepRow.id)))
    point = points[spiking]
    assert point.energy_pj == pytest.approx(0.9 * tally.acs + 4.6 * tally.macs)
    assert (point.acs, point.macs, point.other) == (tally.acs, tally.macs, tally.other)
    assert (point.accuracy, point.f1_macro, point.params, point.firing_rate, point.n_test, point.dataset_complete) == (
        row.accuracy, row.f1_macro, row.params, row.firing_rate, row.n_test, row.dataset_complete,
    )  # fmt: skip
    assert point.tags == ["Z", "a, c", "b"] and set(point.sweep_ids) == sweeps and points[twin].tags == []
    assert point.label == row.label and point.mask == ("F9",) and points[twin].firing_rate is None
    assert point.twin == points[twin].twin and point.repeat != points[twin].repeat
    assert set(found.front) == {point.run_id for point in found.points if point.on_front} != set()
    columns = pareto(store, dataset="digits", **EXACT).columns()
    assert set(columns.columns) == set(ParetoPoint.model_fields) and columns.n == 2
    assert columns.columns["run_id"] == [spiking, twin]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_has_a_tally_and_a_missing_one_is_made_at_the_start(store, finish, mode):
    run_id = finish()
    before = plot(store, mode=mode).points
    with store.database.write() as session:
        session.execute(delete(RunTallyRow).where(RunTallyRow.mode == mode))
        session.execute(update(RunTallyRow).where(RunTallyRow.mode != mode).values(other=None))
    assert plot(store, mode=mode).points == []
    fill_older_rows(store.database, store.artifacts, store.settings.data)
    assert plot(store, mode=mode).points == before and before[0].run_id == run_id
    assert count(store, RunTallyRow) == len(MODES)


def test_stopped_early_runs_come_from_the_table_of_steps_which_is_filled_while_somebody_waits(store, finish):
    run_id, twin = finish(), finish("cnn")
    early = plot(store, steps=2)
    points = {point.run_id: point for point in early.points}
    with store.database.read() as session:
        row = session.get_one(RunStepRow, (run_id, 2))
    assert (points[run_id].accuracy, points[run_id].firing_rate) == (row.accuracy, row.firing_rate)
    assert points[run_id].acs == row.tallies["exact"]["acs"] < plot(store).points[0].acs
    assert (points[run_id].time_steps, points[twin].time_steps, early.missing) == (2, 1, 0)
    with store.database.write() as session:
        session.execute(delete(RunStepRow))
    assert plot(store, steps=2) == early and count(store, RunStepRow) == 3  # 1 to T - 1 of four steps


def test_what_is_in_the_bin_is_in_no_plot_no_sweep_and_no_twin(store, finish):
    spiking, twin = finish(), finish("cnn")
    assert RunService(store).show(spiking).twin.id == twin
    RunService(store).delete(twin)
    assert [point.run_id for point in plot(store).points] == [spiking]
    assert RunService(store).show(spiking).twin is None
    assert plot(store, steps=1).missing == 0


# What follows from rows


def test_comparisons_suggestions_audit_queue_and_installation_answer(store, finish):
    spiking, twin = finish(), finish("cnn")
    RunService(store).create(sweep_of([5]).base, key=None)
    compared = ComparisonService(store).compare([spiking, twin], **EXACT)
    assert [run.id for run in compared.runs] == [spiking, twin] and len(compared.twins) == 1
    asked = {"backbone": "squeezenet", "definition": "small", "kind": Kind.SNN, "dataset": "digits"}
    assert suggestions(store, **asked, **EXACT, n=3).n_runs == 1
    assert measured(store) is not None
    workers = WorkerService(store)
    assert workers.queue().total == 1 and workers.workers() is not None
    assert installation(store).n_runs == 3
    with store.database.read() as session:
        like = RunRepository(session).like(kind=Kind.CNN, dataset="digits", backbone="mixnet")
    assert like.id == twin


def test_runs_whose_rows_were_lost_are_taken_up_again(store, finish):
    run_id = finish()
    was = plot(store).points
    with store.database.write() as session:
        session.execute(delete(RunRow))
    assert count(store, RunTallyRow) == 0 and plot(store).points == []
    assert take_up(store) == [run_id] and take_up(store) == []
    (now,) = plot(store).points
    assert (now.run_id, now.energy_pj, now.accuracy) == (run_id, was[0].energy_pj, was[0].accuracy)


# Imports


def upload(folder: Path) -> AsyncIterator[bytes]:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)

    async def body() -> AsyncIterator[bytes]:
        yield content.getvalue()

    return body()


def test_a_bundle_is_imported_once_and_comes_back_from_the_bin(store, trained):
    run, created = anyio.run(ImportService(store).take, upload(trained["snn"]))
    digest = hashlib.sha256((trained["snn"] / MANIFEST).read_bytes()).hexdigest()
    with store.database.read() as session:
        assert session.get_one(RunRow, run.id).import_digest == digest
    assert created and run.imported and run.state is RunState.SUCCEEDED and run.artifacts
    RunService(store).delete(run.id)
    again, created = anyio.run(ImportService(store).take, upload(trained["snn"]))
    assert (again.id, created, again.deleted_at) == (run.id, False, None)
    assert [point.run_id for point in plot(store).points] == [run.id]


# Links


def test_links_open_count_their_views_and_close(store, finish):
    spiking, twin = finish(), finish("cnn")
    swept = SweepService(store).create(sweep_of([0]), key=None)[0].id
    service = ShareService(store)
    asked = [
        {"run_id": spiking}, {"runs": [spiking, twin]}, {"sweep_id": swept}, {"view": {"dataset": "digits"}},
        {"run_id": spiking, "frozen": True, "expires_in_days": None}, {"runs": [twin, spiking], "blind": True},
    ]  # fmt: skip
    made = [service.create(ShareRequest.model_validate(body)) for body in asked]
    for share, kind in zip(made, ("run", "comparison", "sweep", "view", "run", "comparison"), strict=True):
        assert service.open(share.token).type == share.type == kind
        assert service.open_page(share.token).status == 200
    store.views.write()
    items = service.all().items
    assert [share.id for share in items] == [share.id for share in made[::-1]]
    assert {share.views for share in items} == {2} and all(share.last_viewed_at for share in items)
    RunService(store).delete(spiking)
    for share in (made[0], made[1]):
        with pytest.raises(ShareGone):
            service.open(share.token)
    assert service.open(made[4].token).type == "run"  # frozen: it outlives its run
    service.revoke(made[4].id)
    with pytest.raises(ShareGone):
        service.open(made[4].token)
    with store.database.write() as session:
        session.execute(update(ShareRow).where(ShareRow.id == made[3].id).values(expires_at=utc_now()))
    with pytest.raises(ShareGone):
        service.open(made[3].token)
    RunService(store).purge(spiking)
    with store.database.read() as session:  # the live link to one run goes with it
        assert set(session.scalars(select(ShareRow.id))) == {share.id for share in made[1:]}


def test_frozen_links_whose_time_is_over_give_their_room_back(store, finish):
    run_id, service = finish(), ShareService(store)
    old = service.create(ShareRequest(run_id=run_id, frozen=True))
    folder = store.artifacts.root / FOLDER / old.id
    assert service.all().items[0].bytes == sum(f.stat().st_size for f in folder.iterdir() if f.name != MANIFEST) > 0
    with store.database.write() as session:
        session.execute(update(ShareRow).values(expires_at=utc_now() - timedelta(seconds=1)))
    service.create(ShareRequest(run_id=run_id, frozen=True))
    assert not folder.exists() and count(store, ShareRow) == 2


def test_a_link_opens_at_once_while_somebody_else_writes_it(store, finish):
    share = ShareService(store).create(ShareRequest(run_id=finish()))
    with store.database.write() as session:
        session.execute(text("UPDATE shares SET label = label"))
        assert ShareService(store).open(share.token).type == "run"  # would wait for the row, were views written at once
        assert store.views.waiting(share.id)[0] == 1
    store.views.write()
    assert ShareService(store).all().items[0].views == 1
