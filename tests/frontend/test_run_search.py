"""A run that searches, on its page and through the API: live, finished, brought in elsewhere, shared; and what it found, trained."""

from __future__ import annotations

import io
import json
import shutil
import zipfile

import pytest
from training import go

from core.bundle import Bundle
from core.recipes.build import found_overrides, override
from core.schemas.results import EpochDone, Started
from core.schemas.share import ShareRequest
from frontend.client.api import ApiProblem
from frontend.keys import Key

TINY = {"training.max_epochs": 2, "training.train_limit": 40, "training.batch_size": 20, "time_steps": 2}
JOINT = {**TINY, "search.what": "bits+steps", "compression.keep": 0.2, "search.size_kb": 9}


@pytest.fixture(scope="module")
def searched(stack):
    """A joint search, finished, and the events of its epochs."""
    claim = stack.claimed(mask=["F9"], overrides=JOINT)
    events = go(claim.config, claim.out)[1]
    epochs = [event for event in events if isinstance(event, EpochDone)]
    stack.lifecycle.succeed(claim, Bundle(claim.out).summary())
    return stack.client.run(claim.run_id), epochs, Bundle(claim.out)


def titles(page) -> list[str]:
    return [json.loads(chart.proto.spec)["layout"]["meta"]["title"] for chart in page.get("plotly_chart")]


CHARTS = ["Time steps", "Terms of the architecture's loss", "Bits of each block"]


def test_a_search_is_seen_while_it_goes_on(stack, searched, visit, words) -> None:
    _, epochs, _ = searched
    claim = stack.claimed(mask=["F9"], seed=1, overrides=JOINT)
    stack.lifecycle.record(
        claim, Started(device="cpu", n_train=20, n_validation=8, n_test=9, steps_per_epoch=1, max_epochs=2)
    )
    stack.lifecycle.record(claim, epochs[0])
    found = stack.client.search(claim.run_id).found
    assert found.epochs == [epochs[0].search] and found.blocks == ["F9"]
    page = visit("run", run=claim.run_id)
    assert "What would be decoded now" in words(page)
    assert set(CHARTS) <= set(titles(page))
    stack.client.cancel(claim.run_id)
    stack.lifecycle.cancelled(claim)


def test_a_finished_search_says_what_it_found_and_it_can_be_trained(stack, searched, visit, words) -> None:
    run, epochs, bundle = searched
    page = visit("run", run=run.id, section="Search")
    said = words(page)
    assert titles(page) == CHARTS
    assert "What it found" in said and "Budget of 9 kB met" in said and "20 training images" in said
    page.button(key=Key.RUN_ACT.of("found")).click().run()
    made = stack.client.runs(limit=1).items[0]
    wanted = override(bundle.config(), found_overrides(bundle.config(), epochs[-1].search.decoded))
    assert made.config == wanted and made.config.compression.block_bits == epochs[-1].search.decoded.block_bits
    assert not made.config.search.is_on and made.config.training.select == "best"
    with pytest.raises(ApiProblem, match="searches nothing"):
        stack.client.search(made.id)


def test_a_search_stands_on_no_front(stack, searched) -> None:
    run, _, _ = searched
    plain = stack.succeeded("snn")
    shown = stack.client.pareto(dataset="digits", mode="exact", profile="horowitz-45nm")
    ids = [point.run_id for point in shown.points]
    assert plain.id in ids and run.id not in ids


def test_it_is_brought_in_elsewhere_with_its_course_and_refused_without(stack, searched, tmp_path) -> None:
    run, _, bundle = searched
    shared = stack.client.share(ShareRequest(run_id=run.id, mode="exact", profile="horowitz-45nm"))
    assert "What it searched for" in stack.client._http.get(shared.url).text
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    summary = bundle.summary()
    Bundle(copy).write_model(
        "summary.json", summary.model_copy(update={"evaluate_wall_s": summary.evaluate_wall_s + 1})
    )
    Bundle(copy).seal()
    brought, new = stack.client.import_bundle(_zipped(copy))
    assert new and stack.client.search(brought.id).found == bundle.search()
    (copy / "search.json").unlink()
    Bundle(copy).seal()
    with pytest.raises(ApiProblem, match="search.json"):
        stack.client.import_bundle(_zipped(copy))


def _zipped(folder) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for entry in Bundle(folder).files():
            file.write(folder / entry.name, entry.name)
        file.write(folder / "manifest.json", "manifest.json")
    return held.getvalue()
