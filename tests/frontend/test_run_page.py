"""The page of one run, section by section, run by Streamlit's own test runner against the real API."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backend.store.artifacts import Artifacts
from core.analysis.exits import IMAGE_MODES
from core.analysis.steps import best_within, fewest_within
from core.bundle import Bundle
from core.report import twin_words
from core.report.charts import twin
from core.report.tables import exports
from core.run_folder import HISTORY
from core.schemas.results import Progress, Started
from frontend.client import connection
from frontend.keys import Key
from frontend.pages.run import live as run_live
from frontend.parts import saving


@pytest.fixture(scope="module")
def twins(stack):
    return stack.succeeded("snn"), stack.succeeded("cnn")


def titles(page) -> list[str]:
    """Of the charts that are drawn."""
    return [json.loads(chart.proto.spec)["layout"]["meta"]["title"] for chart in page.get("plotly_chart")]


def test_only_the_open_section_is_drawn(twins, visit):
    snn, _ = twins
    expected = {
        "Summary": ["Training curves"],
        "Training": [],
        "Classes": ["Confusion matrix"],
        "Images": ["Confidence and energy of this image", "Spikes of this image"],
        "Energy": ["Energy per layer", "Energy flow", "Beside its CNN twin"],
        "Time steps": ["Accuracy and energy against time steps", "Early exit by confidence", "Calibration"],
        "Neurons": [
            "Gradient at the spikes, layer by epoch",
            "Gradient at the spikes, layer by time step",
            "Dead and saturated neurons",
            "Firing rate per layer",
            "Gradient flow",
        ],
        "Robustness": [],
        "Files": [],
    }
    for section, charts in expected.items():
        page = visit("run", run=snn.id, section=section)
        assert not page.exception, page.exception
        assert titles(page) == charts, section


def test_a_cnn_has_no_steps_to_spare_and_its_gallery_shows_the_twin_s_spikes(twins, visit, words):
    _, cnn = twins
    page = visit("run", run=cnn.id, section="Time steps")
    assert titles(page) == ["Calibration"]
    assert "A CNN answers in one pass" in page.info[0].value
    page = visit("run", run=cnn.id, section="Images")
    spikes = json.loads(page.get("plotly_chart")[1].proto.spec)
    assert "spikes of its SNN twin" in spikes["layout"]["meta"]["caption"]
    for chart in page.get("plotly_chart"):
        assert "Digits (complete)" in json.loads(chart.proto.spec)["layout"]["meta"]["caption"]


def test_a_cell_of_the_matrix_opens_its_images(twins, visit, stack, words):
    snn, _ = twins
    matrix = np.array(stack.client.confusion(snn.id).matrix)
    page = visit("run", run=snn.id, section="Classes")
    off = matrix - np.diag(np.diag(matrix))
    assert page.selectbox(key=Key.RUN_TRUTH).value == int(off.argmax() // 10)  # the fullest mistake comes first
    truth, answer = next((i, j) for i, j in np.argwhere(off) if i != page.selectbox(key=Key.RUN_TRUTH).value)
    page.selectbox(key=Key.RUN_TRUTH).set_value(int(truth)).run()
    page.selectbox(key=Key.RUN_ANSWER).set_value(int(answer)).run()
    kept = stack.client.examples(snn.id, which="first", truth=int(truth), answer=int(answer), limit=8).items
    said = words(page)
    assert kept and all(f"Test image {item.index}, a {item.label}" in said for item in kept)
    n = matrix[truth][answer]
    some = (
        f"{len(kept)} of the {n} test images of {truth} that were"
        if n > 1
        else f"The one test image of {truth} that was"
    )
    assert f"{some} taken for {answer}" in said


def test_one_image_is_shown_with_its_own_energy_in_the_mode_chosen(twins, visit, stack, words):
    snn, _ = twins
    page = visit("run", run=snn.id, section="Images")
    listed = [int(option.split(",")[0][1:]) for option in page.selectbox(key=Key.RUN_IMAGE).options]
    page.selectbox(key=Key.RUN_IMAGE).set_value(listed[3]).run()
    seen = stack.client.image(snn.id, listed[3], mode="exact", profile="horowitz-45nm")
    chart = json.loads(page.get("plotly_chart")[0].proto.spec)
    drawn = next(trace for trace in chart["data"] if trace["name"] == "SNN: this image")
    assert f"energy {seen.run.energy_pj[-1] / 1e6:.3g} µJ".split()[1] in words(page)
    assert len(drawn["hovertext"]) == len(seen.run.energy_pj)
    page.selectbox(key=Key.MODE).set_value("paper").run()
    assert "none of one image in this mode" in words(page)
    assert page.selectbox(key=Key.RUN_IMAGE).value == listed[3]  # another price is no other image


def test_more_images_come_when_they_are_asked_for_and_another_choice_starts_anew(twins, visit):
    snn, _ = twins
    page = visit("run", run=snn.id, section="Images")

    def cards() -> int:
        return max(item.proto.body.count('class="sf-example"') for item in page.get("html"))

    assert cards() == 12
    page.button(key=Key.RUN_FILE.of("more")).click().run()
    assert cards() == 24
    page.button_group(key=Key.RUN_EXAMPLES).set_value("wrong").run()
    assert cards() == 12


def test_time_steps_says_where_to_stop_under_a_price_and_within_a_loss(twins, visit, words, stack):
    points = stack.client.steps(twins[0].id, mode="exact", profile="horowitz-45nm").points
    page = visit("run", run=twins[0].id, section="Time steps")
    assert f"Soonest within 1 points of the best: **T' = {fewest_within(points, 0.01).steps}, " in words(page)
    page.number_input(key=Key.RUN_WITHIN).set_value(100.0).run()
    assert "Soonest within 100 points of the best: **T' = 1, " in words(page)
    page.number_input(key=Key.RUN_AT_MOST).set_value(points[1].energy_pj / 1e6 * (1 + 1e-9)).run()
    best = best_within(points, points[1].energy_pj)
    assert f"**T' = {best.steps}, {100 * best.accuracy:.1f} %, " in words(page).partition("Best at no more")[2]
    page.number_input(key=Key.RUN_AT_MOST).set_value(points[0].energy_pj / 2e6).run()
    assert "it costs more after its first step" in words(page)


def test_in_a_mode_without_an_energy_of_one_image_early_exit_says_which_modes_have_one(twins, visit):
    page = visit("run", run=twins[0].id, section="Time steps")
    page.selectbox(key=Key.MODE).set_value("paper").run()
    assert "Early exit by confidence" not in titles(page)
    assert all(mode in page.info[0].value for mode in IMAGE_MODES)


def test_the_maps_follow_the_quantity_that_is_chosen(twins, visit):
    page = visit("run", run=twins[0].id, section="Neurons")
    page.button_group(key=Key.RUN_QUANTITY).set_value("active").run()
    assert titles(page)[:2] == ["Active zone, layer by epoch", "Active zone, layer by time step"]


def test_a_run_from_before_the_probe_says_that_its_neurons_were_not_looked_at(stack, visit, words):
    old = stack.succeeded("snn")
    folder = Artifacts(stack.settings).folder(old.id)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = [entry for entry in manifest["files"] if entry["name"] != "diagnostics.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "diagnostics.json").unlink()
    page = visit("run", run=old.id, section="Neurons")
    assert titles(page) == ["Firing rate per layer", "Gradient flow"]
    assert "from before the neurons were probed" in words(page)
    assert "What stands out" in words(visit("run", run=old.id))  # from the weights' gradients


def test_the_files_repeat_name_and_cite_the_run(twins, visit, stack, words):
    snn, _ = twins
    said = words(visit("run", run=snn.id, section="Files"))
    environment = Bundle(stack.trained["snn"]).environment()
    for part in (snn.command, environment["torch"], environment["processor"], "summary.json", "signature=",
                 f"@misc{{spikefront-{snn.id}", "2602.09717", "E. Alpaydin and C. Kaynak"):  # fmt: skip
        assert part in said, part
    assert "Energy of training: " in said and "whole run" not in said  # a sentence, and no names of its fields
    links = [link.proto.url for link in visit("run", run=snn.id, section="Files").get("link_button")]
    assert any("bundle.zip?expires=" in link for link in links)
    assert any("weights.safetensors?expires=" in link for link in links)


def test_a_row_of_a_table_holds_the_figures_of_the_lens(twins, stack):
    snn, _ = twins
    layers = stack.client.layers(snn.id, mode="memory", profile="horowitz-45nm")
    row = exports.summary_row(snn, snn.summary, layers)
    assert (row["mode"], row["energy_pj"], row["acs"]) == ("memory", layers.total_energy_pj, layers.total_acs)
    assert row["accuracy"] == snn.summary.accuracy and row["mask"] == "F9"
    latex = exports.latex_row(snn, snn.summary, layers)
    cells = latex.splitlines()[-1].removesuffix(r" \\").split(" & ")
    assert len(cells) == len(latex.splitlines()[0].removeprefix("% ").split(" & "))
    assert cells[1] == "Digits"
    assert cells[2] == f"{100 * snn.summary.accuracy:.2f}" and cells[4] == f"{snn.summary.params:,}"
    assert "mode memory" in latex and f"n = {snn.summary.n_test}" in latex


def test_signs_of_a_name_are_no_commands_in_latex_and_bibtex(twins, stack):
    snn, _ = twins
    layers = stack.client.layers(snn.id, mode="exact", profile="horowitz-45nm")
    odd = snn.model_copy(update={"label": "50% of_{all} \\input{x}"})
    for text in (
        exports.latex_row(odd, snn.summary, layers),
        exports.bibtex(odd, snn.summary, version="1", commit=None, citation="c"),
    ):
        assert r"50\% of\_\{all\} \textbackslash{}input\{x\}" in text
        assert "\\input{" not in text


def test_a_run_that_learns_from_its_twin_shows_where_it_is_and_the_loss_of_the_first_epoch(stack, visit, words):
    changes = {"training.distillation": 0.5, "training.max_epochs": 1, "training.train_limit": 32}
    claim = stack.claimed("snn", seed=51, overrides=changes)
    stack.lifecycle.record(
        claim,
        Started(device="cpu", n_train=32, n_validation=8, n_test=360, steps_per_epoch=9, max_epochs=1, part="teacher"),
    )
    stack.lifecycle.record(claim, Progress(epoch=1, max_epochs=1, step=2, steps=9, loss=2.5, part="teacher"))
    page = visit("run", run=claim.run_id)
    assert '<li class="now" aria-current="step">CNN twin</li>' in words(page)
    empty = json.loads(page.get("plotly_chart")[0].proto.spec)["layout"]["annotations"][0]["text"]
    assert "as soon as the trainer takes steps" in empty.replace("<br>", " ")
    moments = {"epoch": [1, 1, 1], "step": [2, 4, 1], "steps": [9] * 3, "loss": [2.5, 2.25, 9.0]}
    noted = {"steps": {"part": ["teacher", "teacher", "run"], **moments}}
    claim.out.mkdir(parents=True)
    (claim.out / HISTORY).write_text(json.dumps(noted))
    page.run()
    assert titles(page)[0] == "Loss as it trains" and "learns from" in page.get("progress")[0].proto.text
    assert "of the twin left" not in page.get("progress")[0].proto.text  # nothing is known of its pace
    stack.lifecycle.record(claim, Progress(epoch=1, max_epochs=1, step=1, steps=9, loss=9.0))
    page.run()
    assert "as soon as" in json.loads(page.get("plotly_chart")[0].proto.spec)["layout"]["annotations"][0]["text"]
    assert '<li class="now" aria-current="step">Training</li>' in run_live.phases(stack.client.run(claim.run_id))
    stack.client.cancel(claim.run_id)
    stack.lifecycle.cancelled(claim)


def test_the_twins_are_compared_in_the_words_and_with_the_interval_of_compare(twins, stack, visit):
    """The page, Compare's table and the sentence of a link all rest on the paired interval of the two runs."""
    snn, cnn = twins
    found = stack.client.compare([cnn.id, snn.id], mode="exact", profile="horowitz-45nm")
    (pair,) = found.twins
    assert pair.paired == found.differences[0].paired  # SNN minus CNN, both ways
    said = " ".join(twin_words.twins(pair, mode="exact", steps=snn.config.steps))
    assert f"{100 * pair.paired.low:+.2f} to {100 * pair.paired.high:+.2f}, n = 360" in said
    for run in (snn, cnn):
        assert any(connection.plain(said) == item.value for item in visit("run", run=run.id).caption)


def test_every_chart_can_be_saved_for_print_in_light_colours(twins, stack, visit):
    """The popover makes nothing until it is open; then it holds the figure as a file has it."""
    snn, _ = twins
    page = visit("run", run=snn.id, section="Energy")
    assert not [item for item in page.get("html") if "data-sf-save=" in item.proto.body]
    found = stack.client.twin(snn.id, mode="exact", profile="horowitz-45nm")
    made = saving.job({twin.TITLE: lambda: twin.figure(found)}, name="run", kind="pdf", width_in=3.3, words=False)
    (one,) = made["figures"]
    assert one["figure"]["data"][0]["text"] == list(twin.figure(found).data[0].text)
    assert one["figure"]["layout"]["paper_bgcolor"] == "#ffffff"


def test_the_energy_section_says_whether_spikingjelly_counts_the_same(stack, visit, words):
    run = stack.succeeded("snn")
    bundle = Artifacts(stack.settings).bundle(run.id)
    found = bundle.recount()
    page = visit("run", run=run.id, section="Energy")
    n = found.n_images
    assert f"Recounted by SpikingJelly 2.0.0: {n} of {n} answers and all operations equal." in words(page)
    assert not page.error
    assert "stem.conv" in words(page) and "computes the constant current once" in words(page)

    layers = [layer.model_copy(update={"equal": layer.name != "classifier.conv"}) for layer in found.layers]
    bundle.write_model("recount.json", found.model_copy(update={"layers": tuple(layers)}))
    page = visit("run", run=run.id, section="Energy")
    assert "not all is equal" in page.error[0].value and "classifier.conv has" in page.error[0].value.replace("\\", "")
    assert words(page).count('<tr class="sf-fault">') == 1

    failed = found.model_copy(update={"layers": (), "failure": "RuntimeError: *boom*"})
    bundle.write_model("recount.json", failed)
    page = visit("run", run=run.id, section="Energy")
    assert "failed (RuntimeError: *boom*). The run's own counts are as they were" in page.error[0].value.replace(
        "\\", ""
    )


def test_a_run_from_before_recounts_says_that_it_was_not_counted_again(stack, visit, words):
    run = stack.succeeded("snn")
    bundle = Artifacts(stack.settings).bundle(run.id)
    (bundle.path / "recount.json").unlink()
    bundle.seal()
    page = visit("run", run=run.id, section="Energy")
    assert "This run was not counted again" in words(page) and not page.error
