"""The section Robustness of a run's page: asked for by a button, drawn a chart a kind, with every strength in a table."""

from __future__ import annotations

import json
import time

from core.report.robustness_words import TITLES
from core.schemas.robustness import RobustnessRequest
from frontend.keys import Key

MEASURE = Key.RUN_ROBUST.of("measure")


def test_a_run_is_measured_by_a_button_and_drawn_against_each_strength(stack, visit, words):
    run = stack.succeeded("snn")
    page = visit("run", run=run.id, section="Robustness")
    assert "have not been measured" in words(page) and page.button(key=MEASURE).label == "Measure"
    assert page.selectbox(key=Key.RUN_ROBUST.of("images")).options == ["200", "all 360"]
    assert not page.get("plotly_chart")

    stack.client.measure_robustness(run.id, RobustnessRequest(images=3))
    end = time.monotonic() + 300
    while (seen := stack.client.robustness(run.id, mode="exact", profile="horowitz-45nm")).work.state == "running":
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    page = visit("run", run=run.id, section="Robustness")
    charts = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    assert [chart["layout"]["meta"]["title"] for chart in charts] == list(TITLES.values())
    for kind, chart in zip(TITLES, charts, strict=True):
        accuracy, energy = chart["data"]
        points = seen.found.of(kind)
        assert accuracy["y"] == [100 * point.accuracy for point in points] and len(energy["y"]) == 6
        assert "3 test images of 360" in chart["layout"]["meta"]["caption"]
    assert charts[2]["data"][0]["x"] == ["32", "8", "6", "4", "3", "2"]
    said = words(page)
    assert said.count("<td>Noise</td>") == 5 and "3 of 3 undisturbed answers" in said
    assert "biases, normalisation and neurons stay in full" in said

    page.selectbox(key=Key.RUN_ROBUST.of("images")).set_value(200).run()
    page.button(key=MEASURE).click().run()  # the child that it starts ends with the API
    assert stack.client.robustness(run.id, mode="exact", profile="horowitz-45nm").work.state == "running"
    assert not page.exception and MEASURE not in [button.key for button in page.button]

    other = stack.succeeded("cnn")
    page = visit("run", run=other.id, section="Robustness")
    page.button(key=MEASURE).click().run()
    assert "Please wait until it has ended" in page.error[0].value
