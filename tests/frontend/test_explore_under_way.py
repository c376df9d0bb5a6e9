"""What an open page Explore asks for and draws while runs train and nobody touches it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from core.schemas.results import RunProgress
from core.schemas.run import RunState
from core.schemas.workers import Activity, RunBrief, WaitingRuns, WorkerInfo
from frontend.pages.explore import under_way
from frontend.parts import pace

NOW = "2026-01-01T00:00:00Z"
TRAINING = RunProgress(phase="training", epoch=1, max_epochs=2, step=3, steps=9)


def activity(*, revision: int = 1, active: int = 1, held: tuple[RunBrief, ...] = ()) -> Activity:
    worker = WorkerInfo(name="w", queue="cpu", slots=1, busy=1, seen_at=NOW, runs=list(held))
    waiting = WaitingRuns(queue="cpu", slots=1, total=0, ends_in_s=None, items=[])
    return Activity(revision=revision, active=active, workers=[worker], waiting=waiting)


@pytest.fixture
def page(stack, monkeypatch):
    """A page that took half a second to draw; `tick(activity)`: whether the fragment's turn draws all anew."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock.now)
    run, drawing, asked = stack.queued("snn", seed=1), pace.Pace(), []
    clock.now += 0.5
    drawing.drawn()
    state = SimpleNamespace(run=run, bars=[], asked=asked)

    class Rerun(Exception):
        pass

    def rerun():
        raise Rerun

    monkeypatch.setattr(under_way.st, "rerun", rerun)
    monkeypatch.setattr(under_way, "_draw", lambda shown, *_, **__: state.bars.append(shown))

    def tick(now, *, shown=(run,), at_hand=(), after_s=pace.POLL_S):
        clock.now += after_s
        monkeypatch.setattr(under_way, "api", lambda: SimpleNamespace(activity=lambda: asked.append(1) or now))
        try:
            under_way._look(list(at_hand), activity(), list(shown), len(shown), drawing, False, None)
        except Rerun:
            return True
        return False

    state.tick = tick
    yield state
    stack.client.cancel(run.id)


def test_one_small_answer_moves_the_bars_and_draws_no_plot(page):
    held = RunBrief(id=page.run.id, label="", state=RunState.RUNNING, started_at=None, progress=TRAINING)
    assert not page.tick(activity(held=(held,))) and not page.tick(activity())
    assert [(run.state, run.progress.step) for (run,) in page.bars] == [
        (RunState.RUNNING, 3), (RunState.QUEUED, page.run.progress.step),
    ]  # fmt: skip
    assert len(page.asked) == 2


def test_a_change_draws_the_plot_again_but_takes_a_tenth_of_a_core_at_most(page):
    assert [page.tick(activity(revision=n)) for n in (2, 3, 4)] == [False, False, True]


def test_the_end_of_the_last_run_shows_at_once(page):
    assert page.tick(activity(active=0))


def test_the_first_turn_asks_nobody_and_an_idle_page_moves_for_nobody(page):
    assert not page.tick(activity(), at_hand=[activity()]) and page.asked == []
    assert not page.tick(activity(revision=2), shown=(), after_s=300)
