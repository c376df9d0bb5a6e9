"""A small storm: every kind of fault once against a whole installation that trains, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
import stores
from sqlalchemy import text

from benchmarks.chaos.__main__ import train_undisturbed
from benchmarks.chaos.hits import Hits
from benchmarks.chaos.installation import Installation, installation
from benchmarks.chaos.machine import processes_of
from benchmarks.chaos.plan import Hit, Wish, faults, orders
from benchmarks.chaos.storm import Storm
from benchmarks.chaos.verdict import Verdict, tracebacks
from core.schemas.run import RunState

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes and locks in /proc"),
    pytest.mark.timeout(900),
]
LEASE_S = 4.0
ONE = {1: 12}  # seed -> epochs: for seconds of training, so that there is a trainer to hit
SMALL = [Hit.WORKER, Hit.CUT]  # a trainer ends with its worker
SERVER = stores.NAMED or stores.LOCAL


def storm_over(made: Installation, calm: Path, wanted: list[Hit], *, side: int) -> tuple[Storm, Verdict]:
    """One of each of these while `side` runs wait or train; the installation is stopped."""
    planned = faults(len(wanted), seed=1, hits=wanted, every_s=0.5, lease_s=LEASE_S)
    storm = Storm(made, faults=planned, orders=orders(1, seeds=ONE), side=side)
    storm.run()
    made.stop()
    return storm, Verdict(made, storm.asked, storm.cancels, calm)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the runs come to when nobody disturbs them."""
    folder = tmp_path_factory.mktemp("calm")
    train_undisturbed(folder, folder / "data", seeds=ONE)
    return folder


@pytest.fixture(scope="module")
def over(calm: Path) -> Iterator[tuple[Installation, Storm, Verdict]]:
    """`spikefront up` and a worker beside it, on SQLite, after every fault that this machine can cause."""
    with installation(store="sqlite", broker_at="own", lease_s=LEASE_S, slots=2) as made:
        possible, _ = Hits(made, lambda _: False).possible()
        yield made, *storm_over(made, calm, possible, side=len(Wish))


@pytest.mark.exhaustive
def test_nothing_is_lost_when_everything_fails_once(over):
    made, storm, verdict = over
    assert [*verdict.breaches(), *storm.tally.stuck, *storm.tally.unrecovered] == []
    possible, _ = Hits(made, lambda _: False).possible()
    assert storm.tally.injected == dict.fromkeys(possible, 1)
    assert sum(verdict.ends.values()) == len(storm.asked) >= len(Wish)
    assert verdict.equal >= 1
    assert processes_of(made.home) == {}


@pytest.mark.exhaustive
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")
def test_a_disk_is_among_the_faults(over):
    assert over[1].tally.injected[Hit.DISK] == 1


def one(made: Installation, state: RunState) -> str:
    return next(row.id for row in made.rows() if row.state == state)


def twice_an_epoch(made: Installation) -> str:
    return (
        "INSERT INTO run_events (run_id, type, epoch, payload, created_at) SELECT run_id, type, epoch, payload, created_at "
        f"FROM run_events WHERE type = 'epoch' AND run_id = '{one(made, RunState.SUCCEEDED)}' LIMIT 1"
    )


def twice_its_end(made: Installation) -> str:
    return (
        "INSERT INTO run_events (run_id, type, payload, created_at) SELECT run_id, type, payload, created_at "
        f"FROM run_events WHERE type = 'state' AND run_id = '{one(made, RunState.SUCCEEDED)}' ORDER BY id DESC LIMIT 1"
    )


def another_end(made: Installation) -> str:
    return f"UPDATE runs SET state = 'succeeded' WHERE id = '{one(made, RunState.FAILED)}'"


def a_lease(made: Installation) -> str:
    return f"UPDATE runs SET lease_until = created_at WHERE id = '{one(made, RunState.SUCCEEDED)}'"


def still_queued(made: Installation) -> str:
    return f"UPDATE runs SET state = 'queued' WHERE id = '{one(made, RunState.SUCCEEDED)}'"


def a_run_less(made: Installation) -> str:
    return f"DELETE FROM runs WHERE id = '{one(made, RunState.SUCCEEDED)}'"


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (twice_an_epoch, "readers have the epochs"),
        (twice_its_end, "did not end exactly once"),
        (another_end, "ended as succeeded"),
        (a_lease, "a lease is left"),
        (still_queued, "did not end exactly once"),
        (a_run_less, "were asked for"),
    ],
)
def test_the_verdict_sees_what_is_wrong_in_the_tables(over, change: Callable[[Installation], str], said):
    made, _, verdict = over
    with closing(sqlite3.connect(made.home / "spikefront.db")) as now, closing(sqlite3.connect(":memory:")) as before:
        now.backup(before)
        try:
            with made.engine.begin() as connection:
                connection.execute(text(change(made)))
            assert any(said in breach for breach in verdict.breaches())
        finally:
            made.engine.dispose()
            before.backup(now)


@pytest.mark.exhaustive
def test_the_verdict_sees_another_result_and_what_is_left_over(over):
    made, _, verdict = over
    run = made.home / "runs" / one(made, RunState.SUCCEEDED)
    weights = run / "weights.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    (run / ".metrics.json.tmp").touch()
    (Path(os.environ["TMPDIR"]) / "forgotten").touch()
    try:
        found = "\n".join(verdict.breaches())
    finally:
        weights.write_bytes(before)
        (run / ".metrics.json.tmp").unlink()
        (Path(os.environ["TMPDIR"]) / "forgotten").unlink()
    assert "its bundle is not sound" in found
    assert "forgotten" in found


def test_a_storm_of_the_same_seed_has_the_same_faults_and_runs():
    def planned(seed: int) -> list:
        return faults(100, seed=seed, hits=list(Hit), every_s=2.0, lease_s=3.0)

    assert planned(1) == planned(1) != planned(2)
    assert {fault.hit for fault in planned(3)[: len(Hit)]} == set(Hit)
    assert list(islice(orders(1), 30)) == list(islice(orders(1), 30)) != list(islice(orders(2), 30))
    assert {order.wish for order in islice(orders(1), len(Wish))} == set(Wish)


def test_tracebacks_are_found_in_logs_but_for_those_of_celerys_loop():
    logs = """a
Traceback (most recent call last):
  File x
    y()
ValueError: z
t ERROR upkeep.failed what=reap traceback="Traceback (most recent call last):\\n  File x\\nKeyError: 1"
t ERROR Error cleaning up traceback="Traceback (most recent call last):\\n  File celery/worker/loops.py\\nMISCONF"
"""
    assert tracebacks(logs) == {"ValueError: z": 1, 'KeyError: 1"': 1}


def test_nothing_is_lost_in_a_small_storm_on_postgresql(calm):
    """API and workers as processes of their own: the faults that are quickly over, one of each."""
    if stores._server() is None:
        pytest.skip(stores.NEEDED)
    with installation(store=SERVER, broker_at="own", lease_s=LEASE_S, slots=2) as made:
        storm, verdict = storm_over(made, calm, SMALL, side=1)
        assert [*verdict.breaches(), *storm.tally.stuck, *storm.tally.unrecovered] == []
        assert storm.tally.injected == dict.fromkeys(SMALL, 1)
