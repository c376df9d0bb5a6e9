"""What `spikefront doctor` is told by the process that asks the database, on both kinds of it."""

import shutil
from datetime import timedelta

import pytest

from backend.store.db import utc_now
from backend.store.examining import facts
from backend.store.models import WorkerRow


def test_a_store_that_is_well_tells_a_clock_close_by_and_nothing_else(store, finish):
    finish("snn")
    found = facts(store.database, store.artifacts)
    clock_s = found.pop("clock_s")
    assert (clock_s is None) == (store.database.engine.dialect.name == "sqlite")
    assert abs(clock_s or 0.0) < 2  # the server's machine is this one
    connections = found.pop("connections")
    assert (connections is None) == (clock_s is None)
    if connections is not None:
        assert connections["needed"] == store.settings.database_pool < connections["allowed"]
    zeros = dict.fromkeys(("ahead_s", "n_waiting", "n_workers", "n_without_bundle"), 0)
    assert found == {**zeros, "without_bundle": [], "store": None, "store_down": None}


def test_a_bundle_that_is_gone_and_a_sign_from_the_future_are_told(store, finish):
    run_id = finish("snn")
    shutil.rmtree(store.artifacts.folder(run_id))
    with store.database.write() as session:
        session.add(WorkerRow(name="w", queue="cpu", slots=1, busy=0, seen_at=utc_now() + timedelta(seconds=90)))
    found = facts(store.database, store.artifacts)
    assert (found["n_without_bundle"], found["without_bundle"]) == (1, [run_id])
    assert 80 < found["ahead_s"] <= 90


def test_a_worker_may_want_a_connection_a_slot_and_two_and_no_more_than_its_pool(store):
    if store.database.engine.dialect.name == "sqlite":
        pytest.skip("a file allows any number")
    with store.database.write() as session:
        for name, slots in (("one", 1), ("many", 500)):
            session.add(WorkerRow(name=name, queue="cpu", slots=slots, busy=0, seen_at=utc_now()))
    pool = store.settings.database_pool
    assert facts(store.database, store.artifacts)["connections"]["needed"] == pool + 3 + pool
