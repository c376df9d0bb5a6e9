"""The Launch page, run by Streamlit's own test runner against the real API."""

from __future__ import annotations

import re
import shutil

import pytest
import streamlit as st
from streamlit.util import calc_hash

from core.backbones.catalog import BACKBONES, layout_of, plan_for
from core.bundle import Bundle
from core.datasets.catalog import DATASETS
from core.paper.printed import printed_rows
from core.schemas.request import RunRequest
from core.schemas.workers import Offer, OfferedDataset
from frontend.keys import Key
from frontend.pages.launch import page as launch_page
from frontend.pages.launch import preview


@pytest.fixture(autouse=True)
def _queue_is_left_empty(stack):
    yield
    for run in stack.client.runs(state="queued", limit=200).items:
        stack.client.cancel(run.id)


def total(stack) -> int:
    return stack.client.runs(limit=1).total


def set_blocks(page, kept, blocks=BACKBONES["squeezenet"].blocks):
    for block in blocks:
        page.checkbox(key=Key.LAUNCH_BLOCK.of(block)).set_value(block in kept)
    return page.run()


def test_the_launch_page_previews_both_twins(visit, words, stack):
    page = visit("launch")
    mask = ["F4", "F6", "F8", "F9"]
    expected = stack.client.preview(RunRequest(mask=mask))
    assert f"<td>{expected.params:,}</td><td>{expected.params:,}</td>" in words(page)
    assert page.button(key=Key.LAUNCH_SUBMIT).label == "Launch 2 runs"


def test_a_published_mask_sets_the_modules_and_a_module_leaves_the_name(visit):
    page = visit("launch")
    page.pills(key=Key.LAUNCH_MASK_NAME).set_value("Alt-2").run()
    kept = [
        block
        for block in ("F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9")
        if page.checkbox(key=Key.LAUNCH_BLOCK.of(block)).value
    ]
    assert kept == ["F3", "F5", "F7", "F9"]
    page.checkbox(key=Key.LAUNCH_BLOCK.of("F3")).uncheck().run()
    assert page.session_state[Key.LAUNCH_MASK_NAME] is None
    page.checkbox(key=Key.LAUNCH_BLOCK.of("F3")).check().run()
    assert page.session_state[Key.LAUNCH_MASK_NAME] == "Alt-2"


def test_a_mask_that_keeps_nothing_is_explained_and_cannot_be_launched(visit, words):
    page = visit("launch")
    for block in ("F4", "F6", "F8", "F9"):
        page.checkbox(key=Key.LAUNCH_BLOCK.of(block)).uncheck()
    page.run()
    assert "keep at least one of F2" in words(page)
    assert "this mask gives no network" in words(page)
    assert page.button(key=Key.LAUNCH_SUBMIT).disabled


def test_a_bad_seed_and_a_bad_rate_are_named_at_their_fields_and_nothing_is_lost(visit, words, stack):
    page = visit("launch")
    page.text_input(key=Key.LAUNCH_SEEDS).set_value("0,x").run()
    assert "Seeds must be whole numbers such as 0 or 0,1,2" in words(page)
    assert page.button(key=Key.LAUNCH_SUBMIT).disabled
    page.text_input(key=Key.LAUNCH_SEEDS).set_value("3")
    page.text_input(key=Key.LAUNCH_OVERRIDE.of("training.lr")).set_value("-1").run()
    inside = page.expander[0].error
    assert len(inside) == 1 and "Learning rate (training.lr) is -1" in inside[0].value.replace("\\", "")
    grey = page.text_input(key=Key.LAUNCH_OVERRIDE.of("training.max_epochs")).placeholder
    assert grey == str(stack.client.preview(RunRequest()).config.training.max_epochs)  # the recipe's, all the same
    page.text_input(key=Key.LAUNCH_OVERRIDE.of("training.lr")).set_value("2e-3").run()
    assert not page.error
    assert page.text_input(key=Key.LAUNCH_SEEDS).value == "3"


def test_a_data_set_that_is_not_here_comes_with_the_command_that_adds_it(visit, words):
    page = visit("launch")
    page.selectbox(key=Key.LAUNCH_DATASET).set_value("cifar10").run()
    assert "spikefront data fetch cifar10" in words(page)
    assert page.button(key=Key.LAUNCH_SUBMIT).disabled


def test_a_worker_that_has_not_seen_the_data_set_yet_is_asked_again(stack, visit, words, monkeypatch):
    def offering(*names):
        offer = Offer(device="cpu", threads=1, datasets=[OfferedDataset(name=name) for name in names])
        stack.lifecycle.worker_seen("worker", queue="cpu", slots=1, busy=0, offer=offer)

    offering("cifar10")
    assert "No worker has the data set 'digits'. The run waits until one can do it." in words(visit("launch"))

    def a_moment_later(draw):
        return lambda *given: (offering("cifar10", "digits"), draw(*given))

    monkeypatch.setattr(preview, "part", a_moment_later)
    assert "No worker has the data set" not in words(visit("launch"))


def test_launching_makes_one_run_per_kind_and_leads_to_it_and_a_second_click_makes_none(stack, visit):
    page = visit("launch")
    page.text_input(key=Key.LAUNCH_SEEDS).set_value("11").run()
    nonce = page.session_state[Key.LAUNCH_NONCE]
    before = total(stack)
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    assert total(stack) == before + 2
    run = stack.client.run(page.query_params["run"])
    assert run.config.seed == 11 and run.config.kind == "snn"

    late = visit("launch")  # the same browser tab: a click that was on its way when the page changed
    late.text_input(key=Key.LAUNCH_SEEDS).set_value("11").run()
    late.session_state[Key.LAUNCH_NONCE] = nonce
    late.session_state[Key.LAUNCH_SPENT] = True
    late.button(key=Key.LAUNCH_SUBMIT).click().run()
    assert total(stack) == before + 2

    again = visit("launch")  # on purpose, from a page that was drawn anew in the same tab
    again.session_state[Key.LAUNCH_NONCE] = nonce
    again.session_state[Key.LAUNCH_SPENT] = True
    again.text_input(key=Key.LAUNCH_SEEDS).set_value("11").run()
    assert again.button(key=Key.LAUNCH_SUBMIT).label == "Open the equal run"
    again.checkbox(key=Key.LAUNCH_REPEAT).check().run()
    again.button(key=Key.LAUNCH_SUBMIT).click().run()
    assert total(stack) == before + 4


def test_an_equal_run_is_shown_instead_of_being_paid_for_again(stack, visit, words):
    there = stack.queued("snn", seed=12, mask=["F4", "F6", "F8", "F9"], overrides={})
    page = visit("launch")
    page.text_input(key=Key.LAUNCH_SEEDS).set_value("12").run()
    assert "An equal run exists." in words(page)
    assert "so its MACs can exceed the dense ones" in words(page)  # of the CNN
    assert any("seed 12" in link.proto.label for link in page.get("page_link"))
    assert page.button(key=Key.LAUNCH_SUBMIT).label == "Launch"  # the CNN, which is not there
    page.segmented_control(key=Key.LAUNCH_KIND).set_value("snn").run()
    before = total(stack)
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    assert total(stack) == before and page.query_params["run"] == there.id


def test_several_seeds_are_a_sweep_and_lead_to_its_runs(stack, visit):
    page = visit("launch")
    page.text_input(key=Key.LAUNCH_SEEDS).set_value("21-23").run()
    assert page.button(key=Key.LAUNCH_SUBMIT).label == "Launch 6 runs"
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    assert page.title[0].value == "Runs"
    sweep = page.query_params["sweep"]
    runs = stack.client.runs(sweep=sweep, limit=50).items
    assert {(run.config.seed, run.config.kind) for run in runs} == {
        (s, k) for s in (21, 22, 23) for k in ("snn", "cnn")
    }


def test_a_sweep_says_how_many_runs_are_new_and_how_long_they_take_before_the_click(stack, visit, words):
    stack.queued("snn", seed=41, mask=["F9"], overrides={"neuron.tau": 2, "neuron.surrogate": "atan"})
    page = visit("launch")
    page.segmented_control(key=Key.LAUNCH_KIND).set_value("snn")
    page.text_input(key=Key.LAUNCH_SEEDS).set_value("41,42")
    set_blocks(page, {"F9"})
    page.multiselect(key=Key.LAUNCH_SWEEP_FIELDS).set_value(["neuron.tau", "neuron.surrogate"]).run()
    page.text_input(key=Key.LAUNCH_SWEEP_VALUES.of("neuron.tau")).set_value("2, 3")
    page.multiselect(key=Key.LAUNCH_SWEEP_VALUES.of("neuron.surrogate")).set_value(["atan", "sigmoid"]).run()
    # 2 tau x 2 surrogates x 2 seeds, of which one is queued
    assert [(item.label, item.value) for item in page.metric] == [
        ("Runs", "8"),
        ("To train", "7"),
        ("There already", "1"),
    ]
    assert "if one follows the other" in words(page) and "Its first combination, SNN-SqueezeNet F9, seed 41:" in words(
        page
    )
    assert page.button(key=Key.LAUNCH_SUBMIT).label == "Launch 7 runs"
    before = total(stack)
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    assert total(stack) == before + 7
    runs = stack.client.runs(sweep=page.query_params["sweep"], limit=50).items
    assert {run.config.neuron.tau for run in runs} == {2.0, 3.0} and len(runs) == 8


def test_backbones_are_swept_by_masks_that_all_of_them_know(visit, stack):
    page = visit("launch")
    page.multiselect(key=Key.LAUNCH_SWEEP_BACKBONES).set_value(["squeezenet", "mnasnet"]).run()
    assert page.metric[0].value == "4"  # two backbones, whole, two kinds each
    offered = page.multiselect(key=Key.LAUNCH_SWEEP_MASKS).options
    assert "Full" in offered and "Ref-1" not in offered and "Firsts" not in offered
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    runs = stack.client.runs(sweep=page.query_params["sweep"], limit=50).items
    assert {(run.config.backbone, run.config.mask == BACKBONES[run.config.backbone].blocks) for run in runs} == {
        ("squeezenet", True),
        ("mnasnet", True),
    }


@pytest.mark.parametrize("name", list(BACKBONES))
def test_every_backbone_is_drawn_with_its_blocks_and_their_channels(visit, name):
    entry, dataset = BACKBONES[name], DATASETS["digits"]
    page = visit("launch")
    page.selectbox(key=Key.LAUNCH_BACKBONE).set_value(name).run()
    set_blocks(page, entry.blocks, entry.blocks)
    assert not page.exception
    plan = plan_for(backbone=name, mask=entry.blocks, input_shape=dataset.image_shape, n_classes=dataset.n_classes)
    for block in entry.blocks:
        width = [node.shape[0] for node in plan.nodes if node.block == block][-1]
        assert page.checkbox(key=Key.LAUNCH_BLOCK.of(block)).label == f"{block} {width}\u202fch"
    set_blocks(page, entry.blocks[:-1], entry.blocks)
    assert page.checkbox(key=Key.LAUNCH_BLOCK.of(entry.blocks[-1])).label.endswith("left\u202fout")
    assert not page.button(key=Key.LAUNCH_SUBMIT).disabled


def option(page, name):
    return page.selectbox(key=Key.LAUNCH_OVERRIDE.of(f"architecture.{name}"))


def offered(page):
    start = Key.LAUNCH_OVERRIDE.of("architecture.")
    return [box.key.removeprefix(start) for box in page.selectbox if str(box.key).startswith(start)]


def test_options_of_the_network_are_chosen_under_the_mask_and_launched(visit, words, stack):
    page = visit("launch")
    page.segmented_control(key=Key.LAUNCH_KIND).set_value("snn")
    option(page, "stem_width").set_value("64")
    option(page, "stem_stride").set_value("2").run()
    chosen = {"architecture.stem_width": 64, "architecture.stem_stride": 2}
    expected = stack.client.preview(RunRequest(mask="Ref-1", overrides=chosen))
    assert f"<td>{expected.params:,}</td>" in words(page) and f"<td>{expected.neurons:,}</td>" in words(page)
    assert "pool1" not in words(page)  # the drawing is that network's
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    run = stack.client.run(page.query_params["run"])
    assert run.config == expected.config and run.label == "SNN-SqueezeNet Ref-1, stem 64/2"


def test_only_the_options_of_the_chosen_definition_are_offered_and_another_backbone_starts_anew(visit):
    page = visit("launch")
    assert offered(page) == ["stem_width", "stem_stride", "width_multiplier", "share_3x3", "bypass", "classifier"]
    option(page, "width_multiplier").set_value("0.5").run()
    page.selectbox(key=Key.LAUNCH_BACKBONE).set_value("msresnet").run()
    assert offered(page) == ["depth", "width_multiplier"] and option(page, "width_multiplier").value is None
    page.selectbox(key=Key.LAUNCH_BACKBONE).set_value("mixnet").run()
    assert offered(page) == []
    page.selectbox(key=Key.LAUNCH_BACKBONE).set_value("squeezenet").run()
    page.selectbox(key=Key.LAUNCH_DATASET).set_value("cifar10").run()
    page.segmented_control(key=Key.LAUNCH_DEFINITION).set_value("imagenet").run()
    assert offered(page) == [] and not page.exception


def test_a_depth_brings_its_blocks_and_a_definition_its_own(visit, words):
    page = visit("launch")
    page.selectbox(key=Key.LAUNCH_BACKBONE).set_value("msresnet").run()
    option(page, "depth").set_value("32").run()
    assert page.session_state[Key.LAUNCH_MASK_NAME] == "Full" and "13 of 13 blocks kept" in words(page)
    page.checkbox(key=Key.LAUNCH_BLOCK.of("R1.5")).uncheck().run()
    assert "12 of 13 blocks kept" in words(page) and not page.error
    page.selectbox(key=Key.LAUNCH_BACKBONE).set_value("mnasnet").run()
    page.segmented_control(key=Key.LAUNCH_DEFINITION).set_value("paper").run()
    assert "7 of 7 blocks kept" in words(page) and not page.error and not page.exception
    assert page.session_state[Key.LAUNCH_MASK_NAME] == "Full"


def test_an_option_that_is_refused_is_named_at_its_field(visit):
    page = visit("settings")
    page.session_state[Key.LAUNCH_OVERRIDE.of("architecture.stem_width")] = "wide"  # typed, not one of the list
    page._page_hash = calc_hash("launch")
    page.run()
    said = [error.value.replace("\\", "") for error in page.error]
    assert any("architecture.stem_width is 'wide'; it must be a whole number" in text for text in said)
    assert page.button(key=Key.LAUNCH_SUBMIT).disabled and not page.exception


def test_an_option_that_changes_nothing_with_this_mask_is_said(visit, words):
    page = visit("launch")
    set_blocks(page, {"F4", "F6", "F8"})
    option(page, "bypass").set_value("simple").run()
    assert "Changes nothing in this network, so it stays as it was: bypass." in words(page)
    page.checkbox(key=Key.LAUNCH_BLOCK.of("F9")).check().run()
    assert "Changes nothing" not in words(page)


def test_options_of_the_network_are_swept(visit, stack):
    page = visit("launch")
    page.segmented_control(key=Key.LAUNCH_KIND).set_value("snn")
    page.multiselect(key=Key.LAUNCH_SWEEP_FIELDS).set_value(["architecture.stem_width", "architecture.bypass"]).run()
    page.text_input(key=Key.LAUNCH_SWEEP_VALUES.of("architecture.stem_width")).set_value("128, 64")
    page.multiselect(key=Key.LAUNCH_SWEEP_VALUES.of("architecture.bypass")).set_value(["none", "simple"]).run()
    assert [item.value for item in page.metric][:1] == ["4"]
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    runs = stack.client.runs(sweep=page.query_params["sweep"], limit=50).items
    assert {run.label.removeprefix("SNN-SqueezeNet Ref-1") for run in runs} == {
        "",
        ", stem 64",
        ", bypass",
        ", stem 64, bypass",
    }
    page = visit("launch")
    page.selectbox(key=Key.LAUNCH_BACKBONE).set_value("mixnet").run()
    assert not page.exception and not page.multiselect(key=Key.LAUNCH_SWEEP_FIELDS).value


def test_an_impossible_mask_says_block_by_block_what_arrived_where(visit, words):
    page = visit("launch")
    page.selectbox(key=Key.LAUNCH_BACKBONE).set_value("shufflenetv2").run()
    page.checkbox(key=Key.LAUNCH_BLOCK.of("S2.1")).uncheck().run()
    assert len(page.error) == 1
    said = words(page)
    assert "1. S2.1 left out" in said and "which needs 116 channels" in said
    assert page.button(key=Key.LAUNCH_SUBMIT).disabled
    page.checkbox(key=Key.LAUNCH_BLOCK.of("S2.1")).check().run()
    assert not page.error and not page.button(key=Key.LAUNCH_SUBMIT).disabled


@pytest.mark.parametrize(
    "row", ["table1/cifar10/SqueezeNet-P", "table2/cifar10/MixNet", "table3/Alt-1", "table1/cifar10/MnasNet"]
)
def test_an_address_fills_the_form_with_a_printed_row(visit, words, row):
    printed = printed_rows()[row]
    page = visit("launch", row=row)
    blocks = layout_of(printed.backbone, printed.definition).blocks
    assert page.selectbox(key=Key.LAUNCH_BACKBONE).value == printed.backbone
    assert page.selectbox(key=Key.LAUNCH_DATASET).value == "cifar10"
    assert page.segmented_control(key=Key.LAUNCH_RECIPE).value == "paper"
    assert tuple(b for b in blocks if page.checkbox(key=Key.LAUNCH_BLOCK.of(b)).value) == printed.mask
    assert ("a reconstruction" in words(page)) == (not printed.recovered)
    assert f"accuracy {100 * printed.accuracy:.2f} %" in words(page)
    assert page.segmented_control(key=Key.LAUNCH_KIND).value == ("twins" if row.startswith("table2") else "snn")
    assert page.query_params["row"] == row


def test_a_changed_form_is_no_longer_the_row_and_coming_back_by_address_fills_it_again(visit, words):
    page = visit("launch", row="table3/Alt-1")
    page.checkbox(key=Key.LAUNCH_BLOCK.of("F9")).check().run()
    assert "The form has changed since" in words(page)
    assert "row" not in page.query_params
    page.query_params["row"] = "table3/Alt-1"
    page.run()
    assert not page.checkbox(key=Key.LAUNCH_BLOCK.of("F9")).value
    assert "The form has changed since" not in words(page)


def test_every_printed_row_gives_a_network_that_can_be_asked_for(stack):
    for row in printed_rows().values():
        asked = RunRequest(
            backbone=row.backbone, kind=row.kind, mask=list(row.mask), dataset=row.dataset, recipe="paper",
            definition=row.definition,
        )  # fmt: skip
        found, spec = stack.client.preview(asked), DATASETS[row.dataset]
        network = plan_for(
            backbone=row.backbone, mask=row.mask, input_shape=spec.image_shape, n_classes=spec.n_classes,
            definition=row.definition,
        )  # fmt: skip
        assert (found.config.kind, found.config.mask, found.params) == (row.kind, row.mask, network.params), row.id


def test_an_unknown_row_in_the_address_is_a_sentence(visit, words):
    assert "The paper has no row table9/x." in words(visit("launch", row="table9/x"))


def test_suggestions_need_four_masks_and_then_name_masks_with_reasons(stack, visit, words):
    page = visit("launch")
    page.session_state[Key.LAUNCH_SUGGEST] = True
    page.run()
    assert "at least 4 masks" in words(page)
    for place, mask in enumerate((["F9"], ["F8", "F9"], ["F2", "F9"], ["F2", "F3", "F8", "F9"])):
        claim = stack.claimed("snn", mask=mask, recipe="smoke", seed=51)
        shutil.copytree(stack.trained["snn"], claim.out)
        found = Bundle(claim.out).summary().model_copy(update={"best_validation_accuracy": 0.5 + 0.1 * place})
        stack.lifecycle.succeed(claim, found)
    page = visit("launch", row="table3/Alt-1")  # runs on digits say nothing of CIFAR-10
    page.session_state[Key.LAUNCH_SUGGEST] = True
    page.run()
    assert "at least 4 masks" in words(page)
    page.selectbox(key=Key.LAUNCH_DATASET).set_value("digits")
    page.session_state[Key.LAUNCH_SUGGEST] = True
    st.cache_data.clear()
    page.run()
    assert "From 4 SNN runs of 4 masks on Digits" in words(page)
    assert words(page).count("Expected ") == 3
    page.button(key=Key.LAUNCH_USE.of("0")).click().run()
    kept = {block for block in BACKBONES["squeezenet"].blocks if page.checkbox(key=Key.LAUNCH_BLOCK.of(block)).value}
    assert page.text_input(key=Key.LAUNCH_OVERRIDE.of("training.max_epochs")).value == "1"  # as those runs had it
    assert kept and kept not in ({"F9"}, {"F8", "F9"}, {"F2", "F9"}, {"F2", "F3", "F8", "F9"})
    page.button(key=Key.LAUNCH_USE.of("all")).click().run()
    assert len(page.multiselect(key=Key.LAUNCH_SWEEP_MASKS).value) == 3
    assert page.metric[0].value == "3"


def test_a_launch_that_takes_days_says_so_and_asks_once(stack, visit, monkeypatch):
    monkeypatch.setattr(launch_page, "LONG_S", 1.0)
    page = visit("launch")
    before = stack.client.runs(limit=1).total
    button = page.button(key=Key.LAUNCH_SUBMIT)
    assert re.fullmatch(r"Launch( 2 runs)?: about .+", button.label)
    button.click().run()
    assert stack.client.runs(limit=1).total == before
    assert "Launch it all the same?" in page.warning[0].value
    again = page.button(key=Key.LAUNCH_SUBMIT)
    assert again.label.startswith("Yes, launch")
    page.text_input(key=Key.LAUNCH_SEEDS).set_value("987").run()  # another launch is another question
    assert page.button(key=Key.LAUNCH_SUBMIT).label.startswith("Launch")
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    page.button(key=Key.LAUNCH_SUBMIT).click().run()
    assert stack.client.runs(limit=1).total > before
