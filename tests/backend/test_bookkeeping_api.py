"""Runs forked, tagged, searched, binned and brought back, one at a time and many at once."""

from __future__ import annotations

import shutil

import pytest
from fastapi.testclient import TestClient

from backend.store.backfill import fill_older_rows
from backend.store.db import Database
from backend.store.models import RunRow
from core.bundle import Bundle
from core.recipes.build import build_config
from core.schemas.pareto import Pareto, ParetoColumns, ParetoPoint
from core.schemas.request import RunRequest
from core.schemas.run import RunState
from core.schemas.runs import BulkAnswers, Run, RunPage

RUNS = "/api/v1/runs"


def make(client: TestClient, **body: object) -> Run:
    answer = client.post(RUNS, json=body)
    assert answer.status_code == 201, answer.text
    return Run.model_validate_json(answer.content)


def cancelled(client: TestClient, **body: object) -> Run:
    run = make(client, **body)
    client.post(f"{RUNS}/{run.id}/cancel")
    return run


def ids(client: TestClient, query: str = "") -> list[str]:
    page = RunPage.model_validate_json(client.get(f"{RUNS}{query}").content)
    assert page.total == len(page.items)
    return [run.id for run in page.items]


def bulk(client: TestClient, action: str, run_ids: list[str], key: str | None = None, **more: object) -> BulkAnswers:
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post(f"{RUNS}/bulk", json={"action": action, "ids": run_ids, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    return BulkAnswers.model_validate_json(answer.content)


def test_a_fork_is_the_same_config_but_for_what_was_asked(client: TestClient) -> None:
    base = make(client, mask="Ref-1", recipe="fast", seed=3, overrides={"training.lr": 0.02})
    body = {"overrides": {"neuron.tau": 1.5}, "seed": 4, "mask": "F8,F9", "kind": "cnn"}
    answer = client.post(f"{RUNS}/{base.id}/fork", json=body, headers={"Idempotency-Key": "f"})
    fork = Run.model_validate_json(answer.content)
    assert answer.status_code == 201 and fork.state is RunState.QUEUED and fork.id != base.id
    assert answer.headers["location"] == f"{RUNS}/{fork.id}"
    asked = RunRequest(
        mask="F8,F9", recipe="fast", seed=4, kind="cnn", overrides={"training.lr": 0.02, "neuron.tau": 1.5}
    )
    assert fork.config == build_config(asked)
    again = client.post(f"{RUNS}/{base.id}/fork", json=body, headers={"Idempotency-Key": "f"})
    assert (again.status_code, again.json()["id"]) == (200, fork.id)
    other = client.post(f"{RUNS}/{base.id}/fork", json={}, headers={"Idempotency-Key": "f"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


def test_a_fork_with_another_recipe_takes_that_recipes_settings(client: TestClient) -> None:
    base = make(client, mask="F9", recipe="smoke", seed=3, overrides={"training.lr": 0.02})
    fork = client.post(f"{RUNS}/{base.id}/fork", json={"recipe": "paper"}).json()
    expected = build_config(RunRequest(mask="F9", recipe="paper", seed=3))
    assert fork["config_hash"] == expected.config_hash and fork["config"]["recipe"] == "paper"


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"mask": "F44"}, "unknown-name", "F44"),
        ({"mask": []}, "impossible-mask", "keep at least one"),
        ({"overrides": {"tau": 0.5}}, "bad-value", "neuron.tau"),
        ({"overrides": {"seed": 1}}, "bad-value", "option of its own"),
        ({"recipe": "quick"}, "unknown-name", "recipe"),
        ({"seed": -1}, "invalid-request", "seed"),
    ],
)
def test_an_impossible_fork_is_refused(client: TestClient, body: dict, code: str, says: str) -> None:
    run = make(client, mask="F9")
    answer = client.post(f"{RUNS}/{run.id}/fork", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code) and says in answer.json()["detail"]
    assert ids(client) == [run.id]
    assert client.post(f"{RUNS}/nobody/fork", json={}).status_code == 404


def test_tags_and_note_are_set_apart_and_stay_otherwise(client: TestClient) -> None:
    run = make(client, mask="F9")
    at = f"{RUNS}/{run.id}"
    tagged = client.patch(at, json={"tags": [" good ", "Ünïcode", "good"]}).json()
    assert (tagged["tags"], tagged["note"]) == (["good", "Ünïcode"], "")
    noted = client.patch(at, json={"note": "look at\nlayer 3"}).json()
    assert (noted["tags"], noted["note"]) == (["good", "Ünïcode"], "look at\nlayer 3")
    assert client.patch(at, json={"tags": []}).json()["tags"] == []
    assert client.get(at).json()["note"] == "look at\nlayer 3"
    assert client.patch(f"{RUNS}/nobody", json={"note": "x"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tags": ["x" * 41]}, "tags.0"),
        ({"tags": ["  "]}, "tags.0"),
        ({"tags": ["a\nb"]}, "tags.0"),
        ({"tags": [str(n) for n in range(21)]}, "tags"),
        ({"tags": None}, "tags"),
        ({"note": "x" * 4001}, "note"),
        ({"note": "\ud800"}, "note"),
        ({"nota": "x"}, "nota"),
    ],
)
def test_a_mark_that_does_not_fit_is_refused_by_name(client: TestClient, body: dict, field: str) -> None:
    import json

    run = make(client, mask="F9")
    answer = client.patch(f"{RUNS}/{run.id}", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and answer.json()["fields"]["errors"][0]["field"] == field


def test_runs_are_found_by_tag_and_by_words_in_label_note_tag_and_id(client: TestClient) -> None:
    full, ref, other = make(client, mask="Full"), make(client, mask="Ref-1"), make(client, mask="F9", kind="cnn")
    client.patch(f"{RUNS}/{full.id}", json={"tags": ["keep", "50%"]})
    client.patch(f"{RUNS}/{ref.id}", json={"tags": ["keeper"], "note": "Odd_loss"})
    for query, found in (
        ("tag=keep", [full.id]),
        ("tag=kee", []),
        ("q=kee", [ref.id, full.id]),
        ("q=KEEPER", [ref.id]),
        ("q=ref-1", [ref.id]),
        ("q=cnn-squeeze", [other.id]),
        ("q=odd_l", [ref.id]),
        ("q=o_d_l", []),  # an underscore is no wildcard
        ("q=0%25", [full.id]),
        ("q=5%25%25", []),  # nor is a percent sign
        (f"q={other.id[:9]}", [other.id]),
        (f"q={other.id[4:]}", []),  # the id's beginning only
        ("q=kee&tag=keep", [full.id]),
        ("q=", [other.id, ref.id, full.id]),
    ):
        assert ids(client, f"?{query}") == found, query


def test_a_deleted_run_vanishes_from_everywhere_and_comes_back_whole(finisher, client: TestClient) -> None:
    snn, cnn = finisher.succeeded("snn"), finisher.succeeded("cnn")
    client.patch(f"{RUNS}/{snn}", json={"tags": ["t"], "note": "n"})
    before = client.get(f"{RUNS}/{snn}").json()
    link = client.post("/api/v1/shares", json={"run_id": snn}).json()
    shared = f"/api/v1/shared/{link['token']}"
    counts = f"{RUNS}/{snn}/artifacts/counts.json"

    def points() -> set[str]:
        return {point["run_id"] for point in client.get("/api/v1/pareto?dataset=digits").json()["points"]}

    def equal() -> object:
        body = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
        return client.post("/api/v1/preview", json=body).json()["equal_run"]

    assert points() == {snn, cnn} and equal() is not None
    assert client.delete(f"{RUNS}/{snn}").status_code == 204
    assert ids(client) == [cnn] and ids(client, "?tag=t") == [] and points() == {cnn} and equal() is None
    assert client.get(f"{RUNS}/{cnn}").json()["twin"] is None
    for method, path in (
        ("GET", f"{RUNS}/{snn}"), ("GET", f"{RUNS}/{snn}/layers"), ("GET", f"{RUNS}/{snn}/metrics"), ("GET", counts),
        ("GET", f"{RUNS}/{snn}/events"), ("POST", f"{RUNS}/{snn}/cancel"), ("POST", f"{RUNS}/{snn}/retry"),
        ("DELETE", f"{RUNS}/{snn}"), ("GET", f"/api/v1/compare?runs={cnn},{snn}"), ("GET", shared),
    ):  # fmt: skip
        assert client.request(method, path).status_code == 404, path
    assert client.post(f"{RUNS}/{snn}/fork", json={}).status_code == 404
    assert client.get(shared).json()["code"] == "share-gone" and client.get("/api/v1/shares").json()["items"] == []
    (binned,) = RunPage.model_validate_json(client.get(f"{RUNS}?deleted=true").content).items
    assert binned.id == snn and binned.deleted_at is not None

    for _ in range(2):  # twice is no error
        back = client.post(f"{RUNS}/{snn}/restore")
        assert back.status_code == 200 and back.json()["tags"] == ["t"] and back.json()["deleted_at"] is None
    after = client.get(f"{RUNS}/{snn}").json()
    signed = {"artifacts": None, "bundle_url": None, "twin": None}  # addresses with a time in them
    assert {**after, **signed} == {**before, **signed}
    assert points() == {snn, cnn} and client.get(counts).status_code == 200
    assert client.get(shared).status_code == 200 and ids(client, "?deleted=true") == []


def test_a_purged_run_is_gone_for_good_and_the_others_stay(finisher, client: TestClient, database: Database) -> None:
    snn, cnn = finisher.succeeded("snn"), finisher.succeeded("cnn")
    client.patch(f"{RUNS}/{snn}", json={"tags": ["t"]})
    client.delete(f"{RUNS}/{snn}")
    lifecycle, artifacts = client.app.state.context.lifecycle, client.app.state.context.artifacts
    assert lifecycle.purge(older_than_s=3600) == [] and artifacts.folder(snn).exists()
    assert lifecycle.purge(older_than_s=0) == [snn] and lifecycle.purge(older_than_s=0) == []
    assert not artifacts.folder(snn).exists() and artifacts.folder(cnn).exists()
    assert client.post(f"{RUNS}/{snn}/restore").status_code == 404
    with database.read() as session:
        assert [row.id for row in session.query(RunRow)] == [cnn]


def test_a_deleted_runs_key_makes_a_new_run(client: TestClient) -> None:
    first = client.post(RUNS, json={"mask": "F9"}, headers={"Idempotency-Key": "k"}).json()
    client.post(f"{RUNS}/{first['id']}/cancel")
    client.delete(f"{RUNS}/{first['id']}")
    again = client.post(RUNS, json={"mask": "F9"}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 201 and again.json()["id"] != first["id"]


def test_bulk_does_what_it_can_and_says_what_it_could_not(client: TestClient) -> None:
    waiting, ended = make(client, seed=1), cancelled(client, seed=2)
    answers = bulk(client, "delete", [waiting.id, ended.id, "nobody", ended.id])
    assert [(item.id, item.ok) for item in answers.items] == [(waiting.id, False), (ended.id, True), ("nobody", False)]
    codes = [item.problem.code if item.problem else None for item in answers.items]
    assert codes == ["state-conflict", None, "not-found"]
    assert answers.items[0].problem.fields["state"] == "queued"
    assert ids(client) == [waiting.id]
    assert bulk(client, "restore", [ended.id, "nobody"]).items[1].problem.status == 404
    assert set(ids(client)) == {waiting.id, ended.id}
    assert [item.ok for item in bulk(client, "cancel", [waiting.id, ended.id]).items] == [True, True]
    assert client.get(f"{RUNS}/{waiting.id}").json()["state"] == "cancelled"


def test_bulk_retry_makes_one_new_run_each_however_often_it_is_sent(client: TestClient) -> None:
    ended = [cancelled(client, seed=seed).id for seed in (1, 2)]
    first, again = bulk(client, "retry", ended, key="r"), bulk(client, "retry", ended, key="r")
    assert first == again and all(item.ok and item.run_id not in ended for item in first.items)
    assert len(ids(client)) == 4


def test_bulk_tag_adds_to_the_tags_that_are_there_up_to_the_bound(client: TestClient) -> None:
    bare, full = make(client, seed=1), make(client, seed=2)
    client.patch(f"{RUNS}/{full.id}", json={"tags": [f"t{n}" for n in range(19)]})
    assert all(item.ok for item in bulk(client, "tag", [bare.id, full.id], tag="new").items)
    assert client.get(f"{RUNS}/{bare.id}").json()["tags"] == ["new"]
    assert len(client.get(f"{RUNS}/{full.id}").json()["tags"]) == 20
    one_more = bulk(client, "tag", [bare.id, full.id], tag="more")
    assert [item.ok for item in one_more.items] == [True, False]
    assert [item.ok for item in bulk(client, "tag", [full.id], tag="new").items] == [True]  # it has it already


@pytest.mark.parametrize(
    "body",
    [
        {"action": "tag", "ids": ["a"]},
        {"action": "delete", "ids": ["a"], "tag": "x"},
        {"action": "explode", "ids": ["a"]},
        {"action": "delete", "ids": []},
        {"action": "delete", "ids": ["a"] * 201},
    ],
)
def test_a_bulk_request_that_makes_no_sense_is_refused_whole(client: TestClient, body: dict) -> None:
    assert client.post(f"{RUNS}/bulk", json=body).status_code == 422


def test_pareto_points_carry_tags_and_size_and_come_as_columns_too(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    finisher.succeeded("cnn")
    client.patch(f"{RUNS}/{run_id}", json={"tags": ["b", "a"]})
    plot = Pareto.model_validate_json(client.get("/api/v1/pareto?dataset=digits").content)
    by_id = {point.run_id: point for point in plot.points}
    assert by_id[run_id].tags == ["a", "b"] and by_id[run_id].sweep_ids == []
    assert by_id[run_id].model_bytes == 4 * by_id[run_id].params == 4 * 182_730
    columns = ParetoColumns.model_validate_json(client.get("/api/v1/pareto?dataset=digits&columns=true").content)
    assert columns.n == 2 and columns.front == plot.front and columns.published == plot.published
    again = [
        ParetoPoint.model_validate(dict(zip(columns.columns, values, strict=True)))
        for values in zip(*columns.columns.values(), strict=True)
    ]
    assert again == plot.points


def test_a_point_says_what_of_its_network_is_not_as_defined_and_older_configs_are_as_defined(
    finisher, client: TestClient
) -> None:
    made = [
        finisher.claimed("snn", mask="Ref-1", overrides={"stem_width": 64, "stem_stride": 2}),
        finisher.claimed("snn", backbone="mnasnet", definition="paper", mask="Alt-1"),
        finisher.claimed("snn", mask="Ref-1"),
    ]
    for claim in made:
        shutil.copytree(finisher.trained["snn"], claim.out)
        finisher.lifecycle.succeed(claim, Bundle(claim.out).summary())
    database: Database = client.app.state.context.database
    with database.write() as session:  # as such a row was stored before there were options
        row = session.get(RunRow, made[2].run_id)
        row.config = {name: value for name, value in row.config.items() if name not in ("architecture", "definition")}
        row.label = "an older name"
    context = client.app.state.context
    fill_older_rows(context.database, context.artifacts, context.settings.data)
    expected = ["SNN-SqueezeNet Ref-1, stem 64/2", "SNN-MnasNet Alt-1, paper", "SNN-SqueezeNet Ref-1"]
    points = Pareto.model_validate_json(client.get("/api/v1/pareto?dataset=digits").content).points
    by_id = {point.run_id: point for point in points}
    assert [by_id[claim.run_id].label for claim in made] == expected
    assert [by_id[claim.run_id].mask_name for claim in made] == ["Ref-1", "Alt-1", "Ref-1"]
    assert [client.get(f"{RUNS}/{claim.run_id}").json()["label"] for claim in made] == expected
    assert ids(client, "?q=an older name") == [] and ids(client, "?q=ref-1") == [made[2].run_id, made[0].run_id]


def test_the_pareto_plot_asks_the_database_once_and_again_only_whether_anything_changed(
    finisher, client: TestClient
) -> None:
    from sqlalchemy import event

    finisher.succeeded()
    said: list[str] = []
    engine = client.app.state.context.database.engine
    event.listen(engine, "before_cursor_execute", lambda _c, _k, statement, *_: said.append(statement))
    for visit, wanted in (("first", ["revisions", "run_tallies"]), ("second", ["revisions"])):
        said.clear()
        client.get("/api/v1/pareto?dataset=digits")
        asked = [
            one for one in said if one.startswith("SELECT") and "set_config" not in one
        ]  # those are a transaction's limits
        assert len(asked) == len(wanted), visit
        assert all(table in one for one, table in zip(asked, wanted, strict=True)), visit
