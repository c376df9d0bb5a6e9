"""The Pareto plot after fewer time steps, from a table that is filled when a run succeeds or when it is first wanted."""

from __future__ import annotations

import shutil

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, update

from backend.store.models import RunRow, RunStepRow
from core.analysis.steps import best_within, truncated
from core.bundle import Bundle
from core.energy.rules import exact
from core.repeats import repeat_key
from core.schemas.catalog import Catalog
from core.schemas.diagnostics import Steps
from core.schemas.pareto import Pareto
from core.schemas.runs import Run

T = 4  # of the recipe `smoke`


def plot(client: TestClient, **query: object) -> Pareto:
    answer = client.get("/api/v1/pareto", params={"dataset": "digits", **query})
    assert answer.status_code == 200, answer.text
    return Pareto.model_validate_json(answer.content)


@pytest.mark.parametrize("mode", ["exact", "memory"])
def test_every_step_gives_what_the_run_s_own_curve_gives(finisher, client: TestClient, mode: str) -> None:
    run_id = finisher.succeeded()
    own = client.get(f"/api/v1/runs/{run_id}/steps", params={"mode": mode}).content
    curve = {point.steps: point for point in Steps.model_validate_json(own).points}
    assert sorted(curve) == [1, 2, 3, 4]
    for steps, expected in curve.items():
        (point,) = plot(client, mode=mode, steps=steps).points
        assert point.time_steps == steps
        assert (point.accuracy, point.f1_macro) == (expected.accuracy, pytest.approx(expected.f1_macro))
        assert point.energy_pj == pytest.approx(expected.energy_pj)
        assert point.firing_rate == pytest.approx(expected.firing_rate)


def test_under_a_price_each_run_stops_where_it_is_best(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded("snn")
    own = client.get(f"/api/v1/runs/{run_id}/steps").content
    curve = Steps.model_validate_json(own).points
    dear = 2.5  # times the profile's price of an AC and of a MAC
    for point in curve:
        best = best_within(curve, point.energy_pj)
        (one,) = plot(client, at_most_pj=point.energy_pj * (1 + 1e-9)).points
        assert (one.time_steps, one.accuracy) == (best.steps, best.accuracy)
        assert one.energy_pj == pytest.approx(best.energy_pj)
        moved = plot(client, at_most_pj=point.energy_pj * dear * (1 + 1e-9), ac=dear, mac=dear)
        assert [other.time_steps for other in moved.points] == [best.steps]
    first = plot(client, at_most_pj=curve[-1].energy_pj * 2, steps=1)
    assert [one.time_steps for one in first.points] == [1] and first.at_most_pj == curve[-1].energy_pj * 2
    none = plot(client, at_most_pj=curve[0].energy_pj / 2)
    assert none.points == [] and none.missing == 1
    refused = client.get("/api/v1/pareto", params={"dataset": "digits", "at_most_pj": 0})
    assert refused.status_code == 422 and "at_most_pj" in refused.text


def test_spikes_and_bit_synops_are_those_of_the_counts_after_every_step(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded("snn")
    counts = client.app.state.context.artifacts.bundle(run_id).counts()  # type: ignore[attr-defined]
    for steps in (1, T):
        (point,) = plot(client, steps=steps).points
        part = truncated(counts, steps)
        spikes = sum(sum(layer.spikes) for layer in part.layers)
        assert spikes > 0 and point.spikes == pytest.approx(spikes / counts.n_samples)
        assert point.bit_synops == pytest.approx(32 * sum(sum(exact(layer, part)) for layer in part.layers))
    (paper,) = plot(client, mode="paper").points
    assert paper.bit_synops == point.bit_synops  # no mode of the plot changes it


def test_a_cnn_and_steps_beyond_t_change_nothing(finisher, client: TestClient) -> None:
    finisher.succeeded()
    cnn = finisher.succeeded("cnn")
    whole = plot(client)
    assert plot(client, steps=T).points == plot(client, steps=T + 5).points == whole.points
    early = {point.run_id: point for point in plot(client, steps=1).points}
    assert early[cnn].model_dump(exclude={"on_front"}) == next(
        point.model_dump(exclude={"on_front"}) for point in whole.points if point.run_id == cnn
    )


def test_a_run_from_before_the_table_is_worked_out_when_it_is_wanted(finisher, client: TestClient) -> None:
    finisher.succeeded()
    before = plot(client, steps=2)
    context = client.app.state.context
    with context.database.write() as session:
        session.execute(delete(RunStepRow))
    assert plot(client, steps=2) == before
    with context.database.read() as session:
        assert session.query(RunStepRow).count() == T - 1


def test_a_run_whose_bundle_is_gone_is_left_out_and_counted(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    context = client.app.state.context
    with context.database.write() as session:
        session.execute(delete(RunStepRow))
    shutil.rmtree(context.artifacts.folder(run_id))
    early = plot(client, steps=2)
    assert (early.points, early.missing) == ([], 1)
    assert plot(client).missing == 0


def test_runs_that_differ_only_in_seed_carry_one_repeat_and_a_twin_shares_the_twin(finisher, client) -> None:
    snn, cnn = finisher.succeeded(), finisher.succeeded("cnn")
    context = client.app.state.context
    with context.database.read() as session:
        run = Run.model_validate_json(client.get(f"/api/v1/runs/{snn}").content)
        assert session.get(RunRow, snn).repeat_hash == repeat_key(run.config, run.summary)
    by_id = {point.run_id: point for point in plot(client).points}
    assert by_id[snn].twin == by_id[cnn].twin and by_id[snn].repeat != by_id[cnn].repeat


def test_seeds_on_a_part_of_a_data_set_and_on_the_whole_carry_different_repeats(finisher, client, trained) -> None:
    whole, part, again = finisher.claimed(seed=0), finisher.claimed(seed=1), finisher.claimed(seed=2)
    summary = Bundle(trained["snn"]).summary()
    fewer = {"n_train_available": summary.n_train_available - 1, "dataset_complete": False}
    for claim, figures in ((whole, {}), (part, fewer), (again, {})):
        shutil.copytree(trained["snn"], claim.out)
        finisher.lifecycle.succeed(claim, summary.model_copy(update=figures))
    repeats = {point.run_id: point.repeat for point in plot(client).points}
    assert repeats[whole.run_id] == repeats[again.run_id] != repeats[part.run_id]


@pytest.mark.parametrize("older", ["", "0" * 64])  # none, and one by the rule that looked at the config alone
def test_an_older_row_gets_its_repeat_when_the_api_starts(finisher, client: TestClient, settings, older: str) -> None:
    from backend.app import create_app

    run_id = finisher.succeeded()
    context = client.app.state.context
    with context.database.write() as session:
        known = session.get(RunRow, run_id).repeat_hash
        session.execute(update(RunRow).values(repeat_hash=older))
    create_app(settings).state.context.database.close()
    with context.database.read() as session:
        assert session.get(RunRow, run_id).repeat_hash == known != ""


def test_the_plot_carries_what_a_reader_needs_to_price_it(finisher, client: TestClient) -> None:
    finisher.succeeded()
    (point,) = plot(client, mode="memory").points
    catalog = Catalog.model_validate_json(client.get("/api/v1/catalog").content)
    profile = next(one for one in catalog.profiles if one.name == "horowitz-45nm")
    prices = {one.name: one.pj for one in profile.constants.values()}
    expected = point.acs * profile.ac_pj + point.macs * profile.mac_pj
    # Nothing but memory and addresses has a price of its own here: this profile has no whole neuron update.
    expected += sum(
        n * prices[name.removesuffix("@event")]
        for name, n in point.other.items()
        if "update" not in name and name != "host-add"
    )
    assert point.energy_pj == pytest.approx(expected)
    truenorth = next(one for one in catalog.profiles if one.name == "truenorth")
    assert truenorth.ac_range == (2.5, 26) and truenorth.mac_from == "horowitz-45nm" and truenorth.status
