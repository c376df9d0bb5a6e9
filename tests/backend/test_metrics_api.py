"""What Prometheus is told, and whom it is told."""

import re

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from twins import TINY

from backend.app import create_app
from backend.metrics.exposition import Family, Sample, exposition, number
from backend.traffic import BOUNDS_S, Traffic
from core.host.usage import children_of
from core.settings import Settings, read_metrics_token

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)')
BACK = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"')


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """As the format's grammar has it: https://prometheus.io/docs/instrumenting/exposition_formats/"""
    assert text.endswith("\n")
    found = {}
    for line in text.split("\n")[:-1]:
        if line.startswith("# "):
            assert re.fullmatch(r"# (HELP [a-z_]+ .+|TYPE [a-z_]+ (gauge|counter|histogram))", line), line
            continue
        name, labels, value = LINE.fullmatch(line).groups()
        told = tuple(
            (key, re.sub(r"\\.", lambda m: BACK[m.group()], text)) for key, text in LABEL.findall(labels or "")
        )
        assert (name, told) not in found, line
        found[name, told] = float(value)
    return found


@given(st.text(), st.floats(allow_nan=False))
def test_any_label_and_any_number_is_read_back_as_it_was(label, value):
    text = exposition(
        [Family(name="a_b", kind="gauge", help="x\ny\\", samples=[Sample(value=value, labels={"c": label})])]
    )
    assert parsed(text) == {("a_b", (("c", label),)): value}
    assert text.count("\n") == 3


def test_numbers_that_are_none_have_prometheus_names():
    assert [number(float(word)) for word in ("nan", "inf", "-inf", "3", "0.5")] == ["NaN", "+Inf", "-Inf", "3", "0.5"]


def test_a_scrape_tells_runs_queue_workers_requests_and_disk(client, lifecycle, finisher):
    finisher.queued()
    lifecycle.worker_seen("somebody's machine", queue="gpu", slots=4, busy=3, paused="full")
    client.get("/api/v1/runs/nothing-here")
    answer = client.get("/api/v1/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = parsed(answer.text)
    plain = {name: value for (name, labels), value in found.items() if not labels}
    assert found["spikefront_runs", (("state", "queued"),)] == plain["spikefront_queue_length"] == 1
    assert 0 <= plain["spikefront_queue_mean_wait_seconds"] == plain["spikefront_queue_oldest_wait_seconds"] < 600
    gpu = (("queue", "gpu"),)
    names = (
        "spikefront_workers",
        "spikefront_workers_paused",
        "spikefront_worker_slots",
        "spikefront_worker_busy_slots",
    )
    assert [found[name, gpu] for name in names] == [1, 1, 4, 3]
    assert plain["spikefront_database_up"] == 1
    assert plain["spikefront_broker_up"] == 0  # none was started
    assert found["spikefront_process_memory_bytes", (("process", "api"),)] > 1e6
    assert found["spikefront_disk_free_bytes", (("place", "home"),)] > 0
    route = (("method", "GET"), ("route", "/runs/{run_id}"), ("status", "404"))
    assert found["spikefront_http_requests_total", route] == 1
    assert "nothing-here" not in answer.text
    assert "somebody" not in answer.text


def test_images_a_second_are_those_of_running_runs(client, lifecycle, finisher):
    from core.schemas.results import Progress

    claim = finisher.claimed()
    lifecycle.record(claim, Progress(phase="training", epoch=1, max_epochs=2, step=1, steps=4, images_per_s=123.0))
    found = parsed(client.get("/api/v1/metrics").text)
    assert found["spikefront_training_images_per_second", ()] == 123.0


def test_the_histogram_counts_upwards_and_a_made_up_method_is_no_label():
    traffic = Traffic()
    for seconds in (0.001, BOUNDS_S[0], 0.3, 99.0):
        traffic.count("GET", "/a", 200, seconds)
    traffic.count("TYPED BY SOMEBODY", "/a", 405, 0.1)
    found = traffic.latencies()["GET", "/a"]
    assert found.counts == (2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)
    assert found.total_s == pytest.approx(99.306)
    assert set(traffic.ended()) == {("GET", "/a", 200), ("other", "/a", 405)}


def test_a_key_of_its_own_opens_the_metrics_and_nothing_else(settings, tmp_path):
    (tmp_path / "key").write_text("scrape-me\n")
    app = create_app(settings.model_copy(update={"metrics_token_file": tmp_path / "key"}))
    with TestClient(app, base_url="http://127.0.0.1:8000") as asked:
        for key, path, status in (
            ("scrape-me", "metrics", 200),
            ("scrape-me", "runs", 401),
            ("another", "metrics", 401),
            ("", "metrics", 401),
        ):
            answer = asked.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == status, (key, path)
        assert asked.post("/api/v1/runs", json=TINY, headers={"Authorization": "Bearer scrape-me"}).status_code == 401
    assert read_metrics_token(Settings(home=tmp_path / "home")) is None


def test_a_database_that_is_away_is_told_as_such(client, monkeypatch):
    from backend.store.db import Database
    from core.errors import DatabaseDown

    def away(self, **_):
        raise DatabaseDown(why="it is away.")

    monkeypatch.setattr(Database, "read", away)
    answer = client.get("/api/v1/metrics")
    assert answer.status_code == 200
    assert parsed(answer.text)["spikefront_database_up", ()] == 0


def test_children_are_those_that_any_thread_has_started(tmp_path):
    for thread, text in (("7", "12 13 "), ("8", "14 ")):
        (tmp_path / "7" / "task" / thread).mkdir(parents=True)
        (tmp_path / "7" / "task" / thread / "children").write_text(text)
    assert sorted(children_of(7, proc=tmp_path)) == [12, 13, 14]
    assert children_of(9, proc=tmp_path) == []
