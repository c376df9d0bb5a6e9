"""A worker without room, or without a folder to write in, fails no run: it waits, says so, frees what it may."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.store.models import RunEventRow
from backend.workers.service import WorkerService
from core import room
from core.forecast import STORAGE_MARGIN
from core.recipes.build import build_config, plan_of
from core.schemas.request import RunRequest
from core.schemas.run import RunState

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """What the disk says of itself, in this process."""
    told = {"bytes": 1 << 40}
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: Usage(1 << 41, 1 << 40, told["bytes"]))
    yield told


def test_a_run_needs_two_checkpoints_and_its_bundle(tmp_path):
    config = build_config(RunRequest(kind="cnn", mask="Full"))
    weights = 4 * plan_of(config).params
    outputs = 360 * 1 * 10 * 4  # test images, steps, classes, float32
    assert room.needed_bytes(config, tmp_path) == 2 * 4 * weights + weights + outputs + STORAGE_MARGIN


def test_a_data_set_that_is_gone_does_not_stop_the_reckoning(tmp_path):
    config = build_config(RunRequest()).model_copy(update={"dataset": "pets"})
    assert room.needed_bytes(config, tmp_path) == STORAGE_MARGIN


def test_a_full_disk_and_a_folder_that_cannot_be_written_are_told_without_a_path(tmp_path, free, monkeypatch):
    assert room.lack(tmp_path / "runs", 10_000_000, try_it=True) is None
    assert list((tmp_path / "runs").iterdir()) == [], "nothing is left of the try"
    free["bytes"] = 5_972_000
    assert room.lack(tmp_path, 27_000_000, try_it=True) == (
        "The disk that holds the runs is full: 6 MB free, where a run needs about 27 MB."
    )
    free["bytes"] = 1 << 40

    def refuse(code: int):
        def allocate(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        return allocate

    monkeypatch.setattr(room.os, "posix_fallocate", refuse(errno.EDQUOT))
    assert "is full" in room.lack(tmp_path, 1000, try_it=True)
    monkeypatch.setattr(room.os, "posix_fallocate", refuse(errno.EROFS))
    why = room.lack(tmp_path, 1000, try_it=True)
    assert why == "The folder of the runs cannot be written: Read-only file system."
    (tmp_path / "file").write_text("")
    assert str(tmp_path) not in room.lack(tmp_path / "file" / "runs", 1000, try_it=True)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own of 64 MB, where this user may make one."""
    folder = Path(tempfile.mkdtemp(prefix="sf-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)]
    allowed = sys.platform.startswith("linux") and not os.geteuid()
    if not allowed or subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def runs_on_small_disk(site, small_disk: Path) -> Path:
    """The installation's runs lie there; database and broker do not."""
    (site.settings.home / "runs").symlink_to(small_disk)
    return small_disk


def fill(disk: Path, *, leaving: int) -> Path:
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - leaving)
    return ballast


def test_no_run_fails_on_a_full_disk_and_all_succeed_once_there_is_room(site, tools, runs_on_small_disk):
    ballast = fill(runs_on_small_disk, leaving=1_000_000)
    ids = [site.submit(seed=seed, **tools.tiny) for seed in range(3)]
    site.start_worker()
    tools.until("it says why", lambda: "run.waits" in site.log(), timeout_s=30)
    assert {(site.run(run_id).state, site.run(run_id).attempt) for run_id in ids} == {(RunState.QUEUED, 0)}
    tools.until("readers are told", lambda: "disk that holds the runs is full" in paused(site), timeout_s=15)
    ballast.unlink()
    for run_id in ids:
        assert site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED
    tools.until("nothing is said any more", lambda: paused(site) == "", timeout_s=15)


def test_a_run_whose_disk_fills_while_it_trains_goes_on_where_it_was(site, tools, runs_on_small_disk):
    site.start_worker()
    run_id = site.submit(**{**tools.tiny, "training__max_epochs": 400})
    site.wait_epoch(run_id, 3)
    ballast = fill(runs_on_small_disk, leaving=0)
    site.wait(run_id, RunState.QUEUED, RunState.FAILED, timeout_s=30)
    run = site.run(run_id)
    assert run.state is RunState.QUEUED, run.error
    ballast.unlink()
    site.wait(run_id, RunState.RUNNING, timeout_s=60)
    tools.until("it resumed", lambda: site.log().count("run.trainer") >= 2, timeout_s=30)
    site.wait_epoch(run_id, 3)
    assert '"resumed_epoch": null' not in events(site, run_id)
    site.context.lifecycle.cancel(run_id)
    site.wait(run_id, RunState.CANCELLED)


def test_room_is_made_from_checkpoints_nobody_uses_and_from_the_bin(site, tools, runs_on_small_disk):
    site.start_worker()
    ended = site.submit(**tools.long)
    site.wait_epoch(ended, 2)
    site.context.lifecycle.cancel(ended)
    site.wait(ended, RunState.CANCELLED)
    checkpoint = site.context.artifacts.folder(ended) / "checkpoint"
    (checkpoint / "more").write_bytes(b"x" * 30_000_000)  # as of a larger network
    fill(runs_on_small_disk, leaving=1_000_000)
    run_id = site.submit(seed=1, **tools.tiny)
    assert site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED, timeout_s=60).state is RunState.SUCCEEDED
    assert not checkpoint.exists()


def test_a_folder_that_cannot_be_written_stops_the_queue_and_not_the_runs(site, tools):
    runs = site.settings.home / "runs"
    runs.write_text("not a folder")
    run_id = site.submit(**tools.tiny)
    worker = site.start_worker()
    tools.until("it says why", lambda: "run.waits" in site.log(), timeout_s=30)
    assert site.run(run_id).state is RunState.QUEUED
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=15) == 0, "a worker that waits stops as quickly as any"
    runs.unlink()
    site.start_worker()
    assert site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED


def test_a_waiting_run_can_be_cancelled_and_does_not_hold_its_slot(site, tools, monkeypatch):
    runs = site.settings.home / "runs"
    runs.write_text("not a folder")
    site.start_worker()
    first = site.submit(**tools.tiny)
    tools.until("it waits", lambda: first in site.log(), timeout_s=30)
    site.context.lifecycle.cancel(first)
    second = site.submit(seed=1, **tools.tiny)
    runs.unlink()
    assert site.wait(second, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED


def paused(site) -> str:
    """What readers are told of the worker."""
    return "".join(worker.paused or "" for worker in WorkerService(site.context).workers().items)


def events(site, run_id: str) -> str:
    """The `started` events of a run, as they are stored."""
    with site.context.database.read() as session:
        rows = session.scalars(select(RunEventRow).where(RunEventRow.run_id == run_id, RunEventRow.type == "started"))
        return json.dumps([row.payload for row in rows])
