"""Runs side by side, held against their bundles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient

from core.analysis.ensemble import of_bundles
from core.bundle import Bundle
from core.energy.modes import MODES
from core.energy.price import price
from core.energy.profiles import profiles
from core.schemas.compare import Comparison
from core.schemas.ensemble import ComparedEnsemble, Ensemble


def compare(client: TestClient, *run_ids: str, **query: str) -> Comparison:
    answer = client.get("/api/v1/compare", params={"runs": ",".join(run_ids), **query})
    assert answer.status_code == 200, answer.text
    return Comparison.model_validate_json(answer.content)


def test_twins_are_compared_image_by_image(finisher, client: TestClient) -> None:
    ids = {kind: finisher.succeeded(kind) for kind in ("cnn", "snn")}
    bundles = {kind: Bundle(path) for kind, path in finisher.trained.items()}
    given = {kind: bundle.predictions() for kind, bundle in bundles.items()}
    right = {kind: answers.outputs.mean(1).argmax(1) == answers.label for kind, answers in given.items()}
    order = {kind: np.argsort(answers.index) for kind, answers in given.items()}
    right = {kind: right[kind][order[kind]] for kind in right}
    for mode in MODES:
        found = compare(client, ids["cnn"], ids["snn"], mode=mode)
        energy = {
            kind: price(MODES[mode].tally(bundle.counts()), profiles()["horowitz-45nm"])
            for kind, bundle in bundles.items()
        }
        (difference,) = found.differences
        assert (difference.run_id, difference.against) == (ids["snn"], ids["cnn"])
        assert difference.energy_ratio == pytest.approx(energy["snn"] / energy["cnn"])
        accuracy = {kind: bundle.summary().accuracy for kind, bundle in bundles.items()}
        assert difference.accuracy == pytest.approx(accuracy["snn"] - accuracy["cnn"])
        pair = difference.paired
        index = np.sort(given["snn"].index)
        assert pair.gained_indices == index[right["snn"] & ~right["cnn"]].tolist()
        assert pair.lost_indices == index[~right["snn"] & right["cnn"]].tolist()
        assert pair.n == 360 and pair.accuracy == pytest.approx(difference.accuracy)
        assert pair.gained + pair.lost > 0 and pair.low < pair.accuracy < pair.high
        (twin,) = found.twins
        assert (twin.snn_id, twin.cnn_id) == (ids["snn"], ids["cnn"])
        assert twin.accuracy == pytest.approx(difference.accuracy)
        assert twin.energy_ratio == difference.energy_ratio and twin.paired == pair
        for run, kind in zip(found.runs, ("cnn", "snn"), strict=True):
            assert run.id == ids[kind] and run.energy_pj == pytest.approx(energy[kind])
            assert run.metrics == bundles[kind].metrics() and run.gradients == bundles[kind].gradients()
            assert run.model_bytes == 4 * bundles[kind].summary().params
    assert "test images" in found.interval and "seed" in found.interval


def test_moved_prices_are_charged_to_every_run_and_said(finisher, client: TestClient) -> None:
    ids = [finisher.succeeded(kind) for kind in ("cnn", "snn")]
    own = compare(client, *ids, mode="exact")
    found = compare(client, *ids, mode="exact", ac="2", mac="0.5")
    for run, before in zip(found.runs, own.runs, strict=True):
        assert run.energy_pj == pytest.approx(2 * 0.9 * run.acs + 0.5 * 4.6 * run.macs)  # Horowitz, 45 nm
        assert (run.acs, run.macs, run.accuracy) == (before.acs, before.macs, before.accuracy)
    cnn, snn = (run.energy_pj for run in found.runs)
    assert found.differences[0].energy_ratio == pytest.approx(snn / cnn) == found.twins[0].energy_ratio
    assert found.differences[0].energy_ratio != pytest.approx(own.differences[0].energy_ratio)
    assert (found.ac, found.mac, found.memory) == (2, 0.5, 1) and (own.ac, own.mac, own.memory) == (1, 1, 1)


def test_a_moved_memory_price_counts_where_memory_is_charged(finisher, client: TestClient) -> None:
    ids = [finisher.succeeded(kind) for kind in ("cnn", "snn")]
    plain = [run.energy_pj for run in compare(client, *ids, mode="exact").runs]
    assert [run.energy_pj for run in compare(client, *ids, mode="exact", memory="10").runs] == plain
    free, own, twice = (
        [run.energy_pj for run in compare(client, *ids, mode="memory", memory=times).runs] for times in ("0", "1", "2")
    )
    for nothing, once, double in zip(free, own, twice, strict=True):
        assert nothing < once and double - once == pytest.approx(once - nothing)  # linear in the price


def test_a_twin_that_is_not_compared_is_known_all_the_same(finisher, client: TestClient) -> None:
    first, second = finisher.succeeded("snn"), finisher.succeeded("snn")
    assert compare(client, first, second).twins == []
    cnn = finisher.succeeded("cnn")
    twins = compare(client, first, second).twins
    assert [(twin.snn_id, twin.cnn_id) for twin in twins] == [(first, cnn), (second, cnn)]
    same = compare(client, first, second).differences[0]
    assert (same.accuracy, same.energy_ratio, same.paired.gained, same.paired.lost) == (0.0, 1.0, 0, 0)
    assert same.paired.low == -same.paired.high < 0


def test_runs_on_other_test_images_have_no_interval(finisher, client: TestClient) -> None:
    first, second = finisher.succeeded("snn"), finisher.succeeded("snn")
    bundle = client.app.state.context.artifacts.bundle(second)
    answers = bundle.predictions()
    index = answers.index.copy()
    index[0] = 10_000
    bundle.write_arrays(
        "predictions.npz",
        {"index": index, "label": answers.label, "outputs": answers.outputs, "classes": np.array(answers.classes)},
    )
    (difference,) = compare(client, first, second).differences
    assert difference.paired is None and difference.energy_ratio == 1.0


def test_what_cannot_be_compared_is_refused_by_name(finisher, client: TestClient) -> None:
    done, waiting = finisher.succeeded(), finisher.queued(seed=9).id
    for query, status, code in (
        (f"runs={done}", 422, "bad-value"),
        (f"runs={done},{done}", 422, "bad-value"),
        ("runs=" + ",".join(f"{n:016x}" for n in range(11)), 422, "bad-value"),
        ("runs=", 422, "bad-value"),
        ("", 422, "invalid-request"),
        (f"runs={done},nobody", 404, "not-found"),
        (f"runs={done},{waiting}", 409, "not-ready"),
        (f"runs={done},nobody&mode=exat", 422, "unknown-name"),
        (f"runs={done},nobody&profile=loihy", 422, "unknown-name"),
        (f"runs={done},nobody&ac=-0.1", 422, "invalid-request"),
        (f"runs={done},nobody&mac=10.1", 422, "invalid-request"),
        (f"runs={done},nobody&memory=nan", 422, "invalid-request"),
        (f"runs={done},nobody&price=2", 422, "invalid-request"),
    ):
        answer = client.get(f"/api/v1/compare?{query}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), query


def test_two_runs_answer_together_at_moved_prices_too(finisher, client: TestClient) -> None:
    ids = {kind: finisher.succeeded(kind) for kind in ("snn", "cnn")}
    bundles = [Bundle(finisher.trained[kind]) for kind in ("snn", "cnn")]
    query = {"first": ids["snn"], "second": ids["cnn"]}

    def asked(**more: str) -> ComparedEnsemble:
        answer = client.get("/api/v1/compare/ensemble", params=query | more)
        assert answer.status_code == 200, answer.text
        return ComparedEnsemble.model_validate_json(answer.content)

    for mode in MODES:
        found = asked(mode=mode)
        assert (found.first_id, found.second_id) == (ids["snn"], ids["cnn"])
        own = of_bundles(*bundles, mode=MODES[mode], profile=profiles()["horowitz-45nm"])
        assert {name: getattr(found, name) for name in Ensemble.model_fields} == dict(own)
    compared = compare(client, ids["snn"], ids["cnn"], ac="2", mac="0.5")
    moved = asked(ac="2", mac="0.5")
    assert [moved.first.energy_pj, moved.second.energy_pj] == pytest.approx([run.energy_pj for run in compared.runs])
    assert moved.cascade[-1].energy_pj == pytest.approx(sum(run.energy_pj for run in compared.runs))
    assert moved.moved_prices == compared.moved_prices != ""


def test_runs_that_cannot_answer_together_are_refused_by_name(finisher, client: TestClient) -> None:
    first, second = finisher.succeeded("snn"), finisher.succeeded("cnn")
    bundle = client.app.state.context.artifacts.bundle(second)
    answers = bundle.predictions()
    bundle.write_predictions(replace(answers, index=answers.index + 1))
    for query, status, code, words in (
        (f"first={first}&second={first}", 422, "bad-value", "another run than first"),
        (f"first={first}&second={second}", 422, "bad-value", f"tested as {first} was, on the same 360 images"),
        (f"first={first}", 422, "invalid-request", ""),
        (f"first={first}&second=nobody", 404, "not-found", ""),
        (f"first={first}&second={finisher.queued(seed=9).id}", 409, "not-ready", ""),
        (f"first={first}&second={second}&mode=exat", 422, "unknown-name", ""),
        (f"first={first}&second={second}&ac=11", 422, "invalid-request", ""),
    ):
        answer = client.get(f"/api/v1/compare/ensemble?{query}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), query
        assert words in answer.text
