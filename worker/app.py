"""The Celery application: one task, which is a bell.

A message says that something waits. It is acknowledged when it is taken, the task wakes a slot and ends at once, and nothing
is kept of its result: the database knows what is queued, running and done. The slots are threads of the supervisor.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from celery import Celery, Task
from celery.apps.worker import Worker
from kombu import Connection
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from backend.store.queue import TASK, transport_options
from core.errors import QueueDown
from core.settings import Settings
from worker.messages import GuardedAMQP

CONNECT_TIMEOUT_S = 3.0
VISIBILITY_TIMEOUT_S = 300  # a message that died between receipt and acknowledgement comes back after this


class RingTask(Task):
    """Wakes a slot; all else is the supervisor's."""

    name = TASK
    ignore_result = True
    acks_late = False

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring

    def run(self) -> None:
        self._ring()


def build_app(settings: Settings, *, ring: Callable[[], None]) -> Celery:
    """The application with the one task that calls `ring()`."""
    app = Celery("spikefront", broker=settings.broker_url, amqp=GuardedAMQP, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=True,  # `celery inspect`, Flower; worker/messages.py lets questions through alone
        worker_send_task_events=settings.events == "on",
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # for ever: runs go on without a broker
        broker_channel_error_retry=True,  # a broker that refuses, such as one whose disk is full, is waited for too
        broker_connection_timeout=CONNECT_TIMEOUT_S,
        broker_transport_options=transport_options(settings)
        | {"visibility_timeout": VISIBILITY_TIMEOUT_S, "health_check_interval": 10},
    )
    app.register_task(RingTask(ring))
    return app


class QuietWorker(Worker):
    """Celery's worker without its banner; a closed terminal stops it as Ctrl-C does, instead of restarting it."""

    def emit_banner(self) -> None:
        """Its place is taken by the log line `worker.ready`."""

    def setup_logging(self, colorize: bool | None = None) -> bool:
        return True  # set up already

    def install_platform_tweaks(self, worker: Any) -> None:
        super().install_platform_tweaks(worker)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))


class QueueLength:
    """Counts the messages that wait on a queue, over a connection of its own."""

    def __init__(self, app: Celery, queue: str) -> None:
        self._app = app
        self._queue = queue
        self._connection: Connection | None = None

    def __call__(self) -> int:
        """Raises QueueDown when the broker does not answer."""
        try:
            if self._connection is None:
                self._connection = self._app.connection_for_read()
                self._connection.ensure_connection(max_retries=0, timeout=CONNECT_TIMEOUT_S)
            return self._connection.default_channel.queue_declare(self._queue, passive=True).message_count
        except ChannelError:  # an empty list does not exist in Redis
            return 0
        except (OperationalError, RedisError, OSError) as error:
            self.close()
            raise QueueDown() from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()
