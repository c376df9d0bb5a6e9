"""The producer's side of the queue: names and ids only. A message is a hint; the database decides."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from core.errors import QueueDown
from core.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

TASK = "spikefront.train"
CONNECT_TIMEOUT_S = 1.0


class Queue:
    """Sends runs to workers. Celery is imported at the first use, so that the API starts in a blink."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.broker_url
        self._app: Celery | None = None
        self._lock = threading.Lock()

    def send(self, run_id: str, *, queue: str = "cpu") -> None:
        """Put the id of a queued run on `queue`. Raises QueueDown when the broker does not answer."""
        from kombu.exceptions import OperationalError
        from redis.exceptions import RedisError

        try:
            self._celery().send_task(TASK, args=[run_id], queue=queue, retry=False, ignore_result=True)
        except (OperationalError, RedisError, OSError) as error:
            raise QueueDown() from error

    def check(self) -> None:
        """Raises QueueDown unless the broker answers now."""
        from kombu.exceptions import OperationalError
        from redis.exceptions import RedisError

        try:
            with self._celery().connection_for_write() as connection:
                connection.ensure_connection(max_retries=0, timeout=CONNECT_TIMEOUT_S)
                with connection.default_channel.client as client:  # reaches the server, unlike a pooled connection
                    client.ping()
        except (OperationalError, RedisError, OSError) as error:
            raise QueueDown() from error

    def _celery(self) -> Celery:
        with self._lock:
            if self._app is None:
                from celery import Celery

                self._app = Celery("spikefront-producer", broker=self._url, set_as_current=False)
                self._app.conf.update(
                    broker_connection_timeout=CONNECT_TIMEOUT_S,
                    broker_connection_retry=False,
                    broker_transport_options={
                        "socket_connect_timeout": CONNECT_TIMEOUT_S,
                        "socket_timeout": CONNECT_TIMEOUT_S,
                        "max_retries": 0,
                    },
                    task_ignore_result=True,
                )
            return self._app
