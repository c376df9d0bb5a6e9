"""The producer's side of the queue: a bell. A message says that something waits, and nothing else; the database decides."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from core.errors import QueueDown
from core.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

TASK = "spikefront.ring"
#: What earlier versions send, with the id of a run: a bell like any other.
FORMER_TASK = "spikefront.train"
MOST_RINGS = 64  # at once: a worker that has work and more beside it wakes its other slots by itself
CONNECT_TIMEOUT_S = 1.0


def transport_options(settings: Settings) -> dict[str, Any]:
    """With a prefix of its own each installation on a server has its own keys, channels too."""
    return {"global_keyprefix": settings.broker_prefix} if settings.broker_prefix else {}


class Queue:
    """Rings for workers. Celery is imported at the first use, so that the API starts in a blink."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.broker_url
        self._options = transport_options(settings)
        self._app: Celery | None = None
        self._lock = threading.Lock()

    def ring(self, queue: str = "cpu", *, times: int = 1) -> None:
        """Wake that many slots of the workers that listen on `queue`. Raises QueueDown when the broker does not answer."""
        from kombu.exceptions import OperationalError
        from redis.exceptions import RedisError

        try:
            for _ in range(min(times, MOST_RINGS)):
                self._celery().send_task(TASK, queue=queue, retry=False, ignore_result=True)
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
                    broker_transport_options=self._options
                    | {
                        "socket_connect_timeout": CONNECT_TIMEOUT_S,
                        "socket_timeout": CONNECT_TIMEOUT_S,
                        "max_retries": 0,
                    },
                    task_ignore_result=True,
                )
            return self._app
