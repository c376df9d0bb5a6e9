"""Runs in a real worker process: they succeed, stop when asked, survive a killed worker, and run once."""

from __future__ import annotations

import base64
import json
import os
import signal

import redis
from sqlalchemy import select

from backend.runs.service import RunService
from backend.store.models import RunEventRow
from core.schemas.run import RunState


def test_queued_runs_succeed_side_by_side_and_leave_a_whole_bundle(busy_site, tools):
    runs = [busy_site.submit(kind=kind, **tools.tiny) for kind in ("snn", "cnn")]
    tools.until("both run", lambda: all(busy_site.run(run_id).attempt for run_id in runs))
    assert not all(busy_site.run(run_id).state.is_final for run_id in runs), "the second did not wait for the first"
    for run_id in runs:
        run = busy_site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED)
        assert run.state is RunState.SUCCEEDED, run.error
        assert run.attempt == 1
        assert run.summary.n_train == 64
        bundle = busy_site.context.artifacts.bundle(run_id)
        bundle.verify()
        assert bundle.metrics().epoch == [1]


def test_a_cancelled_run_is_cancelled_only_when_its_process_is_gone(busy_site, tools):
    site, worker = busy_site, busy_site.workers[0]
    run_id = site.submit(**tools.long)
    site.wait_epoch(run_id, 2)
    pid = site.trainer_pid(run_id)
    assert os.getpgid(pid) == pid, "a trainer leads a group of its own"
    assert pid in tools.descendants(worker.pid)
    site.context.lifecycle.cancel(run_id)
    assert site.run(run_id).state in (RunState.CANCELLING, RunState.CANCELLED)
    site.wait(run_id, RunState.CANCELLED)
    assert not tools.alive(pid)


def test_a_killed_workers_run_resumes_and_ends_as_if_nothing_had_happened(site, tools):
    config = {**tools.tiny, "training__max_epochs": 20}
    worker = site.start_worker()
    killed = site.submit(seed=3, **config)
    site.wait_epoch(killed, 2)
    trainer = site.trainer_pid(killed)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    tools.until("the trainer ends when its worker is gone", lambda: not tools.alive(trainer), timeout_s=5)
    assert site.run(killed).state is RunState.RUNNING, "nobody has noticed yet"

    site.start_worker()
    run = site.wait(killed, RunState.SUCCEEDED, RunState.FAILED)
    assert run.state is RunState.SUCCEEDED, run.error
    assert run.attempt == 2
    assert '"resumed_epoch": null' not in site.log(1)
    whole = site.submit(seed=3, **config)
    assert site.wait(whole, RunState.SUCCEEDED, RunState.FAILED).attempt == 1

    def weights(run_id: str) -> str:
        files = site.context.artifacts.bundle(run_id).files()
        return next(file.sha256 for file in files if file.name == "weights.safetensors")

    assert weights(killed) == weights(whole)
    metrics = site.context.artifacts.bundle(killed).metrics()
    assert metrics.epoch == list(range(1, 21))
    assert metrics.train_loss == site.context.artifacts.bundle(whole).metrics().train_loss


def test_a_worker_that_is_asked_to_stop_gives_its_run_back_at_once(site, tools):
    worker = site.start_worker("--slots", "1")
    run_id = site.submit(**tools.long)
    site.wait_epoch(run_id, 2)
    below = tools.descendants(worker.pid)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=15) == 0
    run = site.run(run_id)
    assert run.state is RunState.QUEUED
    assert not any(tools.alive(pid) for pid in below), "trainers, the waiting one too, have ended"
    assert (site.context.artifacts.folder(run_id) / "checkpoint").is_dir()

    site.start_worker()
    site.wait(run_id, RunState.RUNNING)
    assert site.run(run_id).attempt == 2
    site.context.lifecycle.cancel(run_id)
    site.wait(run_id, RunState.CANCELLED)


def test_a_trainer_that_is_killed_goes_on_twice_and_then_fails_with_the_signal_as_cause(busy_site, tools):
    site = busy_site
    run_id = site.submit(**tools.long)
    for attempt in (1, 2, 3):
        tools.until(
            "it trains", lambda n=attempt: site.run(run_id).attempt == n and site.run(run_id).progress.epoch > 1
        )
        pid = site.trainer_pid(run_id)
        reached = site.run(run_id).progress.epoch
        os.kill(pid, signal.SIGKILL)
        tools.until("it is gone", lambda pid=pid: not tools.alive(pid))
        if attempt < 3:
            tools.until("it goes on", lambda n=attempt: site.run(run_id).attempt == n + 1, timeout_s=30)
            tools.until("where it was", lambda n=reached: site.run(run_id).progress.epoch >= n, timeout_s=30)
    run = site.wait(run_id, RunState.FAILED)
    assert run.error.code == "trainer-died"
    assert "SIGKILL" in run.error.message and "memory" in run.error.message and "tried 3 times" in run.error.message
    assert str(site.settings.home) not in run.model_dump_json()


def test_a_run_that_was_stopped_goes_on_when_it_is_launched_again_and_ends_as_if_it_had_not(busy_site, tools):
    site = busy_site
    config = {**tools.tiny, "training__max_epochs": 40}
    stopped = site.submit(seed=5, **config)
    site.wait_epoch(stopped, 2)
    site.context.lifecycle.cancel(stopped)
    site.wait(stopped, RunState.CANCELLED)
    again = RunService(site.context).retry(stopped, key=None)[0].id
    assert site.wait(again, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED
    assert started(site, again)["resumed_epoch"] >= 2
    whole = site.submit(seed=5, **config)
    assert site.wait(whole, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED
    assert started(site, whole)["resumed_epoch"] is None
    first, second = (site.context.artifacts.bundle(run_id) for run_id in (again, whole))
    assert first.read("weights.safetensors") == second.read("weights.safetensors")
    assert first.metrics().train_loss == second.metrics().train_loss
    with site.context.database.read() as session:
        epochs = session.scalars(select(RunEventRow.epoch).where(RunEventRow.run_id == again, RunEventRow.epoch > 0))
        assert sorted(epochs) == list(range(1, 41)), "the curves begin where the first run began"


def started(site, run_id: str) -> dict:
    """The newest `started` event."""
    with site.context.database.read() as session:
        events = select(RunEventRow.payload).where(RunEventRow.run_id == run_id, RunEventRow.type == "started")
        return session.scalars(events).one()


def test_a_run_whose_workers_keep_dying_is_given_up(site, tools):
    run_id = site.submit(**tools.long)
    for n in range(3):
        worker = site.start_worker()
        tools.until(f"attempt {n + 1} runs", lambda n=n: site.run(run_id).attempt == n + 1)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    site.start_worker()
    run = site.wait(run_id, RunState.FAILED)
    assert run.attempt == 3
    assert run.error.code == "worker-lost"


def test_a_run_without_its_data_waits_for_a_worker_that_has_it_and_lets_others_pass(busy_site, tools, monkeypatch):
    site = busy_site
    monkeypatch.setattr("backend.runs.service.require_dataset", lambda *_: None)  # it was there when it was queued
    waiting = site.submit(dataset="cifar10", priority=5, **tools.tiny)
    after = site.submit(**tools.tiny)
    assert site.wait(after, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED
    run = site.run(waiting)
    assert (run.state, run.attempt, run.waits) == (RunState.QUEUED, 0, "No worker has the data set 'cifar10'.")
    site.context.lifecycle.cancel(waiting)


def test_bells_without_end_train_a_run_once(busy_site, tools):
    site = busy_site
    run_id = site.submit(**tools.tiny)
    site.context.queue.ring(times=20)
    server = redis.Redis(unix_socket_path=str(site.settings.broker_socket))
    server.lpush("cpu", former(run_id), former("no-such-run"))  # as an API of before rings
    assert site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED).attempt == 1
    tools.until("they are all taken", lambda: server.llen("cpu") == 0)
    assert site.log().count(f"run.trainer run_id={run_id}") == 1


def former(run_id: str) -> str:
    """A message of earlier versions: Celery's protocol 2, with the id of a run."""
    body = base64.b64encode(json.dumps([[run_id], {}, {}]).encode()).decode()
    headers = {"lang": "py", "task": "spikefront.train", "id": "a", "argsrepr": f"['{run_id}']", "kwargsrepr": "{}"}
    delivery = {"exchange": "", "routing_key": "cpu"}
    properties = {"delivery_info": delivery, "priority": 0, "body_encoding": "base64", "delivery_tag": run_id}
    message = {"body": body, "content-encoding": "utf-8", "content-type": "application/json", "headers": headers}
    return json.dumps({**message, "properties": properties})


def test_a_worker_survives_its_broker(site, tools):
    worker = site.start_worker()
    during = site.submit(**{**tools.tiny, "training__max_epochs": 8})
    site.wait(during, RunState.RUNNING)
    site.broker.kill()
    stranded = site.submit(**tools.tiny)  # the queue is down: it is kept
    assert site.run(stranded).state is RunState.QUEUED
    assert site.wait(during, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED
    site.start_broker()
    after = site.submit(**tools.tiny)
    for run_id in (stranded, after):
        assert site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED, timeout_s=60).state is RunState.SUCCEEDED
    assert worker.poll() is None, "the same worker took them"
