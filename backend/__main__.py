"""`python -m backend`: bring the database up to date and serve the API on SPIKEFRONT_HOST:SPIKEFRONT_API_PORT."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys
from types import FrameType

import uvicorn

from backend.app import create_app
from backend.store import logs
from core.errors import BadValue, PortTaken, SpikefrontError
from core.host.gc_pauses import search_rarely
from core.settings import Settings

log = logging.getLogger("spikefront.api")

GRACE_S = 3  # followers of events hold their connection until the end


def listen(settings: Settings) -> socket.socket:
    """A bound socket; raises PortTaken. Bound before uvicorn runs, whose own failure is a traceback."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.api_port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(port=settings.api_port, setting="SPIKEFRONT_API_PORT") from None
        raise BadValue(
            field="SPIKEFRONT_HOST", value=settings.host, expected=f"an address of this machine ({error.strerror})"
        ) from None
    return listener


def _stopped_already(number: int, frame: FrameType | None) -> None:
    log.info("api.stopped", extra={"signal": signal.Signals(number).name})


def main() -> int:
    """0 after a clean stop; 1 with one sentence when it cannot start."""
    logs.configure()
    settings = Settings()
    try:
        app = create_app(settings)
        listener = listen(settings)
    except SpikefrontError as error:
        log.error("api.not_started", extra={"code": error.code, "reason": error.message})
        return 1
    log.info("api.starting", extra={"host": settings.host, "port": settings.api_port})
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.api_port,
            log_config=None,
            access_log=False,  # it prints addresses; the Gate logs requests by route
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
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
