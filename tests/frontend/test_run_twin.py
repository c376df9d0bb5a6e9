"""The card `Beside its twin` in the section Energy: alone, with a twin under way, and with one that has finished."""

from __future__ import annotations

import json
import shutil

from core.bundle import Bundle
from core.report.charts import twin
from core.schemas.run import RunState
from frontend.keys import Key
from frontend.pages.run import twin as run_twin


def chart(page, name="CNN"):
    """The figure beside the twin of this name, or None where it is not drawn."""
    specs = [json.loads(item.proto.spec) for item in page.get("plotly_chart")]
    return next((spec for spec in specs if spec["layout"]["meta"]["title"] == f"Beside its {name} twin"), None)


def test_the_card_follows_the_twin_from_none_to_finished(stack, visit, words):
    snn = stack.succeeded("snn")
    page = visit("run", run=snn.id, section="Energy")
    said = words(page)
    assert chart(page) is None and "Beside its CNN twin" in said
    assert "Nothing to compare with: its twin has not been trained yet." in said
    assert "“Train its CNN twin”, at the top of this page, launches it." in said and not page.error
    assert any(button.label == "Train its CNN twin" for button in page.button)

    claim = stack.claimed("cnn")
    page = visit("run", run=snn.id, section="Energy")
    assert chart(page) is None and "Nothing to compare with: its CNN twin: running." in words(page)
    assert "at the top of this page" not in words(page)

    shutil.copytree(stack.trained["cnn"], claim.out)
    stack.lifecycle.succeed(claim, Bundle(claim.out).summary())
    assert stack.client.run(snn.id).twin.state is RunState.SUCCEEDED
    for run_id, name in ((snn.id, "CNN"), (claim.run_id, "spiking")):
        page = visit("run", run=run_id, section="Energy")
        found = stack.client.twin(run_id, mode="exact", profile="horowitz-45nm")
        said = words(page)
        assert "Nothing to compare with" not in said
        assert run_twin.verdict(found) in said and all(sentence in said for sentence in found.not_said)
        assert chart(page, name)["data"][0]["text"] == list(twin.figure(found).data[0].text)
        assert any(item.proto.id.endswith(Key.RUN_CHART.of("twin_csv")) for item in page.get("download_button"))


def test_the_card_is_priced_by_the_lens(stack, visit, words):
    snn, _ = stack.succeeded("snn"), stack.succeeded("cnn")
    page = visit("run", run=snn.id, section="Energy")
    page.selectbox(key=Key.MODE).set_value("memory").run()
    found = stack.client.twin(snn.id, mode="memory", profile="horowitz-45nm")
    assert "mode memory, T = 4" in chart(page)["layout"]["meta"]["caption"]
    assert run_twin.verdict(found) in words(page)
