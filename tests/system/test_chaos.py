"""What a storm of faults consists of, and what it finds in logs."""

from __future__ import annotations

from itertools import islice

from benchmarks.chaos.plan import Hit, Wish, faults, orders
from benchmarks.chaos.verdict import tracebacks


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
