"""`python -m backend`: bring the database up to date and serve the API on SPIKEFRONT_HOST:SPIKEFRONT_API_PORT."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

import uvicorn

from backend.app import create_app
from backend.store import logs
from core.connections import BoundedConnection
from core.errors import SpikefrontError
from core.host.gc_pauses import search_rarely
from core.host.ports import listen
from core.settings import Settings

log = logging.getLogger("spikefront.api")

GRACE_S = 3  # followers of events hold their connection until the end


def _stopped_already(number: int, frame: FrameType | None) -> None:
    log.info("api.stopped", extra={"signal": signal.Signals(number).name})


def main() -> int:
    """0 after a clean stop; 1 with one sentence when it cannot start."""
    logs.configure()
    try:
        settings = Settings()
        app = create_app(settings)
        listener = listen(settings.host, settings.api_port, setting="SPIKEFRONT_API_PORT")
    except SpikefrontError as error:
        log.error("api.not_started", extra={"code": error.code, "reason": error.message})
        return 1
    log.info("api.starting", extra={"host": settings.host, "port": settings.api_port})
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.api_port,
            http=BoundedConnection,
            log_config=None,
            access_log=False,  # it prints addresses; the Gate logs requests by route
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            forwarded_allow_ips=settings.forwarded_allow_ips,
        )
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn takes them while it serves, and sends itself the same signal again once it has stopped:
        # by then all is closed, and the process shall end with 0
        signal.signal(number, _stopped_already)
    search_rarely()
    server.run(sockets=[listener])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
