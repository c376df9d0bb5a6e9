"""Links to comparisons, sweeps and views; live and frozen; weights and images only where they were asked for."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from backend.shares import page as shown_page
from backend.store.db import Database, utc_now
from backend.store.models import ShareRow
from core.bundle import Bundle
from core.report import ensemble_words, twin_words
from core.schemas.run import Kind
from core.schemas.share import SHARED, AnyShared, NewShare, SharePage
from core.schemas.sweep import Aggregate


def share(client: TestClient, **body: object) -> NewShare:
    answer = client.post("/api/v1/shares", json=body)
    assert answer.status_code == 201, answer.text
    return NewShare.model_validate_json(answer.content)


def stranger(client: TestClient, path: str):
    token = client.headers.pop("authorization")
    try:
        return client.get(path)
    finally:
        client.headers["authorization"] = token


def opened(client: TestClient, made: NewShare) -> AnyShared:
    return SHARED.validate_json(stranger(client, f"/api/v1/shared/{made.token}").content)


def page(client: TestClient, made: NewShare) -> str:
    answer = stranger(client, f"/s/{made.token}")
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.fixture
def twins(finisher) -> tuple[str, str]:
    return finisher.succeeded("snn"), finisher.succeeded("cnn")


def sweep(client: TestClient, seeds: list[int], **base: object) -> str:
    base = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}} | base
    body = {"name": "named by somebody", "base": base, "axes": {"kind": ["snn", "cnn"], "seed": seeds}}
    return client.post("/api/v1/sweeps", json=body).json()["id"]


def targets(client: TestClient, twins: tuple[str, str]) -> dict[str, dict]:
    return {
        "run": {"run_id": twins[0]},
        "comparison": {"runs": list(twins)},
        "sweep": {"sweep_id": sweep(client, [0])},
        "view": {"view": {"dataset": "digits"}},
    }


def test_the_points_of_a_page_have_a_legend_of_text_that_wraps(twins, client: TestClient) -> None:
    for name in ("comparison", "sweep", "view"):
        html = page(client, share(client, **targets(client, twins)[name]))
        legend = re.search(r'<div class="plot" data-chart="points".*?<ul class="sf-legend"(.*?)</ul>', html, re.DOTALL)[
            1
        ]
        names = re.findall("<span>(.*?)</span>", legend)
        assert {"SNN-SqueezeNet", "CNN-SqueezeNet"} <= set(names), name
        assert legend.count("<svg") == len(names) and "style=" not in legend and "<img" not in legend
        assert html.count('<ul class="sf-legend"') == 1  # the other figures have Plotly's


def test_each_kind_shows_the_figures_of_its_own_route_and_no_id(twins, client: TestClient) -> None:
    found = {name: share(client, **target) for name, target in targets(client, twins).items()}
    shown = {name: opened(client, made) for name, made in found.items()}
    assert {name: content.type for name, content in shown.items()} == {name: name for name in found}
    compared = client.get(f"/api/v1/compare?runs={twins[0]},{twins[1]}").json()
    runs = [run.model_dump(mode="json") | {"id": None} for run in shown["comparison"].comparison.runs]
    assert runs == [run | {"id": None} for run in compared["runs"]]
    assert [run.id for run in shown["comparison"].comparison.runs] == ["run-1", "run-2"]
    assert shown["sweep"].title == "named by somebody" and shown["sweep"].states == {"succeeded": 2}
    assert [point.energy_pj for point in shown["view"].plot.points] == [
        point["energy_pj"] for point in client.get("/api/v1/pareto?dataset=digits").json()["points"]
    ]
    ids = {
        *twins,
        *(made.id for made in found.values()),
        json.loads(client.get("/api/v1/sweeps").text)["items"][0]["id"],
    }
    for made in found.values():
        for text in (stranger(client, f"/api/v1/shared/{made.token}").text, page(client, made)):
            assert not [secret for secret in (*ids, made.token, client.app.state.context.token) if secret in text]


def test_a_twin_beside_a_comparison_was_not_shared(finisher, twins, client: TestClient) -> None:
    other = finisher.claimed("snn", mask="F8")  # a second network to stand beside, its bundle the same
    shutil.copytree(finisher.trained["snn"], other.out)
    finisher.lifecycle.succeed(other, Bundle(other.out).summary())
    compared = client.get(f"/api/v1/compare?runs={twins[0]},{other.run_id}").json()
    assert compared["twins"], "the owner sees the twin beside the two"
    assert opened(client, share(client, runs=[twins[0], other.run_id])).comparison.twins == []


def test_a_live_view_and_sweep_follow_their_runs_and_a_frozen_one_does_not(finisher, client: TestClient) -> None:
    finisher.succeeded("snn")
    sweep_id = sweep(client, [0])  # takes the run that is there; its CNN still waits
    live, frozen = (
        {
            name: share(client, frozen=kept, **body)
            for name, body in (("sweep", {"sweep_id": sweep_id}), ("view", {"view": {"dataset": "digits"}}))
        }
        for kept in (False, True)
    )
    finisher.succeeded("cnn")
    assert [len(opened(client, made["view"]).plot.points) for made in (live, frozen)] == [2, 1]
    assert opened(client, frozen["sweep"]).states == {"succeeded": 1, "queued": 1}


def test_a_frozen_link_outlives_its_runs_and_a_live_one_does_not(twins, client: TestClient) -> None:
    kinds = targets(client, twins)
    live = {name: share(client, **target) for name, target in kinds.items()}
    frozen = {name: share(client, frozen=True, **target) for name, target in kinds.items()}
    before = {name: opened(client, made) for name, made in frozen.items()}
    for run_id in twins:
        assert client.delete(f"/api/v1/runs/{run_id}").status_code == 204
    assert {name: opened(client, made) for name, made in frozen.items()} == before
    for name in ("run", "comparison"):
        assert stranger(client, f"/s/{live[name].token}").status_code == 404
    listed = {item.id for item in SharePage.model_validate_json(client.get("/api/v1/shares").content).items}
    assert {made.id for made in frozen.values()} <= listed and live["run"].id not in listed


@pytest.mark.parametrize("kind", ["run", "comparison", "sweep", "view"])
def test_the_manifest_is_that_of_the_files_and_the_offline_page_holds_the_content(twins, client, kind: str) -> None:
    made = share(client, frozen=True, with_weights=kind != "view", **targets(client, twins)[kind])
    files = {file.name: file for file in opened(client, made).files}
    assert {"results.json", "offline.html"} <= set(files)
    assert len([name for name in files if name.startswith("weights-")]) == (0 if kind == "view" else 2)
    assert sum(file.bytes for file in files.values()) == made.bytes
    text = page(client, made)
    for name, file in files.items():
        answer = stranger(client, f"/s/{made.token}?file={name}")
        assert answer.status_code == 200 and f'filename="{name}"' in answer.headers["content-disposition"]
        assert (len(answer.content), hashlib.sha256(answer.content).hexdigest()) == (file.bytes, file.sha256)
        assert file.sha256 in text and f'href="?file={name}"' in text
        assert stranger(client, f"/api/v1/shared/{made.token}/files/{name}").content == answer.content
    offline = stranger(client, f"/s/{made.token}?file=offline.html").text
    held = b64decode(re.search(r'id="results">([^<]+)<', offline)[1])
    assert held == stranger(client, f"/s/{made.token}?file=results.json").content
    assert files["results.json"].sha256 in offline
    manifest = stranger(client, f"/s/{made.token}?file=manifest.json").json()
    assert {item["name"]: item["sha256"] for item in manifest["files"]} == {n: f.sha256 for n, f in files.items()}


def test_the_offline_page_loads_nothing_and_may_run_its_own_two_scripts_only(twins, client: TestClient) -> None:
    made = share(client, run_id=twins[0], frozen=True)
    offline = stranger(client, f"/s/{made.token}?file=offline.html").text
    scripts = re.findall(r"<script>(.*?)</script>", offline, re.DOTALL)
    assert len(scripts) == 2 and any("Plotly" in script for script in scripts)
    markup = re.sub(r"<(script|style)\b.*?</\1>", "", offline, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", markup)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', offline)[1]
    digests = {b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert set(re.findall(r"sha256-([^']+)'", policy)) == digests
    assert policy.startswith("default-src 'none'") and "connect-src 'none'" in policy and "http" not in policy


def test_weights_and_images_are_there_only_where_they_were_asked_for(twins, client: TestClient) -> None:
    plain, full = share(client, run_id=twins[0], with_images=False), share(client, run_id=twins[0], with_weights=True)
    assert opened(client, plain).files == [] and opened(client, plain).examples.items == []
    assert "<img" not in page(client, plain) and "<img" in page(client, full)
    compared = share(client, runs=list(twins), with_images=False)
    assert opened(client, compared).images == [] and "<img" not in page(client, compared)
    (own, twin) = opened(client, full).files
    content = stranger(client, f"/s/{full.token}?file={own.name}").content
    assert content == client.get(f"/api/v1/runs/{twins[0]}/artifacts/weights.safetensors").content
    for made, name in ((plain, own.name), (full, "weights.safetensors"), (full, "counts.json"), (full, "results.json"),
                       (full, "../manifest.json")):  # fmt: skip
        assert stranger(client, f"/s/{made.token}?file={name}").status_code == 404
    alone = share(client, run_id=twins[0], with_weights=True, with_twin=False)
    assert len(opened(client, alone).files) == 1  # what was not shared gives no weights
    assert stranger(client, f"/s/{alone.token}?file={twin.name}").status_code == 404
    assert opened(client, full).files and SharePage.model_validate_json(client.get("/api/v1/shares").content)


def test_a_download_is_no_view_and_ends_with_its_link(twins, client: TestClient, database: Database) -> None:
    made = share(client, run_id=twins[0], with_weights=True, frozen=True)
    other = share(client, run_id=twins[0], with_weights=True)
    (name, *_) = (file.name for file in opened(client, made).files if file.name.startswith("weights"))
    folder = client.app.state.context.artifacts.root / "shares" / made.id
    assert stranger(client, f"/s/{made.token}?file={name}").status_code == 200
    views = {item.id: item.views for item in SharePage.model_validate_json(client.get("/api/v1/shares").content).items}
    assert views == {made.id: 1, other.id: 0} and folder.is_dir()
    client.delete(f"/api/v1/shares/{made.id}")
    assert stranger(client, f"/s/{made.token}?file={name}").json()["code"] == "share-gone"
    assert not folder.exists(), "what was withdrawn is not kept"
    with database.write() as session:
        session.execute(
            update(ShareRow).where(ShareRow.id == other.id).values(expires_at=utc_now() - timedelta(seconds=1))
        )
    assert stranger(client, f"/s/{other.token}?file={name}").json()["code"] == "share-gone"


def test_the_content_of_an_expired_frozen_link_goes_with_the_next_new_link(twins, client, database: Database) -> None:
    made = share(client, run_id=twins[0], frozen=True)
    with database.write() as session:
        session.execute(update(ShareRow).values(expires_at=utc_now() - timedelta(seconds=1)))
    folder = client.app.state.context.artifacts.root / "shares" / made.id
    assert folder.is_dir()
    share(client, run_id=twins[0])
    assert not folder.exists()


def test_frozen_content_that_was_changed_is_not_shown(twins, client: TestClient) -> None:
    made = share(client, run_id=twins[0], frozen=True)
    file = client.app.state.context.artifacts.root / "shares" / made.id / "results.json"
    file.write_bytes(file.read_bytes().replace(b'"accuracy":', b'"accuracy": ', 1))
    answer = stranger(client, f"/api/v1/shared/{made.token}")
    assert (answer.status_code, answer.json()["code"]) == (409, "bundle-corrupt")


def test_what_cannot_be_shared_is_refused_when_the_link_is_made(finisher, twins, client: TestClient) -> None:
    waiting = finisher.queued("snn", seed=9).id
    for body, code in (
        ({}, "invalid-request"),
        ({"run_id": twins[0], "view": {"dataset": "digits"}}, "invalid-request"),
        ({"runs": [twins[0]]}, "invalid-request"),
        ({"runs": [twins[0], twins[0]]}, "bad-value"),
        ({"runs": [twins[0], waiting]}, "not-ready"),
        ({"runs": [twins[0], "nobody"]}, "not-found"),
        ({"sweep_id": "nobody"}, "not-found"),
        ({"view": {"dataset": "digit"}}, "unknown-name"),
        ({"run_id": twins[0], "mode": "exat"}, "unknown-name"),
        ({"run_id": twins[0], "profile": "none"}, "unknown-name"),
        ({"run_id": twins[0], "mac": 2}, "invalid-request"),
        ({"view": {"dataset": "digits"}, "mac": 11}, "invalid-request"),
        ({"view": {"dataset": "digits"}, "with_weights": True}, "bad-value"),
    ):
        answer = client.post("/api/v1/shares", json=body)
        assert answer.json()["code"] == code, body
    assert client.get("/api/v1/shares").json()["items"] == []


def test_a_share_is_priced_in_the_mode_it_was_made_in(twins, client: TestClient) -> None:
    made = share(client, run_id=twins[0], mode="paper")
    assert opened(client, made).layers.mode == "paper"
    view = opened(client, share(client, view={"dataset": "digits"}, mode="paper"))
    exact, paper = (client.get(f"/api/v1/pareto?dataset=digits&mode={mode}").json() for mode in ("exact", "paper"))
    energies = [point.energy_pj for point in view.plot.points]
    assert energies == [point["energy_pj"] for point in paper["points"]] != [p["energy_pj"] for p in exact["points"]]


def test_a_share_keeps_the_prices_that_were_moved_and_says_so(twins, client: TestClient) -> None:
    moved = {"ac": 0, "mac": 2}
    own = {run["id"]: run for run in client.get("/api/v1/compare", params={"runs": ",".join(twins)}).json()["runs"]}
    for made in (share(client, view={"dataset": "digits"}, **moved), share(client, runs=list(twins), **moved)):
        shown = opened(client, made)
        runs = shown.plot.points if shown.type == "view" else shown.comparison.runs
        assert len(runs) == 2
        for run, stored in zip(runs, own.values(), strict=True):
            assert run.energy_pj == pytest.approx(2 * 4.6 * stored["macs"])
        text = page(client, made)
        words = " with its price of AC ×0, of MAC ×2"
        assert f"horowitz-45nm{words}" in text and f"){words}." in text  # under the figure, and in the sentence below
    # the same figures as the page that the link was made from
    plot = client.get("/api/v1/pareto", params={"dataset": "digits", **moved}).json()
    assert [point["energy_pj"] for point in plot["points"]] == [run.energy_pj for run in runs]


def test_a_table_names_the_unit_of_each_cell_it_shows_and_of_each_value_in_its_file(twins, client: TestClient) -> None:
    for target in targets(client, twins).values():
        html = page(client, share(client, **target))
        assert '<th scope="col" data-v="energy, pJ">energy</th>' in html  # cells read `3.8 nJ`, the CSV file holds pJ
        assert "energy, pJ</th>" not in html
    view = page(client, share(client, view={"dataset": "digits"}))  # a phone shows the first three columns
    assert re.findall(r'<th scope="col".*?>(.*?)</th>', view)[:4] == ["run", "network", "accuracy", "energy"]
    html = page(client, share(client, runs=list(twins)))
    points = re.search(r'data-csv="differences">.*?<td data-v="(.*?)">(.*?)</td>', html, re.DOTALL)
    assert float(points[1]) == pytest.approx(float(points[2]), abs=0.005)  # both in points of accuracy


def test_a_sweep_s_deviation_is_in_points_on_its_page_and_in_its_file(twins, client: TestClient) -> None:
    content = opened(client, share(client, sweep_id=sweep(client, [0])))
    two_seeds = Aggregate(n=2, mean=0.8, deviation=0.0123, low=None, high=None)
    group = content.groups[0].model_copy(update={"n": 2, "accuracy": two_seeds})
    html = shown_page.render(content.model_copy(update={"groups": [group]}))
    assert '<td data-v="1.23">1.23</td>' in html  # under "deviation, points"


def test_a_sweep_says_that_it_saw_few_images_and_no_accuracy_below_0_or_above_100(twins, client: TestClient) -> None:
    content = opened(client, share(client, sweep_id=sweep(client, [0])))
    wide = Aggregate(n=2, mean=0.5, deviation=0.4, low=-0.1, high=1.2)
    group = content.groups[0].model_copy(update={"n": 2, "accuracy": wide})
    html = shown_page.render(content.model_copy(update={"groups": [group]}))
    assert "<td>0.00 to 100.00</td>" in html and "Not the full benchmark" in html
    training = group.config.training.model_copy(update={"train_limit": None})
    whole = group.model_copy(update={"config": group.config.model_copy(update={"training": training})})
    assert "Not the full benchmark" not in shown_page.render(content.model_copy(update={"groups": [whole]}))


def test_a_comparison_says_in_words_which_twin_is_more_accurate_and_that_they_saw_few_images(twins, client) -> None:
    made = share(client, runs=list(twins))
    html = " ".join(page(client, made).split())
    (pair,) = opened(client, made).comparison.twins
    (steps,) = {run.config.steps for run in opened(client, made).comparison.runs if run.kind is Kind.SNN}
    assert f"Runs A and B are twins. {' '.join(twin_words.twins(pair, mode='exact', steps=steps))}" in html
    assert f"{100 * pair.paired.low:+.2f} to {100 * pair.paired.high:+.2f}, n = 360" in html
    alone = opened(client, share(client, run_id=twins[1]))  # the CNN: its twin's interval is the same, SNN minus CNN
    assert alone.twin.paired == pair.paired
    assert "Not the full benchmark" in html  # the fixture's runs train on a few images each


def test_a_comparison_shows_two_runs_that_answer_together_and_the_pair_that_was_chosen(twins, client) -> None:
    snn, cnn = twins
    priced = {"mode": "paper", "ac": 2.0}
    for body, pair in (({}, (snn, cnn)), ({"pair": [cnn, snn]}, (cnn, snn))):
        own = client.get("/api/v1/compare/ensemble", params={"first": pair[0], "second": pair[1], **priced}).json()
        made = share(client, runs=[cnn, snn], frozen=True, blind=True, **priced, **body)
        named = {cnn: "run-1", snn: "run-2"}
        found = opened(client, made).ensemble
        assert found.model_dump(mode="json") == own | {name: named[own[name]] for name in ("first_id", "second_id")}
        html = " ".join(page(client, made).split())
        first, second = ("B", "A") if pair == twins else ("A", "B")
        for said in ensemble_words.sentences(found, first, second):
            assert said in html
        assert 'data-chart="ensemble"' in html and ensemble_words.OPTIMISTIC in html
        assert html.count('<th scope="row">Asked at') == len(found.cascade)


def test_runs_on_other_test_images_are_shared_without_answering_together(twins, client: TestClient) -> None:
    bundle = client.app.state.context.artifacts.bundle(twins[1])
    answers = bundle.predictions()
    bundle.write_predictions(replace(answers, index=answers.index + 1))
    made = share(client, runs=list(twins), with_images=False)
    assert opened(client, made).ensemble is None and 'data-chart="ensemble"' not in page(client, made)
    for pair in ([twins[0], twins[0]], [twins[0], "nobody"]):
        refused = client.post("/api/v1/shares", json={"runs": list(twins), "pair": pair})
        assert refused.status_code == 422 and "pair must name two different runs" in refused.text


def test_a_guest_sees_each_run_of_a_sweep_as_its_owner_does(twins, client: TestClient) -> None:
    for blind in (False, True):
        made = share(client, sweep_id=sweep(client, [0]), blind=blind)
        html, content = page(client, made), opened(client, made)
        assert all(f'data-chart="{name}"' in html for name in ("accuracies", "energies", "parallel"))
        table = re.search(r'data-csv="runs">(.*?)</table>', html, re.DOTALL)[1]
        shown = [float(value) for value in re.findall(r'<td data-v="([^"]*)">[^<]* %</td>', table)]
        assert shown == pytest.approx([group.run_accuracy[0] for group in content.groups])
        assert ("named by somebody" in html) is not blind
    earlier = [group.model_copy(update={"run_accuracy": [], "run_energy_pj": []}) for group in content.groups]
    assert 'data-chart="accuracies"' not in shown_page.render(content.model_copy(update={"groups": earlier}))
