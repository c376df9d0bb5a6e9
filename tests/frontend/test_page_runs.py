"""The page Runs: queue, filters, marks, many at once, deletion and the way back, sweeps, imports."""

from __future__ import annotations

import io
import zipfile

import httpx
import pytest

from core.schemas.problem import Problem
from core.schemas.request import ForkRequest
from core.schemas.run import Kind, RunState
from core.schemas.runs import BulkAnswer, BulkAnswers, RunChange
from core.schemas.sweep import Aggregate, SweepRequest
from core.schemas.workers import QueuedRun, WaitingRuns, WorkerInfo
from core.settings import read_token
from frontend.client.api import ApiProblem
from frontend.keys import Key
from frontend.pages.runs import filters as run_filters
from frontend.pages.runs import queue, sweeps
from frontend.parts import actions as acts
from frontend.parts import run_dialog as run_edit

NOW = "2026-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def nothing_active(stack):
    """Each test ends without a run that others would find in the queue."""
    yield
    for run in stack.client.runs(state=run_filters.GROUPS["active"], limit=200).items:
        stack.client.cancel(run.id)


@pytest.fixture(autouse=True)
def on_a_phone(monkeypatch):
    """Runs as cards, as they are there; the table has tests of its own."""
    monkeypatch.setattr(run_filters, "usual_form", lambda: run_filters.CARDS)


def make_sweep(stack, **axes):
    request = SweepRequest(name="two seeds", axes=axes)
    answer = httpx.post(
        f"{stack.client.base_url}/api/v1/sweeps",
        content=request.model_dump_json(),
        headers={"Authorization": f"Bearer {read_token(stack.settings)}", "Content-Type": "application/json"},
    )
    answer.raise_for_status()
    return answer.json()["id"]


# what is said of queue and workers


def waiting(**changes) -> WaitingRuns:
    item = QueuedRun(
        position=1, id="a", label="SNN", created_at=NOW, waiting_s=65, run_s=130, starts_in_s=changes.get("starts_in_s")
    )
    values = {"queue": "cpu", "slots": 2, "total": 1, "ends_in_s": None, "items": [item]}
    return WaitingRuns(**{**values, **{name: value for name, value in changes.items() if name in values}})


def test_the_queue_in_one_sentence():
    none = WaitingRuns(queue="cpu", slots=0, total=0, ends_in_s=None, items=[])
    held = [{"id": name, "label": name, "state": "running", "started_at": NOW} for name in "abc"]
    workers = [
        WorkerInfo(name="x:1", queue="cpu", slots=4, busy=2, seen_at=NOW, runs=held[:2]),
        WorkerInfo(name="y:2", queue="cpu", slots=4, busy=1, seen_at=NOW, runs=held[2:]),
    ]
    assert queue.summary([], none) == "no worker · nothing waits"
    assert queue.summary([], waiting()) == "no worker · 1 run waits"  # nobody knows how long
    assert queue.summary(workers, waiting(total=12, ends_in_s=3600)) == (
        "2 workers · 3 of 8 slots busy · 12 runs wait, the last ends in about 1 h"
    )


def test_a_run_that_no_worker_can_do_has_no_part_in_when_the_last_ends():
    stuck = waiting().items[0].model_copy(update={"waits": "No worker has the data set 'x'."})
    assert queue.summary([], waiting(total=2, ends_in_s=60, items=[*waiting().items, stuck])) == (
        "no worker · 2 runs wait, the last that a worker can do ends in about 1 min"
    )
    assert queue.summary([], waiting(ends_in_s=0.0, items=[stuck])) == "no worker · 1 run waits"


def test_a_waiting_run_says_since_when_and_when_it_should_start():
    assert queue.times(waiting(starts_in_s=30).items[0]) == (
        "has waited 1 min 5 s · starts in about 30 s · takes about 2 min"
    )
    assert queue.times(waiting(starts_in_s=0).items[0]) == (
        "has waited 1 min 5 s · should start now · takes about 2 min"
    )
    assert queue.times(waiting(starts_in_s=None).items[0]) == "has waited 1 min 5 s · takes about 2 min"


def test_what_runs_where_and_what_waits_is_on_the_page(stack, visit, words):
    claim = stack.claimed("snn", seed=40)
    stack.lifecycle.worker_seen("worker", queue="cpu", slots=2, busy=1)
    after = stack.queued("cnn", seed=41)
    page = visit("runs")
    said = words(page)
    assert "1 worker · 1 of 2 slots busy · 1 run waits" in said
    assert "worker · queue cpu · 1 of 2 slots busy" in said
    assert "Next in queue cpu" in said and "Waiting for a free worker for " in said
    page.button(key=f"{Key.RUN_CANCEL}_waits_{after.id}").click().run()
    assert stack.client.run(after.id).state is RunState.CANCELLED
    page.button(key=f"{Key.RUN_CANCEL}_{claim.run_id}").click().run()
    assert "asked to stop" in words(page)
    assert page.button(key=f"{Key.RUN_CANCEL}_{claim.run_id}").disabled
    stack.lifecycle.cancelled(claim)
    page.run()
    assert "asked to stop" not in words(page)


def test_why_nothing_starts_stands_over_the_queue_and_on_the_waiting_run(stack, visit, words):
    why = "The disk that holds the runs is full: 6 MB free, where a run needs about 27 MB."
    waiting = stack.queued("snn", seed=42)
    stack.lifecycle.worker_seen("worker", queue="cpu", slots=2, busy=1, paused=why)
    assert why in words(visit("runs")) and why in words(visit("run", run=waiting.id))
    assert f"**Training**: {why}" in words(visit("settings"))
    stack.lifecycle.worker_seen("worker", queue="cpu", slots=2, busy=1)
    assert why not in words(visit("runs")) and why not in words(visit("run", run=waiting.id))
    stack.client.cancel(waiting.id)


# filters and the address


def test_an_address_is_read_without_trusting_it():
    allowed = run_filters.Choices({"digits": "Digits"}, {"squeezenet": "SqueezeNet"}, {"smoke": "Smoke"}, {})
    parts = run_filters.parts(allowed)
    given = {"dataset": "digits", "state": "gone", "kind": "snn", "recipe": "none", "q": "x" * 500, "sweep": "abc"}
    read = {name: parts[name].read(text) for name, text in given.items()}
    assert read == {**given, "state": None, "recipe": None, "q": "x" * 100}


def test_filters_come_from_the_address_and_go_into_it(stack, visit, words):
    marked, other = stack.queued("snn", seed=50), stack.queued("cnn", seed=51)
    stack.client.change(marked.id, RunChange(tags=["keep me"], note="the one to find"))
    page = visit("runs", tag="keep me")
    assert "1 run, newest first" in words(page) and "the one to find" in words(page)
    page.selectbox(key=Key.RUNS_TAG).set_value(None)
    page.text_input(key=Key.RUNS_Q).set_value("one to find").run()
    assert page.query_params == {"q": "one to find"}
    assert "1 run, newest first" in words(page)
    page.text_input(key=Key.RUNS_Q).set_value("").run()
    page.selectbox(key=Key.RUNS_KIND).set_value("cnn").run()
    shown = {button.key for button in page.button}
    assert Key.RUNS_MORE.of(other.id) in shown and Key.RUNS_MORE.of(marked.id) not in shown
    page.text_input(key=Key.RUNS_Q).set_value("nothing is called so").run()
    assert "No run fits these filters." in words(page)
    next(button for button in page.button if button.label == "Show every run").click().run()
    assert Key.RUNS_MORE.of(marked.id) in {button.key for button in page.button}
    assert page.query_params == {}


def test_a_long_list_comes_in_pages(stack, visit, words, monkeypatch):
    monkeypatch.setattr("frontend.pages.runs.page.PAGE_SIZE", 2)
    first, second, third = (stack.queued("snn", seed=seed) for seed in (60, 61, 62))
    page = visit("runs", state="waiting")
    rows = lambda: [
        key
        for key in (first.id, second.id, third.id)
        if f"{Key.RUN_CANCEL}_{key}" in {button.key for button in page.button}
    ]
    assert rows() == [second.id, third.id]
    next(button for button in page.button if button.label == "Older").click().run()
    assert rows() == [first.id]
    next(button for button in page.button if button.label == "Newer").click().run()
    assert rows() == [second.id, third.id]


# many at once, and the way back


def test_the_answers_of_a_bulk_act_are_counted_with_each_reason_once():
    def problem(title):
        return Problem(type="about:blank", title=title, status=409, detail="", code="state-conflict")

    answers = [
        BulkAnswer(id="a", ok=True, run_id="a"),
        BulkAnswer(id="b", ok=False, problem=problem("Not possible in this state")),
        BulkAnswer(id="c", ok=False, problem=problem("Not possible in this state")),
    ]
    said = acts.notice("delete", BulkAnswers(items=answers))
    assert (said.text, said.refused, said.deleted) == (
        "1 run deleted.",
        ("2 refused: not possible in this state.",),
        ("a",),
    )
    assert acts.notice("cancel", BulkAnswers(items=answers)).deleted == ()
    assert acts.notice("cancel", BulkAnswers(items=answers[1:])).text == "Nothing was changed."


def test_chosen_runs_are_deleted_together_and_brought_back_by_undo(stack, visit, words):
    ended, active = stack.queued("snn", seed=70), stack.queued("snn", seed=71)
    stack.client.cancel(ended.id)
    page = visit("runs")
    for run in (ended, active):
        page.checkbox(key=Key.RUNS_CHOOSE.of(run.id)).check().run()
    assert "2 chosen" in words(page)
    page.button(key=Key.RUNS_BULK.of("delete")).click().run()
    assert "1 run deleted. 1 refused: not possible in this state." in words(page)
    with pytest.raises(ApiProblem, match="There is no run"):
        stack.client.run(ended.id)
    assert "1 chosen" in words(page), "what refused stays chosen"
    page.button(key=Key.RUNS_BULK.of("undo")).click().run()
    assert stack.client.run(ended.id).state is RunState.CANCELLED
    assert "1 run back." in words(page)


def test_a_tag_is_added_to_the_chosen_runs_and_all_in_sight_can_be_chosen(stack, visit, words):
    one, two = stack.queued("snn", seed=72), stack.queued("snn", seed=73)
    page = visit("runs", state="waiting")
    page.checkbox(key=Key.RUNS_CHOOSE_PAGE).check().run()
    assert all(page.checkbox(key=Key.RUNS_CHOOSE.of(run.id)).value for run in (one, two))
    page.text_input(key=Key.RUNS_BULK.of("tag")).set_value("both")
    page.button(key=Key.RUNS_BULK.of("add_tag")).click().run()
    assert [stack.client.run(run.id).tags for run in (one, two)] == [["both"], ["both"]]
    assert not page.checkbox(key=Key.RUNS_CHOOSE.of(one.id)).value, "what is done is not chosen any more"


def test_a_deleted_run_waits_in_the_bin(stack, visit, words):
    run = stack.queued("snn", seed=74)
    stack.client.cancel(run.id)
    stack.client.delete(run.id)
    page = visit("runs", show="bin")
    assert "gone for good in about 24 h" in words(page)
    page.button(key=Key.RUNS_RESTORE.of(run.id)).click().run()
    assert stack.client.run(run.id).id == run.id


def test_deleted_runs_are_removed_for_good_when_asked(stack, visit, words):
    run = stack.succeeded("snn")
    stack.client.delete(run.id)
    folder = stack.settings.home / "runs" / run.id
    assert folder.is_dir()
    page = visit("runs", show="bin")
    page.checkbox(key=Key.RUNS_CHOOSE.of(run.id)).check().run()
    page.button(key=Key.RUNS_BULK.of("purge")).click().run()
    assert "1 run removed for good." in words(page)
    assert not folder.exists() and f"run_row_{run.id}" not in str(page)


def test_another_tab_was_first_and_the_page_says_so(stack, visit, words):
    run = stack.queued("snn", seed=75)
    stack.client.cancel(run.id)
    page = visit("runs")
    stack.client.delete(run.id)  # the other tab
    page.button(key=f"{Key.RUN_RETRY}_{run.id}").click().run()
    assert not page.exception
    assert any("There is no run" in toast.value.replace("\\", "") for toast in page.toast)


# the dialog of one run


def test_only_what_was_changed_here_is_saved(stack):
    first = stack.queued("snn", seed=80).model_copy(update={"tags": ["a", "b"], "note": "old"})
    now = first.model_copy(update={"tags": ["a", "b", "theirs"], "note": "theirs"})
    change = run_edit.difference(first, tags=["b", "mine"], note="old", now=now)
    assert change.model_dump(exclude_unset=True) == {"tags": ["b", "theirs", "mine"]}  # and the note is not sent
    assert not run_edit.difference(first, tags=["b", "a"], note="old", now=now, name=" ").model_fields_set
    renamed = run_edit.difference(first, tags=["a", "b"], note="old", now=now, name=" figure 3 ")
    assert renamed.model_dump(exclude_unset=True) == {"name": "figure 3"}


def test_tags_and_a_note_are_edited_and_a_note_of_another_tab_is_not_lost(stack, visit, words):
    run = stack.queued("snn", seed=81)
    page = visit("runs")
    page.button(key=Key.RUNS_MORE.of(run.id)).click().run()
    page.text_area(key=Key.RUNS_EDIT.of("note")).set_value("mine").run()
    stack.client.change(run.id, RunChange(note="theirs"))
    page.button(key=Key.RUNS_EDIT.of("save")).click().run()
    assert "The note was changed elsewhere meanwhile, and says now: “theirs”" in words(page)
    assert stack.client.run(run.id).note == "theirs"
    page.button(key=Key.RUNS_EDIT.of("save")).click().run()
    assert stack.client.run(run.id).note == "mine"


def test_a_fork_asks_for_nothing_but_the_changes(stack):
    run = stack.queued("snn", seed=82)
    same = {"kind": run.config.kind, "seed": 82, "mask": ["F9"], "recipe": None, "typed": {"training.lr": " "}}
    assert run_edit.forked(run, **same) == ForkRequest()
    changed = run_edit.forked(run, **{**same, "kind": Kind.CNN, "typed": {"training.lr": " 2e-3"}})
    assert changed == ForkRequest(kind=Kind.CNN, overrides={"training.lr": "2e-3"})


def test_a_run_is_edited_and_launched_again_and_a_refusal_loses_nothing(stack, visit, words):
    run = stack.queued("snn", seed=83)
    page = visit("runs")
    page.button(key=Key.RUNS_MORE.of(run.id)).click().run()
    page.number_input(key=Key.RUNS_FORK.of("seed")).set_value(84)
    page.text_input(key=Key.RUNS_FORK.of("training.lr")).set_value("-1")
    page.button(key=Key.RUNS_FORK.of("launch")).click().run()
    assert "training.lr is '-1'; it must be above 0." in words(page)
    page.text_input(key=Key.RUNS_FORK.of("training.lr")).set_value("0.002")
    page.button(key=Key.RUNS_FORK.of("launch")).click().run()
    made = stack.client.run(page.query_params["run"])
    expected = run.config.model_copy(
        update={"seed": 84, "training": run.config.training.model_copy(update={"lr": 0.002})}
    )
    assert made.config == expected


# sweeps


def test_a_sweep_is_shown_as_groups_with_mean_and_deviation(stack, visit, words):
    sweep_id = make_sweep(stack, mask=[["F9"]], kind=["snn"], seed=[90, 91])
    detail = stack.client.sweep(sweep_id, mode="exact", profile="horowitz-45nm")
    assert sweeps.progress(detail) == "2 runs · 2 queued"
    assert sweeps.axes(detail) == "mask: F9; network: SNN; seed: 90, 91"
    aggregate = {"n": 2, "mean": 0.9, "deviation": 0.01, "low": 0.8, "high": 1.0}
    group = detail.groups[0].model_copy(
        update={
            "n": 2,
            "accuracy": Aggregate(**aggregate),
            "energy_pj": Aggregate(n=2, mean=3e6, deviation=2e5, low=None, high=None),
            "params": Aggregate(n=1, mean=1234, deviation=None, low=None, high=None),
        }
    )
    drawn = sweeps.table([group])
    assert "<td>2 of 2</td><td>90.0 ± 1.0</td>" in drawn
    assert "Energy in µJ" in drawn and "<td>3.00 ± 0.20</td>" in drawn
    assert "<td>1,234</td>" in drawn
    row = sweeps.rows(detail.model_copy(update={"groups": [group]}))[0]
    assert (row["accuracy_percent_mean"], row["accuracy_percent_deviation"]) == (90.0, 1.0)
    assert row["energy_mj_mean"] == pytest.approx(0.003) and row["firing_rate_mean"] is None  # 3 µJ

    page = visit("runs", show="sweeps")
    assert "two seeds" in [item.proto.label for item in page.get("page_link")]
    page.button(key=Key.RUNS_SWEEP_ACT.of(f"open_{sweep_id}")).click().run()
    assert page.query_params == {"sweep": [sweep_id]} or page.query_params == {"sweep": sweep_id}
    assert "2 runs, newest first" in words(page) and "SNN-SqueezeNet F9" in words(page)
    page.button(key=Key.RUNS_SWEEP_ACT.of(f"cancel_{sweep_id}")).click().run()
    assert stack.client.sweep(sweep_id, mode="exact", profile="horowitz-45nm").states == {RunState.CANCELLED: 2}
    page.button(key=Key.RUNS_SWEEP_ACT.of(f"forget_{sweep_id}")).click().run()
    assert sweep_id not in [sweep.id for sweep in stack.client.sweeps().items]
    assert stack.client.runs(limit=200).total >= 2, "the runs stay"


# imports


def zipped(folder) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"bundle/{file.name}")
    return out.getvalue()


def test_a_bundle_from_elsewhere_is_taken_once_and_a_damaged_one_is_explained(stack, visit, words):
    good = zipped(stack.trained["snn"])
    run, new = stack.client.import_bundle(good)
    again, twice = stack.client.import_bundle(good)
    assert (new, twice) == (True, False) and again.id == run.id and run.imported
    with pytest.raises(ApiProblem) as caught:
        stack.client.import_bundle(good[: len(good) // 2])
    assert caught.value.code == "upload-corrupt"
    page = visit("runs")
    assert "imported" in words(page)
    next(button for button in page.button if button.label == "Import").click().run()
    assert "every figure is recomputed" in words(page)
