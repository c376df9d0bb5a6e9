"""Celery's own commands tell the truth of a worker and change nothing of it; what stands beside it on a broker stays apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import redis

from backend.store.queue import Queue
from backend.workers.service import WorkerService
from worker.messages import question_of


@pytest.fixture
def celery(site):
    """`celery -A worker ...` on this installation."""

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SPIKEFRONT_HOME": str(site.settings.home), **site.environment}
        argv = [sys.executable, "-m", "celery", "-A", "worker", *args]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_a_worker_answers_celerys_questions_under_its_name_and_takes_no_orders(site, celery, tools):
    site.environment = {"SPIKEFRONT_BROKER_PREFIX": "lab:", "SPIKEFRONT_WORKER_NAME": "gpu1", "SPIKEFRONT_EVENTS": "on"}
    worker = site.start_worker("--slots", "3", "--no-standby")
    pong = celery("inspect", "ping", "--json", "-t", "20")
    assert json.loads(pong.stdout.splitlines()[0]) == {"spikefront@gpu1": {"ok": "pong"}}, pong
    (stats,) = json.loads(celery("inspect", "stats", "--json", "-t", "20").stdout.splitlines()[0]).values()
    assert stats["pool"]["max-concurrency"] == 3 and stats["pid"] == worker.pid
    celery("control", "-t", "3", "shutdown")
    tools.until("it is dropped", lambda: "no question: shutdown" in site.log())
    assert worker.poll() is None

    server = redis.Redis(unix_socket_path=str(site.settings.broker_socket))
    assert {key for key in server.scan_iter() if not key.startswith(b"lab:")} == set(), "every key has the prefix"
    Queue(site.settings).ring()  # of another installation on the same server
    Queue(site.settings.model_copy(update={"broker_prefix": "lab:"})).ring()
    tools.until("its own bell is taken", lambda: server.llen("lab:cpu") == 0)
    assert server.llen("cpu") == 1
    (info,) = WorkerService(site.context).workers().items
    assert (info.name, info.slots, info.offer.device) == ("gpu1", 3, "cpu")
    assert [one.name for one in info.offer.datasets] == ["digits"] and info.offer.memory_bytes > 0


def message(**asked: object) -> dict[str, object]:
    return {"body": json.dumps(asked), "properties": {}}


@pytest.mark.parametrize(
    "wrong",
    [
        message(method="shutdown"),
        message(method="pool_restart", arguments={}),
        message(method=["ping"]),
        message(method="ping", arguments=7),
        message(method="ping", destination=7),
        message(method="ping", reply_to={"exchange": "x"}),
        {"body": "{", "properties": {}},
        {"body": "[]", "properties": {}},
        {"properties": {}},
        {"body": json.dumps({"method": "ping"}), "properties": None},
        [],
    ],
)
def test_what_is_no_question_is_dropped(wrong):
    with pytest.raises(ValueError):
        question_of(wrong)


def test_of_a_question_only_its_parts_go_on():
    asked = message(
        method="ping", ticket="t", reply_to={"exchange": "x", "routing_key": "k", "more": 1}, matcher="pcre"
    )
    made = question_of({**asked, "headers": {"clock": 10**30}})
    assert made["headers"] == {}
