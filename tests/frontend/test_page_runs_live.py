"""What an open page Runs asks for and draws while nobody touches it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from core.schemas.results import RunProgress
from core.schemas.run import RunState
from core.schemas.workers import Activity, RunBrief, WaitingRuns, WorkerInfo
from frontend.keys import Key
from frontend.pages.runs import live
from frontend.parts import pace

NOW = "2026-01-01T00:00:00Z"


def activity(*, revision: int = 1, active: int = 1, held: RunBrief | None = None) -> Activity:
    runs = [] if held is None else [held]
    return Activity(
        revision=revision,
        active=active,
        workers=[WorkerInfo(name="w", queue="cpu", slots=1, busy=1, seen_at=NOW, runs=runs)],
        waiting=WaitingRuns(queue="cpu", slots=1, total=0, ends_in_s=None, items=[]),
    )


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def page(monkeypatch, clock):
    """A page whose list took half a second to draw; `tick(activity)`: whether the fragment's turn draws all anew."""
    state = SimpleNamespace(memory={}, drawn=activity(), rows=live.Rows(), looks=[], panels=[])
    state.rows.begin()
    clock.now += 0.5
    state.rows.add(SimpleNamespace(id="a"))
    state.rows.drawn()

    class Rerun(Exception):
        pass

    def rerun():
        raise Rerun

    monkeypatch.setattr(live, "api", lambda: SimpleNamespace(activity=state.looks.pop))
    monkeypatch.setattr(live.st, "rerun", rerun)
    monkeypatch.setattr(live.st, "session_state", state.memory)
    monkeypatch.setattr(live.queue, "draw", state.panels.append)

    def tick(now, *, redraws=True, after_s=pace.POLL_S):
        clock.now += after_s
        state.looks.append(now)
        try:
            live._look([], state.drawn, True, redraws, state.rows)
        except Rerun:
            return True
        return False

    state.tick = tick
    return state


def test_only_a_change_draws_the_list_again(page):
    assert not page.tick(activity(), after_s=20) and page.panels, "the queue is drawn each time"
    assert page.tick(activity(revision=2))


def test_a_table_moves_for_nobody_but_the_clock_follows_what_is_active(page):
    assert not page.tick(activity(revision=2, active=3), redraws=False, after_s=300)
    assert page.tick(activity(active=0), redraws=False)


def test_while_something_changes_all_the_time_the_list_is_drawn_now_and_then(page):
    """It took half a second, so it is drawn again after five: a tenth of a core."""
    assert [page.tick(activity(revision=n)) for n in (2, 3, 4)] == [False, False, True]


def test_a_change_is_shown_within_ten_seconds_however_long_the_drawing_takes(page, clock):
    page.rows.begin()
    clock.now += 30
    page.rows.drawn()
    assert [page.tick(activity(revision=n)) for n in (2, 3, 4, 5)] == [False, False, False, True]


def test_a_list_says_how_long_ago_things_were_by_the_minute(page):
    assert not page.tick(activity(), after_s=pace.OLD_S - 1)
    assert page.tick(activity())


@pytest.mark.parametrize("key", [Key.RUNS_OPEN, Key.RUNS_IMPORTING])
def test_nothing_is_drawn_over_an_open_dialog(page, key):
    page.memory[key] = "x"
    assert not page.tick(activity(revision=2, active=0), after_s=300)
    page.memory.clear()
    assert page.tick(activity(revision=2))


def test_the_first_turn_draws_what_the_page_was_drawn_at(page):
    now = activity()
    live._look([now], now, True, True, page.rows)  # and asks nobody
    assert page.panels == [now]


def test_runs_in_sight_are_shown_as_their_worker_last_told(stack, page):
    run, other = stack.queued("snn", seed=1), stack.queued("snn", seed=2)
    page.rows.begin()
    for one in (run, other):
        page.rows.add(one)
    page.rows.drawn()

    def held(run_id: str, step: int) -> RunBrief:
        progress = RunProgress(phase="training", epoch=1, max_epochs=2, step=step, steps=9)
        return RunBrief(id=run_id, label="", seed=1, state=RunState.RUNNING, started_at=None, progress=progress)

    for step in (1, 2):
        page.tick(activity(held=held(run.id, step)))
        told = page.rows.told(run.id)
        assert (told.state, told.progress.step) == (RunState.RUNNING, step)
    page.tick(activity(held=held("elsewhere", 5)))
    assert page.rows.told(run.id) == told and page.rows.told(other.id) == other
    for one in (run, other):
        stack.client.cancel(one.id)
