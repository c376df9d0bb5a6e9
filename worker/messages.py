"""What comes from the queue before it is a task: a message is a bell, and nothing of it is taken.

Anybody who reaches the broker can write to the queue. Left to itself, kombu lets a message that it cannot decode end
the consumer and gives a half decoded one back to the queue, where the next consumer meets it again; Celery keeps a
slot for ever for one whose body has not the form it expects. So every message is looked at here first: one that names
the bell's task goes on as a message made anew, whatever else it holds, and any other is dropped. That loses no run, because
the database knows what waits. Those of earlier versions name a run: they ring like any other.

Questions to a worker (`celery inspect`, Flower) come the same way: those that only look are let through, made
anew too, and commands that would change what the worker does are dropped.

Written against kombu 5.7; `tests/worker/test_messages.py` holds it to that.
"""

from __future__ import annotations

import base64
import json
import logging
import uuid
from collections.abc import Callable
from queue import Empty
from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import redis
from redis.exceptions import RedisError

from backend.store.queue import FORMER_TASK, TASK

log = logging.getLogger("spikefront.messages")

#: Troubles of the broker or of the way to it: those are for Celery, which connects again.
BROKER_ERRORS = (RedisError, OSError)
SHOWN = 200  # characters of a message in the log
PIDBOX = ".celery.pidbox"  # ends the names of the queues of questions
#: Questions that change nothing, and the switch of events, which a monitor turns when it begins to listen.
QUESTIONS = frozenset(
    {
        "active", "active_queues", "clock", "disable_events", "enable_events", "heartbeat", "ping", "query_task",
        "registered", "reserved", "revoked", "scheduled", "stats",
    }
)  # fmt: skip


def is_bell(message: Any) -> bool:
    """Whether it names the bell's task, as the API sends it or as earlier versions sent runs: Celery's protocol 2."""
    try:
        return message["headers"]["task"] in (TASK, FORMER_TASK)
    except (LookupError, TypeError, AttributeError):
        return False


def made_anew(*, queue: str) -> dict[str, Any]:
    """A bell with nothing in it that came from outside."""
    headers = {"lang": "py", "task": TASK, "id": uuid.uuid4().hex, "ignore_result": True}
    return _message([[], {}, {}], headers=headers, exchange="", routing_key=queue)


def question_of(message: Any) -> dict[str, Any]:
    """A message to the queue of questions, made anew of what a question has. Raises ValueError for what is none."""
    try:
        body = message["body"]
        if message["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body, validate=True)
        asked = json.loads(body)
        if asked["method"] not in QUESTIONS:
            raise ValueError(f"no question: {str(asked['method'])[:SHOWN]}")
        reply, to = asked.get("reply_to") or {}, asked.get("destination")
        kept = {
            "method": asked["method"],
            "arguments": dict(asked.get("arguments") or {}),
            "destination": None if to is None else [str(name) for name in to],
            "ticket": str(asked.get("ticket") or ""),
            "reply_to": {name: str(reply[name]) for name in ("exchange", "routing_key")} if reply else None,
        }
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return _message(kept, headers={}, exchange="", routing_key="")


def _message(body: Any, *, headers: dict[str, Any], exchange: str, routing_key: str) -> dict[str, Any]:
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": {
            "delivery_tag": uuid.uuid4().hex,
            "delivery_info": {"exchange": exchange, "routing_key": routing_key},
            "body_encoding": "base64",
            "priority": 0,
        },
    }


class _QoS(redis.QoS):
    """Messages that were taken and not yet acknowledged, kept on the broker."""

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except BROKER_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  whatever it holds, it must not be met again
            _tell(error, tag)
            self._remove_from_indices(tag).execute()


class _Guard:
    """For a channel of kombu's Redis transport."""

    QoS = _QoS

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        consumed = super().basic_consume(queue, *args, **kwargs)
        callbacks = self.connection._callbacks
        guard = _only_questions if queue.endswith(PIDBOX) else _only_bells
        callbacks[queue] = guard(callbacks[queue], queue)
        return consumed

    def _brpop_read(self, **options: Any) -> Any:
        """One message off the queue, or Empty; it is off the queue also where it is no JSON."""
        try:
            return super()._brpop_read(**options)
        except (Empty, *BROKER_ERRORS):
            raise
        except (ValueError, RecursionError) as error:
            _tell(error, "")
            raise Empty from None


class _Channel(_Guard, redis.Channel):
    pass


class _Transport(redis.Transport):
    Channel = _Channel


class _SentinelChannel(_Guard, redis.SentinelChannel):
    pass


class _SentinelTransport(redis.SentinelTransport):
    Channel = _SentinelChannel


GUARDED = {redis.Transport: _Transport, redis.SentinelTransport: _SentinelTransport}


class GuardedConnection(Connection):
    """kombu's connection; over Redis with the guard."""

    def get_transport_cls(self) -> type:
        found = super().get_transport_cls()
        return GUARDED.get(found, found)


class GuardedAMQP(AMQP):
    """For `Celery(amqp=...)`."""

    Connection = GuardedConnection


def _only_bells(take: Callable[[Any], object], queue: str) -> Callable[[Any], object]:
    def taken(message: Any) -> object:
        if is_bell(message):
            return take(made_anew(queue=queue))
        _tell(ValueError("no bell"), message)
        return None

    return taken


def _only_questions(take: Callable[[Any], object], queue: str) -> Callable[[Any], object]:
    def taken(message: Any) -> object:
        try:
            asked = question_of(message)
        except ValueError as error:
            _tell(error, message)
            return None
        return take(asked)

    return taken


def _tell(error: Exception, what: object) -> None:
    try:
        shown = repr(what[:SHOWN] if isinstance(what, str | bytes) else what)[:SHOWN]
    except RecursionError:
        shown = "(nested too deep to show)"
    log.warning("message.dropped", extra={"why": f"{type(error).__name__}: {error}"[:SHOWN], "message_start": shown})
