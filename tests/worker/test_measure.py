"""An idle worker times its machine once, and says what it found."""

from __future__ import annotations

import json
import sys
import threading
from types import SimpleNamespace

import pytest

from worker import measure
from worker.ability import Ability
from worker.options import choose

SPEEDS = [{"runs": 1, "threads": 1, "images_per_s": 300.0}, {"runs": 2, "threads": 1, "images_per_s": 450.0}]


@pytest.fixture
def ability(tmp_path):
    lifecycle = SimpleNamespace(artifacts=SimpleNamespace(datasets=list))
    return Ability(lifecycle, options=choose(queue="cpu", slots=2), data=tmp_path)


def timed(ability, monkeypatch, code: str) -> None:
    monkeypatch.setattr(measure, "ARGV", (sys.executable, "-c", code))
    monkeypatch.setattr(measure, "_quiet", lambda: True)
    supervisor = SimpleNamespace(busy=False, ability=ability)
    stopping = threading.Event()
    measure.Measure(supervisor, options=choose(queue="cpu", slots=2), stopping=stopping, idle_first_s=0).work()


def test_what_the_command_says_is_offered(ability, monkeypatch):
    said = {"images_per_s": 300.0, "measured": "a network", "speeds": SPEEDS}
    code = f"import sys; assert sys.argv[sys.argv.index('--slots') + 1] == '2'; print({json.dumps(json.dumps(said))})"
    timed(ability, monkeypatch, code)
    offer = ability.offer()
    assert (offer.images_per_s, offer.measured) == (300.0, "a network")
    assert [one.model_dump() for one in offer.speeds] == SPEEDS


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "print('{}')", "print('[]')"])
def test_a_command_that_says_nothing_of_use_leaves_the_offer_without_figures(ability, monkeypatch, code):
    timed(ability, monkeypatch, code)
    assert ability.offer().images_per_s is None and ability.offer().speeds == []
