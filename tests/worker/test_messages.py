"""Messages that nobody should have sent: each is dropped, none stops the worker, and none comes back after a restart."""

from __future__ import annotations

import base64
import json
import signal

import pytest
import redis

from core.schemas.run import RunState


def envelope(**changes: object) -> bytes:
    """A message as the API sends it, with changes; None leaves a part out."""
    body = base64.b64encode(json.dumps([["no-such-run"], {}, {}]).encode()).decode()
    parts = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "spikefront.train", "id": "a", "argsrepr": "()", "kwargsrepr": "{}"},
        "properties": {
            "correlation_id": "a",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "cpu"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": f"tag-{len(json.dumps(changes, default=repr))}",
        },
    }
    return json.dumps({name: value for name, value in {**parts, **changes}.items() if value is not ...}).encode()


def body(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def headers(**changes: object) -> dict[str, object]:
    return {**json.loads(envelope())["headers"], **changes}


def properties(**changes: object) -> dict[str, object]:
    return {**json.loads(envelope())["properties"], **changes}


NO_ENVELOPE = {
    "empty": b"",
    "text": b"garbage",
    "not utf-8": b"\xff\xfe\x00",
    "list": b"[]",
    "null": b"null",
    "number": b"7",
    "string": b'"text"',
    "object": b"{}",
    "deep": b"[" * 50_000,
    "half": envelope()[:40],
    "no properties": envelope(properties=...),
    "properties null": envelope(properties=None),
    "no tag": envelope(properties={}),
    "no delivery info": envelope(properties=properties(delivery_info=None)),
    "unknown encoding": envelope(properties=properties(body_encoding="rot13")),
    "tag is a list": envelope(properties=properties(delivery_tag=["t"])),
}
#: With an envelope. Those that name the bell's task ring, whatever else they hold.
BAD_INSIDE = {
    "body is no base64": envelope(body="%%%"),
    "body of half a character": envelope(body="a"),
    "body left out": envelope(body=...),
    "body null": envelope(body=None),
    "body empty": envelope(body=""),
    "body a number": envelope(body=7),
    "body an object": envelope(body={"a": 1}),
    "body not utf-8": envelope(body=base64.b64encode(b"\xff\xfe").decode()),
    "body no json": envelope(body=base64.b64encode(b"{").decode()),
    "body null json": envelope(body=body(None)),
    "body number json": envelope(body=body(7)),
    "body text json": envelope(body=body("abc")),
    "body too short": envelope(body=body([[], {}])),
    "body deep": envelope(body=base64.b64encode(b"[" * 50_000).decode()),
    "arguments a number": envelope(body=body([7, {}, {}])),
    "arguments missing": envelope(body=body([[], {}, {}])),
    "keywords a list": envelope(body=body([["a"], [], {}])),
    "run id an object": envelope(body=body([[{"a": 1}], {}, {}])),
    "run id a surrogate": envelope(body=body([["\ud800"], {}, {}])),
    "run id null": envelope(body=body([[None], {}, {}])),
    "embed null": envelope(body=body([["a"], {}, None])),
    "other content type": envelope(**{"content-type": "application/x-python-serialize"}),
    "no content type": envelope(**{"content-type": None}),
    "content encoding": envelope(**{"content-encoding": "no-such-code"}),
    "compressed": envelope(headers=headers(compression="application/x-gzip")),
    "unknown compression": envelope(headers=headers(compression="no-such")),
    "headers null": envelope(headers=None),
    "headers a list": envelope(headers=[]),
    "headers text": envelope(headers="abc"),
    "no headers": envelope(headers={}),
    "task a list": envelope(headers=headers(task=[])),
    "task null": envelope(headers=headers(task=None)),
    "task unknown": envelope(headers=headers(task="os.system")),
    "task unknown without id": envelope(headers={"task": "os.system"}),
    "id missing": envelope(headers={"task": "spikefront.train"}),
    "id a list": envelope(headers=headers(id=[1])),
    "eta": envelope(headers=headers(eta="yesterday")),
    "eta of an object": envelope(headers=headers(eta={})),
    "eta far": envelope(headers=headers(eta="9999-12-31T23:59:59")),
    "expires": envelope(headers=headers(expires=[])),
    "time limit": envelope(headers=headers(timelimit="abc")),
    "retries": envelope(headers=headers(retries="many")),
}


def poison(site, *messages: bytes) -> redis.Redis:
    server = redis.Redis(unix_socket_path=str(site.settings.broker_socket))
    for message in messages:
        server.lpush("cpu", message)
    return server


@pytest.mark.parametrize("forms", [NO_ENVELOPE, BAD_INSIDE], ids=["no-envelope", "bad-inside"])
def test_a_message_that_cannot_be_read_is_dropped_and_the_next_run_trains(site, tools, forms):
    worker = site.start_worker()
    for form, message in forms.items():
        server = poison(site, message)
        tools.until(f"{form} is taken", lambda server=server: server.llen("cpu") == 0, timeout_s=20)
        assert worker.poll() is None, form
    run_id = site.submit(**tools.tiny)
    assert site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED
    assert worker.poll() is None
    assert server.hgetall("unacked") == {}, "what is not settled comes back"


def test_bad_messages_that_were_there_first_do_not_outlive_two_starts(site, tools):
    server = poison(site, *NO_ENVELOPE.values(), *BAD_INSIDE.values())
    server.hset("unacked", "tag", b"no json")  # taken by a consumer that died
    server.zadd("unacked_index", {"tag": 1.0})
    first = site.start_worker()
    run_id = site.submit(**tools.tiny)
    assert site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED
    tools.until("the old one is gone", lambda: not server.hexists("unacked", "tag"), timeout_s=30)
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=15) == 0
    second = site.start_worker()
    run_id = site.submit(seed=1, **tools.tiny)
    assert site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED).state is RunState.SUCCEEDED
    assert second.poll() is None
    assert server.llen("cpu") == 0


def test_a_broker_that_refuses_to_write_is_waited_for(site, tools):
    """As one on a full disk does (MISCONF); here it misses a replica, which it answers in the same way."""
    worker = site.start_worker()
    server = poison(site)
    server.config_set("min-replicas-to-write", 1)
    tools.until("the worker has met it", lambda: "NOREPLICAS" in site.log(), timeout_s=30)
    server.config_set("min-replicas-to-write", 0)
    run_id = site.submit(**tools.tiny)
    assert site.wait(run_id, RunState.SUCCEEDED, RunState.FAILED, timeout_s=60).state is RunState.SUCCEEDED
    assert worker.poll() is None
