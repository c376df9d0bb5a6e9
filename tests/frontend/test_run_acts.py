"""What can be done with a run on its own page, and Launch's form filled in as a run was launched."""

from __future__ import annotations

import pytest

from core.schemas.base import Frozen
from core.schemas.run import Kind, RunConfig
from core.schemas.runs import RunChange
from frontend.keys import Key
from frontend.pages.launch import advanced
from frontend.parts import architecture

ELSEWHERE = ("backbone", "definition", "kind", "mask", "dataset", "recipe", "seed")  # have a place of their own


@pytest.fixture(scope="module")
def snn(stack):
    return stack.succeeded("snn")


def links(page) -> list[str]:
    return [f"{link.proto.page}?{link.proto.query_string}" for link in page.get("page_link")]


def leaves(model: type[Frozen], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        inner = isinstance(field.annotation, type) and issubclass(field.annotation, Frozen)
        found += leaves(field.annotation, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return found


def test_tags_note_and_sweep_stand_in_the_head_and_are_edited_there(stack, visit, words):
    run = stack.queued("snn", seed=11)
    stack.client.change(run.id, RunChange(tags=["figure-3"], note="a *plain* note"))
    page = visit("run", run=run.id)
    said = words(page)
    assert "figure-3" in said and "a *plain* note" in said
    page.button(key=Key.RUN_ACT.of("note")).click().run()
    page.text_area(key=Key.RUNS_EDIT.of("note")).set_value("another").run()
    page.button(key=Key.RUNS_EDIT.of("save")).click().run()
    assert stack.client.run(run.id).note == "another"
    assert "another" in words(page)


def test_the_sweep_of_a_run_is_linked_by_its_name(stack, visit):
    from core.schemas.sweep import SweepRequest

    base = stack.queued("snn", seed=12)
    request = {
        "name": "two seeds",
        "base": {"mask": ["F9"], "dataset": "digits", "recipe": "smoke"},
        "axes": {"seed": [13, 14]},
    }
    made = stack.client.launch_sweep(SweepRequest.model_validate(request), idempotency_key="sweep-of-a-run")
    run = stack.client.runs(sweep=made.id).items[0]
    labels = [link.proto.label for link in visit("run", run=run.id).get("page_link")]
    assert any(label == "Sweep: two seeds" for label in labels)
    assert not any("Sweep" in link.proto.label for link in visit("run", run=base.id).get("page_link"))


def test_the_twin_is_launched_once_from_the_page_of_the_run(stack, visit):
    run = stack.queued("cnn", seed=15)
    page = visit("run", run=run.id)
    page.button(key=Key.RUN_ACT.of("twin")).click().run()
    made = stack.client.run(page.query_params["run"])
    assert made.config == run.config.model_copy(update={"kind": Kind.SNN})
    again = visit("run", run=run.id)
    assert not [button for button in again.button if button.key == Key.RUN_ACT.of("twin")]


def test_a_run_deleted_on_its_page_leads_to_the_list_where_it_is_brought_back(stack, visit, words):
    run = stack.succeeded("snn")
    page = visit("run", run=run.id)
    page.button(key=Key.RUN_ACT.of("delete")).click().run()
    page.button(key=Key.RUNS_EDIT.of("delete")).click().run()
    assert "is deleted." in words(page)
    next(button for button in page.button if button.label == "Undo").click().run()
    assert stack.client.run(run.id).deleted_at is None


def test_a_run_stopped_before_a_worker_took_it_has_no_trainer_to_speak_of(stack, visit, words):
    run = stack.queued("snn", seed=16)
    stack.client.cancel(run.id)
    assert "No worker had taken it yet." in words(visit("run", run=run.id))


def test_the_lens_of_a_run_is_in_the_address_and_survives_a_reload(snn, visit):
    page = visit("run", run=snn.id)
    page.selectbox(key=Key.MODE).set_value("memory").run()
    page.selectbox(key=Key.PROFILE).set_value("loihi").run()
    kept = {name: page.query_params[name] for name in ("run", "mode", "profile")}
    assert kept == {"run": snn.id, "mode": "memory", "profile": "loihi"}
    again = visit("run", **kept)
    assert (again.selectbox(key=Key.MODE).value, again.selectbox(key=Key.PROFILE).value) == ("memory", "loihi")


def test_every_field_of_a_config_has_a_place_on_the_form():
    known = {*advanced.BY_NAME, *architecture.BY_NAME, *ELSEWHERE}
    assert set(leaves(RunConfig)) <= known


def test_launch_is_filled_in_with_every_field_of_a_run(stack, visit):
    changed = {
        "training.max_epochs": 2, "training.train_limit": 48, "training.lr": 0.002, "training.milestones": "1,3",
        "training.ac_ramp": "0.2,0.4", "training.patience": None, "neuron.model": "plif", "neuron.learn_threshold": True,
        "training.nesterov": False, "training.validation_share": 0.25, "architecture.stem_width": 32, "time_steps": 3,
    }  # fmt: skip
    run = stack.queued("snn", seed=17, mask=["F4", "F9"], overrides=changed)
    page = visit("launch", **{"from": run.id})
    assert not page.exception
    page.button(key=Key.LAUNCH_SUBMIT).click().run()  # an equal run waits: nothing is trained twice
    assert page.query_params["run"] == run.id


def test_the_form_goes_on_from_the_weights_of_a_run(snn, stack, visit):
    page = visit("launch", **{"from": snn.id, "start": "bundle"})
    assert page.selectbox(key=Key.LAUNCH_OVERRIDE.of("start")).value == "bundle"
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    made = stack.client.run(page.query_params["run"]).config
    expected = snn.config.model_copy(update={"start": "bundle", "start_bundle": made.start_bundle})
    assert made == expected and made.start_bundle


def test_what_is_changed_after_filling_in_stays_changed(snn, visit):
    page = visit("launch", **{"from": snn.id})
    page.text_input(key=Key.LAUNCH_SEEDS).set_value("5").run()
    assert page.text_input(key=Key.LAUNCH_SEEDS).value == "5"


def test_a_run_that_is_not_there_fills_in_nothing_and_is_said(visit, words):
    assert "There is no run" in words(visit("launch", **{"from": "0" * 16}))
