"""What a run's page keeps showing after a reload and after the end, and who is told that it ended."""

from __future__ import annotations

import json

import pytest

from core.run_folder import HISTORY, LOG
from core.schemas.results import Progress, RunError, RunProgress
from core.schemas.run import RunState
from frontend.keys import Key
from frontend.pages.run import notify
from frontend.parts import run_state as state

NOTED = {
    "steps": {"part": ["run"] * 3, "epoch": [1, 1, 1], "step": [2, 4, 6], "steps": [9] * 3, "loss": [2.5, 2.0, 1.5]},
    "usage": {
        "at_s": [10.0, 15.0], "cpu_cores": [0.9, 1.0], "machine_busy": [0.5, 0.5], "memory_bytes": [2**29] * 2,
        "gpu_busy": [None] * 2, "gpu_memory_bytes": [None] * 2,
    },
}  # fmt: skip


def note(folder) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HISTORY).write_text(json.dumps(NOTED))
    (folder / LOG).write_text("epoch.finished epoch=1\ncheckpoint.saved\n")


def charts(page) -> dict[str, dict]:
    found = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    return {chart["layout"]["meta"]["title"]: chart for chart in found}


def test_a_reload_shows_every_step_so_far_with_the_phase_and_the_machine(stack, visit):
    claim = stack.claimed("snn", seed=31)
    note(claim.out)
    now = Progress(phase="validating", epoch=1, max_epochs=2, step=1, steps=3, loss=1.5, eta_s=60.0, share=0.4)
    stack.lifecycle.record(claim, now)
    for _ in range(2):
        page = visit("run", run=claim.run_id)
        assert not page.exception
        drawn = charts(page)
        assert len(drawn["Loss as it trains"]["data"][0]["hovertemplate"]) and "What the machine was at" in drawn
        bars = [bar.proto for bar in page.get("progress")]
        assert [bar.text for bar in bars] == [
            "Epoch 1 of at most 2, validating · about 1 min left", "Validating: 1 of 3 batches",
        ]  # fmt: skip
        assert bars[0].value == 40
    stack.client.cancel(claim.run_id)
    stack.lifecycle.cancelled(claim)


@pytest.mark.parametrize("ended", ["succeeded", "failed"])
def test_after_the_end_the_steps_are_smoothed_and_drawn_on_a_log_axis(stack, visit, words, ended):
    if ended == "succeeded":
        run_id = stack.succeeded("snn").id
    else:
        claim = stack.claimed("snn", seed=32)
        claim.out.mkdir(parents=True)
        stack.lifecycle.fail(claim, RunError(code="out-of-memory", message="Too much."))
        run_id = claim.run_id
    note(stack.settings.home / "runs" / run_id)
    page = visit("run", run=run_id, section="Training")
    page.select_slider(key=Key.RUN_SMOOTHING).set_value(0.9)
    page.toggle(key=Key.RUN_LOG_Y).set_value(True).run()
    drawn = charts(page)["Loss as it trains"]
    assert drawn["layout"]["yaxis"]["type"] == "log"
    names = {one["name"] for one in drawn["data"]}
    assert {"training, as it was", "training, smoothed 0.9"} <= names
    assert ("validation, by epoch" in names) == (ended == "succeeded")


def test_a_run_that_no_worker_noted_anything_of_says_so(stack, visit, words):
    page = visit("run", run=stack.succeeded("cnn").id, section="Training")
    assert "The steps of this run were not noted" in page.info[0].value
    assert any(one.value.startswith("Energy of training") for one in page.markdown)  # measured, or "unavailable"


@pytest.mark.parametrize(
    ("progress", "news"),
    [
        ({"state": RunState.RUNNING, "progress": RunProgress(phase="training", share=0.62)}, "62 % · "),
        ({"state": RunState.QUEUED}, "queued · "),
        ({"state": RunState.CANCELLED}, "stopped · "),
    ],
)
def test_the_tab_says_first_where_the_run_is(stack, progress, news):
    run = stack.queued("snn", seed=33).model_copy(update=progress)
    assert state.tab_title(run) == f"{news}{run.title} · Spikefront"


def test_the_tab_of_a_finished_run_says_its_accuracy(stack):
    run = stack.succeeded("snn")
    assert state.tab_title(run).startswith(f"done, {100 * run.summary.accuracy:.1f} % · ")


def test_the_end_is_told_once_and_only_to_who_asked(stack, visit):
    claim = stack.claimed("snn", seed=34)
    page = visit("run", run=claim.run_id)
    page.toggle(key=Key.RUN_NOTIFY.of(claim.run_id)).set_value(True).run()
    assert any("requestPermission" in item.proto.body for item in page.get("html"))
    stack.lifecycle.fail(claim, RunError(code="out-of-memory", message="</script><b>Too much."))
    told = [item.proto.body for item in page.run().get("html") if "new Notification" in item.proto.body]
    assert len(told) == 1 and "Too much." in told[0] and told[0].count("</script>") == 1  # its own end
    assert not any("new Notification" in item.proto.body for item in page.run().get("html"))
    assert not any("new Notification" in item.proto.body for item in visit("run", run=claim.run_id).get("html"))


def test_a_notice_holds_what_the_run_came_to(stack):
    run = stack.succeeded("snn")
    title, said = notify.notice(run)
    assert title == f"{run.title}: succeeded" and f"{100 * run.summary.accuracy:.1f} %" in said and "mode exact" in said


def test_try_it_says_that_a_run_without_results_has_no_network(stack, visit):
    run = stack.queued("snn", seed=35)
    stack.client.cancel(run.id)
    page = visit("tryit", run=run.id)
    assert "has no trained network" in page.info[0].value and "Another run is shown" in page.info[0].value
