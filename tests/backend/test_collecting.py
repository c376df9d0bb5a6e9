"""What `spikefront gc` takes, and what it leaves whatever its age."""

import json
import os
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update

from backend.store.__main__ import main
from backend.store.artifacts import Artifacts
from backend.store.collecting import collect
from backend.store.db import utc_now
from backend.store.models import AuditEntryRow, RunEventRow, RunRow, WorkerRow
from core.schemas.results import RunError, Started

LONG_AGO = 10**9  # seconds since 1970


def gone(database, settings, *, days=0.0, audit_days=730.0, dry_run=False, later_days=1):
    """What is freed a day from now, by its name: (items, bytes)."""
    now = utc_now() + timedelta(days=later_days)
    artifacts = Artifacts(settings)
    ages = {"days": days, "audit_days": audit_days}
    found = collect(database, artifacts, settings.data, **ages, dry_run=dry_run, now=now)
    return {one.what.split()[0]: (one.items, one.bytes) for one in list(found)}


def failed_with_checkpoint(finisher):
    claim = finisher.claimed(seed=7)
    finisher.lifecycle.record(
        claim, Started(device="cpu", n_train=1, n_validation=1, n_test=1, steps_per_epoch=1, max_epochs=1)
    )
    (claim.out / "checkpoint").mkdir(parents=True)
    (claim.out / "checkpoint" / "state").write_bytes(b"x" * 1000)
    (claim.out / "history.json").write_text("{}")
    finisher.lifecycle.fail(claim, RunError(code="x", message="It failed."))
    return claim.run_id, claim.out


def test_a_checkpoint_of_a_failed_run_goes_with_its_old_events_and_the_run_stays(finisher, database, settings):
    run_id, folder = failed_with_checkpoint(finisher)
    assert gone(database, settings, days=2)["checkpoints"] == (0, 0)  # it ended a day ago
    assert gone(database, settings, dry_run=True)["checkpoints"] == (1, 1000)
    assert (folder / "checkpoint").exists()
    found = gone(database, settings)
    assert (found["checkpoints"], found["events"]) == ((1, 1000), (1, 0))
    assert [file.name for file in folder.iterdir()] == ["history.json"]
    with database.read() as session:
        assert session.get(RunRow, run_id).state == "failed"
        told = select(RunEventRow.payload).where(RunEventRow.run_id == run_id).order_by(RunEventRow.id)
        assert [event["state"] for event in session.scalars(told)] == ["queued", "running", "failed"]
    assert finisher.client.get(f"/api/v1/runs/{run_id}").status_code == 200
    assert all(found == (0, 0) for found in gone(database, settings).values())


def test_runs_that_wait_or_train_lose_nothing(finisher, database, settings):
    claim = finisher.claimed()
    finisher.lifecycle.record(
        claim, Started(device="cpu", n_train=1, n_validation=1, n_test=1, steps_per_epoch=1, max_epochs=1)
    )
    (claim.out / "checkpoint").mkdir(parents=True)
    (claim.out / "checkpoint" / "state").write_bytes(b"x")
    finisher.queued(seed=3)
    found = gone(database, settings)
    assert (found["checkpoints"], found["events"]) == ((0, 0), (0, 0))
    assert (claim.out / "checkpoint" / "state").exists()


def test_what_a_link_or_another_run_is_made_from_stays(finisher, database, settings):
    teacher = finisher.succeeded("cnn")
    client = finisher.client
    share = client.post("/api/v1/shares", json={"run_id": teacher, "frozen": True}).json()
    weights = Artifacts(settings).bundle(teacher).weights_sha256
    with database.write() as session:
        session.execute(update(RunRow).values(finished_at=utc_now() - timedelta(days=900)))
    for where, _, _ in os.walk(settings.home / "runs"):
        os.utime(where, (LONG_AGO, LONG_AGO))
    gone(database, settings)
    Artifacts(settings).bundle(teacher).verify()
    assert client.get(share["url"].replace("/s/", "/api/v1/shared/")).status_code == 200
    taught = {"distillation": 0.5, "teacher": weights}
    answer = client.post("/api/v1/runs", json={"mask": "F9", "kind": "snn", "dataset": "digits", "overrides": taught})
    assert answer.status_code == 201, answer.text


def test_a_folder_without_a_run_goes_only_where_nothing_could_be_made_of_it(finisher, database, settings):
    root = settings.home / "runs"
    kept = finisher.succeeded("snn")
    os.rename(root / kept, root / ("a" * 16))  # a finished bundle whose row was lost
    empty, begun, young, share = (root / ("b" * 16), root / ("c" * 16), root / ("d" * 16), root / "shares" / "e")
    for folder in (empty, begun / "checkpoint", young, share):
        folder.mkdir(parents=True)
    for folder in (root / ("a" * 16), empty, begun, share):
        os.utime(folder, (LONG_AGO, LONG_AGO))
    os.utime(young, None)
    found = gone(database, settings, later_days=0)
    assert (found["folders"][0], found["stored"][0]) == (1, 1)
    assert sorted(one.name[0] for one in root.iterdir() if len(one.name) == 16) == ["a", "c", "d"]
    assert not share.exists()


def test_workers_that_are_gone_and_caches_that_nothing_reads_go(lifecycle, database, settings):
    lifecycle.worker_seen("here", queue="cpu", slots=1, busy=0)
    with database.write() as session:
        session.add(WorkerRow(name="gone", queue="cpu", slots=1, busy=0, seen_at=utc_now() - timedelta(days=9)))
    cache = settings.data / "digits" / "cache"
    for number, name in enumerate(("older", "newer", ".died", ".young")):
        (cache / name).mkdir(parents=True)
        (cache / name / "images.npy").write_bytes(b"x" * 10)
        os.utime(cache / name, (LONG_AGO + number, LONG_AGO + number))
    os.utime(cache / ".young", None)
    found = gone(database, settings, days=8, later_days=0)
    assert (found["workers"], found["caches"]) == ((1, 0), (2, 20))
    assert sorted(one.name for one in cache.iterdir()) == [".young", "newer"]
    with database.read() as session:
        assert list(session.scalars(select(WorkerRow.name))) == ["here"]


def noted(database):
    with database.read() as session:
        wanted = select(AuditEntryRow.action, AuditEntryRow.subject, AuditEntryRow.detail).order_by(AuditEntryRow.id)
        return [tuple(row) for row in session.execute(wanted)]


def age(database, action, days):
    with database.write() as session:
        aged = update(AuditEntryRow).where(AuditEntryRow.action == action)
        session.execute(aged.values(at=utc_now() - timedelta(days=days)))


def test_old_entries_of_the_audit_log_go_by_an_age_of_their_own_and_that_is_noted(client, database, settings):
    client.post("/api/v1/accounts", json={"name": "ann", "role": "viewer"})
    client.patch("/api/v1/accounts/ann", json={"role": "admin"})
    client.patch("/api/v1/accounts/ann", json={"disabled": True})
    age(database, "account.made", 731)
    age(database, "role.changed", 728)
    before = noted(database)
    assert gone(database, settings, dry_run=True)["entries"] == (1, 0) and noted(database) == before
    assert gone(database, settings, days=0)["entries"] == (1, 0)  # --days is not about it
    assert [action for action, _, _ in noted(database)] == ["role.changed", "account.disabled", "audit-log.pruned"]
    assert noted(database)[-1][2] == {"entries": 1}
    assert gone(database, settings)["entries"] == (0, 0) and len(noted(database)) == 3  # nothing is not noted
    assert gone(database, settings, audit_days=0.5, later_days=1)["entries"] == (3, 0)
    assert client.get("/api/v1/audit-log").json()["items"][0]["action"] == "audit-log.pruned"


def test_the_command_keeps_the_audit_log_as_long_as_its_setting_says(client, database, settings, monkeypatch, capsys):
    client.post("/api/v1/accounts", json={"name": "ann", "role": "viewer"})
    age(database, "account.made", 100)
    monkeypatch.setenv("SPIKEFRONT_HOME", str(settings.home))

    def removed() -> int:
        assert main(["gc", "--json", "--days", "0"]) == 0
        freed = json.loads(capsys.readouterr().out)["freed"]
        return next(one["items"] for one in freed if one["what"] == "entries of the audit log")

    assert removed() == 0
    monkeypatch.setenv("SPIKEFRONT_AUDIT_DAYS", "99")
    assert removed() == 1


def test_the_command_prints_bytes_and_items_and_a_dry_run_changes_nothing(finisher, settings, monkeypatch, capsys):
    _, folder = failed_with_checkpoint(finisher)
    monkeypatch.setenv("SPIKEFRONT_HOME", str(settings.home))
    assert main(["gc", "--dry-run", "--days", "0"]) == 0
    said = capsys.readouterr().out
    assert "checkpoints of runs that failed or were cancelled: 1, 0.0 MB" in said
    assert said.endswith("Would free 0.0 MB. Nothing was changed.\n")
    assert (folder / "checkpoint").exists()
    monkeypatch.setenv("SPIKEFRONT_GC_DAYS", "0")
    assert main(["gc", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["dry_run"], told["days"], told["freed"][0]["bytes"]) == (False, 0.0, 1000)
    assert not (folder / "checkpoint").exists()


def test_a_folder_that_is_removed_while_folders_are_listed_is_none(settings, monkeypatch):
    artifacts = Artifacts(settings)
    for run_id in ("a" * 16, "b" * 16):
        artifacts.folder(run_id).mkdir(parents=True)
    listing = Path.iterdir

    def iterdir(folder):
        if folder.name == "b" * 16:
            folder.rmdir()
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert [one.name for one in artifacts.kept()] == ["a" * 16]
