"""Room on the disk: what is given back, in which order, and what a full disk answers."""

from __future__ import annotations

import errno
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text, update

from backend.store.db import Database, utc_now
from backend.store.lifecycle import Lifecycle
from backend.store.models import RunRow
from backend.store.space import CHECKPOINT_S, SECOND_THOUGHTS_S, TIDY_EVERY_S, Space
from core.errors import StorageFull
from core.schemas.results import RunError
from core.schemas.run import RunState

RUNS = "/api/v1/runs"


def ended(finisher, lifecycle: Lifecycle, *, seed: int, cancelled: bool = False) -> str:
    """A run that came to no result and left a checkpoint and its teacher."""
    claim = finisher.claimed(seed=seed)
    for name in ("checkpoint", "teacher"):
        (claim.out / name).mkdir(parents=True)
        (claim.out / name / "file").write_bytes(b"x" * 1000)
    if cancelled:
        lifecycle.cancel(claim.run_id)
        lifecycle.cancelled(claim)
    else:
        lifecycle.fail(claim, RunError(code="non-finite-loss", message="NaN."))
    return claim.run_id


def left(client: TestClient, run_id: str) -> set[str]:
    folder = client.app.state.context.artifacts.folder(run_id)
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def age(database: Database, run_id: str, **columns: float) -> None:
    """Let so many seconds have passed since each of these moments."""
    moments = {name: utc_now() - timedelta(seconds=seconds) for name, seconds in columns.items()}
    with database.write() as session:
        session.execute(update(RunRow).where(RunRow.id == run_id).values(**moments))


def test_room_comes_from_the_oldest_checkpoints_first_then_from_the_bin_and_only_as_much_as_is_needed(
    finisher, client: TestClient, lifecycle: Lifecycle, database: Database
) -> None:
    older, newer = (ended(finisher, lifecycle, seed=seed, cancelled=seed == 2) for seed in (1, 2))
    age(database, older, finished_at=100)
    deleted = finisher.succeeded()
    client.delete(f"{RUNS}/{deleted}")
    kept = finisher.succeeded("cnn")
    for enough_after, gone in ((1, [older]), (1, [newer]), (1, [])):
        looks = []

        def enough(looks: list = looks, enough_after: int = enough_after) -> bool:
            looks.append(1)
            return len(looks) > enough_after

        lifecycle.space.make_room(enough)
        for run_id in gone:
            assert left(client, run_id) == set()
    assert left(client, deleted), "deleted a moment ago: it can still be brought back"
    age(database, deleted, deleted_at=SECOND_THOUGHTS_S + 1)
    assert not lifecycle.space.make_room(lambda: False)
    assert left(client, deleted) == set()
    assert client.post(f"{RUNS}/{deleted}/restore").status_code == 404
    assert left(client, kept), "what is not deleted stays"


def test_on_a_disk_that_takes_no_write_files_go_first_and_the_row_is_not_brought_back(
    finisher, client: TestClient, lifecycle: Lifecycle, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = finisher.succeeded()
    client.delete(f"{RUNS}/{run_id}")
    age(database, run_id, deleted_at=SECOND_THOUGHTS_S + 1)

    def full(*_: object):
        raise StorageFull()

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", full)
        lifecycle.space.make_room(lambda: False)
    assert left(client, run_id) == set()
    assert client.post(f"{RUNS}/{run_id}/restore").status_code == 404
    assert client.post(f"{RUNS}/bulk", json={"action": "purge", "ids": [run_id]}).json()["items"][0]["ok"]
    with database.read() as session:
        assert session.get(RunRow, run_id) is None


def test_a_deleted_run_is_removed_for_good_when_asked_and_no_other(
    finisher, client: TestClient, database: Database
) -> None:
    live, deleted = finisher.succeeded(), finisher.succeeded("cnn")
    client.delete(f"{RUNS}/{deleted}")
    before = shutil.disk_usage  # the folder is what takes the room
    assert before and left(client, deleted)
    answer = client.post(f"{RUNS}/bulk", json={"action": "purge", "ids": [live, deleted, "nobody"]}).json()["items"]
    assert [(item["id"], item["ok"]) for item in answer] == [(live, False), (deleted, True), ("nobody", False)]
    assert answer[0]["problem"]["code"] == "not-found"
    assert left(client, live) and left(client, deleted) == set()
    assert client.get(f"{RUNS}?deleted=true").json()["total"] == 0


def test_a_checkpoint_that_nobody_came_back_for_is_freed_after_a_week(
    finisher, client: TestClient, lifecycle: Lifecycle, database: Database
) -> None:
    run_id, other = ended(finisher, lifecycle, seed=1), ended(finisher, lifecycle, seed=2)
    ticks = [0.0]
    context = client.app.state.context
    space = Space(context.database, context.artifacts, clock=utc_now, ticks=lambda: ticks[0])
    space.tidy()
    assert left(client, run_id)
    age(database, run_id, finished_at=CHECKPOINT_S + 60)
    space.tidy()
    assert left(client, run_id), "it does not look at every round"
    ticks[0] += TIDY_EVERY_S
    space.tidy()
    assert left(client, run_id) == set() and left(client, other)


@pytest.mark.parametrize(
    ("number", "status", "code"), [(errno.ENOSPC, 507, "storage-full"), (errno.EROFS, 503, "home-unusable")]
)
@pytest.mark.parametrize("where", ["making the folder", "receiving", "moving it in"])
def test_an_import_that_cannot_be_written_says_why(
    client: TestClient, trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path, number, status, code, where
) -> None:
    zipped = shutil.make_archive(str(tmp_path / "bundle"), "zip", trained["snn"])

    def fail(*_: object, **__: object):
        raise OSError(number, os.strerror(number))

    async def fail_later(*_: object, **__: object):
        fail()

    match where:
        case "making the folder":
            monkeypatch.setattr("backend.imports.workplace.tempfile.TemporaryDirectory", fail)
        case "receiving":
            monkeypatch.setattr("backend.imports.service.receive", fail_later)
        case "moving it in":
            monkeypatch.setattr(Path, "rename", fail)
    answer = client.post(
        "/api/v1/imports", content=Path(zipped).read_bytes(), headers={"Content-Type": "application/zip"}
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert client.get(RUNS).json()["total"] == 0
    root = client.app.state.context.artifacts.root
    assert not root.exists() or list(root.iterdir()) == []


def test_a_full_disk_is_told_by_health_and_queue_though_no_worker_could_say_it(
    client: TestClient, lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/api/v1/health/ready").json()["training"] == "ok"
    assert client.get("/api/v1/queue").json()["paused"] is None
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("core.room.shutil.disk_usage", lambda _: usage._replace(free=2_000_000))
    client.post(RUNS, json={"mask": "F9"})
    lifecycle.worker_seen("a:1", queue="cpu", slots=2, busy=0)
    waiting = client.get("/api/v1/queue").json()
    assert "full: 2 MB free" in waiting["paused"] and waiting["items"][0]["starts_in_s"] is None
    ready = client.get("/api/v1/health/ready", headers={"Authorization": ""}).json()
    assert "full: 2 MB free" in ready["training"]


def test_a_worker_that_waits_is_told_of_unless_another_takes_runs(client: TestClient, lifecycle: Lifecycle) -> None:
    lifecycle.worker_seen("a:1", queue="cpu", slots=2, busy=0, paused="The disk that holds the runs is full.")
    assert client.get("/api/v1/queue").json()["paused"] == "The disk that holds the runs is full."
    assert client.get("/api/v1/health/ready").json()["training"] == "The disk that holds the runs is full."
    assert client.get("/api/v1/workers").json()["items"][0]["paused"] == "The disk that holds the runs is full."
    lifecycle.worker_seen("b:2", queue="cpu", slots=2, busy=0)
    assert client.get("/api/v1/queue").json()["paused"] is None


def test_health_and_workers_do_not_take_a_dead_worker_for_alive_when_the_clock_was_set_back(
    client: TestClient, lifecycle: Lifecycle, database: Database
) -> None:
    lifecycle.worker_seen("dead:1", queue="cpu", slots=2, busy=0)
    with database.write() as session:
        session.execute(text("UPDATE workers SET seen_at = :then"), {"then": "2999-01-01 00:00:00.000000"})
    assert client.get("/api/v1/workers").json()["items"] == []
    assert client.get("/api/v1/health/ready").json()["workers"] == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_a_run_that_is_launched_again_is_handed_what_the_first_one_left(
    finisher, client: TestClient, lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch, links
) -> None:
    run_id = ended(finisher, lifecycle, seed=1)
    context = client.app.state.context
    if not links:
        monkeypatch.setattr("backend.store.artifacts.os.link", lambda *_: (_ for _ in ()).throw(OSError(1, "not here")))
    again = client.post(f"{RUNS}/{run_id}/retry", headers={"Idempotency-Key": "k"}).json()["id"]
    assert client.post(f"{RUNS}/{run_id}/retry", headers={"Idempotency-Key": "k"}).json()["id"] == again
    old, new = (context.artifacts.folder(one) / "checkpoint" / "file" for one in (run_id, again))
    assert new.read_bytes() == old.read_bytes()
    assert (new.stat().st_ino == old.stat().st_ino) == links
    lifecycle.space.make_room(lambda: False)
    assert not old.exists() and new.exists()


def test_a_run_is_launched_again_though_nothing_can_be_handed_on(
    finisher, client: TestClient, lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object):
        raise OSError(errno.ENOSPC, "No space left on device")

    run_id = ended(finisher, lifecycle, seed=1)
    monkeypatch.setattr("backend.store.artifacts.shutil.copytree", full)
    answer = client.post(f"{RUNS}/{run_id}/retry")
    assert answer.status_code == 201 and left(client, answer.json()["id"]) == set()


def test_deleting_on_a_full_disk_makes_the_room_that_it_needs(
    finisher, client: TestClient, lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, other = ended(finisher, lifecycle, seed=1), finisher.succeeded()
    context, write = client.app.state.context, Database.write

    def full_while_it_is_there(database: Database):
        if left(client, failed):
            raise StorageFull()
        return write(database)

    monkeypatch.setattr(Database, "write", full_while_it_is_there)
    monkeypatch.setattr("backend.runs.service.lack", lambda *_, **__: "full" if left(client, failed) else None)
    assert client.delete(f"{RUNS}/{other}").status_code == 204
    assert context.artifacts.folder(other).exists() and left(client, failed) == set()


def test_the_states_without_a_result_are_those_that_can_be_launched_again() -> None:
    from backend.runs.service import RETRIABLE
    from backend.store.space import WITHOUT_RESULT

    assert {*WITHOUT_RESULT, RunState.LOST} == set(RETRIABLE)
