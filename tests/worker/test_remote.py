"""Bundles in a store that speaks S3: machines that share no folder train one run, and a store that is away fails none."""

from __future__ import annotations

import signal

import s3
from sqlalchemy import select

from backend.store.models import RunEventRow
from core.bundle import MANIFEST
from core.schemas.run import RunState


def test_a_run_that_is_lost_on_one_machine_goes_on_on_another_bit_for_bit(remote_site, tools):
    site, server, start_machine = remote_site
    config = {**tools.tiny, "training__max_epochs": 20}
    first = start_machine()
    run_id = site.submit(seed=3, **config)
    tools.until("a checkpoint is in the store", lambda: server.puts(f"{run_id}/checkpoint/last.safetensors"))
    assert site.run(run_id).state is RunState.RUNNING
    trainer = site.trainer_pid(run_id)
    first.send_signal(signal.SIGKILL)
    first.wait()
    tools.until("its trainer ends", lambda: not tools.alive(trainer), timeout_s=20)

    start_machine()
    run = site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED, timeout_s=240)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2), run.error
    with site.context.database.read() as session:
        started = select(RunEventRow.payload).where(RunEventRow.run_id == run_id, RunEventRow.type == "started")
        assert session.scalars(started).one()["resumed_epoch"] is not None
    puts = server.puts()
    for entry in site.context.artifacts.bundle(run_id).files():
        key = f"installation/{run_id}/{entry.name}"
        last = len(puts) - 1 - puts[::-1].index(key)
        assert last < puts.index(f"installation/{run_id}/{MANIFEST}"), "the manifest is last"

    whole = site.submit(seed=3, **config)
    assert site.wait(whole, RunState.SUCCEEDED, RunState.FAILED, timeout_s=240).attempt == 1
    one, other = (site.context.artifacts.bundle(each) for each in (run_id, whole))
    one.verify()
    assert one.weights_sha256 == other.weights_sha256 and one.metrics().train_loss == other.metrics().train_loss
    assert one.metrics().epoch == list(range(1, 21))
    for entry in one.files():  # byte for byte what the manifest says, in the store as in the cache
        assert server.objects[f"installation/{run_id}/{entry.name}"] == one.read(entry.name)
    assert not [key for key in server.objects if f"{run_id}/checkpoint" in key]
    here = site.settings.home
    tools.until("the machine keeps no copy", lambda: not list((here / "machine1" / "work").glob("[0-9a-f]*")))
    assert not (here / "work" / run_id).exists() and not (here / "runs").exists(), "the API needs no worker's disk"
    logs = site.log(0) + site.log(1)
    assert s3.SECRET not in logs and s3.KEY_ID not in logs


def test_a_store_that_is_away_fails_no_run(remote_site, tools):
    site, server, start_machine = remote_site
    server.down = True
    run_id = site.submit(**tools.tiny)
    start_machine()
    said = "The store of the bundles, s3://lab/installation, cannot be used: it answers with status 503."
    tools.until("the worker says why it waits", lambda: [w.paused for w in site.context.lifecycle.workers()] == [said])
    assert site.run(run_id).state is RunState.QUEUED
    server.down = False
    tools.until("it is taken", lambda: site.run(run_id).state is RunState.RUNNING)
    tools.until("it is brought", lambda: server.puts(f"{run_id}/.attempt"))
    server.down = True
    tools.until("its bundle waits", lambda: "upload.waits" in site.log())
    assert site.run(run_id).state is RunState.RUNNING
    server.down = False
    run = site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED, timeout_s=240)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1), run.error
    site.context.artifacts.bundle(run_id).verify()
