"""Who is told when a run ends, of what, and what a deaf or hostile address costs: nothing that a run would notice."""

from __future__ import annotations

import json
import logging
import threading
import time

import pytest

from backend.context import build_context
from backend.runs.service import RunService
from backend.store import webhook as webhooks
from backend.store.db import Database, migrate
from backend.store.lifecycle import Lifecycle
from backend.store.webhook import Webhook
from core.errors import BadValue
from core.host.child_env import child_env
from core.host.outbound import Refused
from core.schemas.request import RunRequest
from core.schemas.results import RunError
from core.settings import Settings

URL = "https://chat.example/hooks/T0?token=hush"


class Post:
    """Stands for `outbound.post`: answers what it was given, and notes what it was sent."""

    def __init__(self, *answers):
        self.answers, self.sent, self.told = list(answers), [], threading.Event()

    def __call__(self, url, body, *, private, timeout_s):
        self.sent.append((url, json.loads(body), private))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not isinstance(answer, int):
            self.told.set() if not self.answers else None
            raise answer
        self.told.set()
        return answer


@pytest.fixture
def context(tmp_path, monkeypatch):
    monkeypatch.delenv("SPIKEFRONT_WEBHOOK_URL", raising=False)
    settings = Settings(home=tmp_path, webhook_url=URL)
    migrate(settings)
    found = build_context(settings)
    found.queue.ring = lambda *_, **__: None
    yield found
    found.lifecycle.close()


def hooked(context, send, **kept) -> Webhook:
    made = Webhook(
        context.settings, context.database, send=send, sleep=lambda s: kept.setdefault("slept", []).append(s)
    )
    context.lifecycle._webhook = made
    return made


def ended(context) -> str:
    run = RunService(context).create(RunRequest(), key=None)[0]
    claim = context.lifecycle.claim(run.id, worker="w", lease_s=60)
    context.lifecycle.fail(claim, RunError(code="out-of-memory", message="Too much."))
    return run.id


def test_the_end_of_a_run_is_told_with_what_it_came_to_and_where_to_see_it(context):
    send = Post(204)
    hooked(context, send)
    run_id = ended(context)
    assert send.told.wait(5)
    url, body, private = send.sent[0]
    assert (url, private) == (URL, False)
    assert body == {
        "run_id": run_id, "label": "SNN-SqueezeNet", "state": "failed", "accuracy": None, "energy_pj": None,
        "mode": None, "profile": None, "error": "Too much.", "link": f"http://127.0.0.1:8501/run?run={run_id}",
    } | {"label": body["label"]}  # fmt: skip
    assert body["label"].startswith("SNN-SqueezeNet")


def test_a_run_that_is_cancelled_while_it_waits_is_told_of_and_one_that_goes_on_is_not(context):
    send = Post(200)
    hooked(context, send)
    service = RunService(context)
    first, second = (service.create(RunRequest(seed=seed), key=None)[0].id for seed in (1, 2))
    claim = context.lifecycle.claim(first, worker="w", lease_s=60)
    context.lifecycle.release(claim)  # back to the queue
    context.lifecycle.cancel(second)
    assert send.told.wait(5)
    assert [(body["run_id"], body["state"]) for _, body, _ in send.sent] == [(second, "cancelled")]


def test_an_address_that_hangs_holds_up_nobody(context):
    hanging = threading.Event()
    hooked(context, lambda *_, **__: hanging.wait(30) and 200)
    begun = time.monotonic()
    ended(context)
    assert time.monotonic() - begun < 5
    hanging.set()


def test_what_may_pass_is_tried_again_and_what_will_not_is_left(context):
    for answers, tries in (
        ((OSError("down"), 503, 429, 200), 4),
        ((OSError("down"),), len(webhooks.PAUSES_S)),
        ((404,), 1),
        ((302,), 1),
        ((Refused("chat.example is 10.0.0.1"),), 1),
    ):
        send = Post(*answers)
        hook = hooked(context, send)
        run_id = ended(context)
        hook.close()
        assert len(send.sent) == tries, answers
        assert {body["run_id"] for _, body, _ in send.sent} == {run_id}


def test_neither_query_nor_path_reaches_the_log(context, caplog):
    caplog.set_level(logging.DEBUG)
    hook = hooked(context, Post(OSError(f"cannot reach {URL}")))
    ended(context)
    hook.close()
    said = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "https://chat.example" in said and "webhook.not_sent" in said
    assert "hush" not in said and "/hooks/T0" not in said


def test_without_an_address_there_is_no_thread(tmp_path, monkeypatch):
    monkeypatch.delenv("SPIKEFRONT_WEBHOOK_URL", raising=False)
    settings = Settings(home=tmp_path)
    migrate(settings)
    database = Database(settings.database_url)
    hook = Webhook(settings, database, send=Post(200))
    hook.tell("x")
    assert hook._thread is None
    hook.close()
    database.close()


@pytest.mark.parametrize(
    "url", ["ftp://a.example/hush", "https://user:hush@a.example/", "https://a.example/#hush", "hush"]
)
def test_an_address_that_cannot_be_is_refused_without_being_shown(tmp_path, url):
    with pytest.raises(BadValue, match="SPIKEFRONT_WEBHOOK_URL is .*; it must be an address such as") as refused:
        Settings(home=tmp_path, webhook_url=url)
    assert "hush" not in f"{refused.value.message} {refused.value.fields}"


def test_the_address_is_not_shown_with_the_settings_and_not_handed_to_trainers(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEFRONT_WEBHOOK_URL", URL)
    assert "hush" not in repr(Settings(home=tmp_path))
    assert "SPIKEFRONT_WEBHOOK_URL" not in child_env(threads=1, device=None)


def test_a_lifecycle_tells_by_its_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEFRONT_WEBHOOK_URL", URL)
    told = []
    monkeypatch.setattr(Webhook, "tell", lambda self, run_id: told.append((self._url, run_id)))
    settings = Settings(home=tmp_path)
    migrate(settings)
    context = build_context(settings)
    context.queue.ring = lambda *_, **__: None
    assert isinstance(context.lifecycle, Lifecycle)
    run_id = ended(context)
    assert told == [(URL, run_id)]
    context.lifecycle.close()
