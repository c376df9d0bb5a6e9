"""What comes from the queue before it is a task: a message is a run's id, and of a message nothing else is taken.

Anybody who reaches the broker can write to the queue. Left to itself, kombu lets a message that it cannot decode end
the consumer and gives a half decoded one back to the queue, where the next consumer meets it again; Celery keeps a
slot for ever for one whose body has not the form it expects. So every message is read here first: its run id goes
on in a message made anew, and one without is dropped. That loses no run, because the database knows what waits.

Written against kombu 5.7; `tests/worker/test_messages.py` holds it to that.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import uuid
from collections.abc import Callable
from queue import Empty
from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import redis
from redis.exceptions import RedisError

from backend.store.queue import TASK

log = logging.getLogger("spikefront.messages")

#: Troubles of the broker or of the way to it: those are for Celery, which connects again.
BROKER_ERRORS = (RedisError, OSError)
RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
SHOWN = 200  # characters of a message in the log


def run_id_of(message: Any) -> str:
    """The id in a message as the API sends it: Celery's protocol 2, one argument. Raises ValueError for any other."""
    try:
        if message["headers"]["task"] != TASK:
            raise ValueError("another task")
        body = message["body"]
        if message["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body, validate=True)
        (run_id,), _, _ = json.loads(body)
        if isinstance(run_id, str) and RUN_ID.fullmatch(run_id):
            return run_id
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    raise ValueError("no run's id")


def made_anew(run_id: str, *, queue: str) -> dict[str, Any]:
    """A message about this run with nothing in it that came from outside."""
    return {
        "body": base64.b64encode(json.dumps([[run_id], {}, {}]).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": TASK, "id": uuid.uuid4().hex, "ignore_result": True},
        "properties": {
            "delivery_tag": uuid.uuid4().hex,
            "delivery_info": {"exchange": "", "routing_key": queue},
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
        callbacks[queue] = _only_runs(callbacks[queue], queue)
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


def _only_runs(take: Callable[[Any], object], queue: str) -> Callable[[Any], object]:
    def taken(message: Any) -> object:
        try:
            run_id = run_id_of(message)
        except ValueError as error:
            _tell(error, message)
            return None
        return take(made_anew(run_id, queue=queue))

    return taken


def _tell(error: Exception, what: object) -> None:
    try:
        shown = repr(what[:SHOWN] if isinstance(what, str | bytes) else what)[:SHOWN]
    except RecursionError:
        shown = "(nested too deep to show)"
    log.warning("message.dropped", extra={"why": f"{type(error).__name__}: {error}"[:SHOWN], "message_start": shown})
