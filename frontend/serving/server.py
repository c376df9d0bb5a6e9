"""The dashboard's server: Streamlit's ASGI app behind our guard, under uvicorn.

`streamlit run` would serve its websocket and files to whoever finds the port; as an ASGI app
everything passes one middleware of ours (`frontend.serving.guard`). All options are set here, so nothing
depends on the current folder or on a config file beside the code.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import uvicorn

from core.connections import BoundedConnection
from core.homes import user_home
from core.host.gc_pauses import search_rarely
from core.host.ports import listen
from core.loglines import service_formatter
from core.settings import Settings, read_token
from frontend import style
from frontend.client.api import Client
from frontend.client.connection import behind_guard
from frontend.serving import figures
from frontend.serving.entering import ApiAccounts
from frontend.serving.guard import Guard
from frontend.serving.shell import Shell

log = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("script.py")

LIGHT = {
    "primaryColor": "#0b6b8f",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f4f5f3",
    "textColor": "#1b1f24",
    "linkColor": "#0b6b8f",
    "borderColor": "#e1e4e6",
}
DARK = {
    "primaryColor": "#227fa4",
    "backgroundColor": "#101418",
    "secondaryBackgroundColor": "#191f25",
    "textColor": "#e7eaed",
    "linkColor": "#6cc0e2",
    "borderColor": "#2b333b",
}


def options(settings: Settings) -> dict[str, Any]:
    """Streamlit's options, by their dotted names. They win over any config file and environment variable."""
    return {
        "browser.gatherUsageStats": False,
        "browser.serverAddress": settings.host,
        "client.showErrorDetails": "none",  # a traceback is for the log, not for a page
        "client.toolbarMode": "minimal",
        "global.developmentMode": False,
        "logger.hideWelcomeMessage": True,
        "runner.magicEnabled": False,
        "server.address": settings.host,
        "server.port": settings.dashboard_port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.enableCORS": True,  # that is: cross-origin requests are refused
        "server.corsAllowedOrigins": [],
        "server.enableXsrfProtection": True,
        "server.baseUrlPath": "",
        "server.maxUploadSize": 5,  # MB; a picture on the page Try it
        "server.disconnectedSessionTTL": 60,
        "global.maxCachedMessageAge": 20,  # script runs; a page that polls on a busy machine has several under way
        "theme.baseRadius": "0.5rem",
        "theme.baseFontSize": 15,
        "theme.showWidgetBorder": True,
        **{f"theme.light.{name}": value for name, value in LIGHT.items()},
        **{f"theme.dark.{name}": value for name, value in DARK.items()},
    }


def create(settings: Settings) -> Guard:
    """The guarded ASGI app. Sets Streamlit's process-wide options, so once a process."""
    # Streamlit costs a second to import: only the process that serves pages pays it. pandas comes before the first
    # page: Plotly uses it as soon as any thread has begun to import it, half loaded or not.
    import pandas  # noqa: F401
    import streamlit.logger
    from streamlit.starlette import App
    from streamlit.web.bootstrap import load_config_options

    _log_as_we_do(streamlit.logger)
    import frontend.pages.explore.page  # noqa: F401  # the page that opens first, loaded before anybody waits for it
    from frontend.parts import back, saving
    from frontend.places import PRODUCT

    token = read_token(settings)
    behind_guard()
    if user_home() is None:  # Streamlit looks for a config of its own there, and ends where there is none
        os.environ["HOME"] = str(settings.home)
    load_config_options(options(settings))
    scripts = back.script() + saving.script()
    app = Shell(App(SCRIPT, routes=figures.routes()), title=PRODUCT, first=scripts, last=style.CSS)
    told = settings.public_host  # one host for both, so its name is ours too
    return Guard(
        app,
        token=token,
        port=settings.dashboard_port,
        host=settings.host,
        names=(*settings.allowed_hosts, *([told] if told else [])),
        base=settings.base_path,
        secure_name=told if settings.public_url.startswith("https://") else None,
        accounts=ApiAccounts(Client(settings.api_url, lambda: token)),
    )


def _log_as_we_do(theirs: ModuleType) -> None:
    """Streamlit's loggers have handlers of their own, in local time; those that it has made and those that it will make."""

    def set_up(logger: logging.Logger) -> None:
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.streamlit_console_handler = logging.StreamHandler()
        logger.streamlit_console_handler.setFormatter(service_formatter())
        logger.addHandler(logger.streamlit_console_handler)

    theirs.setup_formatter = set_up
    for logger in theirs._loggers.values():
        set_up(logger)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises PortTaken, BadValue or HomeUnusable."""
    listener = listen(settings.host, settings.dashboard_port, setting="SPIKEFRONT_DASHBOARD_PORT")
    app = create(settings)
    config = uvicorn.Config(
        app,
        http=BoundedConnection,
        lifespan="on",
        access_log=False,  # an address may carry the key
        log_config=None,  # its lines go where ours go
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,  # open pages hold websockets for ever
        forwarded_allow_ips=settings.forwarded_allow_ips,
    )
    search_rarely()
    log.info("dashboard.serving", extra={"url": settings.dashboard_url})
    uvicorn.Server(config).run(sockets=[listener])
